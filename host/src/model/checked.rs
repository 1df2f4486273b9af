//! A network as the server holds it: layers, layouts, integer weights and proved ranges.
//! `core/docs/design.md#integer-model`.

use stria_core::network::layer::{Activation, Kernel, Layer, TensorId};
use stria_core::packing::segment::SegmentLayout;

use super::bound::Bound;
use super::schema::{IMAGE, Input};

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

/// One layer with its private integers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ModelLayer {
    /// Its name in the file.
    pub name: String,
    /// What both parties know of it.
    pub layer: Layer,
    /// The packing that follows from that.
    pub layout: SegmentLayout,
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
    pub layout: SegmentLayout,
    pub(super) max_abs: Option<u64>,
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
                (
                    layer.layer.out_channels.into(),
                    layer.layout.geometry.out_side,
                )
            }
        };
        [channels, side, side]
    }

    /// Name of a tensor: "image", or that of the layer that writes it.
    pub fn tensor_name(&self, tensor: TensorId) -> &str {
        match usize::from(tensor).checked_sub(1) {
            None => IMAGE,
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

fn activations(layer: &Layer, layout: &SegmentLayout) -> usize {
    match layer.activation {
        Activation::Relu => layout.geometry.out_values(),
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

/// Like "3x3", "1x1" or "cross".
pub fn kernel_name(kernel: Kernel) -> String {
    match kernel {
        Kernel::Square(side) => format!("{side}x{side}"),
        Kernel::Cross => "cross".into(),
    }
}
