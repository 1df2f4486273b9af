//! `stria inspect`: what a model's layers are and what they cost.

use serde::Serialize;

use crate::model::Bound;

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
