//! How a layer is packed: how often its channels are repeated and how its map is tiled.
//! `core/docs/design.md#repetition` and `#traffic-of-a-grouped-layer`; `#packing-aware-scaling` for
//! the other packings.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::segment::SegmentLayout;
use stria_core::packing::slot::SlotLayout;
use stria_core::packing::{Layout, Packing, Places};
use stria_core::rlwe::ring::ring4096::N;
use stria_core::rlwe::{Ring, Ring4096, Ring8192};

/// Bytes that a layer's ciphertexts take on the wire, up and down.
pub fn ciphertext_bytes(layout: &SegmentLayout) -> (usize, usize) {
    (
        layout.inputs() * Ring4096::upload_bytes(),
        layout.outputs() * Ring4096::response_bytes(layout.returned()),
    )
}

/// Fills in the `repeat` and `tile` that move the fewest bytes; a given one is kept.
///
/// Shapes are all it looks at, never weights.
pub fn fewest_bytes(
    layer: Layer,
    repeat: Option<u16>,
    tile: Option<u16>,
) -> Result<(Layer, SegmentLayout), LayerError> {
    let bytes = |candidate: &Layer| {
        let (up, down) = ciphertext_bytes(&SegmentLayout::new(candidate)?);
        Ok(up + down)
    };
    let best = cheapest(layer, repeat, tile, bytes)?;
    SegmentLayout::new(&best).map(|layout| (best, layout))
}

/// Fills in the `repeat` and `tile` with the smallest cost; a given one is kept. Of equal choices it
/// takes the one with the fewest repetitions, and the whole map before tiles. The error is that of
/// the plainest choice.
pub fn cheapest<C: PartialOrd>(
    layer: Layer,
    repeat: Option<u16>,
    tile: Option<u16>,
    cost: impl Fn(&Layer) -> Result<C, LayerError>,
) -> Result<Layer, LayerError> {
    let mut best: Option<(C, Layer)> = None;
    for candidate in candidates(layer, repeat, tile) {
        if let Ok(cost) = cost(&candidate)
            && best.as_ref().is_none_or(|(least, _)| cost < *least)
        {
            best = Some((cost, candidate));
        }
    }
    let plainest = Layer {
        repeat: repeat.unwrap_or(1),
        tile: tile.unwrap_or(0),
        ..layer
    };
    match best {
        Some((_, layer)) => Ok(layer),
        None => cost(&plainest).map(|_| plainest),
    }
}

/// The layer with every `repeat` and `tile` that there are, or with the given ones.
pub fn candidates(
    layer: Layer,
    repeat: Option<u16>,
    tile: Option<u16>,
) -> impl Iterator<Item = Layer> {
    choices(repeat, repeats(layer.groups)).flat_map(move |repeat| {
        choices(tile, 0..=out_side(&layer)).map(move |tile| Layer {
            repeat,
            tile,
            ..layer
        })
    })
}

/// A layer in a packing, from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packed {
    /// The layer with the `repeat` and `tile` that the packing runs it with.
    pub layer: Layer,
    /// log2 of the number of parts that a plaintext splits into.
    pub depth: usize,
    /// Channels that are mixed inside a ciphertext.
    pub g: usize,
}

/// A layer that is packed for segments, in any packing. Coefficient packing has tiles of its own,
/// since it has no repetitions and larger segments.
pub fn packed(layer: &Layer, packing: Packing) -> Result<Packed, LayerError> {
    Ok(match packing {
        Packing::Segment => {
            let layout = SegmentLayout::new(layer)?;
            Packed {
                layer: *layer,
                depth: layout.depth,
                g: layout.blocks,
            }
        }
        Packing::Coefficient => {
            let (dense, layout) = fewest_bytes(layer.dense(), Some(1), None)?;
            Packed {
                layer: Layer {
                    repeat: dense.repeat,
                    tile: dense.tile,
                    ..*layer
                },
                depth: 0,
                g: layout.blocks,
            }
        }
        Packing::Slot => Packed {
            layer: *layer,
            depth: Ring8192::LOG_N,
            g: SlotLayout::new(layer)?.span,
        },
    })
}

