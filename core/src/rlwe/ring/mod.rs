//! The parameter sets: a ring Z\[X\]/(X^N + 1), its moduli, and how a response comes back.
//! `docs/design.md#parameters` and `#circuit-privacy`; everything else in [`crate::rlwe`] exists
//! once, for any [`Ring`].

pub mod masked;
pub mod ring4096;
pub mod ring8192;

pub use masked::{Masked2048, Masked4096};
pub use ring4096::Ring4096;
pub use ring8192::Ring8192;

use crate::arith::field::{T, T_MOD};
use crate::arith::modulus::Modulus;
use crate::arith::transform::{Ntt, Residues};
use zeroize::Zeroize;

#[cfg(feature = "server")]
use alloc::boxed::Box;

/// A parameter set. All tables are statics; nothing is chosen at run time.
pub trait Ring: sealed::Sealed + Clone + Send + Sync + 'static {
    /// A polynomial: N residues, of one limb or modulo t.
    type Poly: Residues;
    /// The signs of a secret key, two bits a coefficient: N / 16 words.
    type Signs: Residues;
    /// Scratch of decryption; its first polynomial is that of encryption too.
    type Scratch: AsMut<[Self::Poly]>;

    /// Scratch that holds nothing.
    const SCRATCH: Self::Scratch;
    /// Ring dimension N.
    const N: usize = Self::Poly::LEN;
    /// log2 of N.
    const LOG_N: usize = Self::N.trailing_zeros() as usize;
    /// Limbs of a ciphertext: the first of the moduli.
    const LIMBS: usize;
    /// The moduli: the ciphertext's, then a special prime where there are Galois keys, or t where it is
    /// that of responses.
    const MODULI: &'static [Modulus];
    /// Bits of a residue of each modulus on the wire.
    const BITS: &'static [u32];
    /// The transforms modulo each of the moduli.
    const NTT: &'static [&'static Ntt<Self::Poly>];
    /// The scales from residues mod t to each limb.
    const SCALES: &'static [Scale];
    /// Public polynomials are expanded under nonces above this one.
    const EXPANSION_DOMAIN: u32;
    /// The randomness of responses comes from nonces above this one.
    const RESPONSE_DOMAIN: u32;

    /// Which of the moduli a response's c1 is multiplied by the key under.
    const RESPONSE_MODULUS: usize;
    /// Bits of a coefficient of a response's c1.
    const C1_BITS: u32;
    /// Such a coefficient is below this, if it has less than 32 bits.
    const C1_BOUND: u32;
    /// Bits of a coefficient of a response's c0.
    const C0_BITS: u32;
    /// Such a coefficient is below this.
    const C0_BOUND: u32;

    /// c1 of a response, as it was sent, becomes c1 s, coefficient domain; `load_key` writes s times a
    /// residue, in the NTT domain of [`Self::RESPONSE_MODULUS`]. The scratch comes out as zeros.
    fn multiply(
        c1: &mut Self::Poly,
        load_key: impl FnOnce(u32, &mut Self::Poly),
        scratch: &mut Self::Scratch,
    ) {
        let ntt = Self::NTT[Self::RESPONSE_MODULUS];
        let scratch = &mut scratch.as_mut()[0];
        load_key(ntt.factor(), scratch);
        ntt.multiply_inverse(c1, scratch);
        scratch.zeroize();
    }

    /// The message coefficient (mod t) of a coefficient of a response's c0, as it was sent, and the
    /// coefficient of c1 s; constant-time.
    fn decrypt_coefficient(c0: u32, c1_s: u32) -> u32;

    /// Bytes of a ciphertext on the wire: one half, and the seed of the other. Those of a public key too
    /// where c0 is sent in residues.
    fn upload_bytes() -> usize {
        32 + (Self::BITS[..Self::LIMBS].iter())
            .map(|&bits| Self::N * bits as usize / 8)
            .sum::<usize>()
    }

    /// Bytes of a response on the wire with so many coefficients of c0.
    fn response_bytes(coefficients: usize) -> usize {
        Self::N * Self::C1_BITS as usize / 8 + (coefficients * Self::C0_BITS as usize).div_ceil(8)
    }
}

