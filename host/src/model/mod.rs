//! A network as the server holds it: layers, layouts, integer weights and proved ranges.
//! DESIGN section 7; docs/model-file.md describes the file.

mod bound;
mod compile;
mod error;
pub mod schema;
mod tensors;
#[cfg(test)]
mod tests;

use std::path::Path;

use stria_core::network::layer::{Activation, Layer, Layout, TensorId};

pub use bound::{Bound, COMPARE_BITS, Evidence, Range, allowed};
pub use error::ModelError;

use schema::Network;

/// A checked network. What it holds can be run: every layer fits and stays in its range.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Model {
    /// Name of the network.
    pub name: String,
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// How a picture becomes the first tensor.
    pub input: Input,
    /// s: bits that every ReLU layer drops.
    pub shift: u32,
    /// Integer logits per unit of real logit.
    pub logit_scale: f32,
    /// The layers in execution order; layer i writes tensor i + 1.
    pub layers: Vec<ModelLayer>,
}

/// How a picture becomes the first tensor.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Input {
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// Side of the map that the network sees, in pixels.
    pub side: usize,
    /// Pixels that the picture's shorter side is resized to first.
    pub resize: usize,
    /// Mean per channel, of pixels between 0 and 1.
    pub mean: Vec<f32>,
    /// Standard deviation per channel.
    pub std: Vec<f32>,
    /// Integers per standard deviation.
    pub scale: f32,
}

/// One layer with its private integers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelLayer {
    /// Its name in the file.
    pub name: String,
    /// What both parties know of it.
    pub layer: Layer,
    /// The packing that follows from that.
    pub layout: Layout,
    /// Weights, [out channels, in channels / groups, taps].
    pub weights: Vec<i32>,
    /// Biases, one per output channel.
    pub bias: Vec<i32>,
    /// Why its sums stay in their range.
    pub bound: Bound,
}

/// A layer without its private integers: all that costs depend on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shape {
    /// Its name in the file.
    pub name: String,
    /// What both parties know of it.
    pub layer: Layer,
    /// The packing that follows from that.
    pub layout: Layout,
    max_abs: Option<u64>,
}

/// Checks an architecture without its integers, and plans the packing of its layers.
pub fn shapes(network: &Network) -> Result<Vec<Shape>, ModelError> {
    compile::outline(network)
}

/// Checks how an architecture turns pictures into its first tensor.
pub fn input(network: &Network) -> Result<Input, ModelError> {
    compile::checked_input(&network.input)
}

/// The bytes of a model file, one entry of `integers` a layer.
pub fn to_bytes(network: &Network, integers: &[Integers]) -> Result<Vec<u8>, ModelError> {
    let outlines = compile::outline(network)?;
    tensors::check_lengths(&outlines, integers)?;
    tensors::write(network, &outlines, integers)
}

/// The private integers of a layer.
#[derive(Clone, Debug)]
pub struct Integers {
    /// Weights, [out channels, in channels / groups, taps].
    pub weights: Vec<i32>,
    /// Biases, one per output channel.
    pub bias: Vec<i32>,
}

impl Model {
    /// Reads and checks a model file.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(|source| ModelError::Read {
            path: path.into(),
            source,
        })?;
        Self::from_bytes(&bytes)
    }

    /// Checks the bytes of a model file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let (network, tensors) = tensors::open(bytes)?;
        let outlines = compile::outline(&network)?;
        let integers = tensors::read(&tensors, &outlines)?;
        compile::finish(network, outlines, integers)
    }

    /// Checks a network whose integers are already in memory, one entry a layer.
    pub fn new(network: Network, integers: Vec<Integers>) -> Result<Self, ModelError> {
        let outlines = compile::outline(&network)?;
        tensors::check_lengths(&outlines, &integers)?;
        compile::finish(network, outlines, integers)
    }

    /// ReLU evaluations of one inference.
    pub fn activations(&self) -> usize {
        self.layers.iter().map(ModelLayer::activations).sum()
    }

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(ModelLayer::parameters).sum()
    }

    /// Values of a tensor: [channels, side, side].
    pub fn tensor_shape(&self, tensor: TensorId) -> [usize; 3] {
        let (channels, side) = match usize::from(tensor).checked_sub(1) {
            None => (self.input.channels, self.input.side),
            Some(i) => {
                let layer = &self.layers[i];
                (layer.layer.out_channels.into(), layer.layout.out_side)
            }
        };
        [channels, side, side]
    }

    /// Name of a tensor: "image", or that of the layer that writes it.
    pub fn tensor_name(&self, tensor: TensorId) -> &str {
        match usize::from(tensor).checked_sub(1) {
            None => schema::IMAGE,
            Some(i) => &self.layers[i].name,
        }
    }
}

impl Shape {
    /// ReLU evaluations of one inference.
    pub fn activations(&self) -> usize {
        activations(&self.layer, &self.layout)
    }
}

fn activations(layer: &Layer, layout: &Layout) -> usize {
    match layer.activation {
        Activation::Relu => layer.outputs(layout),
        Activation::Logits | Activation::Linear => 0,
    }
}

impl ModelLayer {
    /// ReLU evaluations of one inference.
    pub fn activations(&self) -> usize {
        activations(&self.layer, &self.layout)
    }

    /// Weights and biases.
    pub fn parameters(&self) -> usize {
        self.weights.len() + self.bias.len()
    }
}
