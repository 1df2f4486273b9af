//! Each party alone in the middle of a recorded session, with a peer that sends whatever it likes.

use stria_tests::damage::{FROM_CLIENT, FROM_SERVER};
use stria_tests::frames::raw_frame;
use stria_tests::replay::Recording;

use crate::input::Input;
use crate::prelude::*;
use crate::session::assert_of_peer;

pub use stria_tests::replay::Side;

/// Kinds that a byte of the input chooses from.
pub(super) const KINDS: usize = FROM_CLIENT.len() + FROM_SERVER.len();

/// Brings the party to a place of a session with the tiny network, and feeds it frames that are
/// wrong in some way. It takes them or ends; once it has ended it stays so.
pub fn run(side: Side, bytes: &[u8]) {
    let recording = Recording::tiny();
    let all = recording.frames(side);
    let mut input = Input(bytes);
    let (kind, nth) = (usize::from(input.byte()), usize::from(input.byte()));
    let place_of = |kind: &Kind| recording.places(side, *kind);
    let mut kinds = FROM_CLIENT.iter().chain(&FROM_SERVER);
    // In front of the first, second or last frame of a kind.
    let places = kinds.nth(kind % KINDS).map(place_of).unwrap_or_default();
    let place = places.get(nth % 3).copied().unwrap_or(0);
    let mut party = recording.party(side, place);
    for honest in &all[place..] {
        if input.is_empty() {
            return;
        }
        let (form, piece) = (input.byte(), input.piece());
        let payload = &honest[HEADER..];
        let bytes = match form % 6 {
            // As it should be.
            0 => honest.clone(),
            // Right kind and length, other content.
            1 => {
                let filled = piece
                    .iter()
                    .chain(payload.get(piece.len()..).unwrap_or_default());
                let filled: Vec<u8> = filled.copied().take(payload.len()).collect();
                raw_frame(honest[0], &filled)
            }
            // The right content but for one byte.
            2 => {
                let mut bytes = honest.clone();
                if let [low, high, change, ..] = *piece {
                    let at = usize::from(u16::from_le_bytes([low, high])) % bytes.len();
                    bytes[at] ^= change;
                }
                bytes
            }
            3 => raw_frame(honest[0], piece),
            4 => match piece.split_first() {
                Some((kind, payload)) => raw_frame(*kind, payload),
                None => vec![],
            },
            _ => piece.to_vec(),
        };
        if let Err(error) = party.take(&bytes).and_then(|()| party.settle()) {
            assert_of_peer(&error);
            // What is no frame does not get as far as the party.
            if Frame::new_checked(&bytes).is_ok() {
                party.assert_dead();
            }
            return;
        }
    }
}
