//! The ReLU at the edges of its ranges, end to end: `core/docs/design.md#ranges`.

use stria_core::arith::field::ACC_BITS;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool};
use stria_core::protocol::client::Whole;
use stria_tests::layers::layer;
use stria_tests::two_party::{Image, Pair, Plain, SHIFT, settings};

/// Runs a layer whose channel i has y = `edges[i]` in every one of its 225 pixels; gives the
/// activations, channel by channel.
fn activations(edges: &[i32], h: u8) -> Vec<Vec<i32>> {
    let channels = edges.len() as u16;
    let classifier = Layer {
        input: 1,
        pool: Pool::Map,
        activation: Activation::Logits,
        ..layer(channels, 15, 5, Kernel::Square(1))
    };
    let mut plain = Plain::new(
        vec![layer(2, 15, channels, Kernel::Square(1)), classifier],
        1,
    );
    // y = w x + b with x = 3: the edge comes out of weights and bias together.
    let (_, weights, bias) = &mut plain.layers[0];
    for ((weights, bias), edge) in weights.chunks_mut(2).zip(bias).zip(edges) {
        // On the edge's side of zero, so that the bias is nearer to it than the edge.
        let signed = |w: &mut i32| *w = w.abs() * edge.signum();
        weights.iter_mut().for_each(signed);
        *bias = edge - 3 * weights.iter().sum::<i32>();
    }
    // The pooled sums are far too large for logits with any weight.
    plain.layers[1].1.fill(0);
    let mut image = Image::random(1);
    image.pixels.fill(3);
    let mut pair = Pair::<Whole>::new(plain.network(), settings(4, h), [1, 2]);
    pair.run(&mut image).unwrap();
    pair.infer(&mut image).unwrap();
    assert_eq!(image.logits, plain.layers[1].2);
    let tensor = &pair.open(&plain, &image)[1];
    tensor.chunks(225).map(<[i32]>::to_vec).collect()
}

#[test]
fn activations_are_right_at_the_edges_of_their_ranges() {
    let (unit, top) = (1 << SHIFT, 1 << (ACC_BITS - 1));
    let k = ACC_BITS - SHIFT;
    for h in [8, 12] {
        // Shares' bits that the comparison ignores: y below this may come out as 0.
        let gap = 1 << (ACC_BITS - u32::from(h));
        let small = if u32::from(h) < k { gap } else { 0 };
        let lowest = -top + small + unit;
        let edges = [
            lowest,
            lowest + 1,
            -gap - 1,
            -gap,
            -unit,
            -1,
            0,
            1,
            unit - 1,
            unit,
            unit + 1,
            gap - 1,
            gap,
            gap + 1,
            top - unit - 2,
            top - unit - 1,
        ];
        for (y, got) in edges.iter().zip(activations(&edges, h)) {
            // y plus half a unit; each share's low bits are cut, so that the sum loses one unit
            // or none, and the field's wrap takes one from it or none.
            let centred = y + unit / 2;
            let possible = [
                (centred - 1) / unit - 1,
                (centred - 1) / unit,
                centred / unit,
            ];
            for got in got {
                let in_unit = possible.contains(&got) && (got - (y >> SHIFT)).abs() <= 1;
                let expected = match *y {
                    ..=0 => got == 0,
                    y if y < small + unit => in_unit || got == 0,
                    _ => in_unit,
                };
                assert!(expected, "h = {h}: y = {y} gave {got}");
            }
        }
    }
}

/// Below the range a negative comes out as a large positive: the bound is needed, and the test
/// above can fail.
#[test]
fn below_the_range_a_negative_becomes_positive() {
    let top = 1 << (ACC_BITS - 1);
    let got = activations(&[-top + 1, -top + 200, -top + (1 << 12) - 1], 8);
    assert!(got.iter().any(|channel| channel.iter().any(|&x| x > 2000)));
}
