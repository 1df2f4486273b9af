//! Polynomials on their way, in any ring: the client's seeded ciphertexts and keys to the server, the
//! server's responses to the client.
//! `docs/design.md#parameters`: c0 limb by limb, coefficient domain; of a response c1 first, which
//! the client multiplies by its key in place.

use super::frame::{Frame, FrameBuf, Kind, write};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::packing::Layout;
use crate::random::{Kdf, Purpose, Seed};
use crate::rlwe::{Ring, SecretKey};

#[cfg(feature = "server")]
pub use server::{ReceiveUpload, SendResponse, response_bytes};

/// Coefficients of a frame.
pub const PIECE: usize = 256;

/// Frames of a polynomial.
const fn pieces<R: Ring>() -> usize {
    R::N / PIECE
}

/// The seeds of one upload.
pub struct UploadSeeds {
    /// Public: gives c1 of a ciphertext, or a of a key.
    pub a: Seed,
    /// Gives the errors.
    pub error: Seed,
}

impl UploadSeeds {
    /// Purposes of a ciphertext's seeds.
    pub const CIPHERTEXT: [Purpose; 2] = [Purpose::CiphertextA, Purpose::CiphertextError];
    /// Purposes of a public key's seeds.
    pub const PUBLIC_KEY: [Purpose; 2] = [Purpose::PublicKeyA, Purpose::PublicKeyError];
    /// Purposes of a Galois key's seeds.
    pub const GALOIS_KEY: [Purpose; 2] = [Purpose::GaloisKeyA, Purpose::GaloisKeyError];

    /// The seeds of the next upload, of which `uploads` counts all.
    pub fn next(kdf: &Kdf, uploads: &mut u64, [a, error]: [Purpose; 2]) -> Self {
        *uploads += 1;
        Self {
            a: kdf.seed(a, *uploads - 1),
            error: kdf.seed(error, *uploads - 1),
        }
    }
}

/// The client's side of an upload: a seed, then polynomials.
pub struct SendUpload {
    a: Seed,
    next: usize,
}

impl SendUpload {
    /// `a` becomes public, and belongs to this upload alone.
    pub fn new(a: Seed) -> Self {
        Self { a, next: 0 }
    }

    /// Writes the next frame; true with the last of `count` polynomials. `make` gives polynomial i,
    /// whose limb is i modulo the number of moduli, from the seed; `scratch` holds the one that is
    /// being sent.
    pub fn poll<R: Ring>(
        &mut self,
        count: usize,
        make: impl FnOnce(usize, &Seed, &mut R::Poly),
        scratch: &mut R::Poly,
        out: &mut FrameBuf,
    ) -> (usize, bool) {
        let Some(piece) = self.next.checked_sub(1) else {
            self.next = 1;
            let len = write(out, Kind::Seed, |payload| {
                payload[..32].copy_from_slice(&self.a.0);
                32
            });
            return (len, false);
        };
        let (poly, piece) = (piece / pieces::<R>(), piece % pieces::<R>());
        if piece == 0 {
            make(poly, &self.a, scratch);
        }
        self.next += 1;
        let values = &scratch.as_ref()[piece * PIECE..][..PIECE];
        let bits = R::BITS[poly % R::BITS.len()];
        let len = write(out, Kind::Limb, |payload| {
            pack(payload, bits, values.iter().copied())
        });
        (len, self.next == 1 + count * pieces::<R>())
    }
}

/// Which coefficients of a response's c0 are sent.
pub trait Returned {
    /// Number of them.
    fn count(&self) -> usize;
    /// The i-th.
    fn coefficient(&self, i: usize) -> usize;
}

impl<L: Layout> Returned for L {
    fn count(&self) -> usize {
        self.returned()
    }
    fn coefficient(&self, i: usize) -> usize {
        self.returned_coefficient(i)
    }
}

/// So many from the first on: all, in base transfers.
#[derive(Clone, Copy)]
pub struct Dense(pub usize);

impl Returned for Dense {
    fn count(&self) -> usize {
        self.0
    }
    fn coefficient(&self, i: usize) -> usize {
        i
    }
}

fn response_frames<R: Ring>(returned: &impl Returned) -> usize {
    pieces::<R>() + returned.count().div_ceil(PIECE)
}

/// The client's side of a response.
#[derive(Default)]
pub struct ReceiveResponse {
    next: usize,
}

