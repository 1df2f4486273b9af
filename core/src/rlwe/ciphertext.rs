//! Ciphertexts and plaintext factors, as the server computes with them.
//! `docs/design.md#parameters` and `#segment-packing`.

use alloc::boxed::Box;

use zeroize::Zeroize;

use super::{Expansion, Ring, add_scaled, expand_public};
use crate::arith::field::T_MOD;
use crate::arith::transform::Residues;
use crate::random::Seed;

/// One residue polynomial a limb.
pub type Limbs<R> = Box<[<R as Ring>::Poly]>;

/// So many zero polynomials.
pub fn zero_polys<R: Ring>(count: usize) -> Limbs<R> {
    alloc::vec![R::Poly::ZERO; count].into()
}

/// Zeros in all limbs of a ciphertext.
pub fn zero_limbs<R: Ring>() -> Limbs<R> {
    zero_polys::<R>(R::LIMBS)
}

/// A zero polynomial.
pub fn zero_poly<R: Ring>() -> Box<R::Poly> {
    Box::new(R::Poly::ZERO)
}

/// A ciphertext modulo the product of the limbs, NTT domain: `c0 + c1 s = round(q m / t) + noise`.
/// It leaves the server only as an [`super::Response`].
#[derive(Clone)]
pub struct Ciphertext<R: Ring> {
    pub(super) c0: Limbs<R>,
    pub(super) c1: Limbs<R>,
}

impl<R: Ring> Ciphertext<R> {
    /// The zero ciphertext.
    pub fn zero() -> Self {
        Self {
            c0: zero_limbs::<R>(),
            c1: zero_limbs::<R>(),
        }
    }

    /// A received ciphertext: c0 came in the coefficient domain, c1 as a seed.
    pub fn from_wire(mut c0: Limbs<R>, seed: &Seed) -> Self {
        let mut c1 = zero_limbs::<R>();
        for limb in 0..R::LIMBS {
            R::NTT[limb].forward(&mut c0[limb], R::LOG_N);
            let a = expand_public::<R>(seed, Expansion::Ciphertext, limb);
            c1[limb]
                .as_mut()
                .iter_mut()
                .zip(a)
                .for_each(|(x, a)| *x = a);
        }
        Self { c0, c1 }
    }

    /// c0 and c1, for analyses of noise: a server has no other way out than a response.
    #[cfg(any(test, feature = "audit"))]
    pub fn halves(&self) -> [&[R::Poly]; 2] {
        [&self.c0, &self.c1]
    }

    /// Adds a plaintext polynomial (residues mod t) to c0, which is in the coefficient domain.
    pub fn add_plaintext(c0: &mut [R::Poly], message: &R::Poly) {
        for (limb, out) in c0.iter_mut().enumerate() {
            add_scaled::<R>(out, message, limb);
        }
    }

    /// self += other.
    pub fn add(&mut self, other: &Self) {
        for (limb, m) in R::MODULI[..R::LIMBS].iter().enumerate() {
            for (acc, x) in [(&mut self.c0, &other.c0), (&mut self.c1, &other.c1)] {
                for (acc, &x) in acc[limb].as_mut().iter_mut().zip(x[limb].as_ref()) {
                    *acc = m.add(*acc, x);
                }
            }
        }
    }

    /// self += factor * other.
    pub fn multiply_add(&mut self, factor: &Factor<R>, other: &Self) {
        for (limb, m) in R::MODULI[..R::LIMBS].iter().enumerate() {
            let w = factor.0[limb].as_ref();
            for (acc, x) in [(&mut self.c0, &other.c0), (&mut self.c1, &other.c1)] {
                let terms = w.iter().zip(x[limb].as_ref());
                for (acc, (&w, &x)) in acc[limb].as_mut().iter_mut().zip(terms) {
                    *acc = m.add(*acc, m.mul_montgomery(x, w));
                }
            }
        }
    }
}

/// A plaintext factor: small residues lifted to every limb, NTT domain, Montgomery form. A secret
/// of the server, as weights and the choices of base transfers are; erased when dropped.
pub struct Factor<R: Ring>(Limbs<R>);

impl<R: Ring> Factor<R> {
    /// Bytes of a factor.
    pub const BYTES: usize = R::LIMBS * size_of::<R::Poly>();

    /// Lifts a polynomial modulo t (coefficient domain) by its centred representatives.
    pub fn lift(polynomial: &R::Poly) -> Self {
        let mut limbs = zero_limbs::<R>();
        for (limb, out) in limbs.iter_mut().enumerate() {
            let m = &R::MODULI[limb];
            for (x, &w) in out.as_mut().iter_mut().zip(polynomial.as_ref()) {
                *x = m.montgomery(m.residue(T_MOD.centered(w)));
            }
            R::NTT[limb].forward(out, R::LOG_N);
        }
        Self(limbs)
    }
}

impl<R: Ring> Drop for Factor<R> {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}
