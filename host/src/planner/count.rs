//! Counts the linear part of a layer, in any packing.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::Packing;

use super::linear::Linear;
use super::{coefficient, segment, slot};

/// Counts a layer's ciphertexts and operations. `repeat` is read in segment packing only, `tile` in
/// segment and coefficient packing. The error says why it cannot be packed.
pub fn count(packing: Packing, layer: &Layer) -> Result<Linear, LayerError> {
    match packing {
        Packing::Segment => segment::linear(layer),
        Packing::Coefficient => coefficient::linear(layer),
        Packing::Slot => slot::linear(layer),
    }
}
