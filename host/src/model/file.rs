//! From the bytes of a model file to a checked network, and back. docs/model-file.md describes the
//! file.

use std::path::Path;

use super::checked::{Integers, Model, Shape};
use super::error::ModelError;
use super::schema::Network;
use super::{compile, tensors};

/// Checks an architecture without its integers, and packs its layers.
pub fn shapes(network: &Network) -> Result<Vec<Shape>, ModelError> {
    compile::outline(network)
}

/// The bytes of a model file, one entry of `integers` a layer.
pub fn to_bytes(network: &Network, integers: &[Integers]) -> Result<Vec<u8>, ModelError> {
    let outlines = compile::outline(network)?;
    tensors::check_lengths(&outlines, integers)?;
    tensors::write(network, &outlines, integers)
}

impl Model {
    /// Reads and checks a model file.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        let bytes = std::fs::read(path).map_err(|source| ModelError::Read {
            path: path.into(),
            source,
        })?;
        Self::from_bytes(&bytes)
    }

    /// Checks the bytes of a model file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let (network, tensors) = tensors::open(bytes)?;
        let outlines = compile::outline(&network)?;
        let integers = tensors::read(&tensors, &outlines)?;
        compile::finish(network, outlines, integers)
    }

    /// Checks a network whose integers are already in memory, one entry a layer.
    pub fn new(network: Network, integers: Vec<Integers>) -> Result<Self, ModelError> {
        let outlines = compile::outline(&network)?;
        tensors::check_lengths(&outlines, &integers)?;
        compile::finish(network, outlines, integers)
    }
}
