//! Negacyclic number-theoretic transforms of N = 4096 residues, whole or of a given depth.
//! DESIGN sections 3 and 4; the loop order is that of Seiler, "Faster AVX2 optimized NTT" (2018).
//!
//! At depth d, coefficients `b*M .. (b+1)*M` with M = N/2^d hold the polynomial modulo
//! X^M - zeta_b, lowest power first, and the segments b stand in bit-reversed order.

use crate::modular::Modulus;
use crate::params::{LIMBS, LOG_N, N, Q_MOD, Q_ROOTS, T_MOD, T_ROOT};

/// A polynomial: N residues, of one limb or modulo t.
pub type Poly = [u32; N];

/// One modulus with its table of roots.
pub struct Ntt {
    modulus: Modulus,
    /// psi^bitrev(i) in Montgomery form. The inverse roots are the same, negated and mirrored.
    roots: Poly,
    /// 2^-d in Montgomery form, by depth d.
    scale: [u32; LOG_N + 1],
}

/// The transforms modulo q0..q3.
pub static Q_NTT: [Ntt; LIMBS] = [
    Ntt::new(Q_MOD[0], Q_ROOTS[0]),
    Ntt::new(Q_MOD[1], Q_ROOTS[1]),
    Ntt::new(Q_MOD[2], Q_ROOTS[2]),
    Ntt::new(Q_MOD[3], Q_ROOTS[3]),
];
/// The transform modulo t.
pub static T_NTT: Ntt = Ntt::new(T_MOD, T_ROOT);

impl Ntt {
    const fn new(modulus: Modulus, psi: u32) -> Self {
        let mut roots = [0; N];
        let psi = modulus.to_montgomery(psi);
        let mut power = modulus.to_montgomery(1);
        let mut i = 0;
        while i < N {
            roots[(i as u32).reverse_bits() as usize >> (32 - LOG_N)] = power;
            power = modulus.mul_montgomery(power, psi);
            i += 1;
        }
        let mut scale = [0; LOG_N + 1];
        let half = modulus.to_montgomery(modulus.value().div_ceil(2));
        let mut d = 0;
        let mut power = modulus.to_montgomery(1);
        while d <= LOG_N {
            scale[d] = power;
            power = modulus.mul_montgomery(power, half);
            d += 1;
        }
        Self {
            modulus,
            roots,
            scale,
        }
    }

    /// The modulus.
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// zeta_b^(-1) of segment b at depth d, where segment b is modulo X^(N/2^d) - zeta_b.
    pub fn zeta_inverse(&self, depth: usize, b: usize) -> u32 {
        if depth == 0 {
            return self.modulus.value() - 1;
        }
        // Segment 2i of a level is modulo X^M - w and 2i+1 modulo X^M + w, w the level's i-th root.
        let half = 1 << (depth - 1);
        let inverse = self.modulus.neg(self.roots[2 * half - 1 - b / 2]);
        let inverse = self.modulus.mul_montgomery(inverse, 1);
        if b.is_multiple_of(2) {
            inverse
        } else {
            self.modulus.neg(inverse)
        }
    }

    /// Coefficients to depth `depth`, in place: residues below q in, residues below q out.
    pub fn forward(&self, a: &mut Poly, depth: usize) {
        let m = &self.modulus;
        for level in 0..depth {
            let half = N >> (level + 1);
            let roots = &self.roots[1 << level..2 << level];
            for (pair, &w) in a.chunks_exact_mut(2 * half).zip(roots) {
                let (low, high) = pair.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    let t = m.mul_montgomery(*y, w);
                    *y = m.sub(*x, t);
                    *x = m.add(*x, t);
                }
            }
        }
    }

    /// Depth `depth` back to coefficients, in place: the inverse of [`Ntt::forward`].
    pub fn inverse(&self, a: &mut Poly, depth: usize) {
        let m = &self.modulus;
        for level in (0..depth).rev() {
            let half = N >> (level + 1);
            let roots = &self.roots[1 << level..2 << level];
            for (pair, &w) in a.chunks_exact_mut(2 * half).zip(roots.iter().rev()) {
                let (low, high) = pair.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    let difference = m.sub(*y, *x);
                    *x = m.add(*x, *y);
                    *y = m.mul_montgomery(difference, w);
                }
            }
        }
        let scale = self.scale[depth];
        for x in a.iter_mut() {
            *x = m.mul_montgomery(*x, scale);
        }
    }

    /// a = a * b, residue by residue.
    pub fn multiply(&self, a: &mut Poly, b: &Poly) {
        for (x, &y) in a.iter_mut().zip(b) {
            *x = self.modulus.mul(*x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// The product of two polynomials modulo X^len - zeta.
    fn schoolbook(a: &[u32], b: &[u32], zeta: u32, q: u32) -> Vec<u32> {
        let len = a.len();
        let mut product = alloc::vec![0u64; len];
        for (i, &x) in a.iter().enumerate().filter(|(_, x)| **x != 0) {
            for (j, &y) in b.iter().enumerate() {
                let xy = u64::from(x) * u64::from(y) % u64::from(q);
                let (k, xy) = if i + j < len {
                    (i + j, xy)
                } else {
                    (i + j - len, xy * u64::from(zeta) % u64::from(q))
                };
                product[k] = (product[k] + xy) % u64::from(q);
            }
        }
        product.into_iter().map(|x| x as u32).collect()
    }

    fn poly(seed: u64, q: u32, sparse: bool) -> Box<Poly> {
        let mut state = seed;
        Box::new(core::array::from_fn(|i| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            if sparse && i % 37 != 0 {
                0
            } else {
                ((state >> 32) % u64::from(q)) as u32
            }
        }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10))]
        #[test]
        fn product_is_negacyclic_convolution(seed: u64, which in 0usize..5) {
            let ntt = [&Q_NTT[0], &Q_NTT[1], &Q_NTT[2], &Q_NTT[3], &T_NTT][which];
            let q = ntt.modulus().value();
            let (mut a, mut b) = (poly(seed, q, true), poly(!seed, q, false));
            let expected = schoolbook(&a[..], &b[..], q - 1, q);
            ntt.forward(&mut a, LOG_N);
            ntt.forward(&mut b, LOG_N);
            ntt.multiply(&mut a, &b);
            ntt.inverse(&mut a, LOG_N);
            prop_assert_eq!(&a[..], &expected[..]);
        }

        #[test]
        fn partial_depth_splits_into_segments(seed: u64, depth in 0usize..=LOG_N) {
            let (a, b) = (poly(seed, crate::params::T, true), poly(!seed, crate::params::T, false));
            let q = crate::params::T;
            let mut whole: Box<Poly> = Box::new(schoolbook(&a[..], &b[..], q - 1, q).try_into().unwrap());
            let (mut a, mut b) = (a, b);
            let original = a.clone();
            for x in [&mut a, &mut b, &mut whole] {
                T_NTT.forward(x, depth);
            }
            let m = N >> depth;
            for (s, ((x, y), z)) in a.chunks(m).zip(b.chunks(m)).zip(whole.chunks(m)).enumerate().take(40) {
                let zeta = Modulus::inverse_const(T_NTT.zeta_inverse(depth, s), q);
                prop_assert_eq!(&schoolbook(x, y, zeta, q)[..], z);
            }
            T_NTT.inverse(&mut a, depth);
            prop_assert_eq!(&a[..], &original[..]);
        }
    }
}
