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
    6,
    [
        "b712a384e873868bd893481c0320795ccc37ac6ee19a0ee51044b18d7cdfa1a3",
        "c1098964f4b8ed517c8b48025a30d88c3a36d5b48e5a38eddac7d7b9a9740250",
    ],
);
/// As [`RECORDED`], of a client that keeps its records.
const RECORDED_WHOLE: [&str; 2] = [
    "6f6f0c12218d9d6eb00b237bd8fd6b57848fd2b9dc0b173169f6568630191b31",
    "f28c73453cf256d72ad6c9e808e666b252cab20b94e79770f5cde62ef5540c59",
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
    "25eb8a732e9decf5e000709a656a3027d1ef53480ee2f851d10bb14519a5a132",
    "2c63dfd6a8904abe27943f27ef68b5481bfbaf79cfc201cc5cfd44d0cf2b6ec2",
];
const RECORDED_SLOT: [&str; 2] = [
    "7e77d123e1a95cf1d8049a168a2854be9af82900aee912f7a4958408b4703765",
    "f11b1a478f348bced3b1a20aa2dabd9a932eb53f8fe65ffaef5c4ccdae6c77e7",
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
