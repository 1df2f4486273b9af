//! What an inference costs, counted without running it: operations, bytes and rounds of every
//! layer in each of the three packings, and the time that they take on a machine and a link.
//! DESIGN sections 4 and 9; `docs/protocol.md` has the frames.

pub mod calibrate;
mod coefficient;
pub mod constants;
pub mod linear;
pub mod link;
mod meter;
mod operations;
pub mod planner;
mod segment;
mod slot;

#[cfg(test)]
mod tests;

use std::ops::AddAssign;

use serde::Serialize;
use stria_core::network::layer::{Activation, Layer};
use stria_core::packing::Packing;
use stria_core::packing::slot::conv::SlotWeights;
use stria_core::rlwe::ciphertext::SegmentWeights;

use crate::counts::{Counts, Operations};
use crate::net::server::WEIGHT_MEMORY;

pub use constants::Constants;
use constants::Work;
pub use linear::Linear;
pub use link::Link;
pub use meter::{Client, Line, Traffic};

/// Counts a layer's ciphertexts and operations. `repeat` is read in segment packing only, `tile` in
/// segment and coefficient packing. The error says why it cannot be packed.
pub fn count(packing: Packing, layer: &Layer) -> Result<Linear, &'static str> {
    match packing {
        Packing::Segment => segment::linear(layer),
        Packing::Coefficient => coefficient::linear(layer),
        Packing::Slot => slot::linear(layer),
    }
}

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
}

impl AddAssign<&Self> for Cost {
    fn add_assign(&mut self, other: &Self) {
        self.counts += &other.counts;
        self.rounds += other.rounds;
        self.client_seconds += other.client_seconds;
        self.server_seconds += other.server_seconds;
        self.seconds += other.seconds;
    }
}

/// What the seconds of a layer go into. DESIGN section 9, "Focused Constraint Principle".
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

/// Seconds by factor.
#[derive(Default)]
struct Parts(Vec<(Factor, f64)>);

impl Parts {
    fn push(&mut self, factor: Factor, seconds: f64) {
        self.0.push((factor, seconds));
    }

    fn seconds(&self) -> f64 {
        self.0.iter().map(|(_, seconds)| seconds).sum()
    }

    fn dominant(&self) -> Factor {
        let largest = self.0.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        largest.map_or(Factor::Activations, |&(factor, _)| factor)
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

/// A machine, a link and a client: what turns counts into seconds.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Seconds of single operations.
    pub constants: Constants,
    /// The line.
    pub link: Link,
    /// The client's window, and what it negotiates.
    pub client: Client,
}

impl Setting {
    /// Costs of the layers of one inference, in execution order; the first has the inference's
    /// opening frame.
    pub fn layers<'a>(
        &self,
        packing: Packing,
        layers: impl IntoIterator<Item = &'a Layer>,
    ) -> Result<Vec<LayerCost>, LayerError> {
        let mut traffic = Traffic::new(&self.client);
        let mut memory = WEIGHT_MEMORY;
        let costs = layers.into_iter().enumerate().map(|(index, layer)| {
            let fail = |reason| LayerError { index, reason };
            let linear = count(packing, layer).map_err(fail)?;
            let shown = match packing {
                // The client is told of one group.
                Packing::Coefficient => layer.dense(),
                Packing::Segment | Packing::Slot => *layer,
            };
            let line = traffic.layer(packing, &shown, &linear);
            let kept = keep(packing, &linear, &mut memory);
            let work = self.constants.linear(packing, &linear, kept);
            Ok(self.cost(layer, &linear, &work, &line))
        });
        costs.collect()
    }

    fn cost(&self, layer: &Layer, linear: &Linear, work: &Work, line: &Line) -> LayerCost {
        let values = linear.valid().sum::<usize>();
        let activations = match layer.activation {
            Activation::Relu => values,
            Activation::Linear | Activation::Logits => 0,
        };
        let client_relu = activations as f64 * self.constants.relu_client;
        let server_relu = activations as f64 * self.constants.relu_server;
        let rest = line.bytes() - linear.bytes_up() - linear.bytes_down();
        let mut parts = self.linear_parts(linear, work);
        let linear_seconds = parts.seconds();
        parts.push(
            Factor::Activations,
            self.link.overlapped(rest, &[client_relu + server_relu]),
        );
        let waiting = line.rounds as f64 * self.link.round_trip_seconds();
        parts.push(Factor::Rounds, waiting);
        let cost = Cost {
            counts: Counts {
                operations: Operations {
                    ciphertexts_up: linear.inputs as u64,
                    ciphertexts_down: linear.outputs() as u64,
                    products: linear.products as u64,
                    internal_rotations: linear.internal_rotations as u64,
                    external_rotations: linear.external_rotations as u64,
                    key_switches: (linear.internal_rotations + linear.external_rotations) as u64,
                    activations: activations as u64,
                },
                bytes_up: line.up as u64,
                bytes_down: line.down as u64,
                ciphertext_bytes: (linear.bytes_up() + linear.bytes_down()) as u64,
            },
            rounds: line.rounds,
            client_seconds: work.encrypt + work.decrypt + client_relu,
            server_seconds: work.receive + work.compute() + server_relu,
            seconds: parts.seconds(),
        };
        LayerCost {
            cost,
            linear_seconds,
            dominant: parts.dominant(),
        }
    }

    /// The seconds of a layer that its packing decides, by factor. A side works on a frame while
    /// the next one is on the line.
    fn linear_parts(&self, linear: &Linear, work: &Work) -> Parts {
        let up = [work.encrypt, work.receive];
        let down = self.link.overlapped(linear.bytes_down(), &[work.decrypt]);
        let mut parts = Parts::default();
        parts.push(Factor::Inputs, self.link.overlapped(linear.bytes_up(), &up));
        parts.push(Factor::Products, work.products);
        parts.push(Factor::InternalRotations, work.internal_rotations);
        parts.push(Factor::ExternalRotations, work.external_rotations);
        parts.push(Factor::Outputs, work.respond + down);
        parts
    }

    /// The same of a layer whose transformed weights are kept.
    fn linear_seconds(&self, packing: Packing, linear: &Linear) -> f64 {
        let work = self.constants.linear(packing, linear, true);
        self.linear_parts(linear, &work).seconds()
    }
}

/// Whether a server keeps the transformed weights of the next layer in what is left of its memory;
/// takes it. Mirrors [`stria_core::protocol::network::WeightMemory`].
fn keep(packing: Packing, linear: &Linear, memory: &mut usize) -> bool {
    let size = match packing {
        Packing::Segment | Packing::Coefficient => SegmentWeights::PLAINTEXT_BYTES,
        Packing::Slot => SlotWeights::FACTOR_BYTES,
    };
    let left = memory.checked_sub(linear.plaintexts() * size);
    *memory = left.unwrap_or(*memory);
    left.is_some()
}

/// A layer that a packing cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LayerError {
    /// Its place in the network, from 0.
    pub index: usize,
    /// Why not.
    pub reason: &'static str,
}
