//! The public description of a network: its layers, and the float work at its two ends.

pub mod input;
pub mod layer;
