//! Every packing layout against the direct convolution, on real ciphertexts.

use proptest::prelude::*;
use stria_core::network::layer::{Kernel, Layer};
use stria_core::packing::Places;
use stria_core::packing::segment::SegmentLayout;
use stria_tests::layers::{direct, layer, random_data, run_segments};
use stria_tests::ring::Parties;

fn check(layer: &Layer, seed: u64) {
    let [input, weights] = random_data(layer, seed);
    let got = run_segments(&Parties::new(seed), layer, &weights, &input, 9);
    assert!(got == direct(layer, &weights, &input), "{layer:?}");
}

/// The shapes that `core/docs/design.md#segment-packing` names, and those that fill their blocks
/// badly.
#[test]
fn named_layouts() {
    let square = Kernel::Square;
    let layers = [
        // A stem: four phases of three channels, repeated four times.
        Layer {
            stride: 2,
            repeat: 4,
            ..layer(3, 31, 16, square(3))
        },
        // g = 1: ExRot-Free in its pure form.
        Layer {
            padding: 1,
            groups: 16,
            shuffle: 4,
            ..layer(32, 15, 32, Kernel::Cross)
        },
        // g > 1, maps that fill their blocks.
        Layer {
            padding: 1,
            groups: 4,
            shuffle: 8,
            ..layer(64, 7, 16, square(3))
        },
        Layer {
            padding: 1,
            groups: 4,
            repeat: 4,
            ..layer(64, 3, 64, square(3))
        },
        // A projection shortcut: one phase of the stride is all that a 1x1 kernel reads.
        Layer {
            stride: 2,
            groups: 2,
            ..layer(8, 15, 16, square(1))
        },
        Layer {
            stride: 3,
            padding: 1,
            ..layer(4, 11, 2, square(2))
        },
        // Depthwise: as many groups as channels, no power of two; in one set, and in several.
        Layer {
            padding: 1,
            groups: 12,
            tile: 14,
            ..layer(12, 28, 12, square(3))
        },
        Layer {
            padding: 1,
            groups: 40,
            stride: 2,
            shuffle: 4,
            repeat: 2,
            ..layer(40, 14, 80, square(3))
        },
        Layer {
            padding: 1,
            groups: 12,
            repeat: 2,
            ..layer(12, 7, 24, square(3))
        },
        // The same with spare room, and g = c_n: fully dense.
        Layer {
            padding: 2,
            ..layer(10, 9, 3, square(5))
        },
        // Stride 2 down to the next map.
        Layer {
            stride: 2,
            groups: 8,
            shuffle: 8,
            ..layer(32, 15, 32, square(3))
        },
        Layer {
            stride: 2,
            groups: 8,
            ..layer(64, 7, 32, square(3))
        },
        // Stride 2 with padding, stride 4, a 7x7 stem.
        Layer {
            stride: 2,
            padding: 1,
            ..layer(4, 16, 2, square(3))
        },
        Layer {
            stride: 4,
            repeat: 8,
            ..layer(1, 31, 16, square(7))
        },
        // 1x1 and fully connected.
        Layer {
            groups: 8,
            repeat: 2,
            ..layer(64, 7, 128, square(1))
        },
        Layer {
            repeat: 16,
            ..layer(256, 1, 10, square(1))
        },
        // Tiles with halos, that do not divide the map.
        Layer {
            padding: 1,
            tile: 20,
            repeat: 2,
            ..layer(2, 50, 3, square(3))
        },
        Layer {
            stride: 2,
            padding: 3,
            tile: 10,
            repeat: 2,
            ..layer(3, 45, 4, square(7))
        },
    ];
    for (i, layer) in layers.iter().enumerate() {
        check(layer, i as u64 + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_layouts(
        side in 1u16..34, kernel in 1u8..=7, cross: bool, stride in 1u8..=4, padding in 0u8..4,
        log_groups in 0u32..4, inputs in 1u16..5, outputs in 1u16..5, log_repeat in 0u32..3,
        tile in 0u16..12, shuffle: bool, seed: u64,
    ) {
        let groups = 1 << log_groups;
        let layer = Layer {
            stride, padding, groups, tile, repeat: 1 << log_repeat,
            shuffle: if shuffle { groups } else { 1 },
            ..layer(inputs * groups, side, outputs * groups,
                if cross { Kernel::Cross } else { Kernel::Square(kernel) })
        };
        let layout = SegmentLayout::new(&layer);
        prop_assume!(layout.is_ok_and(|l| l.inputs() <= 24 && l.outputs() <= 24));
        check(&layer, seed);
    }
}
