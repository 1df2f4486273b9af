//! Convolutions in the clear against their definition, in integers that nothing overflows.

use alloc::vec;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::network::layer::{Activation, Kernel, Pool};
use crate::random::{Seed, Stream};

/// A layer of one input and one output channel, 1x1 on a map of one pixel.
const POINT: Layer = Layer {
    input: 0,
    in_channels: 1,
    in_side: 1,
    pool: Pool::None,
    shuffle: 1,
    out_channels: 1,
    kernel: Kernel::Square(1),
    stride: 1,
    padding: 0,
    groups: 1,
    repeat: 1,
    tile: 0,
    skip: None,
    activation: Activation::Relu,
};

/// A layer of so many inputs to one output, on a map of one pixel.
fn sum_of(in_channels: u16) -> (Layer, Geometry) {
    let layer = Layer {
        in_channels,
        ..POINT
    };
    (layer, Geometry::new(&layer).unwrap())
}

fn reference(layer: &Layer, weights: &[i32], input: &[i32], pixel: fn(i128) -> i128) -> Vec<i128> {
    let geometry = Geometry::new(layer).unwrap();
    let (out_side, taps) = (geometry.out_side, layer.kernel.taps());
    let (side, map_side) = (usize::from(layer.in_side), geometry.map_side as i32);
    let mut sums = Vec::new();
    for output in 0..usize::from(layer.out_channels) {
        for (row, col) in (0..out_side * out_side).map(|i| (i / out_side, i % out_side)) {
            let mut sum = 0;
            for channel in 0..geometry.group_inputs {
                let group = output / geometry.group_outputs;
                let map = &input[geometry.source_channel(group, channel) * side * side..];
                for tap in 0..taps {
                    let at = |output: usize, tap: i32| {
                        output as i32 * i32::from(layer.stride) + tap - i32::from(layer.padding)
                    };
                    let (i, j) = layer.kernel.tap(tap);
                    let (i, j) = (at(row, i), at(col, j));
                    if (0..map_side).contains(&i) && (0..map_side).contains(&j) {
                        let pooled = layer.pooled(i as usize, j as usize);
                        let x = pooled.map(|(i, j)| i128::from(map[i * side + j])).sum();
                        let weight =
                            weights[(output * geometry.group_inputs + channel) * taps + tap];
                        sum += i128::from(weight) * pixel(x);
                    }
                }
            }
            sums.push(sum);
        }
    }
    sums
}

fn modulo_t(x: i128) -> i128 {
    let x = x.rem_euclid(T.into());
    if x > (T / 2).into() {
        x - i128::from(T)
    } else {
        x
    }
}

/// Layers with every feature that sums depend on; some have several blocks of rows, of outputs and of
/// depth.
fn layers() -> impl Strategy<Value = Layer> {
    let kernel = select(&[1, 1, 2, 3, 3, 5, 7][..]).prop_map(Kernel::Square);
    let kernel = prop_oneof![3 => kernel, 1 => Just(Kernel::Cross)];
    let channels = (select(&[1u16, 2, 4, 6][..]), 1..8u16, 1..8u16);
    let wide = (
        Just(1),
        prop_oneof![1..2u16, 80..90u16],
        prop_oneof![1..4u16, 128..140u16],
    );
    let channels = prop_oneof![4 => channels, 1 => wide];
    let pool = (select(&[0u16, 1, 2, 3][..]), 1..20u16);
    (channels, kernel, pool, 1..5u8, any::<u8>(), any::<u16>()).prop_filter_map(
        "the kernel fits",
        |((groups, inputs, outputs), kernel, (window, side), stride, padding, shuffle)| {
            let in_channels = groups * inputs;
            let divisors: Vec<u16> = (1..=in_channels)
                .filter(|&shuffle| in_channels.is_multiple_of(shuffle))
                .collect();
            let layer = Layer {
                in_channels,
                out_channels: groups * outputs,
                in_side: side * window.max(1),
                pool: match window {
                    0 => Pool::Map,
                    1 => Pool::None,
                    _ => Pool::Window(window as u8),
                },
                shuffle: divisors[usize::from(shuffle) % divisors.len()],
                kernel,
                stride,
                padding: padding % kernel.side(),
                groups,
                ..POINT
            };
            Geometry::new(&layer).ok().map(|_| layer)
        },
    )
}

