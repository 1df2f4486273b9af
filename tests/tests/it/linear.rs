//! Every packing layout against the direct convolution, on real ciphertexts.

use proptest::prelude::*;
use stria_core::network::layer::{Kernel, Layer};
use stria_core::packing::segment::{SegmentLayout, SegmentWeights};
use stria_core::packing::{Places, Weights};
use stria_core::rlwe::{Ciphertext, Operations, Ring4096};
use stria_tests::layers::{direct, layer, random_data, run_segments};
use stria_tests::ring::{Parties, random_poly};

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

/// Sums of the inferences that these inputs are of, and how many factors were made for them.
fn sums(weights: &SegmentWeights, inputs: &[Ciphertext<Ring4096>]) -> (Vec<Vec<u32>>, Operations) {
    let mut operations = Operations::default();
    let mut next = std::sync::Mutex::new(Vec::new());
    let finish = |number, sum: Ciphertext<Ring4096>| {
        next.lock().unwrap().push(number);
        let halves = sum.halves().into_iter().flatten();
        halves.flat_map(|limb| limb.iter().copied()).collect()
    };
    let all = weights.apply(inputs, &(), &mut operations, finish).unwrap();
    let numbers = next.get_mut().unwrap();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..all.len()));
    (all, operations)
}

/// Several inferences at once are those one by one, in order, with tiles and sets of groups; and factors
/// that are not kept are made for sixteen tiles at a time.
#[test]
fn inferences_together_are_those_alone() {
    let square = Kernel::Square(3);
    let layers = [
        Layer {
            padding: 1,
            tile: 2,
            ..layer(3, 9, 5, square)
        },
        Layer {
            padding: 1,
            groups: 12,
            tile: 14,
            ..layer(12, 28, 12, square)
        },
        Layer {
            padding: 1,
            groups: 40,
            tile: 7,
            repeat: 2,
            ..layer(40, 14, 80, square)
        },
    ];
    let (mut tiled, mut in_sets) = (false, false);
    for layer in layers {
        let layout = SegmentLayout::new(&layer).unwrap();
        let (tiles, inputs) = (layout.tiles.all(), layout.inputs());
        tiled |= tiles > 16;
        in_sets |= layout.sets > 1 && tiles > 1;
        let [_, weights] = random_data(&layer, 5);
        let [made, kept] =
            [false, true].map(|keep| SegmentWeights::new(&layer, &layout, &weights[..], |_| keep));
        let parties = Parties::<Ring4096>::new(7);
        let encrypt = |i| parties.encrypt(&random_poly(i), i);
        let all: Vec<_> = (0..3 * inputs as u64).map(encrypt).collect();
        let alone = all.chunks(inputs).flat_map(|inputs| sums(&kept, inputs).0);
        let alone: Vec<_> = alone.collect();
        let (together, operations) = sums(&made, &all);
        assert!(together == alone, "{layer:?}");
        assert!(sums(&kept, &all).0 == alone, "{layer:?}");
        assert_eq!(operations.products, 3 * tiles * made.factors());
        let times = (3 * tiles).div_ceil(16);
        assert_eq!(operations.factors, times * made.factors());
    }
    assert!(tiled && in_sets);
}
