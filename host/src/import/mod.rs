//! From a trained network in floating point to a model file: what `stria import` does.
//! `core/docs/design.md#integer-model`; docs/import.md describes the files and the mathematics.
//!
//! A layer's sums y have a scale, in units per 1.0; its activations have 2^-shift times that.
//! Layers that skips join share the scale of sums, so that every skip's factor is an integer. The
//! scales are nowhere in the model file, except that of the logits: the ReLU commutes with them,
//! and the weights absorb them.

mod architecture;
mod calibrate;
mod checkpoint;
mod error;
mod fold;
mod imported;
mod quantise;
mod rounding;
mod scale;
#[cfg(test)]
mod tests;
mod trained;

pub use error::ImportError;
pub use fold::FloatLayer;
pub use imported::Imported;
pub use trained::{HEADROOM, Images, Trained};
