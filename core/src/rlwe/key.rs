//! The client's secret key.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Ring;
use super::element::Element;
use crate::arith::transform::Residues;
use crate::random::sample::{Ternary, sign_residue, signed};
use crate::random::{Seed, Stream};

/// A ternary secret key, two bits a coefficient: N / 4 bytes.
pub struct SecretKey<R: Ring>(R::Signs);

impl<R: Ring> SecretKey<R> {
    /// No key: all coefficients zero.
    pub const fn zero() -> Self {
        Self(R::Signs::ZERO)
    }

    /// Becomes the key of a seed, which serves nothing else, no key of another ring either. In place: a key that is returned leaves a copy on the stack.
    pub fn draw(&mut self, seed: &Seed) {
        let mut stream = Stream::new(seed, [0; 3]);
        let mut ternary = Ternary::new();
        self.zeroize();
        for word in self.0.as_mut() {
            for i in 0..16 {
                *word |= ternary.next(&mut stream) << (2 * i);
            }
        }
    }

    /// Writes the key in the NTT domain of a limb.
    pub fn load_ntt(&self, limb: usize, out: &mut R::Poly) {
        self.load(limb, 1, out);
        R::NTT[limb].forward(out, R::LOG_N);
    }

    /// First half of decryption: c1 of a response, as it was sent, becomes c1 s, coefficient domain.
    /// The scratch comes out as zeros.
    pub fn multiply(&self, c1: &mut R::Poly, scratch: &mut R::Scratch) {
        let load = |factor, key: &mut R::Poly| {
            self.load(R::RESPONSE_MODULUS, factor, key);
            R::NTT[R::RESPONSE_MODULUS].forward(key, R::LOG_N);
        };
        R::multiply(c1, load, scratch);
    }

    /// Writes the key times a residue above 0, modulo a limb's prime, coefficient domain.
    pub(super) fn load(&self, limb: usize, factor: u32, out: &mut R::Poly) {
        let modulus = R::MODULI[limb];
        let chunks = out.as_mut().chunks_exact_mut(16);
        for (chunk, word) in chunks.zip(self.0.as_ref()) {
            for (i, x) in chunk.iter_mut().enumerate() {
                *x = signed(word >> (2 * i) & 3, factor, &modulus);
            }
        }
    }

    /// The residues of the key's coefficients modulo a limb's prime.
    pub(super) fn residues(&self, limb: usize) -> impl Iterator<Item = u32> + '_ {
        let words = self.0.as_ref().iter();
        let signs = words.flat_map(|word| (0..16).map(move |i| word >> (2 * i) & 3));
        signs.map(move |sign| sign_residue(sign, &R::MODULI[limb]))
    }

    /// Writes the key after an automorphism, coefficient domain.
    pub(super) fn load_image(&self, limb: usize, element: Element, out: &mut R::Poly) {
        let out = out.as_mut();
        for (i, x) in self.residues(limb).enumerate() {
            // The place and the turn of the sign are public.
            let (power, negative) = element.monomial(i);
            out[power] = if negative { R::MODULI[limb].neg(x) } else { x };
        }
    }
}

impl<R: Ring> Zeroize for SecretKey<R> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<R: Ring> Drop for SecretKey<R> {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl<R: Ring> ZeroizeOnDrop for SecretKey<R> {}
