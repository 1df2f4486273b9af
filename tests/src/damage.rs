//! A wrong peer, frame by frame: every kind of frame with every damage, and the error that names it.

use stria_core::Error;
use stria_core::PeerError;
use stria_core::arith::field::T;
use stria_core::protocol::frame::{HEADER, Kind, MAX_FRAME};
use stria_core::protocol::linear::ClientLinear;
use stria_core::rlwe::ring::ring4096::Q;
use stria_core::rlwe::ring::ring8192;
use stria_core::rlwe::{Ring, Ring4096};

use crate::frames::{failure, frame, raw_frame};
use crate::replay::{Recording, Side};

/// Kinds that a client of segments sends, where every layer but the last has a ReLU.
pub const FROM_CLIENT: [Kind; 11] = [
    Kind::Hello,
    Kind::Seed,
    Kind::Limb,
    Kind::BaseMessages,
    Kind::Begin,
    Kind::Residues,
    Kind::ForwardCorrection,
    Kind::Records,
    Kind::Image,
    Kind::Replies,
    Kind::Bye,
];
/// Kinds that its server sends.
pub const FROM_SERVER: [Kind; 11] = [
    Kind::Welcome,
    Kind::Label,
    Kind::ResponseC1,
    Kind::ResponseC0,
    Kind::BaseMessages,
    Kind::Layer,
    Kind::ReverseCorrection,
    Kind::Records,
    Kind::Prepared,
    Kind::Answers,
    Kind::Logits,
];

/// What a wrong peer does to a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Its payload lacks the last byte.
    Shorter,
    /// It has no payload.
    Empty,
    /// Its payload has a byte more.
    Longer,
    /// It is of another kind.
    OtherKind,
    /// It is one that ends the session.
    Failure,
    /// The first residue is its modulus.
    Modulus,
    /// All bits of its payload are 1.
    Ones,
    /// A bit of its padding is 1.
    Padding,
}

/// All of them.
pub const DAMAGES: [Damage; 8] = [
    Damage::Shorter,
    Damage::Empty,
    Damage::Longer,
    Damage::OtherKind,
    Damage::Failure,
    Damage::Modulus,
    Damage::Ones,
    Damage::Padding,
];

/// What a kind's payload is.
enum Carries {
    Nothing,
    Control,
    Name,
    /// Bytes of any value.
    Bytes,
    Hashes,
    /// Bytes of any value, and a residue that starts in the middle of a byte.
    Answers,
    /// Odd exponents in rising order; none is a valid list.
    Elements,
    /// Residues of this modulus, which start behind `skip` bytes.
    Residues {
        modulus: u32,
        skip: usize,
    },
}

/// `earlier` frames of the kind came before.
fn carries(kind: Kind, earlier: usize, length: usize) -> Carries {
    let residues = |modulus| Carries::Residues { modulus, skip: 0 };
    match (kind, length) {
        // Of slot packing: 256 numbers of 30, 32 and 26 bits. The special prime is the largest.
        (Kind::Limb, 960) => return residues(ring8192::Q[ring8192::SPECIAL]),
        (Kind::ResponseC1, 1024) | (Kind::ResponseC0, 832) => return Carries::Bytes,
        _ => {}
    }
    match kind {
        Kind::Rotations => Carries::Elements,
        Kind::Hello | Kind::Welcome | Kind::Layer | Kind::Redeem => Carries::Control,
        Kind::Label => Carries::Name,
        Kind::Limb => residues(Q[earlier / 16 % 4]),
        Kind::ResponseC1 => residues(Q[0]),
        Kind::ResponseC0 => residues(Ring4096::C0_BOUND),
        Kind::Residues | Kind::Reshare | Kind::Image | Kind::Logits => residues(T),
        // 1 and 23 bits an activation, each rounded up to bytes.
        Kind::Replies => Carries::Residues {
            modulus: T,
            skip: length.div_ceil(24),
        },
        Kind::Answers => Carries::Answers,
        // Only the server's have confirmations.
        Kind::BaseMessages if length == 512 => Carries::Bytes,
        Kind::BaseMessages => Carries::Hashes,
        Kind::Begin | Kind::Prepared | Kind::Redeemed | Kind::Bye | Kind::Fail => Carries::Nothing,
        // Whoever keeps records cannot read them; their owner notices all that is not as it was.
        Kind::Seed | Kind::ForwardCorrection | Kind::ReverseCorrection | Kind::Records => {
            Carries::Bytes
        }
    }
}

/// Whether `error` is the one that names the damage.
pub type Names = fn(&Error) -> bool;

