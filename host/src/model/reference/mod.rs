//! The plaintext executor: the network on the same integers that the protocol computes with.
//! DESIGN section 7: y = sum w*x + bias + factor*skip, next activation max(0, floor(y / 2^shift)).

use stria_core::layer::{Activation, Layer};

use crate::model::{Model, ModelLayer};

/// Images that [`logits`] works on side by side.
pub const LANES: usize = 8;

/// What one layer computed for one image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerTrace {
    /// Sums before the activation, [channels, rows, cols].
    pub y: Vec<i32>,
    /// The layer's output: activations, or y itself for logits.
    pub output: Vec<i32>,
}

/// Everything that was computed for one image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// One entry a layer, in execution order.
    pub layers: Vec<LayerTrace>,
}

impl Trace {
    /// The last layer's sums.
    pub fn logits(&self) -> &[i32] {
        self.layers.last().map_or(&[], |layer| &layer.y)
    }
}

/// A sum outside of the range that the protocol computes correctly.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("layer {layer}: y = {y} in channel {channel} is beyond {low}..={high}")]
pub struct OutOfRange {
    /// The layer.
    pub layer: String,
    /// Output channel.
    pub channel: usize,
    /// The sum.
    pub y: i32,
    /// Smallest sum that is allowed.
    pub low: i64,
    /// Largest sum that is allowed.
    pub high: i64,
}

/// The logits of one image, and how many of its sums were out of range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scored {
    /// The last layer's sums.
    pub logits: Vec<i32>,
    /// Sums outside of the range that the protocol computes correctly.
    pub out_of_range: usize,
}

/// Runs one image, [channels, side, side], and keeps every layer.
///
/// # Panics
/// If the image is not of the model's input shape.
pub fn trace(model: &Model, image: &[i32]) -> Trace {
    let mut layers = Vec::with_capacity(model.layers.len());
    run::<1>(model, &[image], |_, y, output| {
        layers.push(LayerTrace {
            y: y.as_flattened().to_vec(),
            output: output.as_flattened().to_vec(),
        });
    });
    Trace { layers }
}

/// Like [`trace`], and refuses an image whose sums leave the protocol's range.
///
/// # Panics
/// If the image is not of the model's input shape.
pub fn checked(model: &Model, image: &[i32]) -> Result<Trace, OutOfRange> {
    let trace = trace(model, image);
    for (layer, traced) in model.layers.iter().zip(&trace.layers) {
        let allowed = layer.bound.allowed;
        let outside = |&y: &i32| !(allowed.low..=allowed.high).contains(&y.into());
        if let Some(i) = traced.y.iter().position(outside) {
            return Err(OutOfRange {
                layer: layer.name.clone(),
                channel: i / layer.layout.out_side.pow(2),
                y: traced.y[i],
                low: allowed.low,
                high: allowed.high,
            });
        }
    }
    Ok(trace)
}

/// The sums y of layer `index` alone, given the image and the outputs of the layers before it, each
/// [channels, rows, cols].
///
/// # Panics
/// If a tensor that the layer reads is missing or too short.
pub fn sums(model: &Model, index: usize, tensors: &[Vec<i32>]) -> Vec<i32> {
    let layer = &model.layers[index];
    let lane = |tensor: u16| -> &[[i32; 1]] { tensors[usize::from(tensor)].as_chunks().0 };
    let skip = layer.layer.skip;
    let skip = skip.map(|skip| (skip.factor as i32, lane(skip.tensor)));
    integer_sums(layer, lane(layer.layer.input), skip).into_flattened()
}

