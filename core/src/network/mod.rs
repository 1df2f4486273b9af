//! The public description of a network: its layers, and the float work at its two ends.

mod error;
pub mod input;
pub mod layer;
pub mod name;

pub use error::LayerError;
