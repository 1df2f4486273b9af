//! What each fuzz target does with its bytes. `run.sh` runs them; CONTRIBUTING.md says when.
//!
//! A target panics where something is wrong: libFuzzer and the random harness see nothing else.

#[cfg(feature = "libfuzzer")]
mod input;
mod prelude;
pub mod session;
#[cfg(feature = "libfuzzer")]
mod targets;

#[cfg(feature = "libfuzzer")]
pub use targets::{checkpoint, frames, model, packets, party, seeds};