/// The logits of up to [`LANES`] images, each [channels, side, side].
///
/// # Panics
/// If there are more images, or one is not of the model's input shape.
pub fn logits(model: &Model, images: &[&[i32]]) -> Vec<Scored> {
    assert!(images.len() <= LANES, "{} images at once", images.len());
    let mut scored = vec![
        Scored {
            logits: Vec::new(),
            out_of_range: 0,
        };
        images.len()
    ];
    let mut visit = |layer: &ModelLayer, y: &[[i32; LANES]], _: &[[i32; LANES]]| {
        let allowed = layer.bound.allowed;
        let (low, high) = (allowed.low as i32, allowed.high as i32);
        let mut outside = [0i32; LANES];
        for lanes in y {
            for (count, &y) in outside.iter_mut().zip(lanes) {
                *count += i32::from(y < low) + i32::from(y > high);
            }
        }
        for (lane, scored) in scored.iter_mut().enumerate() {
            scored.out_of_range += outside[lane] as usize;
            if layer.layer.activation == Activation::Logits {
                scored.logits = y.iter().map(|lanes| lanes[lane]).collect();
            }
        }
    };
    run(model, images, &mut visit);
    scored
}

/// Runs the layers on up to `L` images at once, an image a lane; lanes without an image are zeros.
/// `visit` is given each layer, its sums y and its output, both [channels, rows, cols].
pub(crate) fn run<const L: usize>(
    model: &Model,
    images: &[&[i32]],
    mut visit: impl FnMut(&ModelLayer, &[[i32; L]], &[[i32; L]]),
) {
    let pixels = model.input.channels * model.input.side * model.input.side;
    let mut image = vec![[0; L]; pixels];
    for (lane, values) in images.iter().enumerate() {
        assert_eq!(values.len(), pixels, "image of another size");
        for (lanes, &value) in image.iter_mut().zip(*values) {
            lanes[lane] = value;
        }
    }
    let mut tensors = vec![image];
    for layer in &model.layers {
        let input = &tensors[usize::from(layer.layer.input)];
        let skip = layer.layer.skip;
        let skip = skip.map(|skip| (skip.factor as i32, &tensors[usize::from(skip.tensor)][..]));
        let y = integer_sums(layer, input, skip);
        let output: Vec<[i32; L]> = match layer.layer.activation {
            Activation::Relu => {
                let relu = |y: i32| (y >> model.shift).max(0);
                y.iter().map(|lanes| lanes.map(relu)).collect()
            }
            Activation::Logits | Activation::Linear => y.clone(),
        };
        visit(layer, &y, &output);
        tensors.push(output);
    }
}

fn integer_sums<const L: usize>(
    layer: &ModelLayer,
    input: &[[i32; L]],
    skip: Option<(i32, &[[i32; L]])>,
) -> Vec<[i32; L]> {
    let out_side = layer.layout.out_side;
    linear(
        &layer.layer,
        out_side,
        &layer.weights,
        &layer.bias,
        input,
        skip,
    )
}

/// What the sums of a layer are made of: the protocol's integers, or the numbers that they stand
/// for.
pub(crate) trait Number: Copy + Default {
    /// self + a * b.
    fn multiply_add(self, a: Self, b: Self) -> Self;
    /// 1, for sums without weights.
    const ONE: Self;
}

impl Number for i32 {
    const ONE: Self = 1;

    /// The loader has proved that sums fit; wrapping only spares a check.
    #[inline(always)]
    fn multiply_add(self, a: Self, b: Self) -> Self {
        self.wrapping_add(a.wrapping_mul(b))
    }
}

impl Number for f32 {
    const ONE: Self = 1.0;

    #[inline(always)]
    fn multiply_add(self, a: Self, b: Self) -> Self {
        self + a * b
    }
}

