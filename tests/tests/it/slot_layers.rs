//! Linear layers in slot packing against the direct convolution, on real ciphertexts, with their
//! rotations against the formulas of `core/docs/design.md#rotations`.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stria_core::arith::field::T;
use stria_core::network::layer::{Kernel, Layer};
use stria_core::packing::slot::{Schedule, SlotLayout, SlotWeights};
use stria_core::packing::{Places, Weights};
use stria_core::rlwe::ring::ring8192::N;
use stria_core::rlwe::{Operations, Ring8192};
use stria_tests::layers::{direct, layer, random_data, run};
use stria_tests::ring::{Parties as AnyParties, encode, random_poly};
use stria_tests::stats::deviation;
use stria_tests::values;

type Parties = AnyParties<Ring8192>;

/// Runs a layer with each schedule (only the planner's where it is large); the counted work.
fn check(layer: &Layer, seed: u64) -> (SlotLayout, Operations) {
    let chosen = SlotLayout::new(layer).unwrap();
    let [input, weights] = random_data(layer, seed);
    let parties = Parties::new(seed);
    let keys = parties.galois_keys(chosen.rotations().collect::<BTreeSet<_>>());
    let expected = direct(layer, &weights, &input);
    let mut counted = Operations::default();
    for schedule in [Schedule::OutputRotations, Schedule::InputRotations] {
        let layout = chosen.with_schedule(schedule);
        if schedule != chosen.schedule && layout.operations().key_switches > 150 {
            continue;
        }
        // Factors that are kept, and that are not.
        let keep = layer.in_side.is_multiple_of(2);
        let weights = SlotWeights::new(&layout, &weights[..], |_| keep);
        let (got, work) = run(&parties, &weights, &keys, layer, (&input, 8));
        assert!(got == expected, "{schedule:?} {layer:?}");
        let expected = Operations {
            factors: work.factors,
            ..layout.operations()
        };
        assert_eq!(work, expected, "{schedule:?} {layer:?}");
        assert!(keep || work.factors == work.products);
        if schedule == chosen.schedule {
            counted = work;
        } else {
            assert!(work.key_switches >= chosen.operations().key_switches);
        }
    }
    (chosen, counted)
}

fn same(in_channels: u16, side: u16, out_channels: u16, kernel: Kernel) -> Layer {
    Layer {
        padding: kernel.side() / 2,
        ..layer(in_channels, side, out_channels, kernel)
    }
}

/// Internal ceil(c_i/c_n)(taps - 1), external (c_o/c_n)(c_n - 1), and the keys for that.
#[test]
fn dense_layers_rotate_as_the_formulas_say() {
    let square = Kernel::Square;
    // c_n is 8 for 31 x 31, 32 for 15 x 15, 128 for 7 x 7.
    let cases = [
        (same(16, 31, 8, square(3)), 8, 9),
        (same(8, 32, 8, Kernel::Cross), 8, 5),
        (same(64, 15, 32, square(3)), 32, 9),
        (same(40, 15, 32, Kernel::Cross), 32, 5),
        (same(64, 15, 32, square(1)), 32, 1),
        (same(32, 16, 32, square(5)), 32, 25),
    ];
    for (i, (layer, c_n, taps)) in cases.iter().enumerate() {
        let (layout, work) = check(layer, i as u64);
        let (c_i, c_o) = (
            usize::from(layer.in_channels),
            usize::from(layer.out_channels),
        );
        assert_eq!(layout.schedule, Schedule::OutputRotations);
        assert_eq!(N / layout.block_len, *c_n);
        assert_eq!(work.internal_rotations, c_i.div_ceil(*c_n) * (taps - 1));
        assert_eq!(work.external_rotations, c_o / c_n * (c_n - 1));
        assert_eq!(layout.rotations().count(), taps - 1 + 2);
    }
}

