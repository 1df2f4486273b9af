//! `stria demo`: what inferences cost and how well both executors agree.

use serde::Serialize;
use stria_core::arith::field::T;
use stria_core::packing::Packing;
use stria_core::rlwe::{ExactRing, Ring4096, Ring8192};

use super::infer::PhasePart;

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
    /// Of bytes and seconds, what needs no image: the mean.
    pub prepare: PhasePart,
    /// And what follows it.
    pub answer: PhasePart,
    /// Bytes of the client's whole state, at most.
    pub client_state_bytes: u64,
    /// The parameters that security rests on.
    pub security: Security,
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
    /// Small positives that became zero, over all images: `core/docs/design.md#relu`, h < k.
    pub zeroed: u64,
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
        match packing {
            Packing::Segment | Packing::Coefficient => Self::of_ring::<Ring4096>(),
            Packing::Slot => Self::of_ring::<Ring8192>(),
        }
    }

    fn of_ring<R: ExactRing>() -> Self {
        let moduli = R::MODULI.iter();
        Self {
            n: R::N,
            log2_q: moduli.map(|m| f64::from(m.value()).log2()).sum(),
            t: T,
            flood_bits: R::FLOOD_BITS,
        }
    }
}
