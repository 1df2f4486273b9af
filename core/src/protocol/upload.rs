//! Client to server: a seeded ciphertext or public key, limb by limb.
//! DESIGN section 3; 32 + 4096 x 106 / 8 bytes of payload in 65 frames.

#[cfg(feature = "server")]
use super::frame::Frame;
use super::frame::{FrameBuf, Kind, write};
use crate::arith::bits::pack;
use crate::arith::transform::Poly;
use crate::params::{LIMBS, N, Q_BITS};
use crate::random::Seed;
use crate::rlwe::{Expansion, SecretKey, encrypt_limb};

/// Coefficients of a frame.
pub const PIECE: usize = 256;
const PIECES: usize = N / PIECE;

/// The client's side: sends a seed, then all limbs.
pub struct SendUpload {
    a: Seed,
    expansion: Expansion,
    next: usize,
}

impl SendUpload {
    /// `a` becomes public, and belongs to this upload alone.
    pub fn new(a: Seed, expansion: Expansion) -> Self {
        Self {
            a,
            expansion,
            next: 0,
        }
    }

    /// Writes the next frame. `message` (with its errors: [`crate::rlwe::add_errors`]) must stay the
    /// same until the end, and `scratch` untouched: it holds the limb that is being sent.
    pub fn poll(
        &mut self,
        key: &SecretKey,
        message: &Poly,
        scratch: &mut Poly,
        out: &mut FrameBuf,
    ) -> usize {
        let Some(piece) = self.next.checked_sub(1) else {
            self.next = 1;
            return write(out, Kind::Seed, |payload| {
                payload[..32].copy_from_slice(&self.a.0);
                32
            });
        };
        let (limb, piece) = (piece / PIECES, piece % PIECES);
        if piece == 0 {
            let public = (&self.a, self.expansion);
            encrypt_limb(key, limb, message, public, scratch);
        }
        self.next += 1;
        let values = &scratch[piece * PIECE..][..PIECE];
        write(out, Kind::Limb, |payload| {
            pack(payload, Q_BITS[limb], values.iter().copied())
        })
    }

    /// Whether all frames were written.
    pub fn done(&self) -> bool {
        self.next == 1 + LIMBS * PIECES
    }
}

/// The server's side: collects a seed and all limbs, coefficient domain.
#[cfg(feature = "server")]
pub struct ReceiveUpload {
    seed: Option<Seed>,
    limbs: alloc::boxed::Box<crate::rlwe::ciphertext::Limbs>,
    next: usize,
}

#[cfg(feature = "server")]
impl ReceiveUpload {
    /// Nothing received yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self {
            seed: None,
            limbs: crate::rlwe::ciphertext::zero_polys(),
            next: 0,
        }
    }

    /// Takes the next frame. Refuses residues at or above their modulus.
    pub fn handle(&mut self, frame: Frame<'_>) -> Result<(), crate::Error> {
        use crate::{Error, arith::bits::unpack, params::Q};
        if self.seed.is_none() {
            self.seed = Some(Seed(*frame.expect_array::<32>(Kind::Seed)?));
            return Ok(());
        }
        let (limb, piece) = (self.next / PIECES, self.next % PIECES);
        let Some(values) = self
            .limbs
            .get_mut(limb)
            .and_then(|limb| limb.get_mut(piece * PIECE..(piece + 1) * PIECE))
        else {
            return Err(Error::Internal("upload that goes on after its end"));
        };
        self.next += 1;
        let payload = frame.expect(Kind::Limb)?;
        unpack(
            Kind::Limb as u8,
            payload,
            Q_BITS[limb],
            Q[limb],
            PIECE,
            |i, x| {
                values[i] = x;
            },
        )
    }

    /// Seed and limbs, once all are there.
    pub fn take(&mut self) -> Option<(Seed, alloc::boxed::Box<crate::rlwe::ciphertext::Limbs>)> {
        if self.next < LIMBS * PIECES {
            return None;
        }
        let seed = self.seed.take()?;
        self.next = 0;
        let limbs = core::mem::replace(&mut self.limbs, crate::rlwe::ciphertext::zero_polys());
        Some((seed, limbs))
    }
}
