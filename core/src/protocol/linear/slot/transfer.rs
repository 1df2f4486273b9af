//! Ciphertexts and keys of slot packing on their way: N = 8192, 256 coefficients a frame.
//! DESIGN section 3 for the order; [`crate::packing::slot::params`] for the sizes.

use super::super::UploadSeeds;
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::packing::slot::encoding::decode;
use crate::packing::slot::galois::Element;
use crate::packing::slot::params::{C0_BITS, KEY_LIMBS, LIMBS, N, Poly, Q_BITS};
use crate::packing::slot::rlwe::{
    Expansion, SecretKey, decrypt_coefficient, encrypt_limb, galois_key_limb, multiply_key,
};
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::upload::PIECE;

#[cfg(feature = "server")]
pub use server::{ReceiveUpload, SendDownload, limbs};

/// Frames of a polynomial.
const PIECES: usize = N / PIECE;

/// What an upload carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Object {
    /// A ciphertext.
    Ciphertext,
    /// The public key.
    PublicKey,
    /// The key of an automorphism.
    GaloisKey(Element),
}

impl Object {
    /// Polynomials that follow the seed.
    fn polys(self) -> usize {
        match self {
            Self::Ciphertext | Self::PublicKey => LIMBS,
            Self::GaloisKey(_) => LIMBS * KEY_LIMBS,
        }
    }

    /// Digit (of a Galois key) and limb of polynomial `i`.
    fn part(self, i: usize) -> (usize, usize) {
        match self {
            Self::Ciphertext | Self::PublicKey => (0, i),
            Self::GaloisKey(_) => (i / KEY_LIMBS, i % KEY_LIMBS),
        }
    }
}

/// The client's side of an upload: a seed, then all polynomials, coefficient domain.
pub struct SendUpload {
    object: Object,
    seeds: UploadSeeds,
    next: usize,
}

impl SendUpload {
    /// The seeds belong to this upload alone.
    pub fn new(object: Object, seeds: UploadSeeds) -> Self {
        Self {
            object,
            seeds,
            next: 0,
        }
    }

    /// Writes the next frame; true with the last. `message`, with its errors (zeros and errors for
    /// the public key, not read for a Galois key), must stay the same until the end, and `scratch`
    /// untouched: it holds the polynomial that is being sent.
    pub fn poll(
        &mut self,
        key: &SecretKey,
        message: &Poly,
        scratch: &mut Poly,
        out: &mut FrameBuf,
    ) -> (usize, bool) {
        let UploadSeeds { a, error } = &self.seeds;
        let Some(piece) = self.next.checked_sub(1) else {
            self.next = 1;
            let len = write(out, Kind::Seed, |payload| {
                payload[..32].copy_from_slice(&a.0);
                32
            });
            return (len, false);
        };
        let (poly, piece) = (piece / PIECES, piece % PIECES);
        if piece == 0 {
            let (digit, limb) = self.object.part(poly);
            let encrypt = |expansion, out: &mut Poly| {
                encrypt_limb(key, limb, message, (a, expansion), out);
            };
            match self.object {
                Object::Ciphertext => encrypt(Expansion::Ciphertext, scratch),
                Object::PublicKey => encrypt(Expansion::PublicKey, scratch),
                Object::GaloisKey(element) => {
                    galois_key_limb(key, element, (digit, limb), a, error, scratch);
                }
            }
        }
        self.next += 1;
        let values = &scratch[piece * PIECE..][..PIECE];
        let len = write(out, Kind::Limb, |payload| {
            pack(payload, Q_BITS, values.iter().copied())
        });
        (len, self.next == 1 + self.object.polys() * PIECES)
    }
}

/// The client's side of a response: c1 as words, then c0 without its dropped bits.
#[derive(Default)]
pub struct ReceiveDownload {
    next: usize,
}

