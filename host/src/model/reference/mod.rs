//! The plaintext executor: the network on the same integers that the protocol computes with.
//! `core/docs/design.md#integer-model`: y = sum w*x + bias + factor*skip, next activation max(0,
//! floor(y / 2^shift)).

mod linear;

use stria_core::network::layer::Activation;

use crate::model::{Model, ModelLayer, Range};

pub(crate) use linear::{linear, pool};

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
#[error("layer {layer}: y = {y} in channel {channel} is beyond {allowed}")]
pub struct OutOfRange {
    /// The layer.
    pub layer: String,
    /// Output channel.
    pub channel: usize,
    /// The sum.
    pub y: i32,
    /// All sums that are allowed.
    pub allowed: Range,
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
                channel: i / layer.layout.geometry.out_side.pow(2),
                y: traced.y[i],
                allowed,
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
    let out_side = layer.layout.geometry.out_side;
    linear(
        &layer.layer,
        out_side,
        &layer.weights,
        &layer.bias,
        input,
        skip,
    )
}

#[cfg(test)]
mod tests;
