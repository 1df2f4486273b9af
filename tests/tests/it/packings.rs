//! The whole protocol in every packing: each layer's tensor, opened from both parties' shares,
//! against the integers of `core/docs/design.md#integer-model`, and what was counted against what
//! the layouts say.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool};
use stria_core::packing::segment::SegmentLayout;
use stria_core::packing::slot::SlotLayout;
use stria_core::packing::{Layout, Packing, Places};
use stria_core::protocol::client::{Chunks, Client, Memory, Whole};
use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME, write_failure};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_core::protocol::network::{NetworkLayer, WeightMemory};
use stria_core::protocol::server::Counters;
use stria_core::rlwe::ring::ring8192::{GALOIS_KEY_BYTES, N};
use stria_core::rlwe::{Ring, Ring4096, Ring8192};
use stria_core::{Error, PeerError};
use stria_tests::layers::layer;
use stria_tests::two_party::{Image, Pair, Plain, SlotPair, SmallPair, settings};

/// Runs `inferences` with a client of any size, and checks every layer; the positives that each
/// layer had at least, the counters, and the payload bytes of ciphertexts down.
fn run<M: Memory, L: ClientLinear>(
    plain: &Plain,
    packing: Packing,
    memory: usize,
    inferences: u64,
) -> (Vec<usize>, Counters, usize) {
    let network = plain.packed(packing, memory);
    assert_eq!(network.packing(), packing);
    let mut pair = Pair::<M, L>::new(network, settings(2, 12), [1, 2]);
    let side = plain.layers[0].0.in_side.into();
    let mut image = Image::of_side(side, 1);
    pair.run(&mut image).unwrap();
    let before = pair.down.len();
    let mut positives = vec![usize::MAX; plain.layers.len() - 1];
    for inference in 0..inferences {
        assert!(pair.client.is_ready() && pair.server.is_ready());
        image.pixels = Image::of_side(side, inference).pixels;
        pair.infer(&mut image).unwrap();
        let tensors = pair.open(plain, &image);
        let found = plain.assert_exact(&tensors, &image.logits, 12);
        positives = positives
            .into_iter()
            .zip(found)
            .map(|(a, b)| a.min(b))
            .collect();
    }
    let responses = [Kind::ResponseC1 as u8, Kind::ResponseC0 as u8];
    let down = pair.down[before..]
        .iter()
        .filter(|frame| responses.contains(&frame[0]));
    let down = down.map(|frame| frame.len() - HEADER).sum();
    pair.client.finish().unwrap();
    pair.run(&mut image).unwrap();
    assert!(pair.client.is_closed() && pair.server.is_closed());
    (positives, pair.server.counters().clone(), down)
}

fn run_slot(plain: &Plain, memory: usize, inferences: u64) -> (Vec<usize>, Counters, usize) {
    run::<Whole, Slots>(plain, Packing::Slot, memory, inferences)
}

/// Each factor is made once by whoever comes first: sessions do not see when.
#[test]
fn weights_are_prepared_beside_sessions() {
    let plain = Plain::small();
    let said = |network| SmallPair::session(network, &[1], [1, 2]).down;
    let prepared = plain.network();
    prepared.prepare();
    let expected = said(prepared);
    let network = plain.network();
    std::thread::scope(|scope| {
        let sessions = [(); 2].map(|()| scope.spawn(|| said(network.clone())));
        network.prepare();
        for session in sessions {
            assert!(session.join().unwrap() == expected);
        }
    });
}

#[test]
fn coefficients_return_a_sparse_ciphertext_for_each_output() {
    let plain = Plain::small();
    for memory in [0, usize::MAX] {
        let packing = Packing::Coefficient;
        let (positives, counters, down) = run::<Chunks<1>, Segments>(&plain, packing, memory, 2);
        assert!(positives.iter().all(|&count| count > 50));
        assert_eq!((counters.rotations(), counters.galois_key_bytes()), (0, 0));
        let mut expected = 0;
        for (counted, (layer, ..)) in counters.layers.iter().zip(&plain.layers) {
            let layout = SegmentLayout::new(&layer.dense()).unwrap();
            assert_eq!((layout.depth, layout.segments), (0, 1));
            assert_eq!(layout.outputs(), usize::from(layer.out_channels));
            assert_eq!(counted.inputs, 2 * layout.inputs());
            assert_eq!(counted.outputs, 2 * layout.outputs());
            expected += 2 * layout.outputs() * Ring4096::response_bytes(layout.returned());
        }
        assert_eq!(down, expected);
    }
}

