//! The choice for a link: repetitions and tiles of every layer by the estimated seconds.
//! DESIGN section 4; [`packing`] chooses by bytes where a model file leaves it open.
//!
//! Ciphertexts and products are what is chosen by: activations are the same in every plan, and rounds
//! nearly. All transformed weights count as kept. Shapes and the link decide, never weights: the choice
//! is public, and goes into the model file's `repeat` and `tile`.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::Packing;

use super::count::count;
use super::setting::Setting;
use crate::model::packing;

impl Setting {
    /// The layer in the plan that takes the fewest estimated seconds. Of equal ones it takes the
    /// one with the fewest repetitions, and the whole map before tiles. The error is that of the
    /// plainest plan.
    pub fn choose(&self, packing: Packing, layer: &Layer) -> Result<Layer, LayerError> {
        let (repeats, tiles) = match packing {
            Packing::Segment => (None, None),
            Packing::Coefficient => (Some(1), None),
            // Its layout follows from the layer's shape.
            Packing::Slot => (Some(1), Some(0)),
        };
        let mut best: Option<(f64, Layer)> = None;
        for candidate in packing::candidates(*layer, repeats, tiles) {
            let Ok(linear) = count(packing, &candidate) else {
                continue;
            };
            let seconds = self.linear_seconds(packing, &linear);
            if best.is_none_or(|(least, _)| seconds < least) {
                best = Some((seconds, candidate));
            }
        }
        match best {
            Some((_, layer)) => Ok(layer),
            None => {
                let plainest = Layer {
                    repeat: 1,
                    tile: 0,
                    ..*layer
                };
                count(packing, &plainest).map(|_| plainest)
            }
        }
    }
}
