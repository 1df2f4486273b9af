//! Rotations of ciphertexts: Galois keys, and key switching with hoisting.
//! Gentry, Halevi, Smart (2012) for the special prime; Halevi and Shoup, "Faster homomorphic linear
//! transformations in HElib" (2018), section 5, for hoisting.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Element;
use crate::arith::modulus::Modulus;
use crate::random::Seed;
use crate::random::sample::small_residue;
use crate::rlwe::ciphertext::zero_polys;
use crate::rlwe::ring::ring8192::{KEY_LIMBS, LIMBS, LOG_N, N, Poly, Q, Q_MOD, Q_NTT, SPECIAL};
use crate::rlwe::{
    Ciphertext, Expansion, Limbs, Operations, Ring8192, Rotation, expand_public, zero_limbs,
    zero_poly,
};

/// The key of one automorphism, NTT domain, Montgomery form: 1.3 MiB.
pub struct GaloisKey {
    /// (b, a) of every digit.
    digits: Vec<[Limbs<Ring8192>; 2]>,
    /// For every index of the NTT domain, the index whose value moves there.
    sources: Box<[u16]>,
}

impl GaloisKey {
    /// The key whose `b` came in the coefficient domain, all limbs of one digit after another as
    /// [`super::key::galois_key_limb`] makes them; every `a` is expanded here.
    pub fn from_wire(element: Element, b: &[Poly], seed: &Seed) -> Self {
        let digit = |(digit, b): (usize, &[Poly])| {
            let mut b: Limbs<Ring8192> = b.into();
            let mut a = zero_polys::<Ring8192>(KEY_LIMBS);
            for (limb, m) in Q_MOD.iter().enumerate() {
                Q_NTT[limb].forward(&mut b[limb], LOG_N);
                let public =
                    expand_public::<Ring8192>(seed, Expansion::GaloisKey(element, digit), limb);
                a[limb].iter_mut().zip(public).for_each(|(x, a)| *x = a);
                for x in b[limb].iter_mut().chain(&mut a[limb]) {
                    *x = m.montgomery(*x);
                }
            }
            [b, a]
        };
        Self {
            digits: (b.chunks_exact(KEY_LIMBS).enumerate()).map(digit).collect(),
            sources: element.sources().collect(),
        }
    }
}

/// The Galois keys of one client.
#[derive(Default)]
pub struct GaloisKeys(BTreeMap<Element, GaloisKey>);

impl GaloisKeys {
    /// Adds the key of an automorphism.
    pub fn insert(&mut self, element: Element, key: GaloisKey) {
        self.0.insert(element, key);
    }

    /// The key of an automorphism, if the client sent it.
    pub fn get(&self, element: Element) -> Option<&GaloisKey> {
        self.0.get(&element)
    }
}

/// A ciphertext with the digits of its c1 in all limbs, NTT domain: what all its rotations share.
pub struct Hoisted<'a> {
    ciphertext: &'a Ciphertext<Ring8192>,
    digits: Vec<Limbs<Ring8192>>,
}

impl<'a> Hoisted<'a> {
    /// Decomposes c1: digit i is its residue modulo q_i, centred, lifted to the other limbs.
    pub fn new(ciphertext: &'a Ciphertext<Ring8192>, operations: &mut Operations) -> Self {
        let digits = (0..LIMBS).map(|i| {
            let mut digit = zero_polys::<Ring8192>(KEY_LIMBS);
            let mut coefficients = Box::new(ciphertext.c1[i]);
            Q_NTT[i].inverse(&mut coefficients, LOG_N);
            for (limb, out) in digit.iter_mut().enumerate() {
                if limb == i {
                    out.copy_from_slice(&ciphertext.c1[i]);
                } else {
                    lift(&coefficients, &Q_MOD[i], &Q_MOD[limb], out);
                    Q_NTT[limb].forward(out, LOG_N);
                }
            }
            digit
        });
        operations.decompositions += 1;
        Self {
            ciphertext,
            digits: digits.collect(),
        }
    }

