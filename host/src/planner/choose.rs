//! The choice for a link: repetitions and tiles of every layer by the estimated seconds.
//! `core/docs/design.md#segment-packing`; [`crate::model::packing`] chooses by bytes where a model
//! file leaves it open.
//!
//! Ciphertexts and products are what is chosen by: activations are the same in every plan, and rounds
//! nearly. All transformed weights count as kept. Shapes and the link decide, never weights: the choice
//! is public, and goes into the model file's `repeat` and `tile`.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::Packing;

use super::count::count;
use super::setting::Setting;
use crate::model::packing::cheapest;

impl Setting {
    /// The layer with the repetitions and tiles that take the fewest estimated seconds; see
    /// [`cheapest`] for equal ones and errors.
    pub fn choose(&self, packing: Packing, layer: &Layer) -> Result<Layer, LayerError> {
        let (repeats, tiles) = match packing {
            Packing::Segment => (None, None),
            Packing::Coefficient => (Some(1), None),
            // Its layout follows from the layer's shape.
            Packing::Slot => (Some(1), Some(0)),
        };
        cheapest(*layer, repeats, tiles, |candidate| {
            let linear = count(packing, candidate)?;
            Ok(self.linear_seconds(packing, &linear))
        })
    }
}
