//! Segment packing, as the engine runs it. DESIGN section 4.

use stria_core::network::layer::{Layer, Layout};
use stria_core::params::{C0_BITS, LIMBS, N, Q_BITS};

use super::linear::{Jobs, Linear, SEED, framed};

/// Bytes of an input ciphertext in its frames.
fn input_bytes() -> usize {
    SEED + (0..LIMBS)
        .map(|limb| framed(N, Q_BITS[limb]))
        .sum::<usize>()
}

/// Bytes of a response with so many useful coefficients in its frames.
fn output_bytes(useful: usize) -> usize {
    framed(N, Q_BITS[0]) + framed(useful, C0_BITS)
}

pub(super) fn linear(layer: &Layer) -> Result<Linear, &'static str> {
    let layout = layer.layout()?;
    Ok(Linear {
        inputs: layout.inputs(),
        input_bytes: input_bytes(),
        output_bytes: output_bytes(layout.useful()),
        products: layout.outputs() * layout.inputs_per_part,
        internal_rotations: 0,
        external_rotations: 0,
        decompositions: 0,
        jobs: Jobs {
            inputs: 1,
            channels: 1,
            outputs: layout.outputs(),
        },
        useful: layout.useful(),
        channels: channels(layer, &layout),
        out_side: layout.out_side,
        tile: layout.tile,
    })
}

/// Output channels in each of a tile's ciphertexts: `repeat` a group, as long as there are any.
fn channels(layer: &Layer, layout: &Layout) -> Vec<usize> {
    let per_group = usize::from(layer.out_channels / layer.groups);
    let of = |output: usize| {
        let input = output / layout.outputs_per_part * layout.inputs_per_part;
        let first = output % layout.outputs_per_part * layout.repeat();
        layout.groups_of(input).len() * layout.repeat().min(per_group - first)
    };
    (0..layout.outputs_per_tile()).map(of).collect()
}
