//! The client's half of slot packing: seeded encryption, public key and Galois keys, one limb
//! polynomial at a time, and decryption. Nothing is allocated.
//! DESIGN sections 3 and 9; BFV (Fan and Vercauteren, 2012), key switching with one special prime
//! (Gentry, Halevi, Smart, 2012) and the residues modulo the limbs as digits. Galois keys encrypt the
//! secret under its own images: their security assumes circular security, as everywhere.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::arith::modulus::Modulus;
use crate::packing::slot::galois::Element;
use crate::packing::slot::params::{
    C0_BITS, CIPHER_MOD, DROPPED_BITS, LIMBS, LOG_N, N, Poly, Q, Q_BITS, Q_MOD, Q_NTT, SPECIAL,
};
use crate::params::{T, T_MOD};
use crate::random::sample::{Ternary, error, sign_residue, small_residue, uniform};
use crate::random::{Seed, Stream};
use crate::rlwe::Scale;

pub use crate::rlwe::add_errors;

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
    fn nonce(self, limb: usize) -> [u32; 3] {
        let (kind, part) = match self {
            Self::Ciphertext => (16, 0),
            Self::PublicKey => (17, 0),
            Self::GaloisKey(element, digit) => (18, element.value() << 8 | digit as u32),
        };
        [limb as u32, kind, part]
    }
}

/// The residues, in the NTT domain of a limb, of the public polynomial of a seed.
pub fn expand_public(
    seed: &Seed,
    expansion: Expansion,
    limb: usize,
) -> impl Iterator<Item = u32> + use<> {
    let mut stream = Stream::new(seed, expansion.nonce(limb));
    core::iter::repeat_with(move || uniform(&mut stream, &Q_MOD[limb], Q_BITS)).take(N)
}

/// A ternary secret key, two bits a coefficient: 2 KiB.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u32; N / 16]);

impl SecretKey {
    /// No key: all coefficients zero.
    pub(crate) const fn zero() -> Self {
        Self([0; N / 16])
    }

    /// The key of a seed.
    pub fn generate(seed: &Seed) -> Self {
        let mut stream = Stream::new(seed, [0; 3]);
        let mut ternary = Ternary::new();
        let mut key = Self([0; N / 16]);
        for word in &mut key.0 {
            for i in 0..16 {
                *word |= ternary.next(&mut stream) << (2 * i);
            }
        }
        key
    }

    /// Writes the key in the NTT domain of a limb.
    pub fn load_ntt(&self, limb: usize, out: &mut Poly) {
        self.load(limb, Element::IDENTITY, out);
        Q_NTT[limb].forward(out, LOG_N);
    }

    /// The residues of the key's coefficients modulo a limb's prime.
    fn residues(&self, limb: usize) -> impl Iterator<Item = u32> + '_ {
        let signs = (self.0.iter()).flat_map(|word| (0..16).map(move |i| word >> (2 * i) & 3));
        signs.map(move |sign| sign_residue(sign, &Q_MOD[limb]))
    }

    /// Writes the key after an automorphism, coefficient domain.
    fn load(&self, limb: usize, element: Element, out: &mut Poly) {
        for (i, x) in self.residues(limb).enumerate() {
            // The place and the turn of the sign are public.
            let (power, negative) = element.monomial(i);
            out[power] = if negative { Q_MOD[limb].neg(x) } else { x };
        }
    }
}

/// The scales to the ciphertext limbs.
const SCALES: [Scale; LIMBS] = Scale::table(&CIPHER_MOD);

/// One limb of `c0 = round(q m / t) + e - c1 s`, coefficient domain, into `out`; `message` comes
/// from [`add_errors`]. With zeros as message and [`Expansion::PublicKey`], `b` of a public key.
pub fn encrypt_limb(
    key: &SecretKey,
    limb: usize,
    message: &Poly,
    (a_seed, expansion): (&Seed, Expansion),
    out: &mut Poly,
) {
    let modulus = Q_MOD[limb];
    key.load(limb, Element::IDENTITY, out);
    Q_NTT[limb].convolve(out, expand_public(a_seed, expansion, limb));
    let scale = &SCALES[limb];
    for (x, &word) in out.iter_mut().zip(message) {
        let difference = modulus.sub(scale.scale(word & 0xFF_FFFF), *x);
        *x = add_error(difference, word as i32 >> 24, &modulus);
    }
}

