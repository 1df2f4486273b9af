//! Whole inferences in memory, layer by layer against the integers of
//! `core/docs/design.md#integer-model`.

use stria_core::packing::Places;
use stria_core::packing::segment::SegmentLayout;
use stria_core::protocol::client::{Chunks, Memory, SmallClient, Whole};
use stria_tests::two_party::{Image, Pair, Plain, settings};

/// Opens every tensor and compares it with the layer's function of the opened inputs.
fn check<M: Memory>(k_s: u8, h: u8) {
    let plain = Plain::small();
    let mut pair = Pair::<M>::new(plain.network(), settings(k_s, h), [1, 2]);
    let mut image = Image::random(5);
    pair.run(&mut image).unwrap();
    assert!(pair.client.is_ready() && pair.server.is_ready());
    assert_eq!(image.labels, ["a", "b", "c", "d", "e"]);
    for inference in 0..2 {
        image.pixels = Image::random(inference).pixels;
        pair.infer(&mut image).unwrap();
        assert!(pair.client.is_ready() && pair.server.is_ready());
        let tensors = pair.open(&plain, &image);
        for (i, positives) in plain
            .assert_exact(&tensors, &image.logits, h)
            .iter()
            .enumerate()
        {
            // A comparison of few bits takes most values for zero.
            assert!(
                h < 7 || *positives > 50,
                "the test network's layer {i} is dead"
            );
        }
    }
    let counters = pair.server.counters();
    assert_eq!((counters.rotations(), counters.galois_key_bytes()), (0, 0));
    let activations: usize = counters.layers.iter().map(|layer| layer.activations).sum();
    assert_eq!(activations, 2 * 49 * (16 + 8 + 8 + 16));
    for (layer, (plain, ..)) in counters.layers.iter().zip(&plain.layers) {
        let layout = SegmentLayout::new(plain).unwrap();
        assert_eq!(layer.inputs, 2 * layout.inputs());
        assert_eq!(layer.outputs, 2 * layout.outputs());
        assert_eq!(
            layer.operations.products,
            layer.outputs * layout.inputs_per_part
        );
    }
    pair.client.finish().unwrap();
    pair.run(&mut image).unwrap();
    assert!(pair.client.is_closed() && pair.server.is_closed());
}

#[test]
fn small_client() {
    check::<Chunks<1>>(4, 8);
}

#[test]
fn every_k_s_with_a_larger_window() {
    for k_s in [1, 2, 8] {
        check::<Chunks<3>>(k_s, 8);
        check::<Whole>(k_s, 8);
    }
}

#[test]
fn every_h_with_all_layers_at_once() {
    for h in [5, 6, 7, 9, 10, 11, 12] {
        check::<Whole>(2, h);
    }
}

#[test]
fn small_client_fits_its_memory() {
    let size = size_of::<SmallClient>();
    assert!(size <= 56 * 1024, "{size} bytes");
}
