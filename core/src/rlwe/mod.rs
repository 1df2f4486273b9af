//! RLWE encryption with fixed parameters: seeded and symmetric, one limb at a time, and
//! decryption at the one-limb modulus. DESIGN section 3 (BFV: Fan and Vercauteren, 2012).

#[cfg(feature = "server")]
pub mod ciphertext;
pub mod operations;
#[cfg(feature = "server")]
pub mod respond;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::arith::modulus::Modulus;
use crate::arith::transform::{Poly, Q_NTT};
use crate::params::{DROPPED_BITS, LOG_N, N, Q, Q_BITS, Q_MOD, T, T_MOD};
use crate::random::sample::{Ternary, error, sign_residue, small_residue, uniform};
use crate::random::{Seed, Stream};

/// What a public polynomial is expanded for; separates the streams of equal seeds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Expansion {
    /// c1 of a ciphertext.
    Ciphertext = 1,
    /// a of a public key.
    PublicKey = 2,
}

/// A ternary secret key, two bits a coefficient: 1 KiB.
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
        self.load(limb, out);
        Q_NTT[limb].forward(out, LOG_N);
    }

    /// Writes the key's residues modulo a limb's prime, coefficient domain.
    fn load(&self, limb: usize, out: &mut Poly) {
        for (chunk, word) in out.chunks_exact_mut(16).zip(&self.0) {
            for (i, x) in chunk.iter_mut().enumerate() {
                *x = sign_residue(word >> (2 * i) & 3, &Q_MOD[limb]);
            }
        }
    }
}

/// The residues, in the NTT domain of a limb, of the public polynomial of a seed.
pub fn expand_public(
    seed: &Seed,
    expansion: Expansion,
    limb: usize,
) -> impl Iterator<Item = u32> + use<> {
    let mut stream = Stream::new(seed, [limb as u32, expansion as u32, 0]);
    core::iter::repeat_with(move || uniform(&mut stream, &Q_MOD[limb], Q_BITS[limb])).take(N)
}

/// Puts an error above each message, both of which all limbs share: residue m < t and error e
/// become m + 2^24 e. Zeros encrypt zero, which is also what a public key is.
pub fn add_errors<const N: usize>(message: &mut [u32; N], seed: &Seed) {
    let mut errors = Stream::new(seed, [0; 3]);
    for x in message {
        *x |= (error(&mut errors) as u32) << 24;
    }
}

/// One limb of `c0 = round(q m / t) + e - c1 s`, coefficient domain, into `out`; `message` comes
/// from [`add_errors`].
pub fn encrypt_limb(
    key: &SecretKey,
    limb: usize,
    message: &Poly,
    (a_seed, expansion): (&Seed, Expansion),
    out: &mut Poly,
) {
    let modulus = Q_MOD[limb];
    key.load(limb, out);
    Q_NTT[limb].convolve(out, expand_public(a_seed, expansion, limb));
    let scale = &SCALES[limb];
    for (x, &word) in out.iter_mut().zip(message) {
        let difference = modulus.sub(scale.scale(word & 0xFF_FFFF), *x);
        // As a signed word: from -21 to q + 20.
        let noisy = difference as i32 + (word as i32 >> 24);
        *x = modulus.reduce_once(small_residue(noisy, &modulus));
    }
}

/// Adds round(q m / t) to one limb in the coefficient domain; `message` are residues mod t.
pub fn add_scaled(out: &mut Poly, message: &Poly, limb: usize) {
    let scale = &SCALES[limb];
    for (x, &m) in out.iter_mut().zip(message) {
        *x = Q_MOD[limb].add(*x, scale.scale(m));
    }
}

/// m -> round(q m / t) mod q_l: with h = (t-1)/2 and r = (q m + h) mod t, it is
/// (q m + h - r) / t, and q is 0 modulo q_l.
#[derive(Clone, Copy)]
pub(crate) struct Scale {
    modulus: Modulus,
    q_mod_t: u32,
    t_inverse: u32,
}

/// The scales to the limbs of [`Q`].
const SCALES: [Scale; Q.len()] = Scale::table(&Q_MOD);

impl Scale {
    /// The scales to each of the limbs, whose product is q.
    pub(crate) const fn table<const L: usize>(limbs: &[Modulus; L]) -> [Self; L] {
        let mut product = 1u64;
        let mut i = 0;
        while i < L {
            product = product * (limbs[i].value() % T) as u64 % T as u64;
            i += 1;
        }
        let mut table = [Self {
            modulus: limbs[0],
            q_mod_t: T_MOD.to_montgomery(product as u32),
            t_inverse: 0,
        }; L];
        i = 0;
        while i < L {
            let inverse = Modulus::inverse_const(T, limbs[i].value());
            table[i].modulus = limbs[i];
            table[i].t_inverse = limbs[i].to_montgomery(inverse);
            i += 1;
        }
        table
    }

    /// The residue of round(q m / t), for m < t.
    pub(crate) fn scale(&self, m: u32) -> u32 {
        const HALF: u32 = T / 2;
        // The half is added before the reduction, as a multiple of 2^32.
        let sum = u64::from(m) * u64::from(self.q_mod_t) + (u64::from(HALF) << 32);
        let r = T_MOD.reduce_once(T_MOD.montgomery_lazy(sum));
        let difference = self.modulus.sub(HALF, r);
        self.modulus.mul_montgomery(difference, self.t_inverse)
    }
}

/// First half of decryption: `c1` of a returned ciphertext (NTT domain of q0) becomes c1 s
/// (coefficients); `scratch` is overwritten with the key.
pub fn multiply_key(key: &SecretKey, c1: &mut Poly, scratch: &mut Poly) {
    key.load_ntt(0, scratch);
    Q_NTT[0].multiply(c1, scratch);
    Q_NTT[0].inverse(c1, LOG_N);
    scratch.zeroize();
}

/// Second half: the message coefficient (mod t) of a returned coefficient of c0, without its
/// dropped bits, and the coefficient of c1 s; constant-time.
pub fn decrypt_coefficient(c0: u32, c1_s: u32) -> u32 {
    let c0 = Q_MOD[0].reduce_once(c0 << DROPPED_BITS);
    let phase = Q_MOD[0].add(c0, c1_s);
    // round(t phase / q0) by a multiplication: 2^40 t / q0 < 2^32, and its rounding moves the
    // result by less than 2^-9, far inside the noise margin. No division: those vary in time.
    const RATIO: u64 = (((T as u128) << 40) / Q[0] as u128) as u64;
    let m = (u64::from(phase) * RATIO + (1 << 39)) >> 40;
    T_MOD.reduce_once(m as u32)
}

/// c0 of a returned ciphertext without its low bits, rounded; below [`C0_BOUND`].
pub fn drop_bits(c0: u32) -> u32 {
    (c0 + (1 << (DROPPED_BITS - 1))) >> DROPPED_BITS
}

/// Largest value of a returned coefficient of c0, plus one.
pub const C0_BOUND: u32 = ((Q[0] - 1 + (1 << (DROPPED_BITS - 1))) >> DROPPED_BITS) + 1;
