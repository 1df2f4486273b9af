//! Server to client: a response at the modulus q0, c1 first, then the useful coefficients of c0.
//! DESIGN section 3: the client multiplies c1 by its key in place and streams c0 over it.

use super::frame::{Frame, Kind};
#[cfg(feature = "server")]
use super::frame::{FrameBuf, write};
use super::upload::PIECE;
use crate::Error;
#[cfg(feature = "server")]
use crate::arith::bits::pack;
use crate::arith::bits::unpack;
use crate::arith::transform::Poly;
use crate::params::{C0_BITS, N, Q, Q_BITS};
use crate::rlwe::{C0_BOUND, SecretKey, decrypt_coefficient, multiply_key};

const C1_PIECES: usize = N / PIECE;

/// Which coefficients of c0 are sent: how many, and the coefficient of each.
pub trait Useful {
    /// Number of them.
    fn count(&self) -> usize;
    /// Coefficient of the i-th.
    fn coefficient(&self, i: usize) -> usize;
}

/// All of them: base transfers.
pub struct Dense;

impl Useful for Dense {
    fn count(&self) -> usize {
        N
    }
    fn coefficient(&self, i: usize) -> usize {
        i
    }
}

impl Useful for crate::network::layer::Layout {
    fn count(&self) -> usize {
        self.useful()
    }
    fn coefficient(&self, i: usize) -> usize {
        crate::packing::segment::useful_coefficient(self, i)
    }
}

fn frames(useful: &impl Useful) -> usize {
    C1_PIECES + useful.count().div_ceil(PIECE)
}

/// The server's side.
#[cfg(feature = "server")]
#[derive(Default)]
pub struct SendDownload {
    next: usize,
}

#[cfg(feature = "server")]
impl SendDownload {
    /// Writes the next frame; none after the last.
    pub fn poll(
        &mut self,
        response: &crate::rlwe::respond::Response,
        useful: &impl Useful,
        out: &mut FrameBuf,
    ) -> Option<usize> {
        if self.next == frames(useful) {
            return None;
        }
        let piece = self.next;
        self.next += 1;
        Some(match piece.checked_sub(C1_PIECES) {
            None => write(out, Kind::ResponseC1, |payload| {
                let values = &response.c1[piece * PIECE..][..PIECE];
                pack(payload, Q_BITS[0], values.iter().copied())
            }),
            Some(piece) => write(out, Kind::ResponseC0, |payload| {
                let range = piece * PIECE..((piece + 1) * PIECE).min(useful.count());
                let values = range.map(|i| response.c0[useful.coefficient(i)]);
                pack(payload, C0_BITS, values)
            }),
        })
    }
}

/// The client's side.
#[derive(Default)]
pub struct ReceiveDownload {
    next: usize,
}

impl ReceiveDownload {
    /// Takes the next frame; true when it was the last. Then `poly` holds the message: residues
    /// mod t at the useful coefficients, zeros elsewhere. Until then `poly` and `scratch` belong
    /// to the download.
    pub fn handle(
        &mut self,
        frame: Frame<'_>,
        useful: &impl Useful,
        key: &SecretKey,
        poly: &mut Poly,
        scratch: &mut Poly,
    ) -> Result<bool, Error> {
        if let Some(values) = poly.chunks_exact_mut(PIECE).nth(self.next) {
            let payload = frame.expect(Kind::ResponseC1)?;
            unpack(
                Kind::ResponseC1 as u8,
                payload,
                Q_BITS[0],
                Q[0],
                PIECE,
                |i, x| {
                    values[i] = x;
                },
            )?;
            self.next += 1;
            if self.next == C1_PIECES {
                multiply_key(key, poly, scratch);
            }
            return Ok(false);
        }
        let first = (self.next - C1_PIECES) * PIECE;
        let count = useful.count().saturating_sub(first).min(PIECE);
        let payload = frame.expect(Kind::ResponseC0)?;
        unpack(
            Kind::ResponseC0 as u8,
            payload,
            C0_BITS,
            C0_BOUND,
            count,
            |i, c0| {
                let at = useful.coefficient(first + i);
                scratch[at] = decrypt_coefficient(c0, poly[at]);
            },
        )?;
        self.next += 1;
        let last = self.next == frames(useful);
        if last {
            poly.copy_from_slice(scratch);
        }
        Ok(last)
    }
}
