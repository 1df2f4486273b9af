//! What the calibration images show: how large every layer's sums get, first in floating point,
//! then in integers, and what the last layer reads.

use rayon::prelude::*;
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
        reference::run::<LANES>(model, &tensors, |_, y, _| {
            let of = |lanes: &[i32; LANES]| {
                lanes[..tensors.len()]
                    .iter()
                    .map(|y| y.unsigned_abs())
                    .max()
            };
            largest.push(y.iter().filter_map(of).max().unwrap_or(0));
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
    /// Weights and biases of every layer.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl<'a> Network<'a> {
    fn new(trained: &'a Trained) -> Self {
        let layer = |layer: &FloatLayer| {
            // The executor sums where the network takes the mean.
            let pooled = f64::from(layer.layer.pool_side()).powi(2);
            let weights = layer.weights.iter().map(|w| (w / pooled) as f32);
            let bias = layer.bias.iter().map(|&b| b as f32);
            (weights.collect(), bias.collect())
        };
        Self {
            trained,
            layers: trained.layers.iter().map(layer).collect(),
        }
    }

    /// Runs up to [`LANES`] images.
    fn run(&self, images: &[Vec<i32>]) -> Seen {
        let scale = self.trained.network.input.scale;
        let pixels = images.first().map_or(0, Vec::len);
        let mut image = vec![[0.0; LANES]; pixels];
        for (lane, values) in images.iter().enumerate() {
            for (lanes, &value) in image.iter_mut().zip(values) {
                lanes[lane] = value as f32 / scale;
            }
        }
        let mut tensors = vec![image];
        let mut seen = Seen {
            largest: Vec::with_capacity(self.layers.len()),
            last_inputs: Vec::new(),
        };
        for (layer, (weights, bias)) in self.trained.layers.iter().zip(&self.layers) {
            let read = |tensor: TensorId| &tensors[usize::from(tensor)][..];
            let shape = &layer.layer;
            let input = read(shape.input);
            let skip = shape.skip.map(|skip| (1.0, read(skip.tensor)));
            let mut y = reference::linear(shape, layer.out_side, weights, bias, input, skip);
            let used = y.iter().flat_map(|lanes| &lanes[..images.len()]);
            seen.largest
                .push(used.fold(0.0, |largest, &y| match y.is_finite() {
                    true => f64::from(y.abs()).max(largest),
                    false => f64::INFINITY,
                }));
            match shape.activation {
                Activation::Relu => y.iter_mut().flatten().for_each(|y| *y = y.max(0.0)),
                Activation::Linear => {}
                Activation::Logits => {
                    let pooled = reference::pool(input, shape);
                    let mean = f32::from(shape.pool_side()).powi(2);
                    let lane = |lane: usize| pooled.iter().map(|x| x[lane] / mean).collect();
                    seen.last_inputs = (0..images.len()).map(lane).collect();
                }
            }
            tensors.push(y);
        }
        seen
    }
}