/// The sums of one layer, [out channels, rows, cols], with weights [out channels,
/// in channels / groups, taps]; `skip` is a factor and the tensor that it multiplies.
pub(crate) fn linear<T: Number, const L: usize>(
    shape: &Layer,
    out_side: usize,
    weights: &[T],
    bias: &[T],
    input: &[[T; L]],
    skip: Option<(T, &[[T; L]])>,
) -> Vec<[T; L]> {
    let pooled;
    let side = usize::from(shape.in_side / shape.pool_side());
    let input = if shape.pool_side() > 1 {
        pooled = pool(input, shape);
        &pooled[..]
    } else {
        input
    };
    let taps = shape.kernel.taps();
    let group_inputs = usize::from(shape.in_channels / shape.groups);
    let group_outputs = usize::from(shape.out_channels / shape.groups);
    let shuffle = usize::from(shape.shuffle);
    let per_shuffle = usize::from(shape.in_channels) / shuffle;

    let mut y = vec![[T::default(); L]; usize::from(shape.out_channels) * out_side * out_side];
    let outputs = y.chunks_exact_mut(out_side * out_side);
    let kernels = weights.chunks_exact(group_inputs * taps);
    for (out, (map, kernels)) in outputs.zip(kernels).enumerate() {
        map.fill([bias[out]; L]);
        for (i, kernel) in kernels.chunks_exact(taps).enumerate() {
            // Shuffled channel a*G + b is the old channel b*(c/G) + a.
            let channel = out / group_outputs * group_inputs + i;
            let channel = channel % shuffle * per_shuffle + channel / shuffle;
            let source = &input[channel * side * side..][..side * side];
            for (tap, &weight) in kernel.iter().enumerate() {
                let (row, col) = shape.kernel.tap(tap);
                let rows = Axis::new(row, shape, side, out_side);
                let cols = Axis::new(col, shape, side, out_side);
                accumulate(map, source, weight, rows, cols);
            }
        }
    }
    if let Some((factor, values)) = skip {
        for (sums, values) in y.iter_mut().zip(values) {
            multiply_add(sums, values, factor);
        }
    }
    y
}

/// Every map with its squares of the pooling's side summed to a pixel each.
pub(crate) fn pool<T: Number, const L: usize>(input: &[[T; L]], layer: &Layer) -> Vec<[T; L]> {
    let side = usize::from(layer.in_side);
    let out = side / usize::from(layer.pool_side());
    let sum = |map: &[[T; L]], pixel: usize| {
        let mut sum = [T::default(); L];
        for (row, col) in layer.pooled(pixel / out, pixel % out) {
            multiply_add(&mut sum, &map[row * side + col], T::ONE);
        }
        sum
    };
    input
        .chunks_exact(side * side)
        .flat_map(|map| (0..out * out).map(move |pixel| sum(map, pixel)))
        .collect()
}

/// Where the outputs of one tap read along one axis, without those that read padding.
#[derive(Clone, Copy)]
struct Axis {
    /// Side of the input map.
    side: usize,
    /// Side of the output map.
    out_side: usize,
    /// First output index.
    first: usize,
    /// Number of outputs.
    count: usize,
    /// Input index of the first.
    source: usize,
    stride: usize,
}

impl Axis {
    fn new(tap: i32, layer: &Layer, side: usize, out_side: usize) -> Self {
        let stride = usize::from(layer.stride);
        let offset = tap - i32::from(layer.padding);
        let first = usize::try_from(-offset).unwrap_or(0).div_ceil(stride);
        // The input index of the first output is not negative now.
        let source = (first * stride).saturating_add_signed(offset as isize);
        let readable = side.saturating_sub(source).div_ceil(stride);
        Self {
            side,
            out_side,
            first,
            count: readable.min(out_side.saturating_sub(first)),
            source,
            stride,
        }
    }
}

/// Adds one tap of one channel to an output map.
fn accumulate<T: Number, const L: usize>(
    map: &mut [[T; L]],
    source: &[[T; L]],
    weight: T,
    rows: Axis,
    cols: Axis,
) {
    if rows.count == 0 || cols.count == 0 {
        return;
    }
    for r in 0..rows.count {
        let sums = &mut map[(rows.first + r) * cols.out_side + cols.first..][..cols.count];
        let start = (rows.source + r * rows.stride) * cols.side + cols.source;
        let line = &source[start..];
        if cols.stride == 1 {
            for (sums, values) in sums.iter_mut().zip(line) {
                multiply_add(sums, values, weight);
            }
        } else {
            for (sums, values) in sums.iter_mut().zip(line.iter().step_by(cols.stride)) {
                multiply_add(sums, values, weight);
            }
        }
    }
}

#[inline(always)]
fn multiply_add<T: Number, const L: usize>(sums: &mut [T; L], values: &[T; L], factor: T) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum = sum.multiply_add(value, factor);
    }
}

#[cfg(test)]
mod tests;