/// A parameter set whose responses are right to the unit, under a uniform mask mod t and a flood.
pub trait ExactRing: Ring {
    /// The transform modulo t.
    const T_NTT: &'static Ntt<Self::Poly>;
    /// The flood is the sum of four uniforms of half-width 2^FLOOD_BITS.
    const FLOOD_BITS: u32;
    /// Low bits of a response's c0 that the server drops.
    const DROPPED_BITS: u32;

    /// Brings a polynomial of all limbs (coefficient domain; overwritten) to the modulus of
    /// responses, to the nearest integer.
    #[cfg(feature = "server")]
    fn switch(limbs: &mut [Self::Poly]) -> Box<Self::Poly>;

    /// Brings c1 of a response from the coefficient domain to that in which it is sent.
    #[cfg(feature = "server")]
    fn to_response_domain(c1: &mut Self::Poly);

    /// c0 of a response without its low bits, rounded: below [`Ring::C0_BOUND`].
    fn drop_bits(c0: u32) -> u32;
}

/// A parameter set whose responses have a uniform mask over all of the phase, noise included, and an
/// error of a few units in return. `docs/design.md#masked-responses`.
/// Their moduli are those of [`masked`].
pub trait MaskedRing: Ring {}

mod sealed {
    pub trait Sealed {}
}

/// m -> round(q m / t) mod q_l: with h = (t-1)/2 and r = (q m + h) mod t, it is
/// (q m + h - r) / t, and q is 0 modulo q_l.
#[derive(Clone, Copy)]
pub struct Scale {
    modulus: Modulus,
    q_mod_t: u32,
    t_inverse: u32,
}

impl Scale {
    /// The scales to each of the limbs, whose product is q.
    const fn table<const L: usize>(limbs: &[Modulus; L]) -> [Self; L] {
        let mut product = 1u64;
        let mut i = 0;
        while i < L {
            product = product * (limbs[i].value() % T) as u64 % T as u64;
            i += 1;
        }
        let mut table = [Self {
            modulus: limbs[0],
            q_mod_t: T_MOD.montgomery(product as u32),
            t_inverse: 0,
        }; L];
        i = 0;
        while i < L {
            let inverse = Modulus::inverse_const(T, limbs[i].value());
            table[i].modulus = limbs[i];
            table[i].t_inverse = limbs[i].montgomery(inverse);
            i += 1;
        }
        table
    }

    /// The residue of round(q m / t), for m < t; constant-time.
    pub fn scale(&self, m: u32) -> u32 {
        const HALF: u32 = T / 2;
        // The half is added before the reduction, as a multiple of 2^32.
        let sum = u64::from(m) * u64::from(self.q_mod_t) + (u64::from(HALF) << 32);
        let r = T_MOD.reduce_once(T_MOD.montgomery_lazy(sum));
        let difference = self.modulus.sub(HALF, r);
        self.modulus.mul_montgomery(difference, self.t_inverse)
    }
}

/// The inverse of the modulus `of` modulo another, Montgomery form.
#[cfg(feature = "server")]
const fn inverse(of: &Modulus, modulo: &Modulus) -> u32 {
    let q = modulo.value();
    modulo.montgomery(Modulus::inverse_const(of.value() % q, q))
}

/// The inverses of each limb's modulus modulo those before it: `[of][modulo]`.
#[cfg(feature = "server")]
const fn inverses<const L: usize>(limbs: &[Modulus; L]) -> [[u32; L]; L] {
    let mut table = [[0; L]; L];
    let mut of = 1;
    while of < L {
        let mut modulo = 0;
        while modulo < of {
            table[of][modulo] = inverse(&limbs[of], &limbs[modulo]);
            modulo += 1;
        }
        of += 1;
    }
    table
}

/// Divides by the modulus of limb `last`, to the nearest integer, which leaves the limbs before it.
/// Coefficient domain; `inverses` are those of that modulus.
#[cfg(feature = "server")]
fn divide<R: ExactRing>(limbs: &mut [R::Poly], last: usize, inverses: &[u32]) {
    let dropped_modulus = R::MODULI[last];
    let (kept, dropped) = limbs.split_at_mut(last);
    for ((limb, m), &inverse) in kept.iter_mut().zip(R::MODULI).zip(inverses) {
        for (x, &d) in limb.as_mut().iter_mut().zip(dropped[0].as_ref()) {
            let d = m.residue(dropped_modulus.centered(d));
            *x = m.mul_montgomery(m.sub(*x, d), inverse);
        }
    }
}
