//! Records that the server keeps for a client without room for them: sealed, so that it can neither
//! read nor change, swap or replay them. `docs/design.md#records`.
//!
//! ChaCha8-Poly1305, with the rounds of all streams here and a key of one inference; the nonce is the records' place in it, which no
//! other records of the inference have.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha8Poly1305, Tag};

use super::greeting::{LayersHash, VERSION};
use crate::Error;
use crate::random::{Seed, SessionId};

/// Bytes of a tag.
pub const TAG: usize = 16;

/// Whose records are sealed, and where they belong.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The session, whose name is a hash of all that the parties agreed on.
    pub session: SessionId,
    /// Hash of the descriptions of all layers up to this one: a server that tells other layers when
    /// it answers than it told before would have records answered as another layer's.
    pub layers: LayersHash,
    /// Number of the inference in the session.
    pub inference: u64,
    /// Number of the chunk in the inference.
    pub chunk: u64,
    /// Number of the frame in the chunk.
    pub piece: u16,
    /// Records in the frame.
    pub count: u16,
}

impl Place {
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = [0; 12];
        let (chunk, piece) = nonce.split_at_mut(8);
        chunk.copy_from_slice(&self.chunk.to_le_bytes());
        piece[..2].copy_from_slice(&self.piece.to_le_bytes());
        nonce
    }

    fn associated(&self) -> [u8; 86] {
        let mut data = [0; 86];
        let mut rest = &mut data[..];
        let mut put = |bytes: &[u8]| {
            let (head, tail) = core::mem::take(&mut rest).split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            rest = tail;
        };
        put(&VERSION.to_le_bytes());
        put(&self.session.0);
        put(&self.layers.0);
        put(&self.inference.to_le_bytes());
        put(&self.chunk.to_le_bytes());
        put(&self.piece.to_le_bytes());
        put(&self.count.to_le_bytes());
        data
    }
}

/// Encrypts packed records in place and gives their tag. `key` is that of the place's inference.
pub fn seal(key: &Seed, place: &Place, records: &mut [u8]) -> Result<[u8; TAG], Error> {
    seal_at(key, place.nonce(), &place.associated(), records)
}

/// Decrypts in place what [`seal`] made. The error says that it, or its place, is another.
pub fn open(key: &Seed, place: &Place, records: &mut [u8], tag: &[u8; TAG]) -> Result<(), Error> {
    open_at(key, place.nonce(), &place.associated(), records, tag)
}

/// Encrypts in place the only message of a key, bound to `associated`, and gives its tag.
pub fn seal_alone(key: &Seed, associated: &[u8], message: &mut [u8]) -> Result<[u8; TAG], Error> {
    seal_at(key, [0; 12], associated, message)
}

/// Decrypts in place what [`seal_alone`] made. The error says that it, or what it is bound to, is
/// another.
pub fn open_alone(
    key: &Seed,
    associated: &[u8],
    message: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Error> {
    open_at(key, [0; 12], associated, message, tag)
}

fn seal_at(key: &Seed, nonce: [u8; 12], data: &[u8], bytes: &mut [u8]) -> Result<[u8; TAG], Error> {
    let cipher = ChaCha8Poly1305::new((&key.0).into());
    let tag = cipher.encrypt_inout_detached(&nonce.into(), data, InOutBuf::from(bytes));
    tag.map(Into::into)
        .map_err(|_| Error::Internal("records too long to seal"))
}

fn open_at(
    key: &Seed,
    nonce: [u8; 12],
    data: &[u8],
    bytes: &mut [u8],
    tag: &[u8; TAG],
) -> Result<(), Error> {
    let cipher = ChaCha8Poly1305::new((&key.0).into());
    let bytes = InOutBuf::from(bytes);
    cipher
        .decrypt_inout_detached(&nonce.into(), data, bytes, &Tag::from(*tag))
        .map_err(|_| Error::RecordsChanged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        session: SessionId([7; 32]),
        layers: LayersHash([9; 32]),
        inference: 3,
        chunk: 4,
        piece: 1,
        count: 64,
    };

    #[test]
    fn records_come_back_from_their_place_alone() {
        let (key, plain) = (Seed([1; 32]), [5u8; 100]);
        let mut sealed = plain;
        let tag = seal(&key, &PLACE, &mut sealed).unwrap();
        assert_ne!(sealed, plain);
        let opened = |key: &Seed, place: &Place, mut bytes: [u8; 100], tag| {
            open(key, place, &mut bytes, &tag).map(|()| bytes)
        };
        assert_eq!(opened(&key, &PLACE, sealed, tag), Ok(plain));
        let (mut changed, mut other_tag) = (sealed, tag);
        changed[99] ^= 1;
        other_tag[0] ^= 1;
        let refused = Err(Error::RecordsChanged);
        assert_eq!(opened(&key, &PLACE, changed, tag), refused);
        assert_eq!(opened(&key, &PLACE, sealed, other_tag), refused);
        assert_eq!(opened(&Seed([2; 32]), &PLACE, sealed, tag), refused);
        let (session, layers) = (SessionId([8; 32]), LayersHash([8; 32]));
        for place in [
            Place { session, ..PLACE },
            Place { layers, ..PLACE },
            Place {
                inference: 2,
                ..PLACE
            },
            Place { chunk: 5, ..PLACE },
            Place { piece: 0, ..PLACE },
            Place { count: 63, ..PLACE },
        ] {
            assert_eq!(opened(&key, &place, sealed, tag), refused, "{place:?}");
        }
    }

    /// A nonce that seals twice shows the difference of what it seals; every frame has its own.
    #[test]
    fn a_place_seals_once() {
        let key = Seed([1; 32]);
        let sealed = |place: &Place, mut bytes: [u8; 100]| {
            seal(&key, place, &mut bytes).unwrap();
            bytes
        };
        let difference = |place: &Place| -> [u8; 100] {
            let (one, other) = (sealed(&PLACE, [0; 100]), sealed(place, [3; 100]));
            core::array::from_fn(|i| one[i] ^ other[i])
        };
        assert_eq!(difference(&PLACE), [3; 100]);
        for place in [Place { chunk: 5, ..PLACE }, Place { piece: 2, ..PLACE }] {
            let same = difference(&place).iter().filter(|x| **x == 3).count();
            assert!(same < 8, "{place:?}");
        }
    }
}
