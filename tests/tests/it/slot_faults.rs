//! Wrong peers in slot packing: what `faults.rs` asks of the segment client, for the frames that are
//! new or of another size.

use std::sync::LazyLock;

use stria_core::Error;
use stria_core::packing::Packing;
use stria_core::protocol::frame::{HEADER, Kind};
use stria_core::protocol::linear::slot::{MAX_ROTATIONS, Slots};
use stria_core::rlwe::galois::{Element, ROW};
use stria_core::rlwe::ring::ring8192::N;
use stria_tests::damage::damage_at;
use stria_tests::frames::frame;
use stria_tests::replay::{Party, Recording, Side};

use super::faults::tampered_in;

/// Frames of the slot public key: its seed and four limbs.
const KEY: usize = 1 + 4 * 32;
/// Frames of a Galois key.
const GALOIS: usize = 1 + 20 * 32;

/// Where the first key of the set-up starts among the client's frames, and how many Galois keys
/// there are.
fn keys() -> (usize, usize) {
    static KEYS: LazyLock<(usize, usize)> = LazyLock::new(|| {
        let recording = Recording::slots();
        let begin = recording.places(Side::Server, Kind::Begin)[0];
        let list = recording.places(Side::Client, Kind::Rotations);
        let count = (recording.down[list[0]].len() - HEADER) / 2;
        assert!(list.len() == 1 && count > 0);
        (begin - KEY - count * GALOIS, count)
    });
    *KEYS
}

#[test]
fn the_server_names_what_is_wrong_with_a_frame() {
    let (first, count) = keys();
    let begin = first + KEY + count * GALOIS;
    let recording = Recording::slots();
    for place in [first, first + KEY, begin - GALOIS] {
        damage_at(recording, Side::Server, Kind::Seed, place);
        damage_at(recording, Side::Server, Kind::Limb, place + 1);
    }
    for place in [first + KEY - 1, first + KEY + 33, begin - 1] {
        damage_at(recording, Side::Server, Kind::Limb, place);
    }
    // The first ciphertext of the first layer.
    damage_at(recording, Side::Server, Kind::Begin, begin);
    damage_at(recording, Side::Server, Kind::Seed, begin + 1);
    damage_at(recording, Side::Server, Kind::Limb, begin + 2);
    damage_at(recording, Side::Server, Kind::Limb, begin + KEY);
}

#[test]
fn the_client_names_what_is_wrong_with_a_frame() {
    let recording = Recording::slots();
    let list = recording.places(Side::Client, Kind::Rotations)[0];
    damage_at(recording, Side::Client, Kind::Rotations, list);
    for kind in [Kind::ResponseC1, Kind::ResponseC0] {
        let layer = recording.places(Side::Client, Kind::Layer)[0];
        let of_layer = recording.down.iter().enumerate().skip(layer);
        let places: Vec<usize> = of_layer
            .filter(|(_, frame)| frame[0] == kind as u8)
            .map(|(i, _)| i)
            .collect();
        // One response of 32 frames each for each of both layers.
        assert_eq!(places.len(), 64);
        for place in [places[0], places[31], places[63]] {
            damage_at(recording, Side::Client, kind, place);
        }
    }
}

/// A client that waits for the list of keys.
fn waiting() -> Party<Slots> {
    let recording = Recording::slots();
    let list = recording.places(Side::Client, Kind::Rotations)[0];
    recording.party(Side::Client, list)
}

fn list(elements: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let bytes: Vec<u8> = elements.into_iter().flat_map(u16::to_le_bytes).collect();
    frame(Kind::Rotations, &bytes)
}

#[test]
fn only_bounded_lists_of_moves_are_taken() {
    let malformed = Err(Error::Malformed("list of rotations"));
    for elements in [
        &[1][..],
        &[0],
        &[2],
        &[4, 5],
        &[3, 3],
        &[5, 3],
        &[3, 2 * N as u16],
        &[2 * N as u16 + 1],
        &[u16::MAX],
    ] {
        let mut client = waiting();
        assert_eq!(client.take(&list(elements.iter().copied())), malformed);
        client.assert_dead();
    }
    let odd = frame(Kind::Rotations, &[3, 0, 5]);
    assert_eq!(waiting().take(&odd), malformed);
    // As many as a frame holds, and none.
    let most = (1..=MAX_ROTATIONS as u16).map(|i| 2 * i + 1);
    let mut client = waiting();
    client.take(&list(most)).unwrap();
    for _ in 0..KEY + 1 {
        assert!(client.poll().unwrap().is_some() && !client.is_ready());
    }
    let mut client = waiting();
    client.take(&list([])).unwrap();
    for _ in 0..KEY {
        assert!(!client.is_ready());
        assert!(client.poll().unwrap().is_some());
    }
    assert!(client.is_ready());
    let last = Element::SWAP.value() as u16;
    waiting().take(&list([last])).unwrap();
    assert_eq!(Element::new(last), Some(Element::SWAP));
    assert_eq!(Element::rotation(ROW as i32), Element::IDENTITY);
}

/// A key that is valid and wrong changes the result, and nothing else can tell.
#[test]
fn other_valid_keys_change_the_result_only() {
    let (first, _) = keys();
    let honest = run_with(usize::MAX);
    for place in [first, first + 1, first + KEY, first + KEY + 1] {
        assert_ne!(run_with(place), honest, "frame {place}");
    }
}

/// The logits of a session in which one frame of the client is zeros.
fn run_with(zeros: usize) -> Vec<i32> {
    let (pair, image, result) = tampered_in::<Slots>(Packing::Slot, |up, i, frame| {
        if up && i == zeros {
            frame[HEADER..].fill(0);
        }
    });
    result.unwrap();
    assert!(pair.client.is_ready() && pair.server.is_ready());
    image.logits
}

/// After every frame: only at the end of the set-up and of the inference are both sides ready.
#[test]
fn both_are_ready_only_when_a_step_is_over() {
    let recording = Recording::slots();
    let begin = recording.places(Side::Server, Kind::Begin)[0];
    let mut server = recording.party(Side::Server, begin - 1);
    assert!(!server.is_ready());
    server.take(&recording.up[begin - 1]).unwrap();
    assert!(server.is_ready());
    let list = recording.places(Side::Client, Kind::Rotations)[0];
    assert_eq!(recording.down[list + 1][0], Kind::Layer as u8);
}
