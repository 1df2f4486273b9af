//! What a layer or a network costs, as it is estimated.

use std::ops::AddAssign;

use serde::Serialize;

use super::counts::Counts;
use super::infer::PhasePart;

/// What a layer, or a network, costs.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Cost {
    /// Operations and bytes.
    #[serde(flatten)]
    pub counts: Counts,
    /// Times that the client waits for the server's answer.
    pub rounds: usize,
    /// Seconds of work of the client.
    pub client_seconds: f64,
    /// Seconds of work of the server.
    pub server_seconds: f64,
    /// Estimated seconds, link included. Less than the sum of both sides' work and the line's where they
    /// overlap.
    pub seconds: f64,
    /// Of bytes and seconds, what needs no image.
    pub prepare: PhasePart,
    /// And what follows it.
    pub answer: PhasePart,
}

impl AddAssign<&Self> for PhasePart {
    fn add_assign(&mut self, other: &Self) {
        self.seconds += other.seconds;
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
        self.messages += other.messages;
    }
}

impl AddAssign<&Self> for Cost {
    fn add_assign(&mut self, other: &Self) {
        self.counts += &other.counts;
        self.rounds += other.rounds;
        self.client_seconds += other.client_seconds;
        self.server_seconds += other.server_seconds;
        self.seconds += other.seconds;
        self.prepare += &other.prepare;
        self.answer += &other.answer;
    }
}

/// What the seconds of a layer go into. `core/docs/design.md#focused-constraint`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Factor {
    /// Ciphertexts to the server.
    Inputs,
    /// Products.
    Products,
    /// Rotations for taps.
    InternalRotations,
    /// Rotations for channels.
    ExternalRotations,
    /// Ciphertexts from the server.
    Outputs,
    /// What follows the linear part: the ReLU.
    Activations,
    /// Waiting for answers.
    Rounds,
}

impl Factor {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inputs => "ciphertexts up",
            Self::Products => "products",
            Self::InternalRotations => "internal rotations",
            Self::ExternalRotations => "external rotations",
            Self::Outputs => "ciphertexts down",
            Self::Activations => "activations",
            Self::Rounds => "rounds",
        }
    }
}

/// What a layer costs, and what of it matters most.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct LayerCost {
    /// The counts and seconds.
    #[serde(flatten)]
    pub cost: Cost,
    /// Seconds of its ciphertexts and operations, without activations and waiting.
    pub linear_seconds: f64,
    /// What most of the seconds go into.
    pub dominant: Factor,
}
