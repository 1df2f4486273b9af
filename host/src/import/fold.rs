//! Batch normalisation becomes a part of weights and biases (docs/import.md, "What is computed").

use stria_core::network::layer::{Activation, Kernel, Layer};
use stria_core::packing::geometry::Geometry;

use crate::model::Shape;

/// What PyTorch adds to a variance by default; checkpoints do not hold it.
pub(super) const EPSILON: f64 = 1e-5;

/// A convolution as trained.
pub(super) struct Convolution {
    /// [out channels, in channels / groups, side, side].
    pub weight: Vec<f32>,
    /// [out channels].
    pub bias: Option<Vec<f32>>,
    /// Side of the kernel.
    pub side: usize,
}

/// A batch normalisation as trained, one value per output channel each.
pub(super) struct Norm {
    /// Gain.
    pub weight: Vec<f32>,
    /// Offset.
    pub bias: Vec<f32>,
    /// Running mean.
    pub mean: Vec<f32>,
    /// Running variance.
    pub variance: Vec<f32>,
}

/// A layer in floating point: y = sum of weight * x + bias + skip, where x are the means of what
/// is pooled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FloatLayer {
    /// Its name.
    pub name: String,
    /// What both parties know of it. The factor of its skip has no meaning yet.
    pub layer: Layer,
    /// Its maps, strides and groups.
    pub geometry: Geometry,
    /// Weights, [out channels, in channels / groups, taps], per real unit of the input.
    pub weights: Vec<f64>,
    /// Biases, one per output channel, in real units.
    pub bias: Vec<f64>,
}

/// Folds the normalisation in, and centres the logits.
pub(super) fn fold(shape: &Shape, convolution: &Convolution, norm: Option<&Norm>) -> FloatLayer {
    let layer = shape.layer;
    let outputs = usize::from(layer.out_channels);
    let inputs = usize::from(layer.in_channels / layer.groups);
    let square = convolution.side * convolution.side;
    let mut weights = Vec::with_capacity(outputs * inputs * layer.kernel.taps());
    let mut biases = Vec::with_capacity(outputs);
    for (out, kernels) in convolution.weight.chunks_exact(inputs * square).enumerate() {
        let bias = convolution.bias.as_ref().map_or(0.0, |b| f64::from(b[out]));
        let (gain, bias) = match norm {
            None => (1.0, bias),
            Some(norm) => {
                let gain =
                    f64::from(norm.weight[out]) / (f64::from(norm.variance[out]) + EPSILON).sqrt();
                let mean = f64::from(norm.mean[out]);
                (gain, f64::from(norm.bias[out]) + (bias - mean) * gain)
            }
        };
        biases.push(bias);
        for kernel in kernels.chunks_exact(square) {
            weights.extend((0..layer.kernel.taps()).map(|tap| {
                let place = match layer.kernel {
                    Kernel::Square(_) => tap,
                    Kernel::Cross => {
                        let (row, col) = layer.kernel.tap(tap);
                        row as usize * convolution.side + col as usize
                    }
                };
                gain * f64::from(kernel[place])
            }));
        }
    }
    if layer.activation == Activation::Logits && layer.groups == 1 {
        // The same differences between logits, with smaller logits.
        centre(&mut weights, outputs);
        centre(&mut biases, outputs);
    }
    FloatLayer {
        name: shape.name.clone(),
        layer,
        geometry: shape.layout.geometry,
        weights,
        bias: biases,
    }
}

/// Takes the mean over the rows off every column of [rows, columns].
fn centre(values: &mut [f64], rows: usize) {
    let columns = values.len() / rows;
    for column in 0..columns {
        let of = || (0..rows).map(|row| row * columns + column);
        let mean = of().map(|i| values[i]).sum::<f64>() / rows as f64;
        of().for_each(|i| values[i] -= mean);
    }
}
