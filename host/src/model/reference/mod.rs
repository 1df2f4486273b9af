//! The plaintext executor: the network on the same integers that the protocol computes with.
//! `core/docs/design.md#integer-model`: y = sum w*x + bias + factor*skip, next activation max(0,
//! floor(y / 2^shift)).

use std::iter;

use stria_core::clear::ClearConvolution;
use stria_core::network::layer::{Activation, TensorId};

use crate::model::{Model, ModelLayer, Range};

/// Images of a batch, which are worked on side by side.
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
    run(model, &[image], |_, y, output| {
        layers.push(LayerTrace {
            y: y.concat(),
            output: output.concat(),
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
    let read = |tensor: TensorId| [&tensors[usize::from(tensor)][..]];
    let skip = layer.layer.skip.map(|skip| read(skip.tensor));
    let y = batch_sums(
        layer,
        &read(layer.layer.input),
        skip.as_ref().map(|skip| &skip[..]),
    );
    y.into_iter().next().unwrap_or_default()
}

/// The logits of some images, each [channels, side, side]: a few of them, since all that is computed of
/// them is held at once.
///
/// # Panics
/// If an image is not of the model's input shape.
pub fn logits(model: &Model, images: &[&[i32]]) -> Vec<Scored> {
    let mut scored = vec![
        Scored {
            logits: Vec::new(),
            out_of_range: 0,
        };
        images.len()
    ];
    run(model, images, |layer, y, _| {
        let allowed = layer.bound.allowed;
        let (low, high) = (allowed.low as i32, allowed.high as i32);
        for (scored, y) in scored.iter_mut().zip(y) {
            let outside = y.iter().map(|&y| i32::from(y < low) + i32::from(y > high));
            scored.out_of_range += outside.sum::<i32>() as usize;
            if layer.layer.activation == Activation::Logits {
                scored.logits.clone_from(y);
            }
        }
    });
    scored
}

/// Runs the layers on some images at once. `visit` is given each layer, its sums y and its output, both
/// [channels, rows, cols] for every image.
pub(crate) fn run(
    model: &Model,
    images: &[&[i32]],
    mut visit: impl FnMut(&ModelLayer, &[Vec<i32>], &[Vec<i32>]),
) {
    let pixels = model.input.channels * model.input.side * model.input.side;
    for image in images {
        assert_eq!(image.len(), pixels, "image of another size");
    }
    let reads = |layer: &ModelLayer| {
        let skip = layer.layer.skip.map(|skip| skip.tensor);
        iter::once(layer.layer.input).chain(skip).map(usize::from)
    };
    let mut last_reader = vec![0; model.layers.len() + 1];
    for (i, layer) in model.layers.iter().enumerate() {
        reads(layer).for_each(|tensor| last_reader[tensor] = i);
    }
    let mut tensors: Vec<Vec<Vec<i32>>> = Vec::with_capacity(model.layers.len());
    for (i, layer) in model.layers.iter().enumerate() {
        let read = |tensor: TensorId| match usize::from(tensor).checked_sub(1) {
            None => images.to_vec(),
            Some(i) => tensors[i].iter().map(Vec::as_slice).collect(),
        };
        let skip = layer.layer.skip.map(|skip| read(skip.tensor));
        let y = batch_sums(layer, &read(layer.layer.input), skip.as_deref());
        let output: Vec<Vec<i32>> = match layer.layer.activation {
            Activation::Relu => {
                let relu = |&y: &i32| (y >> model.shift).max(0);
                y.iter().map(|y| y.iter().map(relu).collect()).collect()
            }
            Activation::Logits | Activation::Linear => y.clone(),
        };
        visit(layer, &y, &output);
        tensors.push(output);
        for tensor in reads(layer).filter(|&tensor| last_reader[tensor] == i) {
            if let Some(tensor) = tensor.checked_sub(1) {
                tensors[tensor].clear();
            }
        }
    }
}

/// The sums y of a layer, [channels, rows, cols] for every input. The loader has proved that 32 bits
/// hold them; of other inputs than a network's, the lowest 32 are kept.
fn batch_sums(layer: &ModelLayer, inputs: &[&[i32]], skips: Option<&[&[i32]]>) -> Vec<Vec<i32>> {
    let geometry = &layer.layout.geometry;
    let convolution = ClearConvolution::new(&layer.layer, geometry, &layer.weights[..]);
    let magnitudes = inputs.iter().copied().flatten().map(|x| x.unsigned_abs());
    let sums = convolution.sums(inputs, magnitudes.max().unwrap_or(0));
    let area = geometry.out_side.pow(2);
    let biased = |sums: Vec<i64>| -> Vec<i32> {
        let maps = sums.chunks_exact(area).zip(&layer.bias);
        let mut y = Vec::with_capacity(sums.len());
        for (map, &bias) in maps {
            y.extend(map.iter().map(|&y| bias.wrapping_add(y as i32)));
        }
        y
    };
    let mut y: Vec<Vec<i32>> = sums.into_iter().map(biased).collect();
    if let (Some(skip), Some(skips)) = (layer.layer.skip, skips) {
        for (y, skip_values) in y.iter_mut().zip(skips) {
            for (y, &x) in y.iter_mut().zip(*skip_values) {
                *y = y.wrapping_add((skip.factor as i32).wrapping_mul(x));
            }
        }
    }
    y
}

#[cfg(test)]
mod tests;