/// A layer, its weights of at most one limit and an input of at most the other, the largest ones often.
fn cases(
    limits: impl Strategy<Value = (i32, i32)>,
) -> impl Strategy<Value = (Layer, Vec<i32>, Vec<i32>, u32)> {
    (layers(), limits, any::<[u8; 32]>()).prop_map(|(layer, (weight, input), seed)| {
        let mut random = Stream::new(&Seed(seed), [0; 3]);
        let mut numbers = |limit: i32, count: usize| -> Vec<i32> {
            let number = |_| match random.next_u32() {
                word if word % 8 < 3 => [-limit, 0, limit][word as usize % 8],
                word => (i64::from(word) % (2 * i64::from(limit) + 1) - i64::from(limit)) as i32,
            };
            (0..count).map(number).collect()
        };
        let per_output = layer.weights_per_output();
        let weights = numbers(weight, usize::from(layer.out_channels) * per_output);
        let pixels = usize::from(layer.in_channels) * usize::from(layer.in_side).pow(2);
        (layer, weights, numbers(input, pixels), input.unsigned_abs())
    })
}

const HALF_T: i32 = (T / 2) as i32;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sums_are_those_of_the_definition(
        (layer, weights, input, limit) in cases(select(vec![
            // 8-bit weights and activations, or shares; all that a network may have; all there is.
            (127, 2047), (127, HALF_T), (i16::MAX.into(), HALF_T), (HALF_T, HALF_T),
            (HALF_T, i32::MAX), (i32::MAX, i32::MAX),
        ])),
    ) {
        let geometry = Geometry::new(&layer).unwrap();
        let convolution = ClearConvolution::new(&layer, &geometry, &weights[..]);
        let other: Vec<i32> = input.iter().rev().copied().collect();
        let inputs = [&input[..], &other];
        let sums = convolution.sums(&inputs, limit);
        prop_assert_eq!(sums.len(), 2);
        for (input, sums) in inputs.into_iter().zip(sums) {
            let expected = reference(&layer, &weights, input, |x| x);
            let expected: Vec<i64> = expected.into_iter().map(|y| y as i64).collect();
            prop_assert_eq!(sums, expected);
        }
    }

    #[test]
    fn residues_are_those_of_the_definition(
        (layer, weights, input, _) in cases(select(vec![(127, HALF_T), (HALF_T, HALF_T)])),
    ) {
        let geometry = Geometry::new(&layer).unwrap();
        let convolution = ClearConvolution::new(&layer, &geometry, &weights[..]);
        let input_residues: Vec<u32> = input.iter().map(|&x| T_MOD.residue(x)).collect();
        let expected = reference(&layer, &weights, &input, modulo_t);
        let expected: Vec<u32> = (expected.into_iter())
            .map(|y| y.rem_euclid(T.into()) as u32)
            .collect();
        prop_assert_eq!(convolution.residues(&[&input_residues]), vec![expected]);
    }

    #[test]
    fn residues_of_64_bits(x: i64) {
        prop_assert_eq!(i64::from(residue(x)), x.rem_euclid(T.into()));
    }

    #[test]
    fn parts_are_exact(norm in 1..1u64 << 51, largest in 1..1u64 << 51, x: i64, edge in 0..3) {
        // Powers of two too, where one more bit is needed.
        let [norm, largest] = match edge {
            0 => [norm.next_power_of_two(), largest.next_power_of_two()],
            1 => [norm, largest].map(|x| x.next_power_of_two() + 1),
            _ => [norm, largest],
        };
        let split = Split::new(norm, largest);
        for x in [x % (largest as i64 + 1), largest as i64, -(largest as i64)] {
            let mut sum = 0;
            for i in 0..split.parts {
                let part = match split.parts {
                    1 => x as f64,
                    _ => split.part(x, i),
                };
                let part = part as i128;
                prop_assert!(part.abs() * i128::from(norm) <= 1 << EXACT_BITS, "{split:?}");
                sum += part << (i * split.bits);
            }
            prop_assert_eq!(sum, i128::from(x));
        }
    }
}