#[test]
fn rotation_free_layers_rotate_for_taps_alone() {
    let groups = |groups: u16, layer: Layer| Layer {
        groups,
        shuffle: groups,
        ..layer
    };
    let cases = [
        // Strided groups = c_n: 3x3, Cross Kernel, 1x1.
        (groups(32, same(64, 15, 64, Kernel::Square(3))), 2 * 8),
        (groups(32, same(64, 15, 96, Kernel::Cross)), 2 * 4),
        (groups(32, same(96, 15, 64, Kernel::Square(1))), 0),
        // More groups than c_n: depthwise.
        (groups(64, same(64, 15, 64, Kernel::Cross)), 2 * 4),
        (groups(20, same(20, 31, 20, Kernel::Square(3))), 3 * 8),
    ];
    for (i, (layer, internal)) in cases.iter().enumerate() {
        let (layout, work) = check(layer, i as u64);
        assert_eq!((layout.span, work.external_rotations), (1, 0));
        assert_eq!(work.internal_rotations, *internal);
    }
}

/// Layers with more outputs than inputs rotate their inputs.
#[test]
fn the_cheaper_schedule_is_chosen() {
    let expand = same(32, 15, 96, Kernel::Square(1));
    let (layout, work) = check(&expand, 1);
    assert_eq!(layout.schedule, Schedule::InputRotations);
    assert_eq!(work.key_switches, 31);
    let output = layout.with_schedule(Schedule::OutputRotations);
    assert_eq!(output.operations().key_switches, 93);
}

/// Lanes with fewer outputs than blocks: a diagonal for each output, and a logarithm of folds.
#[test]
fn few_outputs_are_folded() {
    let cases = [
        // 64 inputs in each of 128 lanes, one output a lane.
        (same(64, 1, 10, Kernel::Square(1)), 1, 6),
        (same(64, 1, 300, Kernel::Square(1)), 4, 4),
        // c_n = 32 with 8 and 16 outputs.
        (same(64, 15, 8, Kernel::Square(3)), 8, 2),
        (same(32, 15, 16, Kernel::Square(1)), 16, 1),
        (
            Layer {
                groups: 4,
                ..same(32, 15, 8, Kernel::Cross)
            },
            2,
            2,
        ),
    ];
    for (i, (layer, diagonals, folds)) in cases.iter().enumerate() {
        let (layout, work) = check(layer, i as u64);
        assert_eq!((layout.diagonals, layout.outputs()), (*diagonals, 1));
        assert_eq!(work.external_rotations, diagonals - 1 + folds);
    }
}

/// Of the four phases of a stride of two, a 1x1 kernel reads one and a cross three.
#[test]
fn phases_that_no_tap_reads_are_not_packed() {
    // c_n is 32 for the phases' 15 x 15; 16, 48 and 64 channels of them.
    let cases = [
        (Kernel::Square(1), 1),
        (Kernel::Cross, 2),
        (Kernel::Square(3), 2),
    ];
    for (kernel, inputs) in cases {
        let (layout, _) = check(
            &Layer {
                stride: 2,
                ..same(16, 30, 8, kernel)
            },
            1,
        );
        assert_eq!(layout.inputs(), inputs);
    }
}

#[test]
fn named_layers() {
    let square = Kernel::Square;
    let layers = [
        // Strides, by phases; a stem; padding wider than needed.
        Layer {
            stride: 2,
            ..same(4, 32, 8, square(3))
        },
        Layer {
            stride: 2,
            ..layer(3, 31, 16, square(3))
        },
        Layer {
            stride: 2,
            ..same(3, 64, 4, square(7))
        },
        Layer {
            stride: 4,
            padding: 2,
            ..layer(1, 30, 5, square(7))
        },
        Layer {
            stride: 2,
            groups: 3,
            ..same(12, 14, 6, square(1))
        },
        // Pooling, fully connected, a layer of few channels in wide lanes.
        same(64, 1, 10, square(1)),
        same(5, 2, 3, square(3)),
        same(2, 1, 300, square(3)),
        // Maps that need tiles, with halos and without.
        same(2, 70, 3, square(3)),
        Layer {
            stride: 2,
            ..same(1, 140, 2, square(7))
        },
        same(2, 100, 2, square(1)),
    ];
    for (i, layer) in layers.iter().enumerate() {
        check(layer, i as u64);
    }
}

