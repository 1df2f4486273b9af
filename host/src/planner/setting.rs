//! From counts to seconds: what every layer of an inference takes on a machine and a link.

use stria_core::network::LayerError;
use stria_core::network::layer::{Activation, Layer};
use stria_core::packing::Packing;
use stria_core::rlwe::{Factor as PlaintextFactor, Ring4096, Ring8192};

use super::count::count;
use super::linear::Linear;
use super::meter::{ClientTraffic, Exchange, exchanges};
use super::seconds::{self, LinearSeconds};
use crate::report::{Constants, Cost, Counts, Factor, LayerCost, Operations, PhasePart};
use crate::session::server::WEIGHT_MEMORY;
use crate::transport::LinkSpeed;

/// A layer, by its place in the network from 0, that a packing cannot hold, and why not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit {
    /// Its place.
    pub index: usize,
    /// Why not.
    pub reason: LayerError,
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

/// A machine, a link and a client: what turns counts into seconds.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Seconds of single operations.
    pub constants: Constants,
    /// The exchange.
    pub link: LinkSpeed,
    /// The client's room, and what it negotiates.
    pub client: ClientTraffic,
}

impl Setting {
    /// Costs of the layers of one inference, in execution order; the first has the frames that begin
    /// its phases.
    pub fn layers<'a>(
        &self,
        packing: Packing,
        layers: impl IntoIterator<Item = &'a Layer>,
    ) -> Result<Vec<LayerCost>, Unfit> {
        let mut shown = Vec::new();
        for (index, layer) in layers.into_iter().enumerate() {
            let linear = count(packing, layer).map_err(|reason| Unfit { index, reason })?;
            let layer = match packing {
                // The client is told of one group.
                Packing::Coefficient => layer.dense(),
                Packing::Segment | Packing::Slot => *layer,
            };
            shown.push((layer, linear));
        }
        let [prepare, answer] = exchanges(&self.client, packing, &shown);
        let mut memory = WEIGHT_MEMORY;
        let costs = shown.iter().zip(prepare.iter().zip(&answer));
        let costs = costs.map(|((layer, linear), (prepare, answer))| {
            let kept = keep(packing, linear, &mut memory);
            let work = seconds::linear(&self.constants, packing, linear, kept);
            self.cost(layer, linear, &work, [prepare, answer])
        });
        Ok(costs.collect())
    }

    fn cost(
        &self,
        layer: &Layer,
        linear: &Linear,
        work: &LinearSeconds,
        [prepare, answer]: [&Exchange; 2],
    ) -> LayerCost {
        let constants = &self.constants;
        let values = linear.valid().sum::<usize>();
        let activations = match layer.activation {
            Activation::Relu => values,
            Activation::Linear | Activation::Logits => 0,
        };
        let relu = |seconds: f64| activations as f64 * seconds;
        let client = [relu(constants.relu_client), relu(constants.answer_client)];
        let clear = (values * layer.weights_per_output()) as f64 * constants.clear;
        let server = [
            relu(constants.relu_server),
            relu(constants.answer_server) + clear,
        ];

        let rest = prepare.bytes() - linear.bytes_up() - linear.bytes_down();
        let mut parts = self.linear_parts(linear, work);
        let linear_seconds = parts.seconds();
        let prepared = self.link.overlapped(rest, &[client[0] + server[0]]);
        let answered = self
            .link
            .overlapped(answer.bytes(), &[client[1] + server[1]]);
        parts.push(Factor::Activations, prepared + answered);
        let waiting = |of: &Exchange| of.rounds as f64 * self.link.round_trip_seconds();
        parts.push(Factor::Rounds, waiting(prepare) + waiting(answer));
        let phase = |of: &Exchange, seconds| PhasePart {
            seconds: seconds + waiting(of),
            bytes_up: of.up as u64,
            bytes_down: of.down as u64,
            messages: of.messages as u64,
        };
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
                bytes_up: (prepare.up + answer.up) as u64,
                bytes_down: (prepare.down + answer.down) as u64,
                ciphertext_bytes: (linear.bytes_up() + linear.bytes_down()) as u64,
            },
            rounds: prepare.rounds + answer.rounds,
            client_seconds: work.encrypt + work.decrypt + client[0] + client[1],
            server_seconds: work.receive + work.compute() + server[0] + server[1],
            seconds: parts.seconds(),
            prepare: phase(prepare, linear_seconds + prepared),
            answer: phase(answer, answered),
        };
        LayerCost {
            cost,
            linear_seconds,
            dominant: parts.dominant(),
        }
    }

    /// The seconds of a layer that its packing decides, by factor. A side works on a frame while
    /// the next one is on the line.
    fn linear_parts(&self, linear: &Linear, work: &LinearSeconds) -> Parts {
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
    pub(super) fn linear_seconds(&self, packing: Packing, linear: &Linear) -> f64 {
        let work = seconds::linear(&self.constants, packing, linear, true);
        self.linear_parts(linear, &work).seconds()
    }
}

/// Whether a server keeps the transformed weights of the next layer in what is left of its memory;
/// takes it. Mirrors [`stria_core::protocol::network::WeightMemory`].
fn keep(packing: Packing, linear: &Linear, memory: &mut usize) -> bool {
    let size = match packing {
        Packing::Segment | Packing::Coefficient => PlaintextFactor::<Ring4096>::BYTES,
        Packing::Slot => PlaintextFactor::<Ring8192>::BYTES,
    };
    let left = memory.checked_sub(linear.plaintexts() * size);
    *memory = left.unwrap_or(*memory);
    left.is_some()
}
