//! Slot packing: a value a slot, N = 8192, with rotations, as GAZELLE and CrypTFlow2 compute.
//! `core/docs/design.md#rotations` has the formulas; [`SlotLayout::operations`] counts what the
//! engine does.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::Places;
use stria_core::packing::slot::{Schedule, SlotLayout};
use stria_core::rlwe::ring::ring8192::{LIMBS, N, Q_BITS};
use stria_core::rlwe::{Ring, Ring8192};

use super::linear::{Jobs, Linear, SEED, framed};

pub(super) fn linear(layer: &Layer) -> Result<Linear, LayerError> {
    let layout = SlotLayout::new(layer)?;
    let work = layout.operations();
    let groups = usize::from(layer.groups);
    let outputs = usize::from(layer.out_channels) / groups;
    let per_ciphertext = layout.repeat * layout.diagonals;
    let channels = (0..layout.sets * layout.outputs_per_set).map(|output| {
        let set = output / layout.outputs_per_set;
        let first = output % layout.outputs_per_set * per_ciphertext;
        layout.lanes.min(groups - set * layout.lanes) * per_ciphertext.min(outputs - first)
    });
    Ok(Linear {
        inputs: layout.inputs(),
        input_bytes: SEED + LIMBS * framed(N, Q_BITS),
        output_bytes: framed(N, Ring8192::C1_BITS) + framed(N, Ring8192::C0_BITS),
        products: work.products,
        internal_rotations: work.internal_rotations,
        external_rotations: work.external_rotations,
        decompositions: work.decompositions,
        // Sets and tiles come one after the other.
        jobs: Jobs {
            inputs: layout.inputs_per_set,
            channels: match layout.schedule {
                Schedule::OutputRotations => layout.outputs_per_set,
                Schedule::InputRotations => layout.inputs_per_set,
            },
            outputs: layout.outputs_per_set,
        },
        returned: N,
        channels: channels.collect(),
        out_side: layout.geometry.out_side,
        tile: layout.tiles.side,
    })
}