    /// The ciphertext after the key's automorphism.
    pub fn rotate(
        &self,
        key: &GaloisKey,
        rotation: Rotation,
        operations: &mut Operations,
    ) -> Ciphertext<Ring8192> {
        let mut switched = [zero_limbs::<Ring8192>(), zero_limbs::<Ring8192>()];
        for (half, out) in switched.iter_mut().enumerate() {
            let mut special = zero_poly::<Ring8192>();
            self.inner_product(key, half, SPECIAL, &mut special);
            Q_NTT[SPECIAL].inverse(&mut special, LOG_N);
            let mut sum = zero_poly::<Ring8192>();
            let mut rounding = zero_poly::<Ring8192>();
            for (limb, out) in out.iter_mut().enumerate() {
                let m = &Q_MOD[limb];
                self.inner_product(key, half, limb, &mut sum);
                lift(&special, &Q_MOD[SPECIAL], m, &mut rounding);
                Q_NTT[limb].forward(&mut rounding, LOG_N);
                for (x, r) in sum.iter_mut().zip(rounding.iter()) {
                    *x = m.mul_montgomery(m.sub(*x, *r), SPECIAL_INVERSES[limb]);
                }
                if half == 0 {
                    for (x, &c0) in sum.iter_mut().zip(&self.ciphertext.c0[limb]) {
                        *x = m.add(*x, c0);
                    }
                }
                for (x, &source) in out.iter_mut().zip(&key.sources) {
                    *x = sum[usize::from(source)];
                }
            }
        }
        operations.key_switches += 1;
        match rotation {
            Rotation::Internal => operations.internal_rotations += 1,
            Rotation::External => operations.external_rotations += 1,
        }
        let [c0, c1] = switched;
        Ciphertext { c0, c1 }
    }

    /// The sum over the digits of digit times key, one half and limb of it.
    fn inner_product(&self, key: &GaloisKey, half: usize, limb: usize, out: &mut Poly) {
        const { assert!(LIMBS == 4) };
        let m = &Q_MOD[limb];
        let [d0, d1, d2, d3] = core::array::from_fn(|i| &self.digits[i][limb]);
        let [k0, k1, k2, k3]: [&Poly; LIMBS] = core::array::from_fn(|i| &key.digits[i][half][limb]);
        for i in 0..N {
            let product = |d: &Poly, k: &Poly| u64::from(d[i]) * u64::from(k[i]);
            // Four products of residues below 2^30 are less than 2^32 q.
            let sum = product(d0, k0) + product(d1, k1) + product(d2, k2) + product(d3, k3);
            out[i] = m.reduce_once(m.montgomery_lazy(sum));
        }
    }
}

/// A rotation on its own: decomposition and key switch.
pub fn rotate(
    ciphertext: &Ciphertext<Ring8192>,
    key: &GaloisKey,
    rotation: Rotation,
    operations: &mut Operations,
) -> Ciphertext<Ring8192> {
    Hoisted::new(ciphertext, operations).rotate(key, rotation, operations)
}

/// Centred residues modulo one prime as residues modulo another, coefficient domain. All primes
/// lie between 2^29 and 2^30.
fn lift(residues: &Poly, from: &Modulus, to: &Modulus, out: &mut Poly) {
    for (x, &r) in out.iter_mut().zip(residues) {
        *x = small_residue(from.centered(r), to);
    }
}

/// p^(-1) modulo the ciphertext limbs, Montgomery form.
const SPECIAL_INVERSES: [u32; LIMBS] = {
    let mut inverses = [0; LIMBS];
    let mut limb = 0;
    while limb < LIMBS {
        let inverse = Modulus::inverse_const(Q[SPECIAL] % Q[limb], Q[limb]);
        inverses[limb] = Q_MOD[limb].montgomery(inverse);
        limb += 1;
    }
    inverses
};
