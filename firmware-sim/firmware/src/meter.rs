//! Instructions by phase of the protocol: those of the client's `poll` and `handle`, without
//! interrupts and without waiting. A call belongs to the phase of the frame that it takes or
//! gives; what it does ahead for the next frame (packing the next input, say) goes with it.

use stria_core::arith::field::T_BITS;
use stria_core::protocol::frame::Kind;

use crate::board::Stopwatch;
use crate::session::Seen;

/// What instructions are spent on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Greetings and goodbye.
    Other,
    /// Secret and public keys: those of the base transfers, and the session's.
    Keys,
    /// Base transfers: tree messages, ciphertexts of either direction, confirmations.
    BaseTransfers,
    /// Shares of the input, packing and encryption.
    Encryption,
    /// Decryption and unpacking of responses.
    Decryption,
    /// Oblivious transfers and ReLU.
    Activations,
}

const PHASES: usize = 6;
/// Frames of c1 in a response.
const C1_FRAMES: u32 = 16;

/// Sums of one session.
pub struct Meter {
    instructions: [u64; PHASES],
    inference: bool,
    uploads: u32,
    encryptions: u32,
    response_frames: u32,
    activation_bits: u32,
}

impl Meter {
    /// Nothing counted.
    pub fn new() -> Self {
        Self {
            instructions: [0; PHASES],
            inference: false,
            uploads: 0,
            encryptions: 0,
            response_frames: 0,
            activation_bits: 0,
        }
    }

    /// Runs one call of the client and counts it.
    pub fn measure<R>(&mut self, call: impl FnOnce() -> (R, Seen)) -> R {
        let watch = Stopwatch::start();
        let (result, seen) = call();
        let spent = watch.stop();
        let phase = self.phase(seen);
        self.instructions[phase as usize] += spent;
        result
    }

    fn phase(&mut self, seen: Seen) -> Phase {
        let Some((kind, len)) = seen else {
            return Phase::Other;
        };
        match kind {
            Kind::Begin | Kind::Layer => {
                self.inference = true;
                Phase::Encryption
            }
            Kind::Seed | Kind::Limb if self.inference => {
                self.encryptions += u32::from(kind == Kind::Seed);
                Phase::Encryption
            }
            Kind::Seed | Kind::Limb => {
                self.uploads += u32::from(kind == Kind::Seed);
                // The first and fourth uploads are public keys.
                if matches!(self.uploads, 1 | 4) {
                    Phase::Keys
                } else {
                    Phase::BaseTransfers
                }
            }
            Kind::Welcome => Phase::Keys,
            Kind::ResponseC1 | Kind::ResponseC0 | Kind::Logits if self.inference => {
                self.response_frames += u32::from(kind == Kind::ResponseC1);
                Phase::Decryption
            }
            Kind::ResponseC1 | Kind::ResponseC0 | Kind::Opening | Kind::Confirm => {
                Phase::BaseTransfers
            }
            Kind::ForwardCorrection
            | Kind::ReverseCorrection
            | Kind::Tables
            | Kind::Reply
            | Kind::Entries => Phase::Activations,
            Kind::Reshare => {
                self.activation_bits += 8 * len as u32 / T_BITS * T_BITS;
                Phase::Activations
            }
            _ => Phase::Other,
        }
    }

    /// Instructions of a phase.
    pub fn instructions(&self, phase: Phase) -> u64 {
        self.instructions[phase as usize]
    }

    /// Ciphertexts encrypted in the inference.
    pub fn encryptions(&self) -> u32 {
        self.encryptions
    }

    /// Ciphertexts decrypted in the inference.
    pub fn decryptions(&self) -> u32 {
        self.response_frames / C1_FRAMES
    }

    /// Activations of the inference.
    pub fn activations(&self) -> u32 {
        self.activation_bits / T_BITS
    }
}