/// The given value alone, or all of `values`.
fn choices(
    given: Option<u16>,
    values: impl Iterator<Item = u16> + Clone,
) -> impl Iterator<Item = u16> + Clone {
    let all = given.is_none().then_some(values).into_iter().flatten();
    given.into_iter().chain(all)
}

/// Powers of two that keep groups times repeat within N segments.
fn repeats(groups: u16) -> impl Iterator<Item = u16> + Clone {
    (0..)
        .map(|log| 1u16 << log)
        .take_while(move |&r| usize::from(groups.max(1)) * usize::from(r) <= N)
}

/// Side of the output in pixels; a tile is at most as large.
pub fn out_side(layer: &Layer) -> u16 {
    let side = layer.in_side / layer.pool_side().max(1);
    let padded = side.saturating_add(2 * u16::from(layer.padding));
    padded.saturating_sub(u16::from(layer.kernel.side())) / u16::from(layer.stride).max(1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use stria_core::network::layer::{Activation, Kernel, Pool};

    fn layer() -> Layer {
        Layer {
            input: 0,
            in_channels: 3,
            in_side: 31,
            pool: Pool::None,
            shuffle: 1,
            out_channels: 64,
            kernel: Kernel::Square(3),
            stride: 2,
            padding: 0,
            groups: 1,
            repeat: 1,
            tile: 0,
            skip: None,
            activation: Activation::Relu,
        }
    }

    fn total(layer: &Layer) -> Option<usize> {
        let layout = SegmentLayout::new(layer).ok()?;
        let (up, down) = ciphertext_bytes(&layout);
        Some(up + down)
    }

    #[test]
    fn the_stem_repeats_its_few_channels() {
        let (packed, layout) = fewest_bytes(layer(), None, None).unwrap();
        assert_eq!((packed.repeat, packed.tile), (4, 0));
        assert_eq!((layout.inputs(), layout.outputs()), (3, 16));
    }

    #[test]
    fn nothing_cheaper_exists() {
        let wide = Layer {
            in_channels: 64,
            in_side: 15,
            groups: 4,
            ..layer()
        };
        let large = Layer {
            in_side: 100,
            kernel: Kernel::Square(5),
            padding: 2,
            stride: 1,
            out_channels: 6,
            ..layer()
        };
        let pooled = Layer {
            in_channels: 256,
            in_side: 3,
            pool: Pool::Map,
            kernel: Kernel::Square(1),
            stride: 1,
            out_channels: 10,
            ..layer()
        };
        for layer in [layer(), wide, large, pooled] {
            let (packed, layout) = fewest_bytes(layer, None, None).unwrap();
            assert_eq!(SegmentLayout::new(&packed).unwrap(), layout);
            let chosen = total(&packed).unwrap();
            for log in 0..12 {
                for tile in 0..=100 {
                    let other = Layer {
                        repeat: 1 << log,
                        tile,
                        ..layer
                    };
                    assert!(
                        total(&other).is_none_or(|bytes| bytes >= chosen),
                        "{other:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_map_larger_than_a_ciphertext_is_tiled() {
        let layer = Layer {
            in_side: 224,
            ..layer()
        };
        assert!(SegmentLayout::new(&layer).is_err());
        let (packed, layout) = fewest_bytes(layer, None, None).unwrap();
        assert!(packed.tile > 0 && layout.tiles.count > 1);
        assert!(fewest_bytes(layer, None, Some(0)).is_err());
    }

    #[test]
    fn a_given_choice_is_kept() {
        let (packed, _) = fewest_bytes(layer(), Some(1), None).unwrap();
        assert_eq!(packed.repeat, 1);
        let (packed, _) = fewest_bytes(layer(), Some(2), Some(5)).unwrap();
        assert_eq!((packed.repeat, packed.tile), (2, 5));
        let groups = Layer {
            groups: 2,
            in_channels: 3,
            ..layer()
        };
        let (channels, groups_of) = (3, 2);
        assert_eq!(
            fewest_bytes(groups, None, None).unwrap_err(),
            LayerError::Groups {
                channels,
                groups: groups_of
            }
        );
    }
}
