//! The sums of one layer, in any numbers: convolution, pooling and residual.

use stria_core::network::layer::Layer;

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
