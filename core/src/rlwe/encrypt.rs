//! Seeded symmetric encryption, one limb at a time: nothing is allocated.
//! `docs/design.md#encryption`.

use super::{Ring, SecretKey};
use crate::arith::modulus::Modulus;
use crate::arith::transform::Residues;
use crate::random::sample::{error, small_residue, uniform};
use crate::random::{Seed, Stream};

use super::element::Element;

/// What a public polynomial is expanded for; separates the streams of equal seeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expansion {
    /// c1 of a ciphertext.
    Ciphertext,
    /// a of a public key.
    PublicKey,
    /// a of one digit of a Galois key.
    GaloisKey(Element, usize),
}

impl Expansion {
    fn nonce<R: Ring>(self, limb: usize) -> [u32; 3] {
        let (kind, part) = match self {
            Self::Ciphertext => (1, 0),
            Self::PublicKey => (2, 0),
            Self::GaloisKey(element, digit) => (3, element.value() << 8 | digit as u32),
        };
        [limb as u32, R::EXPANSION_DOMAIN + kind, part]
    }
}

/// The residues, in the NTT domain of a limb, of the public polynomial of a seed.
pub fn expand_public<R: Ring>(
    seed: &Seed,
    expansion: Expansion,
    limb: usize,
) -> impl Iterator<Item = u32> + use<R> {
    let mut stream = Stream::new(seed, expansion.nonce::<R>(limb));
    let (modulus, bits) = (R::MODULI[limb], R::BITS[limb]);
    core::iter::repeat_with(move || uniform(&mut stream, &modulus, bits)).take(R::N)
}

/// Puts an error above each message, both of which all limbs share: residue m < t and error e
/// become m + 2^24 e. Zeros encrypt zero, which is also what a public key is.
pub fn add_errors(message: &mut impl Residues, seed: &Seed) {
    let mut errors = Stream::new(seed, [0; 3]);
    for x in message.as_mut() {
        *x |= (error(&mut errors) as u32) << 24;
    }
}

/// One limb of `c0 = round(q m / t) + e - c1 s`, coefficient domain, into `out`; `message` comes
/// from [`add_errors`]. With zeros as message and [`Expansion::PublicKey`], `b` of a public key.
pub fn encrypt_limb<R: Ring>(
    key: &SecretKey<R>,
    limb: usize,
    message: &R::Poly,
    (a_seed, expansion): (&Seed, Expansion),
    out: &mut R::Poly,
) {
    let (modulus, scale) = (R::MODULI[limb], &R::SCALES[limb]);
    key.load(limb, 1, out);
    R::NTT[limb].convolve(out, expand_public::<R>(a_seed, expansion, limb));
    for (x, &word) in out.as_mut().iter_mut().zip(message.as_ref()) {
        let difference = modulus.sub(scale.scale(word & 0xFF_FFFF), *x);
        *x = add_error(difference, word as i32 >> 24, &modulus);
    }
}

/// x + e for a residue x and an error |e| <= 21; constant-time.
pub(super) fn add_error(x: u32, e: i32, modulus: &Modulus) -> u32 {
    // As a signed word: from -21 to q + 20.
    modulus.reduce_once(small_residue(x as i32 + e, modulus))
}

/// Adds round(q m / t) to one limb in the coefficient domain; `message` are residues mod t.
pub fn add_scaled<R: Ring>(out: &mut R::Poly, message: &R::Poly, limb: usize) {
    for (x, &m) in out.as_mut().iter_mut().zip(message.as_ref()) {
        *x = R::MODULI[limb].add(*x, R::SCALES[limb].scale(m));
    }
}
