//! Parameter set 1: N = 4096, for segments, coefficients and base transfers; no Galois keys.
//! `docs/design.md#parameters`; the tests recompute primality, roots, the security bound and the
//! noise.

use super::{ExactRing, Ring, Scale};
use crate::arith::field::{T, T_MOD};
use crate::arith::modulus::Modulus;
use crate::arith::transform::Ntt;

#[cfg(feature = "server")]
use super::{divide, inverses};
#[cfg(feature = "server")]
use alloc::boxed::Box;

/// Names the parameter set.
#[derive(Clone, Copy, Debug)]
pub struct Ring4096;

/// Ring dimension N of Z\[X\]/(X^N + 1).
pub const N: usize = 4096;
/// log2 of [`N`].
pub const LOG_N: usize = 12;
/// A polynomial: N residues, of one limb or modulo t.
pub type Poly = [u32; N];
/// Number of ciphertext limbs.
pub const LIMBS: usize = 4;
/// Ciphertext moduli q0..q3. Their product has 105.98 bits.
pub const Q: [u32; LIMBS] = [2_147_377_153, 33_538_049, 33_349_633, 33_292_289];
/// Bits of a residue of each limb on the wire.
pub const Q_BITS: [u32; LIMBS] = [31, 25, 25, 25];
/// The ciphertext moduli with their Montgomery constants.
pub const Q_MOD: [Modulus; LIMBS] = [
    Modulus::new(Q[0]),
    Modulus::new(Q[1]),
    Modulus::new(Q[2]),
    Modulus::new(Q[3]),
];

/// The transforms modulo q0..q3.
pub static Q_NTT: [Ntt<Poly>; LIMBS] = [
    Ntt::new(Q_MOD[0]),
    Ntt::new(Q_MOD[1]),
    Ntt::new(Q_MOD[2]),
    Ntt::new(Q_MOD[3]),
];
/// The transform modulo t.
pub static T_NTT: Ntt<Poly> = Ntt::new(T_MOD);

impl super::sealed::Sealed for Ring4096 {}

/// A response is modulo q0, its c1 in the NTT domain.
impl Ring for Ring4096 {
    type Poly = Poly;
    type Signs = [u32; N / 16];
    type Scratch = [Poly; 1];
    const SCRATCH: [Poly; 1] = [[0; N]];

    const LIMBS: usize = LIMBS;
    const MODULI: &'static [Modulus] = &Q_MOD;
    const BITS: &'static [u32] = &Q_BITS;
    const NTT: &'static [&'static Ntt<Poly>] = &[&Q_NTT[0], &Q_NTT[1], &Q_NTT[2], &Q_NTT[3]];
    const SCALES: &'static [Scale] = &Scale::table(&Q_MOD);
    const EXPANSION_DOMAIN: u32 = 0;
    const RESPONSE_DOMAIN: u32 = 0;

    const RESPONSE_MODULUS: usize = 0;
    const C1_BITS: u32 = Q_BITS[0];
    const C1_BOUND: u32 = Q[0];
    const C0_BITS: u32 = Self::C1_BITS - Self::DROPPED_BITS;
    const C0_BOUND: u32 = ((Q[0] - 1 + (1 << (Self::DROPPED_BITS - 1))) >> Self::DROPPED_BITS) + 1;

    fn decrypt_coefficient(c0: u32, c1_s: u32) -> u32 {
        let c0 = Q_MOD[0].reduce_once(c0 << Self::DROPPED_BITS);
        let phase = Q_MOD[0].add(c0, c1_s);
        // round(t phase / q0) by a multiplication: 2^40 t / q0 < 2^32, and its rounding moves the
        // result by less than 2^-9, far inside the noise margin. No division: those vary in time.
        const RATIO: u64 = (((T as u128) << 40) / Q[0] as u128) as u64;
        let m = (u64::from(phase) * RATIO + (1 << 39)) >> 40;
        T_MOD.reduce_once(m as u32)
    }
}

impl ExactRing for Ring4096 {
    const T_NTT: &'static Ntt<Poly> = &T_NTT;
    const FLOOD_BITS: u32 = 78;
    const DROPPED_BITS: u32 = 4;

    #[cfg(feature = "server")]
    fn switch(limbs: &mut [Poly]) -> Box<Poly> {
        const INVERSES: [[u32; LIMBS]; LIMBS] = inverses(&Q_MOD);
        for last in (1..LIMBS).rev() {
            divide::<Self>(limbs, last, &INVERSES[last]);
        }
        Box::new(limbs[0])
    }

    #[cfg(feature = "server")]
    fn to_response_domain(c1: &mut Poly) {
        Q_NTT[0].forward(c1, LOG_N);
    }

    fn drop_bits(c0: u32) -> u32 {
        (c0 + (1 << (Self::DROPPED_BITS - 1))) >> Self::DROPPED_BITS
    }
}
