//! The fixed parameters: ring, moduli and plaintext modulus.
//! DESIGN section 3; the tests recompute primality, roots and the security bound.

use crate::arith::modulus::Modulus;

/// Ring dimension N of Z\[X\]/(X^N + 1).
pub const N: usize = 4096;
/// log2 of [`N`].
pub const LOG_N: usize = 12;
/// Number of ciphertext limbs.
pub const LIMBS: usize = 4;
/// Plaintext modulus t = 7 * 2^20 + 1: splits completely, and is 1 modulo 2^20.
pub const T: u32 = 7_340_033;
/// Bits of a residue modulo [`T`] on the wire.
pub const T_BITS: u32 = 23;
/// j: accumulators are signed numbers of this many bits, so |y| < 2^(j-1).
pub const ACC_BITS: u32 = 20;
/// Ciphertext moduli q0..q3. Their product has 105.98 bits.
pub const Q: [u32; LIMBS] = [2_147_377_153, 33_538_049, 33_349_633, 33_292_289];
/// Bits of a residue of each limb on the wire.
pub const Q_BITS: [u32; LIMBS] = [31, 25, 25, 25];
/// Low bits of a returned c0 that the server drops.
pub const DROPPED_BITS: u32 = 4;
/// Bits of a returned coefficient of c0.
pub const C0_BITS: u32 = Q_BITS[0] - DROPPED_BITS;
/// The flood is the sum of four uniforms of half-width 2^78.
pub const FLOOD_BITS: u32 = 78;

/// Primitive 2N-th roots of unity, one a ciphertext modulus.
pub const Q_ROOTS: [u32; LIMBS] = [
    primitive_root(Q[0], N),
    primitive_root(Q[1], N),
    primitive_root(Q[2], N),
    primitive_root(Q[3], N),
];
/// Primitive 2N-th root of unity modulo [`T`].
pub const T_ROOT: u32 = primitive_root(T, N);

/// A primitive 2n-th root of unity: the smallest c >= 2 raised to (q-1)/2n whose n-th power is -1.
pub(crate) const fn primitive_root(q: u32, n: usize) -> u32 {
    let mut c = 2;
    loop {
        let root = Modulus::pow_const(c, (q - 1) / (2 * n as u32), q);
        if Modulus::pow_const(root, n as u32, q) == q - 1 {
            return root;
        }
        c += 1;
    }
}

/// The ciphertext moduli with their Montgomery constants.
pub const Q_MOD: [Modulus; LIMBS] = [
    Modulus::new(Q[0]),
    Modulus::new(Q[1]),
    Modulus::new(Q[2]),
    Modulus::new(Q[3]),
];
/// The plaintext modulus with its Montgomery constants.
pub const T_MOD: Modulus = Modulus::new(T);