#[test]
fn the_largest_sums_are_exact() {
    // 2^22 * 2^31 = 2^53 needs no parts.
    let (layer, geometry) = sum_of(2);
    let weights = [1 << 21; 2];
    let convolution = ClearConvolution::new(&layer, &geometry, weights);
    let sums = |inputs: &[i32]| convolution.sums(&[inputs], 1 << 31)[0][0];
    assert_eq!(Split::new(convolution.norm, 1 << 31).parts, 1);
    assert_eq!(sums(&[i32::MIN; 2]), -1 << 53);
    assert_eq!(sums(&[i32::MAX, i32::MIN]), -1 << 21);

    // Without parts, these would be rounded.
    let (layer, geometry) = sum_of(3);
    let weights = [(1 << 21) + 1, 1 << 21, 1];
    let convolution = ClearConvolution::new(&layer, &geometry, weights);
    assert_eq!(Split::new(convolution.norm, 1 << 31).parts, 2);
    let inputs = [i32::MAX, i32::MAX, i32::MAX - 1];
    let expected: i64 = (weights.iter().zip(inputs))
        .map(|(&w, x)| i64::from(w) * i64::from(x))
        .sum();
    assert_ne!(expected as f64 as i64, expected);
    assert_eq!(convolution.sums(&[&inputs], 1 << 31), [[expected]]);

    // The largest field of view with the largest weights and residues: 2^62.2.
    let layer = Layer {
        kernel: Kernel::Square(7),
        in_side: 7,
        in_channels: 8192,
        ..POINT
    };
    let geometry = Geometry::new(&layer).unwrap();
    let count = 8192 * 49;
    let convolution = ClearConvolution::new(&layer, &geometry, vec![HALF_T; count]);
    let expected = count as i64 * i64::from(HALF_T).pow(2);
    let sums = convolution.sums(&[&vec![HALF_T; count]], T / 2);
    assert_eq!(sums, [[expected]]);
    let residues = convolution.residues(&[&vec![T / 2 + 1; count]]);
    assert_eq!(residues, [[(-expected).rem_euclid(T.into()) as u32]]);
}

#[test]
fn weights_or_inputs_of_nothing() {
    let (layer, geometry) = sum_of(3);
    let convolution = ClearConvolution::new(&layer, &geometry, [0; 3]);
    assert_eq!(convolution.sums(&[&[i32::MIN; 3]], 1 << 31), [[0]]);
    assert_eq!(convolution.sums(&[&[0; 3]], 0), [[0]]);
    assert!(convolution.sums(&[], 5).is_empty());
}

#[test]
fn real_numbers_are_pooled_and_added() {
    let layer = Layer {
        in_side: 2,
        pool: Pool::Map,
        in_channels: 2,
        ..POINT
    };
    let convolution = Convolution::new(&layer, &Geometry::new(&layer).unwrap());
    let input = [0.25f32, 0.5, -1.0, 4.0, 1.0, 1.0, 1.0, 1.5];
    let maps = convolution.maps(&[&input], f64::from, |sum| sum / 4.0);
    assert_eq!(maps, [[0.9375], [1.125]]);
    assert_eq!(convolution.sums(&[2.0f32, -1.0], &maps, |y| y), [[0.75]]);
}
