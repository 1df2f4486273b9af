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

impl InferReport {
    /// Adds what a session took beside its inferences.
    pub fn add_session(&mut self, bytes: u64, seconds: f64, state: u64) {
        self.bytes_setup += bytes;
        self.seconds_setup += seconds;
        self.client_state_bytes = self.client_state_bytes.max(state);
    }
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
    /// Of these, what needs no image.
    pub prepare: PhasePart,
    /// And what follows it.
    pub answer: PhasePart,
    /// The last layer's sums as the client opened them, by class.
    pub logits: Vec<i32>,
    /// The layers' parts of bytes and seconds, in execution order.
    pub layers: Vec<LayerPart>,
}

/// What one phase of an inference cost.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct PhasePart {
    /// Seconds.
    pub seconds: f64,
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// One-way messages in series: turns of either side.
    pub messages: u64,
}

impl PhasePart {
    /// What one of so many cost on the average. The turns are the same in all.
    pub fn mean<'a>(parts: impl ExactSizeIterator<Item = &'a Self>) -> Self {
        let count = parts.len();
        Self::shared(parts, count)
    }

    /// The share of one of `count` in all parts.
    pub fn shared<'a>(parts: impl Iterator<Item = &'a Self>, count: usize) -> Self {
        let count = count.max(1);
        let mut sum = Self::default();
        parts.for_each(|part| sum += part);
        let each = |total: u64| total.div_ceil(count as u64);
        Self {
            seconds: sum.seconds / count as f64,
            bytes_up: each(sum.bytes_up),
            bytes_down: each(sum.bytes_down),
            messages: each(sum.messages),
        }
    }
}

/// What one layer of an inference cost in both phases; the first layer has the frames that begin
/// them. The time of a frame begins with the frame before it.
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