/// x + e for a residue x and an error |e| <= 21; constant-time.
fn add_error(x: u32, e: i32, modulus: &Modulus) -> u32 {
    // As a signed word: from -21 to q + 20.
    modulus.reduce_once(small_residue(x as i32 + e, modulus))
}

/// Adds round(q m / t) to one limb in the coefficient domain; `message` are residues mod t.
pub fn add_scaled(out: &mut Poly, message: &Poly, limb: usize) {
    for (x, &m) in out.iter_mut().zip(message) {
        *x = Q_MOD[limb].add(*x, SCALES[limb].scale(m));
    }
}

/// p modulo the ciphertext limbs, Montgomery form.
const SPECIAL_RESIDUES: [u32; LIMBS] = {
    let mut residues = [0; LIMBS];
    let mut limb = 0;
    while limb < LIMBS {
        residues[limb] = Q_MOD[limb].to_montgomery(Q[SPECIAL] % Q[limb]);
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
    key: &SecretKey,
    element: Element,
    (digit, limb): (usize, usize),
    a_seed: &Seed,
    error_seed: &Seed,
    out: &mut Poly,
) {
    let modulus = Q_MOD[limb];
    key.load(limb, element.inverse(), out);
    let expansion = Expansion::GaloisKey(element, digit);
    Q_NTT[limb].convolve(out, expand_public(a_seed, expansion, limb));
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

/// First half of decryption: `c1` of a returned ciphertext (coefficients mod 2^32) becomes c1 s mod
/// 2^32; both scratch polynomials are overwritten.
///
/// Both 16-bit halves of c1 are multiplied by s over the integers: the products stay below
/// 2^15 N = 2^28, which is less than q0/2.
pub fn multiply_key(key: &SecretKey, c1: &mut Poly, low: &mut Poly, scratch: &mut Poly) {
    let modulus = &Q_MOD[0];
    for (high, low) in c1.iter_mut().zip(low.iter_mut()) {
        let part = i32::from(*high as i16);
        *low = small_residue(part, modulus);
        *high = small_residue(high.wrapping_sub(part as u32) as i32 >> 16, modulus);
    }
    key.load_ntt(0, scratch);
    for half in [&mut *c1, &mut *low] {
        Q_NTT[0].forward(half, LOG_N);
        Q_NTT[0].multiply(half, scratch);
        Q_NTT[0].inverse(half, LOG_N);
    }
    for (high, &low) in c1.iter_mut().zip(low.iter()) {
        let high_product = modulus.centered(*high) as u32;
        *high = (high_product << 16).wrapping_add(modulus.centered(low) as u32);
    }
    low.zeroize();
    scratch.zeroize();
}

/// Second half: the message coefficient (mod t) of a returned coefficient of c0, without its
/// dropped bits, and the coefficient of c1 s; constant-time.
pub fn decrypt_coefficient(c0: u32, c1_s: u32) -> u32 {
    let phase = (c0 << DROPPED_BITS).wrapping_add(c1_s);
    // round(t phase / 2^32).
    let m = (u64::from(phase) * u64::from(T) + (1 << 31)) >> 32;
    T_MOD.reduce_once(m as u32)
}

/// c0 of a returned ciphertext (mod 2^32) without its low bits, rounded: [`C0_BITS`] bits.
pub fn drop_bits(c0: u32) -> u32 {
    let rounded = c0.wrapping_add(1 << (DROPPED_BITS - 1)) >> DROPPED_BITS;
    debug_assert!(rounded >> C0_BITS == 0);
    rounded
}
