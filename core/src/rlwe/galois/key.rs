//! The client's half of key switching: one limb of one digit of a Galois key at a time.
//! Key switching with one special prime (Gentry, Halevi, Smart, 2012) and the residues modulo the
//! limbs as digits. Galois keys encrypt the secret under its own images: their security assumes
//! circular security, as everywhere.

use super::Element;
use crate::random::sample::error;
use crate::random::{Seed, Stream};
use crate::rlwe::encrypt::add_error;
use crate::rlwe::ring::ring8192::{LIMBS, Poly, Q, Q_MOD, Q_NTT, SPECIAL};
use crate::rlwe::{Expansion, Ring8192, SecretKey, expand_public};

/// p modulo the ciphertext limbs, Montgomery form.
const SPECIAL_RESIDUES: [u32; LIMBS] = {
    let mut residues = [0; LIMBS];
    let mut limb = 0;
    while limb < LIMBS {
        residues[limb] = Q_MOD[limb].montgomery(Q[SPECIAL] % Q[limb]);
        limb += 1;
    }
    residues
};

/// One limb (of five, the last modulo p) of digit `digit` of the Galois key of `element`,
/// coefficient domain: `b = e - a s' + p s` in the digit's own limb and `e - a s'` in the others,
/// with s' the secret under the inverse automorphism.
///
/// The server sums `digit_i(c1) (b_i, a_i)`, which under s' is p c1 s and noise, divides by p, adds
/// c0, and only then applies the automorphism, which takes s' to s. `a_seed` is public and gives a
/// for all digits and limbs; `error_seed` belongs to this key alone, and all limbs share its errors.
pub fn galois_key_limb(
    key: &SecretKey<Ring8192>,
    element: Element,
    (digit, limb): (usize, usize),
    a_seed: &Seed,
    error_seed: &Seed,
    out: &mut Poly,
) {
    let modulus = Q_MOD[limb];
    key.load_image(limb, element.inverse(), out);
    let expansion = Expansion::GaloisKey(element, digit);
    Q_NTT[limb].convolve(out, expand_public::<Ring8192>(a_seed, expansion, limb));
    let factor = if limb == digit {
        SPECIAL_RESIDUES[digit]
    } else {
        0
    };
    let mut errors = Stream::new(error_seed, [digit as u32, 0, 0]);
    for (x, s) in out.iter_mut().zip(key.residues(limb)) {
        let difference = modulus.sub(modulus.mul_montgomery(s, factor), *x);
        *x = add_error(difference, error(&mut errors), &modulus);
    }
}