impl ReceiveResponse {
    /// Takes the next frame; true with the last. Then `poly` holds the message: residues mod t at
    /// the coefficients that were sent, zeros elsewhere. Until then `poly` and `scratch` belong to
    /// the response.
    pub fn handle<R: Ring>(
        &mut self,
        frame: Frame<'_>,
        returned: &impl Returned,
        key: &SecretKey<R>,
        poly: &mut R::Poly,
        scratch: &mut R::Scratch,
    ) -> Result<bool, Error> {
        if let Some(values) = poly.as_mut().chunks_exact_mut(PIECE).nth(self.next) {
            let payload = frame.expect(Kind::ResponseC1)?;
            let kind = Kind::ResponseC1 as u8;
            unpack(kind, payload, R::C1_BITS, R::C1_BOUND, PIECE, |i, x| {
                values[i] = x
            })?;
            self.next += 1;
            if self.next == pieces::<R>() {
                key.multiply(poly, scratch);
            }
            return Ok(false);
        }
        let first = (self.next - pieces::<R>()) * PIECE;
        let count = returned.count().saturating_sub(first).min(PIECE);
        let payload = frame.expect(Kind::ResponseC0)?;
        let message = &mut scratch.as_mut()[0];
        let (c1_s, out) = (poly.as_ref(), message.as_mut());
        let kind = Kind::ResponseC0 as u8;
        unpack(kind, payload, R::C0_BITS, R::C0_BOUND, count, |i, c0| {
            let at = returned.coefficient(first + i);
            out[at] = R::decrypt_coefficient(c0, c1_s[at]);
        })?;
        self.next += 1;
        let last = self.next == response_frames::<R>(returned);
        if last {
            *poly = *message;
        }
        Ok(last)
    }
}

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::protocol::frame::{HEADER, MAX_FRAME, payload_len};
    use crate::rlwe::{Limbs, Response, zero_polys};
    use alloc::vec::Vec;

    /// What an upload brings: its seed and polynomials.
    pub type Received<R> = (Seed, Limbs<R>);

    /// The server's side of an upload: collects a seed and polynomials, coefficient domain.
    pub struct ReceiveUpload<R: Ring> {
        seed: Option<Seed>,
        /// So many in all; there is room for them once the seed has come.
        count: usize,
        polys: Limbs<R>,
        next: usize,
    }

    impl<R: Ring> ReceiveUpload<R> {
        /// Waits for the limbs of a ciphertext or public key.
        pub fn limbs() -> Self {
            Self::new(R::LIMBS)
        }

        /// Waits for so many polynomials.
        pub fn new(count: usize) -> Self {
            Self {
                seed: None,
                count,
                polys: zero_polys::<R>(0),
                next: 0,
            }
        }

        /// Takes the next frame; seed and polynomials with the last, after which another upload of
        /// the kind may come. Refuses residues at or above their modulus.
        pub fn handle(&mut self, frame: Frame<'_>) -> Result<Option<Received<R>>, Error> {
            if self.seed.is_none() {
                self.seed = Some(Seed(*frame.expect_array::<32>(Kind::Seed)?));
                self.polys = zero_polys::<R>(self.count);
                return Ok(None);
            }
            let (poly, piece) = (self.next / pieces::<R>(), self.next % pieces::<R>());
            let limb = poly % R::MODULI.len();
            let values = &mut self.polys[poly].as_mut()[piece * PIECE..][..PIECE];
            let payload = frame.expect(Kind::Limb)?;
            let (kind, bound) = (Kind::Limb as u8, R::MODULI[limb].value());
            unpack(kind, payload, R::BITS[limb], bound, PIECE, |i, x| {
                values[i] = x
            })?;
            self.next += 1;
            let count = self.count;
            if self.next < count * pieces::<R>() {
                return Ok(None);
            }
            let Self { seed, polys, .. } = core::mem::replace(self, Self::new(count));
            Ok(seed.map(|seed| (seed, polys)))
        }
    }

    /// Bytes of a response's frames.
    pub fn response_bytes<R: Ring>(returned: &impl Returned) -> usize {
        response_frames::<R>(returned) * HEADER + R::response_bytes(returned.count())
    }

    /// The server's side of a response: the frames that are not sent yet.
    pub struct SendResponse {
        frames: Vec<u8>,
        sent: usize,
    }

    impl SendResponse {
        /// All frames of a response.
        pub fn new<R: Ring>(response: &Response<R>, returned: &impl Returned) -> Self {
            let mut frames = Vec::with_capacity(response_bytes::<R>(returned));
            let mut out = [0; MAX_FRAME];
            for piece in response.c1().as_ref().chunks_exact(PIECE) {
                let len = write(&mut out, Kind::ResponseC1, |payload| {
                    pack(payload, R::C1_BITS, piece.iter().copied())
                });
                frames.extend_from_slice(&out[..len]);
            }
            let c0 = response.c0().as_ref();
            for first in (0..returned.count()).step_by(PIECE) {
                let range = first..(first + PIECE).min(returned.count());
                let len = write(&mut out, Kind::ResponseC0, |payload| {
                    let values = range.map(|i| c0[returned.coefficient(i)]);
                    pack(payload, R::C0_BITS, values)
                });
                frames.extend_from_slice(&out[..len]);
            }
            Self { frames, sent: 0 }
        }

        /// Writes the next frame; none after the last.
        pub fn poll(&mut self, out: &mut FrameBuf) -> Option<usize> {
            let rest = &self.frames[self.sent..];
            let len = HEADER + payload_len(rest.first_chunk()?).ok()?;
            out[..len].copy_from_slice(rest.get(..len)?);
            self.sent += len;
            Some(len)
        }
    }
}
