//! Segment packing, as the engine runs it. `core/docs/design.md#segment-packing`.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::segment::SegmentLayout;
use stria_core::packing::{Layout, Places};
use stria_core::rlwe::ring::ring4096::N;
use stria_core::rlwe::{Ring, Ring4096};

use super::linear::{Jobs, Linear, SEED, framed};

/// Bytes of an input ciphertext in its frames.
fn input_bytes() -> usize {
    SEED + (Ring4096::BITS.iter())
        .map(|&bits| framed(N, bits))
        .sum::<usize>()
}

/// Bytes of a response with so many returned coefficients in its frames.
fn output_bytes(returned: usize) -> usize {
    framed(N, Ring4096::C1_BITS) + framed(returned, Ring4096::C0_BITS)
}

pub(super) fn linear(layer: &Layer) -> Result<Linear, LayerError> {
    let layout = SegmentLayout::new(layer)?;
    Ok(Linear {
        inputs: layout.inputs(),
        input_bytes: input_bytes(),
        output_bytes: output_bytes(layout.returned()),
        products: layout.outputs() * layout.inputs_per_part,
        internal_rotations: 0,
        external_rotations: 0,
        decompositions: 0,
        jobs: Jobs {
            inputs: 1,
            channels: 1,
            outputs: layout.outputs(),
        },
        returned: layout.returned(),
        channels: channels(layer, &layout),
        out_side: layout.geometry.out_side,
        tile: layout.tiles.side,
    })
}

/// Output channels in each of a tile's ciphertexts: `repeat` a group, as long as there are any.
fn channels(layer: &Layer, layout: &SegmentLayout) -> Vec<usize> {
    let per_group = usize::from(layer.out_channels / layer.groups);
    let of = |output: usize| {
        let input = output / layout.outputs_per_part * layout.inputs_per_part;
        let first = output % layout.outputs_per_part * layout.repeat();
        layout.groups_of(input).len() * layout.repeat().min(per_group - first)
    };
    (0..layout.outputs_per_tile()).map(of).collect()
}
