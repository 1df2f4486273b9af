//! The parameter set of slot packing: ring, moduli and transforms.
//! DESIGN sections 3 and 9; the tests recompute primality, roots, security and noise.
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
//! The answer is switched to the modulus 2^32 instead of one prime: the rounding of c1 alone has
//! a deviation of 21.3, and the margin of a 31-bit prime, 146, is only 6.8 of them. At 2^32 the
//! margin is 292.6: rounding 21.3, flood 2^91 2^32/q = 9.2, six dropped bits of c0 18.5; together
//! 29.7, 9.85 sigma. A returned coefficient is 32 + 26 bits, as many as in segment packing.

use crate::arith::modulus::Modulus;
use crate::arith::transform::Ntt;
use crate::params::{T, T_MOD, primitive_root};

/// Ring dimension N of Z\[X\]/(X^N + 1).
pub const N: usize = 8192;
/// log2 of [`N`].
pub const LOG_N: usize = 13;
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
/// The flood is the sum of four uniforms of half-width 2^91.
pub const FLOOD_BITS: u32 = 91;
/// log2 of the modulus of a returned ciphertext, and bits of a coefficient of its c1.
pub const ANSWER_BITS: u32 = 32;
/// Low bits of a returned c0 that the server drops.
pub const DROPPED_BITS: u32 = 6;
/// Bits of a returned coefficient of c0.
pub const C0_BITS: u32 = ANSWER_BITS - DROPPED_BITS;

/// The moduli with their Montgomery constants.
pub const Q_MOD: [Modulus; KEY_LIMBS] = [
    Modulus::new(Q[0]),
    Modulus::new(Q[1]),
    Modulus::new(Q[2]),
    Modulus::new(Q[3]),
    Modulus::new(Q[4]),
];
/// The ciphertext moduli: [`Q_MOD`] without the special prime.
pub(crate) const CIPHER_MOD: [Modulus; LIMBS] = [Q_MOD[0], Q_MOD[1], Q_MOD[2], Q_MOD[3]];

/// A polynomial: N residues, of one limb or modulo t.
pub type Poly = [u32; N];

/// The transforms modulo q0..q3 and p.
pub static Q_NTT: [Ntt<N>; KEY_LIMBS] = [
    Ntt::new(Q_MOD[0], primitive_root(Q[0], N)),
    Ntt::new(Q_MOD[1], primitive_root(Q[1], N)),
    Ntt::new(Q_MOD[2], primitive_root(Q[2], N)),
    Ntt::new(Q_MOD[3], primitive_root(Q[3], N)),
    Ntt::new(Q_MOD[4], primitive_root(Q[4], N)),
];
/// The transform modulo t.
pub static T_NTT: Ntt<N> = Ntt::new(T_MOD, primitive_root(T, N));

/// Bytes of a polynomial of one limb on the wire.
pub const LIMB_BYTES: usize = N * Q_BITS as usize / 8;
/// Bytes of a fresh ciphertext on the wire: c0 and the seed of c1.
pub const CIPHERTEXT_BYTES: usize = LIMBS * LIMB_BYTES + 32;
/// Bytes of a returned ciphertext on the wire: c1, and c0 without its dropped bits.
pub const RESPONSE_BYTES: usize = N * (ANSWER_BITS + C0_BITS) as usize / 8;
/// Bytes of the public key on the wire: b and the seed of a.
pub const PUBLIC_KEY_BYTES: usize = LIMBS * LIMB_BYTES + 32;
/// Bytes of one Galois key on the wire: b of every digit and limb, and the seed of all a. Which
/// rotation it is for follows from the plan.
pub const GALOIS_KEY_BYTES: usize = LIMBS * KEY_LIMBS * LIMB_BYTES + 32;

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