const LENGTH: Names = |e| matches!(e, Error::FrameLength { .. });
const MALFORMED: Names = |e| matches!(e, Error::Malformed(_));
const UNEXPECTED: Names = |e| matches!(e, Error::UnexpectedFrame { .. });
const TOO_LARGE: Names = |e| matches!(e, Error::ResidueTooLarge { .. });

/// The frame with the damage, and the error that names it; none where the damage cannot be done
/// to such a frame, or makes another valid one of it. `earlier` frames of the kind came before.
pub fn damaged(
    original: &[u8],
    kind: Kind,
    earlier: usize,
    damage: Damage,
) -> Option<(Vec<u8>, Names)> {
    let payload = &original[HEADER..];
    let carries = carries(kind, earlier, payload.len());
    let with = |payload: &[u8]| frame(kind, payload);
    let wrong_length = match carries {
        Carries::Control | Carries::Name | Carries::Elements => MALFORMED,
        // Empty, or a deposit.
        Carries::Nothing if kind == Kind::Begin => MALFORMED,
        _ => LENGTH,
    };
    Some(match damage {
        Damage::Shorter | Damage::Empty => {
            // A name may have any length, and a list none.
            let elements = matches!(carries, Carries::Elements) && damage == Damage::Empty;
            if payload.is_empty() || matches!(carries, Carries::Name) || elements {
                return None;
            }
            let kept = if damage == Damage::Empty {
                0
            } else {
                payload.len() - 1
            };
            (with(&payload[..kept]), wrong_length)
        }
        Damage::Longer => (with(&[payload, &[0xff]].concat()), wrong_length),
        Damage::OtherKind => (raw_frame(kind as u8 % 19 + 1, payload), UNEXPECTED),
        Damage::Failure => {
            let peer: Names = |e| *e == Error::Peer(PeerError::Closing);
            (failure(PeerError::Closing), peer)
        }
        Damage::Modulus => {
            let Carries::Residues { modulus, skip } = carries else {
                return None;
            };
            let mut payload = payload.to_vec();
            // Moduli have at least 23 bits: the fourth byte also holds bits of the next residue.
            let bits = u32::BITS - modulus.leading_zeros();
            let first = payload[skip..].first_chunk_mut::<4>()?;
            let word = u32::from_le_bytes(*first) >> bits << bits | modulus;
            *first = word.to_le_bytes();
            (with(&payload), TOO_LARGE)
        }
        Damage::Ones => {
            let names: Names = match carries {
                Carries::Control | Carries::Name | Carries::Elements => MALFORMED,
                Carries::Hashes => |e| *e == Error::BaseTransferMismatch,
                Carries::Residues { .. } | Carries::Answers => TOO_LARGE,
                Carries::Nothing | Carries::Bytes => return None,
            };
            (with(&vec![0xff; payload.len()]), names)
        }
        Damage::Padding => {
            // Of all frames only the logits' have padding here: 5 x 23 bits in 15 bytes.
            if kind != Kind::Logits {
                return None;
            }
            let mut payload = payload.to_vec();
            *payload.last_mut().unwrap() |= 0x80;
            (with(&payload), |e| *e == Error::DirtyPadding)
        }
    })
}

/// Every kind of frame at its first, second and last occurrence, with every damage.
pub fn damage_all<L: ClientLinear>(recording: &Recording<L>, side: Side, kinds: &[Kind]) {
    for &kind in kinds {
        let places = recording.places(side, kind);
        assert!(!places.is_empty(), "{kind:?} does not occur");
        for place in places {
            damage_at(recording, side, kind, place);
        }
    }
}

/// One frame, with every damage.
pub fn damage_at<L: ClientLinear>(recording: &Recording<L>, side: Side, kind: Kind, place: usize) {
    let frames = recording.frames(side);
    assert_eq!(frames[place][0], kind as u8);
    let earlier = frames[..place].iter();
    let earlier = earlier.filter(|frame| frame[0] == kind as u8).count();
    for damage in DAMAGES {
        let Some((bytes, names)) = damaged(&frames[place], kind, earlier, damage) else {
            continue;
        };
        let mut party = recording.party(side, place);
        assert!(!party.is_ready() || side == Side::Server);
        let error = party.take(&bytes).unwrap_err();
        let context = format!("{kind:?} at {place}, {damage:?}: {error:?}");
        assert!(names(&error), "{context}");
        // A frame beyond the limit does not get as far as the party.
        if bytes.len() <= MAX_FRAME {
            party.assert_dead();
        }
    }
}