impl ReceiveDownload {
    /// Takes the next frame; true with the last. Then `slots` holds the message's slots, residues
    /// mod t. Until then all three polynomials belong to the download.
    pub fn handle(
        &mut self,
        frame: Frame<'_>,
        key: &SecretKey,
        [poly, scratch, slots]: [&mut Poly; 3],
    ) -> Result<bool, Error> {
        let piece = self.next % PIECES;
        let values = &mut poly[piece * PIECE..][..PIECE];
        if self.next < PIECES {
            let payload: &[u8; 4 * PIECE] = frame.expect_array(Kind::ResponseC1)?;
            for (x, bytes) in values.iter_mut().zip(payload.as_chunks().0) {
                *x = u32::from_le_bytes(*bytes);
            }
            self.next += 1;
            if self.next == PIECES {
                multiply_key(key, poly, scratch, slots);
            }
            return Ok(false);
        }
        let payload = frame.expect(Kind::ResponseC0)?;
        let kind = Kind::ResponseC0 as u8;
        unpack(kind, payload, C0_BITS, 1 << C0_BITS, PIECE, |i, c0| {
            values[i] = decrypt_coefficient(c0, values[i]);
        })?;
        self.next += 1;
        let last = self.next == 2 * PIECES;
        if last {
            decode(poly, slots);
        }
        Ok(last)
    }
}

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::packing::slot::params::{ANSWER_BITS, Q};
    use crate::packing::slot::privacy::Response;
    use crate::random::Seed;
    use crate::rlwe::ciphertext::zero_polys;
    use alloc::boxed::Box;
    use alloc::vec;

    /// What an upload brings: its seed and polynomials.
    pub type Received = (Seed, Box<[Poly]>);

    /// The server's side of an upload: collects a seed and all polynomials.
    pub struct ReceiveUpload {
        object: Object,
        seed: Option<Seed>,
        polys: Box<[Poly]>,
        next: usize,
    }

    impl ReceiveUpload {
        /// Nothing received yet.
        pub fn new(object: Object) -> Self {
            Self {
                object,
                seed: None,
                polys: vec![[0; N]; object.polys()].into(),
                next: 0,
            }
        }

        /// What is being received.
        pub fn object(&self) -> Object {
            self.object
        }

        /// Takes the next frame; seed and polynomials with the last. Refuses residues at or above
        /// their modulus.
        pub fn handle(&mut self, frame: Frame<'_>) -> Result<Option<Received>, Error> {
            if self.seed.is_none() {
                self.seed = Some(Seed(*frame.expect_array::<32>(Kind::Seed)?));
                return Ok(None);
            }
            let (poly, piece) = (self.next / PIECES, self.next % PIECES);
            let (_, limb) = self.object.part(poly);
            let values = &mut self.polys[poly][piece * PIECE..][..PIECE];
            let payload = frame.expect(Kind::Limb)?;
            let kind = Kind::Limb as u8;
            unpack(kind, payload, Q_BITS, Q[limb], PIECE, |i, x| values[i] = x)?;
            self.next += 1;
            if self.next < self.object.polys() * PIECES {
                return Ok(None);
            }
            let Self { seed, polys, .. } = core::mem::replace(self, Self::new(self.object));
            Ok(seed.map(|seed| (seed, polys)))
        }
    }

    /// The first of the received polynomials, as limbs.
    pub fn limbs<const L: usize>(polys: &[Poly]) -> Box<[Poly; L]> {
        let mut limbs: Box<[Poly; L]> = zero_polys();
        for (limb, poly) in limbs.iter_mut().zip(polys) {
            *limb = *poly;
        }
        limbs
    }

    /// The server's side of a response.
    #[derive(Default)]
    pub struct SendDownload {
        next: usize,
    }

    impl SendDownload {
        /// Writes the next frame; none after the last.
        pub fn poll(&mut self, response: &Response, out: &mut FrameBuf) -> Option<usize> {
            let (kind, poly, bits) = match self.next / PIECES {
                0 => (Kind::ResponseC1, &response.c1, ANSWER_BITS),
                1 => (Kind::ResponseC0, &response.c0, C0_BITS),
                _ => return None,
            };
            let values = &poly[self.next % PIECES * PIECE..][..PIECE];
            self.next += 1;
            Some(write(out, kind, |payload| {
                pack(payload, bits, values.iter().copied())
            }))
        }
    }
}
