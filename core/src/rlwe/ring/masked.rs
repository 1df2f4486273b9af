//! Parameter sets 3 and 4, for batches: N = 2048 and 4096 with two limbs, whose product has 50 bits.
//! `docs/design.md#masked-responses`; the tests recompute primality, roots, the security bound and the
//! error.
//!
//! A ciphertext is sent as a fraction of q in 32 bits a coefficient. A response's c1 is modulo t, in its
//! NTT domain, so that its part of the message needs no scale; its c0 is a fraction of q in 18 bits,
//! under as many uniform bits.

use super::{MaskedRing, Ring, Scale, ring4096};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::arith::modulus::Modulus;
use crate::arith::transform::{Ntt, Residues};

/// Number of ciphertext limbs.
pub const LIMBS: usize = 2;
/// Ciphertext moduli q0 and q1. Their product has 49.99 bits.
pub const Q: [u32; LIMBS] = [ring4096::Q[1], ring4096::Q[2]];
/// The ciphertext moduli, and that of a response's c1.
pub const Q_MOD: [Modulus; LIMBS + 1] = [ring4096::Q_MOD[1], ring4096::Q_MOD[2], T_MOD];
/// Bits of a coefficient of an upload.
pub const UPLOAD_BITS: u32 = 32;
/// Bits of a coefficient of a response's c0, and of its mask.
pub const MASK_BITS: u32 = 18;

/// (q / q_l)^-1 modulo q_l, Montgomery form: takes a residue to the numerator of its part of c / q.
const NUMERATORS: [u32; LIMBS] = [
    Q_MOD[0].montgomery(Modulus::inverse_const(Q[1] % Q[0], Q[0])),
    Q_MOD[1].montgomery(Modulus::inverse_const(Q[0] % Q[1], Q[1])),
];
/// 2^64 / q_l, to the nearest.
const RECIPROCALS: [u64; LIMBS] = [
    (((1 << 64) + (Q[0] / 2) as u128) / Q[0] as u128) as u64,
    (((1 << 64) + (Q[1] / 2) as u128) / Q[1] as u128) as u64,
];

/// c / q for the residues of c, in units of 2^-64 and modulo 1: off by less than 2^24 of these, either
/// way. Constant-time.
pub fn fraction(limbs: [u32; LIMBS]) -> u64 {
    let part = |limb: usize| {
        let numerator = Q_MOD[limb].mul_montgomery(limbs[limb], NUMERATORS[limb]);
        u64::from(numerator) * RECIPROCALS[limb]
    };
    part(0).wrapping_add(part(1))
}

/// The residues of c = round(word q / 2^32): of an upload, as it was sent.
#[cfg(feature = "server")]
pub fn from_word(word: u32) -> [u32; LIMBS] {
    const PRODUCT: u128 = Q[0] as u128 * Q[1] as u128;
    let c = ((u128::from(word) * PRODUCT + (1 << (UPLOAD_BITS - 1))) >> UPLOAD_BITS) as u64;
    // The word is public, as it came.
    [0, 1].map(|limb| (c % u64::from(Q[limb])) as u32)
}

/// round(t bits / 2^18), for less than 2^18: below t.
pub fn units(bits: u32) -> u32 {
    ((u64::from(bits) * u64::from(T) + (1 << (MASK_BITS - 1))) >> MASK_BITS) as u32
}

macro_rules! masked_ring {
    ($ring:ident, $poly:ty, $ntt:expr, $domain:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, Debug)]
        pub struct $ring;

        impl super::sealed::Sealed for $ring {}

        impl Ring for $ring {
            type Poly = $poly;
            type Signs = [u32; Self::N / 16];
            type Scratch = [$poly; 2];
            const SCRATCH: Self::Scratch = [<$poly>::ZERO; 2];

            const LIMBS: usize = LIMBS;
            const MODULI: &'static [Modulus] = &Q_MOD;
            const BITS: &'static [u32] = &[25, 25, T_BITS];
            const NTT: &'static [&'static Ntt<$poly>] = $ntt;
            const SCALES: &'static [Scale] = &Scale::table(&[Q_MOD[0], Q_MOD[1]]);
            const EXPANSION_DOMAIN: u32 = $domain;
            const RESPONSE_DOMAIN: u32 = $domain;

            const RESPONSE_MODULUS: usize = LIMBS;
            const C1_BITS: u32 = T_BITS;
            const C1_BOUND: u32 = T;
            const C0_BITS: u32 = MASK_BITS;
            const C0_BOUND: u32 = 1 << MASK_BITS;

            fn decrypt_coefficient(c0: u32, c1_s: u32) -> u32 {
                T_MOD.add(units(c0), c1_s)
            }

            fn upload_bytes() -> usize {
                32 + Self::N * UPLOAD_BITS as usize / 8
            }
        }

        impl MaskedRing for $ring {}
    };
}

// Streams of a set have the seven numbers above its domain.

/// The transforms of N = 2048.
static NTT_2048: [Ntt<[u32; 2048]>; 3] =
    [Ntt::new(Q_MOD[0]), Ntt::new(Q_MOD[1]), Ntt::new(Q_MOD[2])];

masked_ring!(
    Masked2048,
    [u32; 2048],
    &[&NTT_2048[0], &NTT_2048[1], &NTT_2048[2]],
    31,
    "Parameter set 3: N = 2048."
);
masked_ring!(
    Masked4096,
    [u32; 4096],
    &[&ring4096::Q_NTT[1], &ring4096::Q_NTT[2], &ring4096::T_NTT],
    39,
    "Parameter set 4: N = 4096, with the transforms of parameter set 1."
);
