//! The libFuzzer targets, one a module, and the corpora that they start from.

pub mod checkpoint;
pub mod frames;
pub mod model;
pub mod packets;
pub mod party;
pub mod seeds;
