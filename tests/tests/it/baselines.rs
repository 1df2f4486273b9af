//! What plaintext networks have and StriaNets have not, end to end: layers without an activation,
//! pooling windows, depthwise layers.

use stria_core::network::layer::{Activation, Kernel, Layer, Pool, Skip};
use stria_core::protocol::client::{Chunks, Memory, Whole};
use stria_tests::layers::layer;
use stria_tests::two_party::{Image, Pair, Plain, SHIFT, settings};

fn network() -> Plain {
    let square = Kernel::Square;
    let layers = vec![
        Layer {
            padding: 1,
            ..layer(2, 15, 6, square(3))
        },
        // Depthwise, after a pooling window.
        Layer {
            input: 1,
            pool: Pool::Window(3),
            padding: 1,
            groups: 6,
            repeat: 2,
            ..layer(6, 15, 6, square(3))
        },
        // A projection shortcut, and the layer that it is added to.
        Layer {
            input: 2,
            stride: 2,
            activation: Activation::Linear,
            ..layer(6, 5, 300, square(1))
        },
        Layer {
            input: 2,
            stride: 2,
            padding: 1,
            skip: Some(Skip {
                tensor: 3,
                factor: 1,
            }),
            ..layer(6, 5, 300, square(3))
        },
        // Two linear bottlenecks with a residual between them.
        Layer {
            input: 4,
            repeat: 512,
            tile: 1,
            activation: Activation::Linear,
            ..layer(300, 3, 300, square(1))
        },
        Layer {
            input: 4,
            skip: Some(Skip {
                tensor: 5,
                factor: 3,
            }),
            activation: Activation::Linear,
            ..layer(300, 3, 300, square(1))
        },
        Layer {
            input: 6,
            pool: Pool::Map,
            activation: Activation::Logits,
            ..layer(300, 3, 5, square(1))
        },
    ];
    let mut plain = Plain::new(layers, 5);
    // Sums of pooled sums: the last layers have ternary weights.
    for (i, (_, weights, bias)) in plain.layers.iter_mut().enumerate() {
        let (weight, offset) = if i < 4 { (4, 20) } else { (70, 200) };
        weights.iter_mut().for_each(|w| *w /= weight);
        bias.iter_mut().for_each(|b| *b /= offset);
    }
    plain
}

fn agrees<M: Memory>() {
    let plain = network();
    let mut pair = Pair::<M>::new(plain.network(), settings(4, 12), [1, 2]);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    for seed in [1, 2] {
        image.pixels = Image::random(seed).pixels;
        pair.infer(&mut image).unwrap();
        let tensors = pair.open(&plain, &image);
        for (i, (layer, ..)) in plain.layers.iter().enumerate() {
            let y = plain.y(i, &tensors);
            // Nothing is lost where nothing is truncated.
            let (got, unit) = match layer.activation {
                Activation::Relu => (&tensors[i + 1], 1),
                Activation::Linear => (&tensors[i + 1], 0),
                Activation::Logits => (&image.logits, 0),
            };
            assert_eq!(y.len(), got.len());
            assert!(y.iter().any(|&y| y < 0) && y.iter().any(|&y| y > 0));
            for (&y, &got) in y.iter().zip(got) {
                let expected = match layer.activation {
                    Activation::Relu => (y >> SHIFT).max(0),
                    _ => y,
                };
                assert!((i64::from(got) - expected).abs() <= unit, "layer {i}");
            }
        }
    }
    // 2700 values each, none of which takes a transfer.
    let counted = &pair.server.counters().layers;
    assert_eq!((counted[2].activations, counted[3].activations), (0, 5400));
}

#[test]
fn secure_sums_are_the_plain_ones() {
    agrees::<Chunks<1>>();
    agrees::<Whole>();
}
