//! `stria inspect`: what a model's layers are and what they cost.

use serde::Serialize;
use stria_core::layer::{Kernel, Layout};

use crate::model::{Bound, Model, ModelLayer};
use crate::model::packing;

/// `stria inspect --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InspectReport {
    /// Name of the network.
    pub name: String,
    /// Class names.
    pub classes: Vec<String>,
    /// Shape of the input, [channels, rows, cols].
    pub input: [usize; 3],
    /// Bits that every ReLU layer drops.
    pub shift: u32,
    /// Activations of one inference.
    pub activations: usize,
    /// Weights and biases; a Cross Kernel counts five taps.
    pub parameters: usize,
    /// Ciphertexts to the server.
    pub input_ciphertexts: usize,
    /// Ciphertexts from the server.
    pub output_ciphertexts: usize,
    /// Ciphertext bytes to the server.
    pub bytes_up: usize,
    /// Ciphertext bytes from the server.
    pub bytes_down: usize,
    /// The layers in execution order.
    pub layers: Vec<InspectedLayer>,
}

/// One layer of `stria inspect`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InspectedLayer {
    /// Name of the layer.
    pub name: String,
    /// The tensor that it reads.
    pub input: String,
    /// Shape of that, [channels, rows, cols].
    pub input_shape: [usize; 3],
    /// Shape of what it writes, [channels, rows, cols].
    pub output_shape: [usize; 3],
    /// Like "3x3", "1x1" or "cross".
    pub kernel: String,
    /// Stride.
    pub stride: u8,
    /// Rows and columns of zeros around the map.
    pub padding: u8,
    /// Groups of channels.
    pub groups: u16,
    /// Groups of the channel shuffle before it; 1 is none.
    pub shuffle: u16,
    /// Side of the squares that are summed first; 1 is none.
    pub pool: u16,
    /// The tensor that is added, if any.
    pub skip: Option<String>,
    /// Repetitions in the packing.
    pub repeat: u16,
    /// Side of an output tile.
    pub tile: usize,
    /// d: log2 of the number of segments.
    pub depth: usize,
    /// Channels that are mixed inside a segment.
    pub g: usize,
    /// Ciphertexts to the server.
    pub input_ciphertexts: usize,
    /// Ciphertexts from the server.
    pub output_ciphertexts: usize,
    /// Ciphertext bytes to the server.
    pub bytes_up: usize,
    /// Ciphertext bytes from the server.
    pub bytes_down: usize,
    /// ReLU evaluations.
    pub activations: usize,
    /// Weights and biases.
    pub parameters: usize,
    /// The range of its sums, and whether it is proved or calibrated.
    pub bound: Bound,
}

impl InspectReport {
    /// Describes a model.
    pub fn new(model: &Model) -> Self {
        let layers: Vec<InspectedLayer> = model
            .layers
            .iter()
            .enumerate()
            .map(|(i, layer)| InspectedLayer::new(model, i, layer))
            .collect();
        let sum = |of: fn(&InspectedLayer) -> usize| layers.iter().map(of).sum();
        Self {
            name: model.name.clone(),
            classes: model.classes.clone(),
            input: model.tensor_shape(0),
            shift: model.shift,
            activations: model.activations(),
            parameters: model.parameters(),
            input_ciphertexts: sum(|layer| layer.input_ciphertexts),
            output_ciphertexts: sum(|layer| layer.output_ciphertexts),
            bytes_up: sum(|layer| layer.bytes_up),
            bytes_down: sum(|layer| layer.bytes_down),
            layers,
        }
    }
}

impl InspectedLayer {
    fn new(model: &Model, index: usize, layer: &ModelLayer) -> Self {
        let (shape, layout): (_, &Layout) = (&layer.layer, &layer.layout);
        let (bytes_up, bytes_down) = plan::bytes(layout);
        Self {
            name: layer.name.clone(),
            input: model.tensor_name(shape.input).into(),
            input_shape: model.tensor_shape(shape.input),
            output_shape: model.tensor_shape(index as u16 + 1),
            kernel: match shape.kernel {
                Kernel::Square(side) => format!("{side}x{side}"),
                Kernel::Cross => "cross".into(),
            },
            stride: shape.stride,
            padding: shape.padding,
            groups: shape.groups,
            shuffle: shape.shuffle,
            pool: shape.pool_side(),
            skip: shape.skip.map(|skip| model.tensor_name(skip.tensor).into()),
            repeat: shape.repeat,
            tile: layout.tile,
            depth: layout.depth,
            g: layout.blocks,
            input_ciphertexts: layout.inputs(),
            output_ciphertexts: layout.outputs(),
            bytes_up,
            bytes_down,
            activations: layer.activations(),
            parameters: layer.parameters(),
            bound: layer.bound,
        }
    }
}
