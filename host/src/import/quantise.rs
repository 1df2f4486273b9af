//! Weights and biases in the units of the integers, rounded.

use stria_core::network::layer::{Activation, Kernel};

use super::fold::FloatLayer;
use super::rounding;
use super::scale::{Scales, allowed};
use super::trained::Trained;
use crate::model::Integers;
use crate::model::schema::Network;

/// The integers of every layer, and the description that they need. Its `max_abs` are the largest
/// that are allowed. `last_inputs` are what the last layer reads, one list an image.
pub(super) fn integers(
    trained: &Trained,
    scales: &Scales,
    last_inputs: &[Vec<f32>],
) -> (Network, Vec<Integers>) {
    let mut network = trained.network.clone();
    let shift = network.shift;
    let mut all = Vec::with_capacity(trained.layers.len());
    for (i, layer) in trained.layers.iter().enumerate() {
        let shape = &layer.layer;
        let sums = scales.sums[i];
        let input = scales.tensor(shape.input);
        // The integers are summed over the window, the network takes their mean.
        let pooled = f64::from(shape.pool_side()).powi(2);
        let weights = layer.weights.iter().map(|w| w * sums / (input * pooled));
        let weights: Vec<f64> = weights.collect();
        let mut bias: Vec<f64> = layer.bias.iter().map(|b| b * sums).collect();
        if shape.activation == Activation::Relu {
            // The shift floors: half a unit makes it round.
            let half = f64::from(1u32 << (shift - 1));
            bias.iter_mut().for_each(|b| *b += half);
        }
        let weights = match reads_one_pixel(layer) {
            true => {
                let unit = input * pooled;
                let (rounded, errors) =
                    rounding::with_feedback(&weights, &inputs(layer, unit, last_inputs));
                bias.iter_mut()
                    .zip(errors)
                    .for_each(|(b, error)| *b += error);
                rounded
            }
            false => weights.iter().map(|w| w.round()).collect(),
        };
        // What does not fit saturates, and is refused with the layer's name later.
        let narrow = |values: &[f64]| values.iter().map(|v| v.round() as i32).collect();
        all.push(Integers {
            weights: narrow(&weights),
            bias: narrow(&bias),
        });
        let described = &mut network.layers[i];
        described.max_abs = Some(allowed(layer, shift));
        if let (Some(skip), Some(of)) = (&mut described.skip, shape.skip) {
            skip.factor = (sums / scales.tensor(of.tensor)).round() as u64;
        }
    }
    network.logit_scale = scales.sums.last().map_or(1.0, |&scale| scale as f32);
    (network, all)
}

/// Whether it is a matrix from one pixel of every channel to the logits.
fn reads_one_pixel(layer: &FloatLayer) -> bool {
    let shape = &layer.layer;
    shape.activation == Activation::Logits
        && shape.groups == 1
        && shape.kernel == Kernel::Square(1)
        && shape.in_side == shape.pool_side().max(1)
}

/// The last layer's inputs in integers, in the order of its weights: after the shuffle.
fn inputs(layer: &FloatLayer, unit: f64, last_inputs: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let shuffle = usize::from(layer.layer.shuffle);
    let rows = usize::from(layer.layer.in_channels) / shuffle;
    let image = |values: &Vec<f32>| {
        let places = 0..values.len();
        places
            .map(|i| unit * f64::from(values[i % shuffle * rows + i / shuffle]))
            .collect()
    };
    last_inputs.iter().map(image).collect()
}
