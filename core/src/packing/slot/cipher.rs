//! The server's ciphertexts and plaintext factors of slot packing.
//! DESIGN section 9; what the segment engine has in [`crate::rlwe::ciphertext`], at N = 8192.

use alloc::boxed::Box;

use zeroize::Zeroize;

use crate::packing::slot::encoding::encode;
use crate::packing::slot::params::{LIMBS, LOG_N, N, Poly, Q_MOD, Q_NTT};
use crate::packing::slot::rlwe::{Expansion, add_scaled, expand_public};
use crate::params::T_MOD;
use crate::random::Seed;
use crate::rlwe::ciphertext::{self, zero_poly, zero_polys};

/// One residue polynomial a ciphertext limb.
pub type Limbs = ciphertext::Limbs<N>;

/// A ciphertext modulo q0 q1 q2 q3, NTT domain: `c0 + c1 s = round(q m / t) + noise`.
#[derive(Clone)]
pub struct Ciphertext {
    /// c0.
    pub c0: Box<Limbs>,
    /// c1.
    pub c1: Box<Limbs>,
}

impl Ciphertext {
    /// The zero ciphertext.
    pub fn zero() -> Self {
        Self {
            c0: zero_polys(),
            c1: zero_polys(),
        }
    }

    /// A received ciphertext: c0 came in the coefficient domain, c1 as a seed.
    pub fn from_wire(mut c0: Box<Limbs>, seed: &Seed) -> Self {
        let mut c1: Box<Limbs> = zero_polys();
        for limb in 0..LIMBS {
            Q_NTT[limb].forward(&mut c0[limb], LOG_N);
            let a = expand_public(seed, Expansion::Ciphertext, limb);
            c1[limb].iter_mut().zip(a).for_each(|(x, a)| *x = a);
        }
        Self { c0, c1 }
    }

    /// Adds a plaintext polynomial (residues mod t) to c0, which is in the coefficient domain.
    pub fn add_plaintext(c0: &mut Limbs, message: &Poly) {
        for (limb, out) in c0.iter_mut().enumerate() {
            add_scaled(out, message, limb);
        }
    }

    /// self += other.
    pub fn add(&mut self, other: &Self) {
        for (limb, m) in Q_MOD[..LIMBS].iter().enumerate() {
            for (acc, x) in [(&mut self.c0, &other.c0), (&mut self.c1, &other.c1)] {
                for (acc, &x) in acc[limb].iter_mut().zip(&x[limb]) {
                    *acc = m.add(*acc, x);
                }
            }
        }
    }

    /// self += factor * other.
    pub fn multiply_add(&mut self, factor: &Plaintext, other: &Self) {
        for (limb, m) in Q_MOD[..LIMBS].iter().enumerate() {
            let w = &factor.0[limb];
            for (acc, x) in [(&mut self.c0, &other.c0), (&mut self.c1, &other.c1)] {
                for ((acc, &w), &x) in acc[limb].iter_mut().zip(w).zip(&x[limb]) {
                    *acc = m.add(*acc, m.mul_montgomery(x, w));
                }
            }
        }
    }
}

/// A plaintext factor: residues mod t lifted to every limb by their centred representatives, NTT
/// domain, Montgomery form. A secret of the server; erased when dropped.
pub struct Plaintext(Box<Limbs>);

impl Plaintext {
    /// The factor that multiplies slot by slot.
    pub fn of_slots(slots: &Poly) -> Self {
        let mut polynomial = zero_poly();
        encode(slots, &mut polynomial);
        let mut limbs: Box<Limbs> = zero_polys();
        for (limb, out) in limbs.iter_mut().enumerate() {
            let m = &Q_MOD[limb];
            for (x, &w) in out.iter_mut().zip(polynomial.iter()) {
                *x = m.to_montgomery(m.from_i32(T_MOD.centered(w)));
            }
            Q_NTT[limb].forward(out, LOG_N);
        }
        polynomial.zeroize();
        Self(limbs)
    }
}

impl Drop for Plaintext {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
