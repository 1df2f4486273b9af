//! A linear layer on ciphertexts, both parties in one place, and the direct convolution that it
//! is compared with.

use stria_core::arith::field::T_MOD;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool};
use stria_core::packing::segment::{SegmentLayout, SegmentWeights};
use stria_core::packing::{Layout, OutputCursor, Places, RingOf, Weights};
use stria_core::rlwe::{Operations, Randomness, Ring4096, respond, zero_poly};

use crate::ring::{Parties, seed_of};
use crate::values;

/// A layer with one group, stride 1 and no padding, to change fields of.
pub fn layer(in_channels: u16, in_side: u16, out_channels: u16, kernel: Kernel) -> Layer {
    Layer {
        input: 0,
        in_channels,
        in_side,
        pool: Pool::None,
        shuffle: 1,
        out_channels,
        kernel,
        stride: 1,
        padding: 0,
        groups: 1,
        repeat: 1,
        tile: 0,
        skip: None,
        activation: Activation::Relu,
    }
}

/// Input and weights of a layer, small enough that no sum leaves (-t/2, t/2).
pub fn random_data(layer: &Layer, seed: u64) -> [Vec<i32>; 2] {
    let inputs = usize::from(layer.in_channels) * usize::from(layer.in_side).pow(2);
    let per_output = layer.weights_per_output();
    let bound = (((1 << 21) / per_output as i32).isqrt()).min(1000);
    let weights = usize::from(layer.out_channels) * per_output;
    [values(seed, inputs, bound), values(!seed, weights, bound)]
}

/// Side of a layer's output in pixels.
pub fn out_side(layer: &Layer) -> u16 {
    let side = layer.in_side / layer.pool_side();
    let kernel = u16::from(layer.kernel.side());
    (side + 2 * u16::from(layer.padding) - kernel) / u16::from(layer.stride) + 1
}

/// The convolution by its definition: `input` is [channels, rows, cols], the result too.
pub fn direct(layer: &Layer, weights: &[i32], input: &[i32]) -> Vec<i64> {
    let side = i32::from(layer.in_side);
    let pixel = |channel: usize, r: i32, c: i32| {
        if (0..side).contains(&r) && (0..side).contains(&c) {
            i64::from(input[channel * (side * side) as usize + (r * side + c) as usize])
        } else {
            0
        }
    };
    let (groups, per_group) = (usize::from(layer.groups), layer.in_channels / layer.groups);
    let per_group = usize::from(per_group);
    let out_per_group = usize::from(layer.out_channels) / groups;
    let shuffle = usize::from(layer.shuffle);
    let per_shuffle = usize::from(layer.in_channels) / shuffle;
    let (stride, padding) = (i32::from(layer.stride), i32::from(layer.padding));
    let out_side = i32::from(out_side(layer));
    let taps = layer.kernel.taps();
    let mut out = Vec::new();
    for o in 0..usize::from(layer.out_channels) {
        for r in 0..out_side {
            for c in 0..out_side {
                let mut sum = 0;
                for i in 0..per_group {
                    let shuffled = o / out_per_group * per_group + i;
                    let source = shuffled % shuffle * per_shuffle + shuffled / shuffle;
                    for tap in 0..taps {
                        let (dr, dc) = layer.kernel.tap(tap);
                        sum += i64::from(weights[(o * per_group + i) * taps + tap])
                            * pixel(source, r * stride + dr - padding, c * stride + dc - padding);
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

/// Runs a layer on ciphertexts and opens both shares: the outputs as [channels, rows, cols], and the
/// operations that were counted.
pub fn run<W: Weights>(
    parties: &Parties<RingOf<W>>,
    weights: &W,
    keys: &W::Keys,
    layer: &Layer,
    (input, seed): (&[i32], u8),
) -> (Vec<i64>, Operations) {
    let layout = weights.layout();
    let side = usize::from(layer.in_side);
    let inputs: Vec<_> = (0..layout.inputs())
        .map(|i| {
            let mut message = zero_poly::<RingOf<W>>();
            layout.pack(i, &mut message, |channel, row, col| {
                T_MOD.residue(input[(channel * side + row) * side + col])
            });
            layout.encode(&mut message);
            parties.encrypt(&message, i as u64)
        })
        .collect();
    let mut operations = Operations::default();
    let finish = |o: usize, sum| {
        let random = Randomness::new(seed_of(seed, o as u64));
        let mask = layout.mask(&random);
        let response = respond(sum, &parties.public, &mask.message, &random);
        let mut client = parties.decrypt(&response, layout);
        layout.decode(&mut client);
        let shares = (*client).as_ref().iter().zip((*mask.values).as_ref());
        let sums = shares.map(|(&c, &s)| T_MOD.centered(T_MOD.sub(c, s)));
        sums.collect::<Vec<_>>()
    };
    let opened = weights
        .apply(&inputs, keys, &mut operations, finish)
        .unwrap();
    let area = layout.out_side().pow(2);
    let mut out = vec![None; usize::from(layer.out_channels) * area];
    let mut cursor = OutputCursor::start();
    while let Some(output) = cursor.next(layout) {
        let place = usize::from(output.channel) * area + output.position as usize;
        let value = opened[output.ciphertext][output.coefficient].into();
        assert!(out[place].replace(value).is_none(), "an output comes twice");
    }
    let all = out
        .into_iter()
        .map(|value| value.expect("an output is missing"));
    (all.collect(), operations)
}

/// Runs a layer in segments.
pub fn run_segments(
    parties: &Parties<Ring4096>,
    layer: &Layer,
    weights: &[i32],
    input: &[i32],
    seed: u8,
) -> Vec<i64> {
    let layout = SegmentLayout::new(layer).unwrap();
    let weights = SegmentWeights::new(layer, &layout, weights, |_| true);
    run(parties, &weights, &(), layer, (input, seed)).0
}
