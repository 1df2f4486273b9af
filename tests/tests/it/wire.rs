//! The wire format, pinned: with fixed seeds every byte is the same, in every build.

use sha2::{Digest, Sha256};
use stria_core::packing::Packing;
use stria_core::protocol::client::{Chunks, Memory, Whole};
use stria_core::protocol::greeting::VERSION;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::linear::segment::Segments;
use stria_core::protocol::linear::slot::Slots;
use stria_tests::two_party::{Image, Pair, Plain, SHIFT, settings};

/// A session with two inferences, the first frame to the goodbye.
fn session<M: Memory>(plain: &Plain, h: u8, seeds: [u64; 2]) -> (Pair<M>, [Vec<i32>; 2]) {
    packed((plain, Packing::Segment), h, seeds)
}

/// The same in any packing.
fn packed<M: Memory, L: ClientLinear>(
    (plain, packing): (&Plain, Packing),
    h: u8,
    seeds: [u64; 2],
) -> (Pair<M, L>, [Vec<i32>; 2]) {
    let network = plain.packed(packing, usize::MAX);
    let mut pair = Pair::new(network, settings(4, h), seeds);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    let logits = [1, 2].map(|seed| {
        image.pixels = Image::random(seed).pixels;
        pair.infer(&mut image).unwrap();
        image.logits.clone()
    });
    pair.client.finish().unwrap();
    pair.run(&mut image).unwrap();
    (pair, logits)
}

/// SHA-256 over each direction's frames: up, down.
fn digests<M: Memory, L: ClientLinear>(pair: &Pair<M, L>) -> [String; 2] {
    [&pair.up, &pair.down].map(|frames| {
        let digest = Sha256::digest(frames.concat());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

/// Version of the protocol, and the digests of its bytes from the client and from the server.
const RECORDED: (u16, [&str; 2]) = (
    5,
    [
        "7d180f67114f26c03338619ff175ec6c793a4584815ef23cca58d168cacf121f",
        "87ae80d2ef0a990ef2aaa33403afebd7472519f406d854151e74e1fa20770855",
    ],
);
/// As [`RECORDED`], of a client that keeps its records.
const RECORDED_WHOLE: [&str; 2] = [
    "6f4a112d5476c34ab87c376c80b9fe451a8c8e95fdff4097e855fb4d58877893",
    "ffecb0273c5df468de2dd8c1e133c2ac3eb8babd3fcbcbbc244fb9d492f1e708",
];

#[test]
fn bytes_are_those_recorded() {
    let (pair, logits) = session::<Chunks<1>>(&Plain::small(), 8, [1, 2]);
    assert_eq!(
        (VERSION, digests(&pair)),
        (RECORDED.0, RECORDED.1.map(String::from)),
        "the bytes on the wire changed: peers of before cannot be talked to any more. If that is \
         meant, raise VERSION in core/src/protocol/greeting.rs and record version and digests here"
    );

    let whole = session::<Whole>(&Plain::small(), 8, [1, 2]).0;
    assert_eq!(digests(&whole), RECORDED_WHOLE.map(String::from));

    let (again, same_logits) = session::<Chunks<1>>(&Plain::small(), 8, [1, 2]);
    assert!(again.up == pair.up && again.down == pair.down);
    assert_eq!(logits, same_logits);
}

/// As [`RECORDED`], in coefficient and in slot packing.
const RECORDED_COEFFICIENT: [&str; 2] = [
    "9bf86a8d786ee61a038790afd68da8f8e4d96f0edce8e4f186dbb9e3e929ce17",
    "d38590d369643afa897c47cd8bfb91032135972483cccdd88ca36e85076541d4",
];
const RECORDED_SLOT: [&str; 2] = [
    "0f4498a982d2d6aec7a7285ffb3749920602a8897551f6000d40e035a32a3840",
    "6c19368ff95199b10adef69acd61e5b2a914b96e9509b4dfa0c936a84731e8bb",
];

#[test]
fn bytes_of_the_other_packings_are_those_recorded() {
    let plain = Plain::tiny();
    let coefficient = packed::<Chunks<1>, Segments>((&plain, Packing::Coefficient), 8, [1, 2]).0;
    let slot = packed::<Chunks<1>, Slots>((&plain, Packing::Slot), 8, [1, 2]).0;
    assert_eq!(
        (digests(&coefficient), digests(&slot)),
        (
            RECORDED_COEFFICIENT.map(String::from),
            RECORDED_SLOT.map(String::from)
        ),
        "see bytes_are_those_recorded"
    );
}

#[test]
fn other_seeds_give_other_bytes() {
    let plain = Plain::tiny();
    let base = session::<Chunks<1>>(&plain, 8, [1, 2]).0;
    for seeds in [[1, 3], [3, 2], [2, 1]] {
        let other = session::<Chunks<1>>(&plain, 8, seeds).0;
        assert_eq!(base.up.len(), other.up.len());
        // One side's seeds change what both sides send, except the greeting that came before.
        for (ours, theirs) in [(&base.up, &other.up), (&base.down, &other.down)] {
            let same = ours.iter().zip(theirs).skip(1).filter(|(x, y)| x == y);
            // Labels, layers and the frames without a payload are public and the same.
            assert!(same.clone().all(|(frame, _)| frame.len() < 32), "{seeds:?}");
        }
        assert_eq!(base.up[0] == other.up[0], seeds[0] == 1);
        assert_ne!(base.down[0] == other.down[0], seeds[1] != 2);
    }
}

/// What a window of this size sends, and what comes out: (frames up, activations, logits).
fn window<M: Memory>(plain: &Plain) -> (Vec<Vec<u8>>, Vec<i32>, Vec<i32>) {
    let mut pair = Pair::<M>::new(plain.network(), settings(4, 12), [1, 2]);
    let mut image = Image::random(1);
    pair.run(&mut image).unwrap();
    pair.infer(&mut image).unwrap();
    let tensors = pair.open(plain, &image);
    let y = plain.y(1, &tensors);
    assert!(
        y.iter()
            .zip(&image.logits)
            .all(|(y, logit)| *y == i64::from(*logit))
    );
    (pair.up, tensors[1].clone(), image.logits)
}

#[test]
fn the_window_changes_frames_and_no_result() {
    let plain = Plain::tiny();
    // 320 activations: in chunks of 256 one by one, and all at once.
    let (frames, activations, logits) = window::<Chunks<1>>(&plain);
    assert_eq!(activations.len(), 320);
    // One unit of every activation moves a logit by at most 16 times its weights.
    let reach: Vec<i32> = plain.layers[1]
        .1
        .chunks(20)
        .map(|weights| 16 * weights.iter().map(|w| w.abs()).sum::<i32>())
        .collect();
    for other in [
        window::<Chunks<2>>(&plain),
        window::<Chunks<3>>(&plain),
        window::<Whole>(&plain),
    ] {
        assert_ne!(frames[0], other.0[0], "the greeting names the window");
        for (ours, theirs) in activations.iter().zip(&other.1) {
            assert!((ours - theirs).abs() <= 1);
        }
        for ((ours, theirs), reach) in logits.iter().zip(&other.2).zip(&reach) {
            assert!((ours - theirs).abs() <= *reach);
        }
    }
    let expected = plain.y(0, &[Image::random(1).pixels]);
    for (y, got) in expected.iter().zip(&activations) {
        assert!((got - (y >> SHIFT).max(0) as i32).abs() <= 1);
    }
}
