//! Uploads and responses of batches: [`MaskedRing`]. `docs/design.md#masked-responses`.
//!
//! The client sends c0 of a ciphertext as a fraction of q in 32 bits: rounding is public, a function of
//! an RLWE sample. The server's response has c0 as a fraction in 18 bits, plus as many uniform ones. So c0
//! is uniform whatever was sent, and c1 is an RLWE sample: nothing has to be flooded. Both parties' shares
//! add up to the result with an error of a few units, which depends on the key: **nothing that is
//! decrypted may reach the server but under another mask.**

use super::encrypt::encrypt_limb;
use super::ring::MaskedRing;
use super::ring::masked::fraction;
use super::{Expansion, SecretKey};
use crate::random::Seed;

/// c0 of a ciphertext as it is sent, coefficient domain, into the first polynomial of `scratch`;
/// `message` comes from [`super::add_errors`]. The second polynomial comes out overwritten.
pub fn encrypt_words<R: MaskedRing>(
    key: &SecretKey<R>,
    message: &R::Poly,
    a: (&Seed, Expansion),
    [words, second]: &mut [R::Poly; 2],
) {
    encrypt_limb(key, 0, message, a, words);
    encrypt_limb(key, 1, message, a, second);
    for (word, &second) in words.as_mut().iter_mut().zip(second.as_ref()) {
        let rounded = fraction([*word, second]).wrapping_add(1 << 31) >> 32;
        *word = rounded as u32;
    }
}

#[cfg(feature = "server")]
pub use server::{MaskBits, from_words};

#[cfg(feature = "server")]
mod server {
    use alloc::boxed::Box;

    use zeroize::Zeroize;

    use super::*;
    use crate::arith::field::{T, T_MOD};
    use crate::rlwe::respond::{Part, Rerandomised};
    use crate::rlwe::ring::masked::{MASK_BITS, from_word, units};
    use crate::rlwe::{Ciphertext, Randomness, Response, zero_limbs, zero_poly};

    /// The ciphertext whose c0 came as these words, and c1 as a seed.
    pub fn from_words<R: MaskedRing>(words: &R::Poly, seed: &Seed) -> Ciphertext<R> {
        let mut c0 = zero_limbs::<R>();
        for (i, &word) in words.as_ref().iter().enumerate() {
            let residues = from_word(word);
            for (limb, residue) in c0.iter_mut().zip(residues) {
                limb.as_mut()[i] = residue;
            }
        }
        Ciphertext::from_wire(c0, seed)
    }

    /// The mask of a response: uniform bits for every coefficient of c0. Erased when dropped.
    pub struct MaskBits<R: MaskedRing>(Box<R::Poly>);

    impl<R: MaskedRing> MaskBits<R> {
        fn new(random: &Randomness<R>) -> Self {
            let mut bits = zero_poly::<R>();
            let mut stream = random.stream(Part::Mask);
            for x in bits.as_mut().as_mut() {
                *x = stream.next_u32() >> (32 - MASK_BITS);
            }
            Self(bits)
        }

        /// Given bits, for analyses.
        #[cfg(any(test, feature = "audit"))]
        pub fn of(bits: Box<R::Poly>) -> Self {
            Self(bits)
        }

        /// The server's share of a coefficient, mod t: what the mask takes off the client's. It has 2^18
        /// values only: no pad for anything mod t.
        pub fn share(&self, coefficient: usize) -> u32 {
            T_MOD.neg(units((*self.0).as_ref()[coefficient]))
        }
    }

    impl<R: MaskedRing> Drop for MaskBits<R> {
        fn drop(&mut self) {
            self.0.zeroize();
        }
    }

    impl<R: MaskedRing> Rerandomised<R> {
        /// Covers all of c0, and brings c1 to the modulus of responses. Constant-time. The mask is this
        /// response's alone.
        pub fn cover(self, random: &Randomness<R>) -> (Response<R>, MaskBits<R>) {
            let mask = MaskBits::new(random);
            (self.covered(&mask), mask)
        }

        /// As [`Self::cover`] with a given mask, for analyses.
        #[cfg(any(test, feature = "audit"))]
        pub fn cover_with(self, mask: &MaskBits<R>) -> Response<R> {
            self.covered(mask)
        }

        fn covered(self, mask: &MaskBits<R>) -> Response<R> {
            let halves = &self.0;
            let fractions = |half: &[R::Poly], take: &mut dyn FnMut(usize, u64)| {
                let limbs = half[0].as_ref().iter().zip(half[1].as_ref());
                for (i, (&x, &y)) in limbs.enumerate() {
                    take(i, fraction([x, y]));
                }
            };
            let (mut c0, mut c1) = (zero_poly::<R>(), zero_poly::<R>());
            let mut rounded = |i: usize, fraction: u64| {
                let bits = fraction.wrapping_add(1 << (63 - MASK_BITS)) >> (64 - MASK_BITS);
                let bits = (bits as u32).wrapping_add((*mask.0).as_ref()[i]);
                (*c0).as_mut()[i] = bits & ((1 << MASK_BITS) - 1);
            };
            fractions(&halves.c0, &mut rounded);
            let mut switched = |i: usize, fraction: u64| {
                // The upper 40 bits are enough: t has 23.
                let product = (fraction >> 24) * u64::from(T);
                (*c1).as_mut()[i] = T_MOD.reduce_once(((product + (1 << 39)) >> 40) as u32);
            };
            fractions(&halves.c1, &mut switched);
            R::NTT[R::RESPONSE_MODULUS].forward(&mut c1, R::LOG_N);
            Response { c1, c0 }
        }
    }
}
