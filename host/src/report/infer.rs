//! `stria infer`: what inferences gave and cost.

use serde::{Deserialize, Serialize};

/// `stria infer --json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InferReport {
    /// One entry an image, in the order of the command line.
    pub images: Vec<InferredImage>,
    /// Bytes of the session's set-up, up and down.
    pub bytes_setup: u64,
    /// Seconds from connecting to the end of the set-up.
    pub seconds_setup: f64,
    /// Bytes of the client's whole state.
    pub client_state_bytes: u64,
    /// Most memory that the process had resident, where the system tells it.
    pub memory_bytes: Option<u64>,
}

/// One image of `stria infer`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct InferredImage {
    /// File name.
    pub name: String,
    /// The most likely classes, most likely first.
    pub top: Vec<Guess>,
    /// Bytes of this inference, up and down.
    pub bytes: u64,
    /// What the inference gave and cost.
    #[serde(flatten)]
    pub inference: Inference,
}

/// What one inference gave and cost.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Inference {
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// The last layer's sums as the client opened them, by class.
    pub logits: Vec<i32>,
    /// The layers' parts of bytes and seconds, in execution order.
    pub layers: Vec<LayerPart>,
}

/// What one layer of an inference cost, from its first frame to the next layer's; the first layer
/// has the frame that opens an inference.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct LayerPart {
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Of both, bytes of ciphertexts: of the layer's linear part.
    pub ciphertext_bytes: u64,
    /// Seconds.
    pub seconds: f64,
}

/// A class and how likely it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Guess {
    /// Name of the class.
    pub class: String,
    /// Softmax of the logits.
    pub probability: f32,
}
