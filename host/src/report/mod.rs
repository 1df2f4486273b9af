//! What the commands print with `--json`. Field names are part of the interface.

mod eval;
mod import;
mod inspect;
mod plan;
mod serve;

pub use eval::{Disagreement, EvalReport, Margins, Pair};
pub use import::{ImportReport, ImportedLayer};
pub use inspect::{InspectReport, InspectedLayer};
pub use plan::{
    ConstantBottleneck, ConstantsUsed, DesignReport, DesignedStage, PlanReport, PlannedLayer,
};
pub use serve::{Listening, SessionReport};

use serde::{Deserialize, Serialize};
use stria_core::packing::Packing;
use stria_core::{params, slot};

use crate::report::Operations;
use crate::model::logits::{softmax_in_place, top_k};
use crate::model::{Model, ModelLayer};
use crate::session::client::Passed;
use crate::model::packing::packed;

/// A class and how likely it is.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Guess {
    /// Name of the class.
    pub class: String,
    /// Softmax of the logits.
    pub probability: f32,
}

/// The `k` most likely classes, most likely first.
pub fn guesses(logits: &[i32], classes: &[String], logit_scale: f32, k: usize) -> Vec<Guess> {
    let mut probabilities = vec![0.0; logits.len()];
    softmax_in_place(logits, logit_scale, &mut probabilities);
    top_k(logits, k)
        .into_iter()
        .filter_map(|i| {
            Some(Guess {
                class: classes.get(i)?.clone(),
                probability: probabilities[i],
            })
        })
        .collect()
}

/// What one secure inference gave and cost.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The last layer's sums, as the client opened them.
    pub logits: Vec<i32>,
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// The layers' parts of bytes and seconds, in execution order.
    pub layers: Vec<Passed>,
}

/// What was counted over a whole session, where the work happens.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// How activations were packed.
    pub packing: Packing,
    /// Bytes of the set-up, up and down.
    pub bytes_setup: u64,
    /// Seconds from connecting to the end of the set-up.
    pub seconds_setup: f64,
    /// Bytes of the client's whole state.
    pub client_state_bytes: u64,
    /// Bytes of Galois keys.
    pub galois_key_bytes: u64,
    /// One entry a layer, in execution order.
    pub layers: Vec<MeasuredLayer>,
}

/// What was counted for one layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeasuredLayer {
    /// What was done for it, an inference.
    pub operations: Operations,
    /// Largest distance from the exact activation over all inferences, in units of an activation,
    /// without the activations in `zeroed`.
    pub max_error_units: u32,
    /// Small positives that became zero, over all inferences: DESIGN section 6, h < k.
    pub zeroed: u64,
}

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
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Seconds of this inference.
    pub seconds: f64,
    /// The last layer's sums, by class.
    pub logits: Vec<i32>,
    /// The layers' parts of bytes and seconds, in execution order.
    pub layers: Vec<Passed>,
}

impl InferredImage {
    /// Puts an outcome under its name.
    pub fn new(name: String, top: Vec<Guess>, outcome: Outcome) -> Self {
        Self {
            name,
            top,
            bytes: outcome.bytes_up + outcome.bytes_down,
            bytes_up: outcome.bytes_up,
            bytes_down: outcome.bytes_down,
            seconds: outcome.seconds,
            logits: outcome.logits,
            layers: outcome.layers,
        }
    }
}

/// `stria demo --json`. The first four lists have one entry an image, in one order.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DemoReport {
    /// File names.
    pub images: Vec<String>,
    /// Most likely class by the secure inference.
    pub secure_top1: Vec<String>,
    /// Most likely class by the plaintext reference.
    pub reference_top1: Vec<String>,
    /// True class, where the file name tells it.
    pub labels: Vec<Option<String>>,
    /// Images for which the two agree.
    pub agree: usize,
    /// What the layers cost and how exact they were.
    pub layers: Vec<DemoLayer>,
    /// How activations were packed: "segment", "coefficient" or "slot".
    pub packing: &'static str,
    /// Homomorphic rotations of one inference.
    pub rotations: u64,
    /// Of these, those for kernel taps.
    pub internal_rotations: u64,
    /// Of these, those that bring channels together.
    pub external_rotations: u64,
    /// Key switches of one inference.
    pub key_switches: u64,
    /// Bytes of Galois keys; part of the set-up.
    pub galois_key_bytes: u64,
    /// Activations of one inference.
    pub activations: u64,
    /// Mean bytes to the server, an image, without the set-up.
    pub bytes_up: u64,
    /// Mean bytes from the server, an image, without the set-up.
    pub bytes_down: u64,
    /// Bytes of the session's set-up, up and down.
    pub bytes_setup: u64,
    /// Seconds of the session's set-up.
    pub seconds_setup: f64,
    /// Mean seconds an image.
    pub seconds_per_image: f64,
    /// Bytes of the client's whole state.
    pub client_state_bytes: u64,
    /// The parameters that security rests on.
    pub security: Security,
}

