//! How fine a layer's integers may be: scales that use the whole range of the sums.

use stria_core::arith::field::ACC_BITS;
use stria_core::network::layer::{Activation, TensorId};

use super::error::ImportError;
use super::fold::FloatLayer;
use super::trained::{HEADROOM, Trained};
use crate::model::allowed as allowed_range;

/// Where a convolution reads sums that are not truncated, they leave this factor of their range
/// to its weights.
const BOTTLENECK: f64 = 16.0;
/// Biases stay below this magnitude, as every sum does.
const BIAS_LIMIT: f64 = ((1 << (ACC_BITS - 1)) - 1) as f64;

/// Units per 1.0.
pub(super) struct Scales {
    /// Of the image's integers.
    image: f64,
    /// Of every layer's sums.
    pub sums: Vec<f64>,
    /// Of every layer's output.
    outputs: Vec<f64>,
}

impl Scales {
    /// Of a tensor: 0 is the image, i + 1 the output of layer i.
    pub fn tensor(&self, tensor: TensorId) -> f64 {
        match usize::from(tensor).checked_sub(1) {
            None => self.image,
            Some(i) => self.outputs[i],
        }
    }
}

/// Largest |y| that the protocol computes correctly on either side of 0.
pub(super) fn allowed(layer: &FloatLayer, shift: u32) -> u64 {
    allowed_range(layer.layer.activation, shift).magnitude()
}

/// The finest scales that keep `largest`, every layer's largest |y| in real units, in the part
/// `slack` of the range, with headroom.
pub(super) fn finest(
    trained: &Trained,
    largest: &[f64],
    slack: f64,
) -> Result<Scales, ImportError> {
    let (layers, shift) = (&trained.layers, trained.network.shift);
    let image = f64::from(trained.network.input.scale);
    // Tensors that skips join have the scale of the first of them: the image, or a layer.
    let mut stream: Vec<usize> = vec![0];
    let mut finest = vec![f64::INFINITY; layers.len() + 1];
    for (i, (layer, &largest)) in layers.iter().zip(largest).enumerate() {
        let skip = layer.layer.skip;
        stream.push(skip.map_or(i + 1, |skip| stream[usize::from(skip.tensor)]));
        let room = room(trained, i, largest)? * slack;
        let finest = &mut finest[stream[i + 1]];
        *finest = finest.min(room);
    }
    // The factor of a skip from the image is an integer.
    finest[0] = (finest[0] / image).floor() * image;
    if finest[0] == 0.0 {
        let joins = stream.iter().skip(1).position(|&first| first == 0);
        return Err(ImportError::ImageSkip {
            layer: joins.map_or_else(String::new, |i| layers[i].name.clone()),
            scale: trained.network.input.scale,
        });
    }
    let sums: Vec<f64> = stream[1..].iter().map(|&first| finest[first]).collect();
    let output = |(layer, &sums): (&FloatLayer, &f64)| match layer.layer.activation {
        Activation::Relu => sums / f64::from(1u32 << shift),
        Activation::Logits | Activation::Linear => sums,
    };
    Ok(Scales {
        image,
        outputs: layers.iter().zip(&sums).map(output).collect(),
        sums,
    })
}

/// The scale at which a layer's sums alone reach the end of the range, with headroom.
fn room(trained: &Trained, index: usize, largest: f64) -> Result<f64, ImportError> {
    let layer = &trained.layers[index];
    let name = || layer.name.clone();
    if largest.is_infinite() {
        return Err(ImportError::Infinite { layer: name() });
    }
    if largest == 0.0 {
        return Err(ImportError::Silent { layer: name() });
    }
    let shift = trained.network.shift;
    let tensor = index + 1;
    let is_read = || {
        trained
            .layers
            .iter()
            .any(|l| usize::from(l.layer.input) == tensor)
    };
    let range = match layer.layer.activation {
        Activation::Linear if is_read() => allowed(layer, shift) as f64 / BOTTLENECK,
        _ => allowed(layer, shift) as f64,
    };
    // Half a unit of the next activation is added to biases.
    let bias = layer
        .bias
        .iter()
        .fold(0.0f64, |most, bias| most.max(bias.abs()));
    let bias_room = (BIAS_LIMIT - f64::from(1u32 << shift)) / bias;
    Ok((range / (HEADROOM * largest)).min(bias_room))
}
