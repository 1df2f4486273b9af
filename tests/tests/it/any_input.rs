//! Parties in the middle of a session that get any layer and any bytes: they go on or end, and never
//! panic.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stria_core::Error;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool, Skip};
use stria_core::protocol::frame::{HEADER, Kind, MAX_PAYLOAD};
use stria_core::protocol::linear::ClientLinear;
use stria_tests::frames::{control, raw_frame};
use stria_tests::replay::{Recording, Side};

/// The same cases in every run.
fn repeatable(seed: u64, cases: u32) -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    }
}

/// Any description of a layer that fits its type, now and then one of the tiny network's shape.
fn any_layer() -> impl Strategy<Value = Layer> {
    let numbers = (
        prop::array::uniform5(0u8..9),
        prop::array::uniform2(0u16..40),
        prop::array::uniform3(any::<u16>()),
    );
    let sizes = (0u16..3, 0u16..40, 0u16..40, 0u16..20);
    let skip = prop::option::of((0u16..3, any::<u32>()));
    let parts = (any::<[bool; 4]>(), numbers, sizes, skip);
    parts.prop_map(|(flags, (small, channels, large), sizes, skip)| {
        let [side, stride, padding, groups, shuffle] = small;
        let (input, in_side, repeat, tile) = sizes;
        Layer {
            input,
            stride,
            padding,
            repeat,
            tile,
            in_side: if flags[3] { large[0] } else { in_side },
            in_channels: if flags[0] { 2 } else { channels[0] },
            out_channels: if flags[3] { large[1] } else { channels[1] },
            pool: match (flags[1], shuffle % 2) {
                (false, _) => Pool::None,
                (true, 0) => Pool::Map,
                (true, _) => Pool::Window(stride),
            },
            shuffle: shuffle.into(),
            groups: if flags[3] { large[2] } else { groups.into() },
            kernel: if flags[2] {
                Kernel::Cross
            } else {
                Kernel::Square(side)
            },
            skip: skip.map(|(tensor, factor)| Skip { tensor, factor }),
            activation: Activation::Relu,
        }
    })
}

/// Gives a client any first layer: it goes on, or names the layer and ends.
fn takes_or_names<L: ClientLinear>(recording: &Recording<L>, layer: &Layer) {
    let place = recording.places(Side::Client, Kind::Layer)[0];
    let mut client = recording.party(Side::Client, place);
    match client.take(&control(Kind::Layer, layer)) {
        Ok(()) => assert!(client.poll().unwrap().is_some()),
        Err(error) => {
            assert!(matches!(error, Error::Layer { index: 0, .. }), "{error:?}");
            client.assert_dead();
        }
    }
}

/// Frames of any bytes: (kind, payload, what the frame is made of).
fn any_frames() -> impl Strategy<Value = Vec<(u8, Vec<u8>, u8)>> {
    let payload = prop::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD + 2);
    prop::collection::vec((any::<u8>(), payload, 0..4u8), 1..8)
}

/// Feeds a party that has got `at` frames others than it awaits.
fn takes_or_dies<L: ClientLinear>(
    recording: &Recording<L>,
    side: Side,
    at: usize,
    frames: &[(u8, Vec<u8>, u8)],
) {
    let all = recording.frames(side);
    let mut party = recording.party(side, at);
    for (i, (kind, payload, form)) in frames.iter().enumerate() {
        let template = &all[(at + i).min(all.len() - 1)];
        // The right kind and length, only the right kind, any frame, any bytes.
        let bytes = match form {
            0 => {
                let filling = payload.iter().copied().chain(std::iter::repeat(*kind));
                let filled: Vec<u8> = filling.take(template.len() - HEADER).collect();
                raw_frame(template[0], &filled)
            }
            1 => raw_frame(template[0], payload),
            2 => raw_frame(*kind, payload),
            _ => payload.clone(),
        };
        let _ = party.take(&bytes).and_then(|()| party.settle());
        if party.is_closed() {
            party.assert_dead();
        }
    }
}

/// Either side.
fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Server)]
}

proptest! {
    #![proptest_config(repeatable(1, 48))]

    #[test]
    fn no_layer_makes_a_client_of_segments_panic(layer in any_layer()) {
        takes_or_names(Recording::tiny(), &layer);
    }

    #[test]
    fn no_bytes_make_a_party_of_segments_panic(
        side in any_side(), at: prop::sample::Index, fresh: bool, frames in any_frames(),
    ) {
        let recording = Recording::tiny();
        let at = if fresh { 0 } else { at.index(recording.frames(side).len()) };
        takes_or_dies(recording, side, at, &frames);
    }
}

proptest! {
    #![proptest_config(repeatable(4, 32))]

    #[test]
    fn no_layer_makes_a_client_of_slots_panic(layer in any_layer()) {
        takes_or_names(Recording::slots(), &layer);
    }

    #[test]
    fn no_bytes_make_a_party_of_slots_panic(
        side in any_side(), at: prop::sample::Index, frames in any_frames(),
    ) {
        let recording = Recording::slots();
        takes_or_dies(recording, side, at.index(recording.frames(side).len()), &frames);
    }
}
