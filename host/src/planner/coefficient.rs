//! Coefficient packing, as Cheetah packs: one segment (depth 0), as many channels as it holds, and
//! one sparse result an output channel. `core/docs/design.md#segment-packing` and `#baselines`.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::segment::SegmentLayout;

use super::linear::Linear;
use super::segment;

pub(super) fn linear(layer: &Layer) -> Result<Linear, LayerError> {
    // Channels stand in the order that the layer reads them in, whatever their group.
    let dense = layer.dense();
    let layout = SegmentLayout::new(&dense)?;
    let tiles = layout.tiles.all();
    Ok(Linear {
        products: tiles * products(layer, layout.virtual_channels(), layout.blocks),
        channels: vec![1; usize::from(layer.out_channels)],
        ..segment::linear(&dense)?
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
