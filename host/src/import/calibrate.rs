//! What the calibration images show: how large every layer's sums get, first in floating point,
//! then in integers, and what the last layer reads.

use rayon::prelude::*;
use stria_core::clear::Convolution;
use stria_core::network::layer::{Activation, TensorId};

use super::error::ImportError;
use super::fold::FloatLayer;
use super::trained::{Images, Trained};
use crate::model::Model;
use crate::model::reference::{self, LANES};

/// What the images show of the network in floating point.
pub(super) struct Seen {
    /// Largest |y| of every layer, in real units.
    pub largest: Vec<f64>,
    /// What the last layer reads, one list an image: [in channels, rows, cols] after its pooling,
    /// of which it is the mean, in real units.
    pub last_inputs: Vec<Vec<f32>>,
}

/// Runs the network in f32 on the images' integers, so it sees them as the engine does.
pub(super) fn seen(trained: &Trained, images: &Images<'_>) -> Result<Seen, ImportError> {
    let network = Network::new(trained);
    let mut seen = Seen {
        largest: vec![0.0; network.layers.len()],
        last_inputs: Vec::with_capacity(images.count),
    };
    // In order, so that the same images give the same file.
    for batch in batches(images, |tensors| network.run(tensors))? {
        merge(&mut seen.largest, &batch.largest);
        seen.last_inputs.extend(batch.last_inputs);
    }
    Ok(seen)
}

/// Largest |y| of every layer of an integer model.
pub(super) fn largest(model: &Model, images: &Images<'_>) -> Result<Vec<u32>, ImportError> {
    let batch = |tensors: &[Vec<i32>]| {
        let tensors: Vec<&[i32]> = tensors.iter().map(Vec::as_slice).collect();
        let mut largest = Vec::with_capacity(model.layers.len());
        reference::run(model, &tensors, |_, y, _| {
            let magnitudes = y.iter().flatten().map(|y| y.unsigned_abs());
            largest.push(magnitudes.max().unwrap_or(0));
        });
        largest
    };
    let mut largest = vec![0; model.layers.len()];
    for batch in batches(images, batch)? {
        merge(&mut largest, &batch);
    }
    Ok(largest)
}

fn merge<T: PartialOrd + Copy>(into: &mut [T], from: &[T]) {
    for (into, &from) in into.iter_mut().zip(from) {
        if from > *into {
            *into = from;
        }
    }
}

/// What `run` gives for the images, [`LANES`] at a time, in their order.
fn batches<T: Send>(
    images: &Images<'_>,
    run: impl Fn(&[Vec<i32>]) -> T + Sync,
) -> Result<Vec<T>, ImportError> {
    let batch = |first: usize| {
        let batch = first..images.count.min(first + LANES);
        let tensors: Result<Vec<Vec<i32>>, _> = batch.map(images.tensor).collect();
        Ok(run(&tensors?))
    };
    (0..images.count.div_ceil(LANES))
        .into_par_iter()
        .map(|i| batch(i * LANES))
        .collect()
}

/// The network in f32.
struct Network<'a> {
    trained: &'a Trained,
    /// The convolution, weights and biases of every layer.
    layers: Vec<(Convolution, Vec<f32>, Vec<f32>)>,
}

impl<'a> Network<'a> {
    fn new(trained: &'a Trained) -> Self {
        let layer = |layer: &FloatLayer| {
            let weights = layer.weights.iter().map(|&w| w as f32);
            let bias = layer.bias.iter().map(|&b| b as f32);
            let convolution = Convolution::new(&layer.layer, &layer.geometry);
            (convolution, weights.collect(), bias.collect())
        };
        Self {
            trained,
            layers: trained.layers.iter().map(layer).collect(),
        }
    }

    /// Runs some images.
    fn run(&self, images: &[Vec<i32>]) -> Seen {
        let scale = self.trained.network.input.scale;
        let scaled = |image: &Vec<i32>| image.iter().map(|&x| x as f32 / scale).collect();
        let mut tensors: Vec<Vec<Vec<f32>>> = vec![images.iter().map(scaled).collect()];
        let mut seen = Seen {
            largest: Vec::with_capacity(self.layers.len()),
            last_inputs: Vec::new(),
        };
        for (layer, (convolution, weights, bias)) in self.trained.layers.iter().zip(&self.layers) {
            let read = |tensor: TensorId| &tensors[usize::from(tensor)];
            let shape = &layer.layer;
            let inputs: Vec<&[f32]> = read(shape.input).iter().map(Vec::as_slice).collect();
            let pixels = f64::from(shape.pool_side()).powi(2);
            let maps = convolution.maps(&inputs, f64::from, |sum| sum / pixels);
            let mut y = convolution.sums(weights, &maps, |y| y as f32);
            let area = layer.geometry.out_side.pow(2);
            for y in &mut y {
                for (map, bias) in y.chunks_exact_mut(area).zip(bias) {
                    map.iter_mut().for_each(|y| *y += bias);
                }
            }
            if let Some(skip) = shape.skip {
                let values = read(skip.tensor).iter().flatten();
                y.iter_mut()
                    .flatten()
                    .zip(values)
                    .for_each(|(y, x)| *y += x);
            }
            let largest = |largest: f64, y: &f32| match y.is_finite() {
                true => f64::from(y.abs()).max(largest),
                false => f64::INFINITY,
            };
            seen.largest.push(y.iter().flatten().fold(0.0, largest));
            match shape.activation {
                Activation::Relu => y.iter_mut().flatten().for_each(|y| *y = y.max(0.0)),
                Activation::Linear => {}
                Activation::Logits => {
                    let means =
                        |maps: &[Vec<f64>]| maps.iter().flatten().map(|&x| x as f32).collect();
                    let channels = usize::from(shape.in_channels);
                    seen.last_inputs = maps.chunks_exact(channels).map(means).collect();
                }
            }
            tensors.push(y);
        }
        seen
    }
}
