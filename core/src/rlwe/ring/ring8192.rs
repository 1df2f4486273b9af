//! Parameter set 2: N = 8192 with a special prime for key switching, for slots.
//! `docs/design.md#parameters` and `#baselines`; the tests recompute primality, roots, security and
//! noise.
//!
//! # Noise
//!
//! In the phase of a ciphertext modulo q = q0 q1 q2 q3, standard deviations a coefficient, with the
//! error's variance 10.5, a ternary secret's 2/3, and the worst cases in parentheses:
//!
//! | step | adds | so far |
//! |---|---|---|
//! | fresh | 3.24 | 2^1.7 (21) |
//! | rotation of an input: four digits uniform modulo a q_i times errors, divided by p | sqrt(4 N 10.5 / 12) q_i/p = 169 | |
//! | its division by p rounds, c1's part times the secret | sqrt((2N/3 + 1) / 12) = 21.3 | 2^7.4 (2^18.4) |
//! | product with a plaintext uniform modulo t | times sqrt(N t^2 / 12) = 2^27.5 | 2^34.9 (2^53.2) |
//! | sum of n products: channels times taps | times sqrt(n) | 2^42.0 for n = 18,432 (2048 channels, 9 taps) |
//! | rotations of outputs | 2^7.4 each | no change |
//! | or inputs rotated for channels first, one after another: for c_n = 128, 32 times on average | times sqrt(32) | 2^42.9 for n = 2048 (1x1) |
//! | flood, the sum of four uniforms of half-width 2^91 | 2^91.2 | 2^91.2 (2^93) |
//!
//! Against q/(2t) = 2^95.2 nothing can fail up to the switch. By the bound of `docs/protocol.md`,
//! noise of rms 2^b under this flood is told from none, over 2^20 coefficients, with a distance of
//! at most 2^(b - 82.2): 2^-40.2 for the n above, where q need only be larger by the flood. That
//! makes q 120 bits; with p below 2^30 the product is 150 bits, far inside the 214 that are allowed
//! at this N. More or larger primes would make uploads, keys and every rotation dearer for
//! nothing, and primes below 2^30 keep sums of four products in 64 bits and butterflies lazy.
//!
//! The response is switched to the modulus 2^32 instead of one prime: the rounding of c1 alone has
//! a deviation of 21.3, and the margin of a 31-bit prime, 146, is only 6.8 of them. At 2^32 the
//! margin is 292.6: rounding 21.3, flood 2^91 2^32/q = 9.2, six dropped bits of c0 18.5; together
//! 29.7, 9.85 sigma. A returned coefficient is 32 + 26 bits, as many as in segment packing.

use super::{ExactRing, Ring, Scale};
use crate::arith::field::{T, T_MOD};
use crate::arith::modulus::Modulus;
use crate::arith::transform::Ntt;
use crate::random::sample::small_residue;
use zeroize::Zeroize;

#[cfg(feature = "server")]
use super::{divide, inverse, inverses};
#[cfg(feature = "server")]
use alloc::boxed::Box;

/// Names the parameter set.
#[derive(Clone, Copy, Debug)]
pub struct Ring8192;

/// Ring dimension N of Z\[X\]/(X^N + 1).
pub const N: usize = 8192;
/// log2 of [`N`].
pub const LOG_N: usize = 13;
/// A polynomial: N residues, of one limb or modulo t.
pub type Poly = [u32; N];
/// Number of ciphertext limbs, which is also the number of digits of key switching.
pub const LIMBS: usize = 4;
/// Limbs of a Galois key: the ciphertext's, then the special prime.
pub const KEY_LIMBS: usize = LIMBS + 1;
/// Index of the special prime p.
pub const SPECIAL: usize = LIMBS;
/// Ciphertext moduli q0..q3 and the special prime p, the five largest below 2^30 that are 1 modulo
/// 2N. The product of all is 2^149.998.
pub const Q: [u32; KEY_LIMBS] = [
    1_073_643_521,
    1_073_479_681,
    1_073_430_529,
    1_073_299_457,
    1_073_692_673,
];
/// Bits of a residue of any limb on the wire.
pub const Q_BITS: u32 = 30;
/// The moduli with their Montgomery constants.
pub const Q_MOD: [Modulus; KEY_LIMBS] = [
    Modulus::new(Q[0]),
    Modulus::new(Q[1]),
    Modulus::new(Q[2]),
    Modulus::new(Q[3]),
    Modulus::new(Q[4]),
];

/// The transforms modulo q0..q3 and p.
pub static Q_NTT: [Ntt<Poly>; KEY_LIMBS] = [
    Ntt::new(Q_MOD[0]),
    Ntt::new(Q_MOD[1]),
    Ntt::new(Q_MOD[2]),
    Ntt::new(Q_MOD[3]),
    Ntt::new(Q_MOD[4]),
];
/// The transform modulo t.
pub static T_NTT: Ntt<Poly> = Ntt::new(T_MOD);

/// Bytes of one Galois key on the wire: b of every digit and limb, and the seed of all a. Which
/// rotation it is for follows from the list of rotations.
pub const GALOIS_KEY_BYTES: usize = LIMBS * KEY_LIMBS * (N * Q_BITS as usize / 8) + 32;

impl super::sealed::Sealed for Ring8192 {}

/// A response is modulo 2^32, coefficient domain.
impl Ring for Ring8192 {
    type Poly = Poly;
    type Signs = [u32; N / 16];
    type Scratch = [Poly; 2];
    const SCRATCH: [Poly; 2] = [[0; N]; 2];