/// What no channel of its group is in is not even multiplied.
#[test]
fn structural_zeros_are_no_products() {
    // 4 channels of 31 x 31 a ciphertext; 16 of them in 4 groups, and in 2.
    for (groups, per_output) in [(4, 1), (2, 2), (1, 4), (8, 1)] {
        let grouped = Layer {
            padding: 1,
            groups,
            ..layer(16, 31, 8, Kernel::Square(3))
        };
        let plain = Plain::around(grouped, 1);
        let (_, counters, _) = run::<Whole, Segments>(&plain, Packing::Coefficient, 0, 1);
        assert_eq!(SegmentLayout::new(&grouped.dense()).unwrap().inputs(), 4);
        assert_eq!(counters.layers[1].operations.products, 8 * per_output);
    }
}

#[test]
fn slots_count_what_their_layouts_say() {
    let plain = Plain::small();
    for memory in [0, usize::MAX] {
        let (positives, counters, down) = run_slot(&plain, memory, 2);
        assert!(positives.iter().all(|&count| count > 50));
        let (mut keys, mut expected, mut inputs) = (BTreeSet::new(), 0, 0);
        for (counted, (layer, ..)) in counters.layers.iter().zip(&plain.layers) {
            let layout = SlotLayout::new(layer).unwrap();
            let mut twice = layout.operations();
            twice.add(&layout.operations());
            twice.factors = match memory {
                0 => twice.products,
                _ => counted.operations.factors,
            };
            assert_eq!(counted.operations, twice);
            assert_eq!(counted.inputs, 2 * layout.inputs());
            assert_eq!(counted.outputs, 2 * layout.outputs());
            keys.extend(layout.rotations());
            expected += 2 * layout.outputs() * Ring8192::response_bytes(N);
            inputs += 2 * layout.inputs() * Ring8192::upload_bytes();
        }
        assert_eq!(down, expected);
        assert!(counters.rotations() > 0 && keys.len() > 4);
        assert_eq!(counters.galois_key_bytes(), keys.len() * GALOIS_KEY_BYTES);
        // A public key at N = 4096 and a ciphertext of the base transfers.
        let small = 54_304;
        assert_eq!(counters.public_key_bytes, small + Ring8192::upload_bytes());
        assert_eq!(counters.ciphertext_bytes, small + inputs);
    }
}

#[test]
fn a_network_asks_for_no_more_keys_than_it_needs() {
    let plain = Plain::new(
        vec![
            Layer {
                stride: 4,
                ..layer(2, 15, 1, Kernel::Square(1))
            },
            Layer {
                input: 1,
                pool: Pool::Map,
                activation: Activation::Logits,
                ..layer(1, 4, 5, Kernel::Square(1))
            },
        ],
        1,
    );
    // The first layer mixes two channels: lanes of two blocks, folded by the swap. The classifier has
    // one channel.
    let (_, counters, _) = run_slot(&plain, 0, 1);
    assert_eq!(counters.galois_key_bytes(), GALOIS_KEY_BYTES);
}

