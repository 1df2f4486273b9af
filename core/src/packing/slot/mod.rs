//! Slot packing: SIMD batches with rotations, as GAZELLE and CrypTFlow2 compute linear layers; the
//! baseline that segment packing is compared with.
//! `docs/design.md#rotations`; Smart and Vercauteren, "Fully homomorphic SIMD operations" (2011).
//!
//! Slots 0..N/2 are row 0, the others row 1. Products and sums of polynomials are slot by slot, and
//! automorphisms move slots ([`crate::rlwe::galois`]).

mod layout;
#[cfg(feature = "server")]
mod weights;

pub use layout::{FactorId, Schedule, SlotLayout};
#[cfg(feature = "server")]
pub use weights::SlotWeights;