/// The noise of whole layers against the analysis in `stria_core::rlwe::ring::ring8192`.
#[test]
fn layers_have_the_noise_of_the_analysis() {
    let parties = Parties::new(9);
    for (layer, hops) in [
        (same(32, 15, 32, Kernel::Square(3)), 0.0),
        (same(32, 15, 96, Kernel::Square(1)), 8.0),
    ] {
        let layout = SlotLayout::new(&layer).unwrap();
        let terms = 32 * layer.kernel.taps();
        let weights = values(3, usize::from(layer.out_channels) * terms, T as i32 / 2);
        let keys = parties.galois_keys(layout.rotations());
        let weights = SlotWeights::new(&layout, &weights[..], |_| false);
        let inputs = [parties.encrypt(&encode(&random_poly(1)), 1)];
        let mut done = Operations::default();
        let noise = |o, sum| (o == 0).then(|| parties.open(&sum).1);
        let outputs = weights.apply(&inputs, &keys, &mut done, noise).unwrap();
        let sigma = deviation(outputs[0].as_ref().unwrap());
        // A rotation's noise, as `slot.rs` tests it; only the unrotated input has less.
        let input = 170.6 * f64::max(hops, 1.0).sqrt();
        let expected = input * (N as f64 / 12.0 * terms as f64).sqrt() * f64::from(T);
        println!(
            "{terms} terms: sigma 2^{:.2}, expected 2^{:.2}",
            sigma.log2(),
            expected.log2()
        );
        assert!((sigma / expected - 1.0).abs() < 0.1, "{sigma} {expected}");
    }
}

#[test]
fn a_missing_key_is_an_error() {
    let layer = same(32, 15, 32, Kernel::Cross);
    let layout = SlotLayout::new(&layer).unwrap();
    let parties = Parties::new(9);
    let zeros = vec![0; 32 * 32 * 5];
    let weights = SlotWeights::new(&layout, zeros, |_| false);
    let inputs = [parties.encrypt(&encode(&random_poly(1)), 1)];
    let keys = parties.galois_keys(layout.rotations().skip(1));
    assert!(
        layout
            .rotations()
            .any(|element| keys.get(element).is_none())
    );
    let mut done = Operations::default();
    let refused = weights.apply(&inputs, &keys, &mut done, |_, _| ());
    assert!(refused.is_err());
}

#[test]
fn impossible_layers_are_refused() {
    let base = same(8, 8, 8, Kernel::Square(3));
    for layer in [
        Layer { groups: 3, ..base },
        Layer { groups: 0, ..base },
        Layer { shuffle: 5, ..base },
        Layer { stride: 0, ..base },
        Layer {
            kernel: Kernel::Square(0),
            ..base
        },
        Layer {
            kernel: Kernel::Square(5),
            padding: 0,
            in_side: 4,
            ..base
        },
        Layer { padding: 3, ..base },
        Layer {
            in_channels: 8192,
            in_side: 1024,
            ..base
        },
    ] {
        assert!(SlotLayout::new(&layer).is_err(), "{layer:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::with_cases(16)
    })]

    #[test]
    fn random_layers(
        side in 1u16..40, kernel in 1u8..=5, cross: bool, stride in 1u8..=3, padding in 0u8..3,
        groups in 1u16..9, inputs in 1u16..6, outputs in 1u16..6, shuffle: bool, seed: u64,
    ) {
        let layer = Layer {
            stride, padding, groups,
            shuffle: if shuffle { groups } else { 1 },
            ..layer(inputs * groups, side, outputs * groups,
                if cross { Kernel::Cross } else { Kernel::Square(kernel) })
        };
        let layout = SlotLayout::new(&layer);
        prop_assume!(layout.is_ok_and(|l| l.operations().key_switches <= 100));
        check(&layer, seed);
    }
}
