//! Whole inferences in memory, layer by layer against the integers of DESIGN section 7.

use stria_core::protocol::client::SmallClient;
use stria_tests::two_party::{Image, Pair, Plain, SHIFT, settings};

/// Opens every tensor and compares it with the layer's function of the opened inputs.
fn check<const CHUNKS: usize, const SUPPLY: usize>(k_s: u8, h: u8) {
    let plain = Plain::small();
    let mut pair = Pair::<CHUNKS, SUPPLY>::new(plain.network(), settings(k_s, h), [1, 2]);
    let mut image = Image::random(5);
    pair.run(&mut image).unwrap();
    assert!(pair.client.is_ready() && pair.server.is_ready());
    assert_eq!(image.labels, ["a", "b", "c", "d", "e"]);
    for inference in 0..2 {
        image.pixels = Image::random(inference).pixels;
        pair.infer(&mut image).unwrap();
        assert!(pair.client.is_ready() && pair.server.is_ready());
        let tensors = pair.open(&plain, &image);
        let small = if h < 12 { 1 << (12 - h) } else { 0 };
        for i in 0..plain.layers.len() - 1 {
            let (mut positive, mut zeroed) = (0, 0);
            for (y, &got) in plain.y(i, &tensors).iter().zip(&tensors[i + 1]) {
                assert!(
                    (-(1 << 19) + 4096 + 256..(1 << 19) - 256).contains(y),
                    "test network"
                );
                let expected = (y >> SHIFT).max(0) as i32;
                if (got - expected).abs() > 1 {
                    assert!(
                        got == 0 && expected <= small,
                        "layer {i}: {got} is not {expected}"
                    );
                    zeroed += 1;
                }
                positive += usize::from(expected > small);
            }
            assert!(positive > 50, "the test network's layer {i} is dead");
            assert!(h < 12 || zeroed == 0);
        }
        let expected = plain.y(plain.layers.len() - 1, &tensors);
        let logits: Vec<i64> = image.logits.iter().map(|&y| i64::from(y)).collect();
        assert_eq!(logits, expected);
    }
    let counters = pair.server.counters();
    assert_eq!((counters.rotations(), counters.galois_key_bytes()), (0, 0));
    let activations: usize = counters.layers.iter().map(|layer| layer.activations).sum();
    assert_eq!(activations, 2 * 49 * (16 + 8 + 8 + 16));
    for (layer, (plain, ..)) in counters.layers.iter().zip(&plain.layers) {
        let layout = plain.layout().unwrap();
        assert_eq!(layer.inputs, 2 * layout.inputs());
        assert_eq!(layer.outputs, 2 * layout.outputs());
        assert_eq!(layer.work.products, layer.outputs * layout.inputs_per_tile);
    }
    pair.client.finish().unwrap();
    pair.run(&mut image).unwrap();
    assert!(pair.client.is_closed() && pair.server.is_closed());
}

#[test]
fn small_client() {
    check::<1, 1>(4, 8);
}

#[test]
fn every_k_s_with_a_larger_window() {
    for k_s in [1, 2, 8] {
        check::<3, 1>(k_s, 8);
    }
}

#[test]
fn every_h_with_a_layer_at_once() {
    for h in 9..=12 {
        check::<64, 7>(2, h);
    }
}

#[test]
fn small_client_fits_its_memory() {
    let size = size_of::<SmallClient>();
    assert!(size <= 56 * 1024, "{size} bytes");
}