    const LIMBS: usize = LIMBS;
    const MODULI: &'static [Modulus] = &Q_MOD;
    const BITS: &'static [u32] = &[Q_BITS; KEY_LIMBS];
    const NTT: &'static [&'static Ntt<Poly>] =
        &[&Q_NTT[0], &Q_NTT[1], &Q_NTT[2], &Q_NTT[3], &Q_NTT[4]];
    const SCALES: &'static [Scale] = &Scale::table(&[Q_MOD[0], Q_MOD[1], Q_MOD[2], Q_MOD[3]]);
    const EXPANSION_DOMAIN: u32 = 15;
    const RESPONSE_DOMAIN: u32 = 16;

    const RESPONSE_MODULUS: usize = 0;
    const C1_BITS: u32 = 32;
    const C1_BOUND: u32 = u32::MAX;
    const C0_BITS: u32 = Self::C1_BITS - Self::DROPPED_BITS;
    const C0_BOUND: u32 = 1 << Self::C0_BITS;

    /// Both 16-bit halves of c1 are multiplied by s over the integers: the products stay below
    /// 2^15 N = 2^28, which is less than q0/2.
    fn multiply(
        c1: &mut Poly,
        load_key: impl FnOnce(u32, &mut Poly),
        [low, scratch]: &mut [Poly; 2],
    ) {
        let modulus = &Q_MOD[0];
        for (high, low) in c1.iter_mut().zip(low.iter_mut()) {
            let part = i32::from(*high as i16);
            *low = small_residue(part, modulus);
            *high = small_residue(high.wrapping_sub(part as u32) as i32 >> 16, modulus);
        }
        load_key(Q_NTT[0].factor(), scratch);
        for half in [&mut *c1, &mut *low] {
            Q_NTT[0].forward(half, LOG_N);
            Q_NTT[0].multiply_inverse(half, scratch);
        }
        for (high, &low) in c1.iter_mut().zip(low.iter()) {
            let high_product = modulus.centered(*high) as u32;
            *high = (high_product << 16).wrapping_add(modulus.centered(low) as u32);
        }
        low.zeroize();
        scratch.zeroize();
    }

    fn decrypt_coefficient(c0: u32, c1_s: u32) -> u32 {
        let phase = (c0 << Self::DROPPED_BITS).wrapping_add(c1_s);
        // round(t phase / 2^32).
        let m = (u64::from(phase) * u64::from(T) + (1 << 31)) >> 32;
        T_MOD.reduce_once(m as u32)
    }
}

impl ExactRing for Ring8192 {
    const T_NTT: &'static Ntt<Poly> = &T_NTT;
    const FLOOD_BITS: u32 = 91;
    const DROPPED_BITS: u32 = 6;

    /// Divides by q3 and q2, each time to the nearest integer, and brings what is left from q0 q1
    /// to 2^32.
    #[cfg(feature = "server")]
    fn switch(limbs: &mut [Poly]) -> Box<Poly> {
        const INVERSES: [[u32; KEY_LIMBS]; KEY_LIMBS] = inverses(&Q_MOD);
        const FIRST_INVERSE: u32 = inverse(&Q_MOD[0], &Q_MOD[1]);
        /// 2^124 / (q0 q1), for numbers below 2^60: what its rounding loses is below 2^-32.
        const RATIO: u128 = (1 << 124) / (Q[0] as u128 * Q[1] as u128);
        for last in [3, 2] {
            divide::<Self>(limbs, last, &INVERSES[last]);
        }
        let mut out = Box::new(limbs[0]);
        for (out, &x1) in out.iter_mut().zip(&limbs[1]) {
            let m = &Q_MOD[1];
            let difference = m.sub(x1, m.reduce_once(*out));
            let quotient = m.mul_montgomery(difference, FIRST_INVERSE);
            let x = u64::from(*out) + u64::from(Q[0]) * u64::from(quotient);
            *out = ((u128::from(x) * RATIO + (1 << 91)) >> 92) as u32;
        }
        out
    }

    #[cfg(feature = "server")]
    fn to_response_domain(_c1: &mut Poly) {}

    fn drop_bits(c0: u32) -> u32 {
        c0.wrapping_add(1 << (Self::DROPPED_BITS - 1)) >> Self::DROPPED_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;

    /// c X^i times b, for residues at the ends of their range and a few monomials.
    #[test]
    fn transforms_multiply_modulo_x_n_plus_1() {
        for ntt in Q_NTT.iter().chain([&T_NTT]) {
            let (m, q) = (ntt.modulus(), ntt.modulus().value());
            let b: Poly = core::array::from_fn(|i| match i % 3 {
                0 => q - 1,
                1 => (i as u32).wrapping_mul(2_654_435_769) % q,
                _ => 0,
            });
            let mut transformed = Box::new(b);
            ntt.forward(&mut transformed, LOG_N);
            for (c, i) in [(q - 1, 0), (1, 1), (q / 2, N / 2), (q - 2, N - 1)] {
                let mut product = Box::new([0; N]);
                product[i] = c;
                ntt.convolve(&mut product, transformed.iter().copied());
                for (j, &x) in b.iter().enumerate() {
                    let cx = m.mul(c, x);
                    let expected = if i + j < N { cx } else { m.neg(cx) };
                    assert_eq!(product[(i + j) % N], expected);
                }
            }
            ntt.inverse(&mut transformed, LOG_N);
            assert!(*transformed == b);
        }
    }
}