/// Groups that are no power of two, more groups than blocks, strides, tiles, halos, few outputs.
#[test]
fn named_layers() {
    let depthwise = Layer {
        padding: 1,
        groups: 12,
        ..layer(12, 28, 12, Kernel::Square(3))
    };
    let tiled = Layer {
        padding: 1,
        tile: 32,
        ..layer(2, 70, 2, Kernel::Square(3))
    };
    let strided = Layer {
        stride: 2,
        padding: 3,
        shuffle: 3,
        groups: 3,
        ..layer(6, 16, 9, Kernel::Square(7))
    };
    let pooled = Layer {
        pool: Pool::Map,
        groups: 2,
        ..layer(6, 9, 40, Kernel::Square(1))
    };
    for plain in [depthwise, tiled, strided, pooled].map(|layer| Plain::around(layer, 3)) {
        run::<Whole, Segments>(&plain, Packing::Coefficient, 1 << 20, 1);
        run_slot(&plain, 1 << 20, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::with_cases(10)
    })]

    #[test]
    fn random_layers(
        side in 1u16..20, kernel in 1u8..=5, cross: bool, stride in 1u8..=3, padding in 0u8..3,
        log_groups in 0u32..4, odd: bool, inputs in 1u16..4, outputs in 1u16..4, log_repeat in 0u32..3,
        tile in 0u16..12, shuffle: bool, pool: bool, window: bool, seed: u64,
    ) {
        let groups = if odd { 3 } else { 1 << log_groups };
        let pool = match (pool, window && side % 2 == 0) {
            (true, _) => Pool::Map,
            (_, true) => Pool::Window(2),
            _ => Pool::None,
        };
        let middle = Layer {
            stride, padding, groups, tile, pool, repeat: 1 << log_repeat,
            shuffle: if shuffle { groups } else { 1 },
            ..layer(inputs * groups, side, outputs * groups,
                if cross { Kernel::Cross } else { Kernel::Square(kernel) })
        };
        // What coefficient packing can lay out, which has no limits but the layer's own.
        prop_assume!(SegmentLayout::new(&middle.dense()).is_ok());
        let slot = SlotLayout::new(&middle).unwrap();
        prop_assume!(slot.rotations().count() < 30 && slot.operations().key_switches < 60);
        let plain = Plain::around(middle, seed >> 1);
        for packing in Packing::ALL {
            match packing {
                Packing::Slot => { run_slot(&plain, 1 << 22, 1); }
                // Segments are refused where there are not a power of two of them, or no room.
                Packing::Segment if SegmentLayout::new(&middle).is_err() => {
                    let (layer, weights, bias) = &plain.layers[1];
                    let mut memory = WeightMemory::new(0);
                    let refused = NetworkLayer::new(packing, *layer, weights, bias, &mut memory);
                    prop_assert!(refused.is_err());
                }
                _ => { run::<Whole, Segments>(&plain, packing, 1 << 22, 1); }
            }
        }
    }
}

/// A client of another packing than the network's is told so, and both sessions end.
#[test]
fn a_client_of_another_packing_is_refused() {
    let plain = Plain::tiny();
    let mut image = Image::random(1);
    let mut small = SmallPair::new(plain.packed(Packing::Slot, 0), settings(4, 8), [1, 2]);
    let refused = small.run(&mut image);
    assert_eq!(refused, Err(Error::ParameterSet { ours: 2, theirs: 1 }));
    assert!(small.server.is_closed());
    let mut slot = SlotPair::new(plain.network(), settings(4, 8), [1, 2]);
    let refused = slot.run(&mut image);
    assert_eq!(refused, Err(Error::ParameterSet { ours: 1, theirs: 2 }));
    let mut buffer = [0; MAX_FRAME];
    let len = write_failure(&mut buffer, &refused.unwrap_err());
    let fail = Frame::new_checked(&buffer[..len]).unwrap();
    let told = slot.client.handle(&mut image, fail);
    assert_eq!(told, Err(Error::Peer(PeerError::Packing)));
    assert!(slot.client.is_closed());
}

#[test]
fn mixed_packings_and_wrong_numbers_are_refused() {
    let (layer, weights, bias) = &Plain::tiny().layers[0];
    for packing in Packing::ALL {
        let make = |layer: Layer, weights: &[i32], bias: &[i32]| {
            let mut memory = WeightMemory::new(0);
            NetworkLayer::new(packing, layer, weights, bias, &mut memory).err()
        };
        assert_eq!(make(*layer, weights, bias), None);
        assert!(make(*layer, &weights[1..], bias).is_some());
        assert!(make(*layer, weights, &bias[1..]).is_some());
        for groups in [0, 3] {
            assert!(make(Layer { groups, ..*layer }, weights, bias).is_some());
        }
    }
}

/// Three polynomials, a key and a list: whatever the network.
#[test]
fn the_slot_client_has_its_size() {
    let more = size_of::<Client<Chunks<1>, Slots>>() - size_of::<Client<Chunks<1>>>();
    assert!((96 * 1024..100 * 1024).contains(&more), "{more} bytes");
}
