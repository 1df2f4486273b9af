//! Coefficient packing, as Cheetah packs: one segment (depth 0), as many channels as it holds, and
//! one sparse result an output channel. DESIGN sections 4 and 9.

use stria_core::layer::Layer;

use super::linear::{Jobs, Linear};
use super::segment::{input_bytes, output_bytes};

pub(super) fn linear(layer: &Layer) -> Result<Linear, &'static str> {
    // Channels stand in the order that the layer reads them in, whatever their group.
    let layout = layer.dense().layout()?;
    let tiles = layout.tiles * layout.tiles;
    let outputs = usize::from(layer.out_channels);
    Ok(Linear {
        inputs: layout.inputs(),
        input_bytes: input_bytes(),
        output_bytes: output_bytes(layout.useful()),
        products: tiles * products(layer, layout.virtual_channels(), layout.blocks),
        internal_rotations: 0,
        external_rotations: 0,
        decompositions: 0,
        jobs: Jobs {
            inputs: 1,
            channels: 1,
            outputs: layout.outputs(),
        },
        useful: layout.useful(),
        channels: vec![1; outputs],
        out_side: layout.out_side,
        tile: layout.tile,
    })
}

/// Products of a tile: an output needs the input ciphertexts that hold channels of its group.
/// `channels` virtual channels, `blocks` a ciphertext.
fn products(layer: &Layer, channels: usize, blocks: usize) -> usize {
    let groups = usize::from(layer.groups);
    let per_group = channels / groups;
    let of_group = |group: usize| {
        let first = group * per_group;
        (first + per_group - 1) / blocks - first / blocks + 1
    };
    let outputs = usize::from(layer.out_channels) / groups;
    (0..groups).map(of_group).sum::<usize>() * outputs
}