/// One image of `stria demo`, as it comes.
#[derive(Clone, PartialEq, Debug)]
pub struct DemoImage {
    /// File name.
    pub name: String,
    /// True class, where the file name tells it.
    pub label: Option<String>,
    /// Most likely class by the secure inference.
    pub secure_top1: String,
    /// Most likely class by the plaintext reference.
    pub reference_top1: String,
    /// What the secure inference gave and cost.
    pub outcome: Outcome,
}

/// One layer of `stria demo`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DemoLayer {
    /// Name of the layer.
    pub name: String,
    /// d: log2 of the number of segments, or of slots.
    pub depth: usize,
    /// Channels that are mixed inside a segment, or by rotations of slots.
    pub g: usize,
    /// Ciphertexts to the server.
    pub input_ciphertexts: u64,
    /// Ciphertexts from the server.
    pub output_ciphertexts: u64,
    /// ReLU evaluations.
    pub activations: u64,
    /// Products of a ciphertext with weights.
    pub products: u64,
    /// Rotations for kernel taps.
    pub internal_rotations: u64,
    /// Rotations that bring channels together.
    pub external_rotations: u64,
    /// Key switches.
    pub key_switches: u64,
    /// Largest distance from the exact activation over all images, in units of an activation,
    /// without the activations in `zeroed`.
    pub max_error_units: u32,
    /// Small positives that became zero, over all images: DESIGN section 6, h < k.
    pub zeroed: u64,
}

impl DemoReport {
    /// Sums up a session over its images.
    pub fn new(model: &Model, images: Vec<DemoImage>, measured: &Measured) -> Self {
        let count = images.len().max(1) as u64;
        let mean = |of: fn(&Outcome) -> u64| {
            images.iter().map(|image| of(&image.outcome)).sum::<u64>() / count
        };
        let seconds: f64 = images.iter().map(|image| image.outcome.seconds).sum();
        let (bytes_up, bytes_down) = (mean(|o| o.bytes_up), mean(|o| o.bytes_down));
        let agrees = |image: &&DemoImage| image.secure_top1 == image.reference_top1;
        let layers = model.layers.iter().zip(&measured.layers);
        let mut total = Operations::default();
        measured
            .layers
            .iter()
            .for_each(|layer| total += &layer.operations);
        Self {
            agree: images.iter().filter(agrees).count(),
            layers: layers
                .map(|(layer, counted)| DemoLayer::new(layer, measured.packing, counted))
                .collect(),
            packing: measured.packing.name(),
            rotations: total.rotations(),
            internal_rotations: total.internal_rotations,
            external_rotations: total.external_rotations,
            key_switches: total.key_switches,
            galois_key_bytes: measured.galois_key_bytes,
            activations: total.activations,
            bytes_up,
            bytes_down,
            bytes_setup: measured.bytes_setup,
            seconds_setup: measured.seconds_setup,
            seconds_per_image: seconds / count as f64,
            client_state_bytes: measured.client_state_bytes,
            security: Security::of(measured.packing),
            labels: images.iter().map(|image| image.label.clone()).collect(),
            secure_top1: images
                .iter()
                .map(|image| image.secure_top1.clone())
                .collect(),
            reference_top1: images
                .iter()
                .map(|image| image.reference_top1.clone())
                .collect(),
            images: images.into_iter().map(|image| image.name).collect(),
        }
    }
}

impl DemoLayer {
    fn new(layer: &ModelLayer, packing: Packing, counted: &MeasuredLayer) -> Self {
        // The layer ran, so that it has a layout.
        let packed = packed(&layer.layer, packing);
        let operations = &counted.operations;
        Self {
            name: layer.name.clone(),
            depth: packed.map_or(0, |packed| packed.depth),
            g: packed.map_or(0, |packed| packed.g),
            input_ciphertexts: operations.ciphertexts_up,
            output_ciphertexts: operations.ciphertexts_down,
            activations: operations.activations,
            products: operations.products,
            internal_rotations: operations.internal_rotations,
            external_rotations: operations.external_rotations,
            key_switches: operations.key_switches,
            max_error_units: counted.max_error_units,
            zeroed: counted.zeroed,
        }
    }
}

/// The parameters that security rests on.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Security {
    /// Ring dimension N.
    pub n: usize,
    /// log2 of the ciphertext modulus, with the special prime of Galois keys.
    pub log2_q: f64,
    /// Plaintext modulus.
    pub t: u32,
    /// log2 of the half-width of each of the four uniforms that flood a returned ciphertext.
    pub flood_bits: u32,
}

impl Security {
    /// The parameters that this build was compiled with, of a packing's layers.
    pub fn of(packing: Packing) -> Self {
        let log2 = |primes: &[u32]| primes.iter().map(|&q| f64::from(q).log2()).sum();
        match packing {
            Packing::Segment | Packing::Coefficient => Self {
                n: params::N,
                log2_q: log2(&params::Q),
                t: params::T,
                flood_bits: params::FLOOD_BITS,
            },
            Packing::Slot => Self {
                n: slot::params::N,
                log2_q: log2(&slot::params::Q),
                t: params::T,
                flood_bits: slot::params::FLOOD_BITS,
            },
        }
    }
}
