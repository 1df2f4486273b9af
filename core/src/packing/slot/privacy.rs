//! Slot packing's switch to the modulus 2^32, after the steps of [`crate::rlwe::respond`] in its ring.
//! DESIGN section 5, with the figures of [`crate::packing::slot::params`].

use alloc::boxed::Box;

use crate::packing::slot::cipher::Ciphertext;
use crate::packing::slot::params::{FLOOD_BITS, N, Poly, Q, Q_MOD, Q_NTT};
use crate::packing::slot::rlwe::{Expansion, drop_bits, expand_public};
use crate::params::LIMBS;
use crate::random::Seed;
use crate::rlwe::ciphertext::{Limbs, zero_poly};
use crate::rlwe::respond::{Randomness, RingPublicKey, divide, hide, inverse, inverses};

/// A client's public key, for slots.
pub type PublicKey = RingPublicKey<N>;

impl PublicKey {
    /// The key whose `b` came in the coefficient domain; `a` is expanded here, from a seed whose
    /// use for public keys is part of the expansion, and never taken from the wire.
    pub fn from_wire(b: Box<Limbs<N>>, seed: &Seed) -> Self {
        Self::new(&Q_NTT, b, |limb| {
            expand_public(seed, Expansion::PublicKey, limb)
        })
    }
}

/// A returned ciphertext at the modulus 2^32, coefficient domain.
pub struct Response {
    /// c1.
    pub c1: Box<Poly>,
    /// c0, low bits dropped.
    pub c0: Box<Poly>,
}

/// The randomness of slots' responses.
fn randomness(seed: &Seed) -> Randomness<'_> {
    Randomness { seed, ring: 16 }
}

/// A uniform residue mod t for every slot, from a response's seed.
pub fn uniform_mask(seed: &Seed) -> Box<Poly> {
    randomness(seed).mask()
}

/// Re-randomises, masks, floods and switches `result`. `mask` (residues mod t, coefficient domain:
/// encode it if it is made of slots) becomes part of the message; `seed` belongs to this response
/// alone.
pub fn respond(mut result: Ciphertext, key: &PublicKey, mask: &Poly, seed: &Seed) -> Response {
    let Ciphertext { c0, c1 } = &mut result;
    hide::<N, FLOOD_BITS>(&Q_NTT, [c0, c1], key, &randomness(seed), |c0| {
        Ciphertext::add_plaintext(c0, mask)
    });
    let c1 = switch(c1);
    let mut c0 = switch(c0);
    c0.iter_mut().for_each(|x| *x = drop_bits(*x));
    Response { c1, c0 }
}

/// Divides by q3 and q2, each time to the nearest integer, and brings what is left from q0 q1 to
/// 2^32. Coefficient domain; overwrites `limbs`.
fn switch(limbs: &mut Limbs<N>) -> Box<Poly> {
    const INVERSES: [[u32; LIMBS]; LIMBS] = inverses(&Q_MOD);
    const FIRST_INVERSE: u32 = inverse(&Q_MOD[0], &Q_MOD[1]);
    /// 2^124 / (q0 q1), for numbers below 2^60: what its rounding loses is below 2^-32.
    const RATIO: u128 = (1 << 124) / (Q[0] as u128 * Q[1] as u128);
    for last in [3, 2] {
        divide(&Q_NTT, limbs, last, &INVERSES[last]);
    }
    let mut out = zero_poly();
    for (out, (&x0, &x1)) in out.iter_mut().zip(limbs[0].iter().zip(&limbs[1])) {
        let m = &Q_MOD[1];
        let difference = m.sub(x1, m.reduce_once(x0));
        let quotient = m.mul_montgomery(difference, FIRST_INVERSE);
        let x = u64::from(x0) + u64::from(Q[0]) * u64::from(quotient);
        *out = ((u128::from(x) * RATIO + (1 << 91)) >> 92) as u32;
    }
    out
}
