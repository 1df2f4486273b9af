//! Circuit privacy: what the server does to a result before it goes back.
//! `docs/design.md#circuit-privacy`. Each step is needed; the order is fixed (all before the
//! switch), and in an [`ExactRing`] it is the only way from a [`Ciphertext`] to a [`Response`], which
//! alone can be sent; in a `MaskedRing` [`super::masked`] goes on after the first:
//!
//! | step | takes | gives |
//! |---|---|---|
//! | [`Ciphertext::rerandomise`] | a sum of products | [`Rerandomised`] |
//! | [`Rerandomised::mask`] | | [`Masked`] |
//! | [`Masked::flood`] | | [`Flooded`] |
//! | [`Flooded::switch`] | | [`Response`] |

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::marker::PhantomData;

use zeroize::{Zeroize, Zeroizing};

use super::ciphertext::zero_poly;
use super::ring::ExactRing;
use super::{Ciphertext, Expansion, Limbs, Ring, expand_public, zero_limbs};
use crate::random::sample::{
    Ternary, error, flood, flood_residue, residue_t, sign_residue, small_residue,
};
use crate::random::{Seed, Stream};

/// Separates the streams that one response's seed gives.
#[repr(u32)]
pub(super) enum Part {
    U = 1,
    Errors = 2,
    Mask = 3,
    Flood = 4,
}

/// The random numbers of one response, which its seed gives to it alone.
pub struct Randomness<R>(Seed, PhantomData<R>);

impl<R: Ring> Randomness<R> {
    /// Those of a seed that serves nothing else.
    pub fn new(seed: Seed) -> Self {
        Self(seed, PhantomData)
    }

    pub(super) fn stream(&self, part: Part) -> Stream {
        Stream::new(&self.0, [R::RESPONSE_DOMAIN + part as u32, 0, 0])
    }
}

impl<R: ExactRing> Randomness<R> {
    /// A uniform residue mod t for every coefficient or slot.
    pub fn mask(&self) -> Box<R::Poly> {
        let mut mask = zero_poly::<R>();
        let mut stream = self.stream(Part::Mask);
        for x in mask.as_mut().as_mut() {
            *x = residue_t(&mut stream);
        }
        mask
    }
}

/// A client's public key, NTT domain: `b + a s = e`.
pub struct PublicKey<R: Ring> {
    b: Limbs<R>,
    a: Limbs<R>,
}

impl<R: Ring> PublicKey<R> {
    /// The key whose `b` came in the coefficient domain; `a` is expanded here, from a seed whose
    /// use for public keys is part of the expansion, and never taken from the wire.
    pub fn from_wire(mut b: Limbs<R>, seed: &Seed) -> Self {
        let mut a = zero_limbs::<R>();
        for limb in 0..R::LIMBS {
            R::NTT[limb].forward(&mut b[limb], R::LOG_N);
            let expanded = expand_public::<R>(seed, Expansion::PublicKey, limb);
            let residues = a[limb].as_mut().iter_mut();
            residues.zip(expanded).for_each(|(x, a)| *x = a);
        }
        Self { b, a }
    }
}

/// A sum with an encryption of zero added: its c1 is an RLWE sample. Coefficient domain.
pub struct Rerandomised<R: Ring>(pub(super) Ciphertext<R>);
/// Its message is a share, whose other half is the mask.
pub struct Masked<R: Ring>(Ciphertext<R>);
/// The noise of its phase says nothing of the weights.
pub struct Flooded<R: Ring>(Ciphertext<R>);

/// What goes back to the client: a ciphertext at the modulus of responses.
pub struct Response<R: Ring> {
    pub(super) c1: Box<R::Poly>,
    pub(super) c0: Box<R::Poly>,
}

impl<R: Ring> Response<R> {
    /// c1, in the domain in which it is sent.
    pub fn c1(&self) -> &R::Poly {
        &self.c1
    }

    /// c0 as it is sent, coefficient domain.
    pub fn c0(&self) -> &R::Poly {
        &self.c0
    }
}

/// All steps on `result`. `mask` (residues mod t, coefficient domain) becomes part of the message.
pub fn respond<R: ExactRing>(
    result: Ciphertext<R>,
    key: &PublicKey<R>,
    mask: &R::Poly,
    random: &Randomness<R>,
) -> Response<R> {
    let rerandomised = result.rerandomise(key, random);
    rerandomised.mask(mask).flood(random).switch()
}

impl<R: Ring> Ciphertext<R> {
    /// Adds (b u + e0, a u + e1) with u ternary; goes from the NTT to the coefficient domain.
    pub fn rerandomise(mut self, key: &PublicKey<R>, random: &Randomness<R>) -> Rerandomised<R> {
        // Drawn once; every limb takes its residues of them.
        let (mut ternary, mut stream) = (Ternary::new(), random.stream(Part::U));
        let draw = |_| ternary.next(&mut stream) as u8;
        let signs: Zeroizing<Vec<u8>> = Zeroizing::new((0..R::N).map(draw).collect());
        let mut stream = random.stream(Part::Errors);
        let draw = |_| error(&mut stream) as i8;
        let errors: Zeroizing<Vec<i8>> = Zeroizing::new((0..2 * R::N).map(draw).collect());

        let mut u = zero_poly::<R>();
        for limb in 0..R::LIMBS {
            let (ntt, m) = (&R::NTT[limb], &R::MODULI[limb]);
            for (x, &sign) in u.as_mut().as_mut().iter_mut().zip(signs.iter()) {
                *x = sign_residue(sign.into(), m);
            }
            ntt.forward(&mut u, R::LOG_N);
            for (acc, key) in [(&mut self.c0, &key.b), (&mut self.c1, &key.a)] {
                let terms = key[limb].as_ref().iter().zip(u.as_ref().as_ref());
                for (acc, (&k, &u)) in acc[limb].as_mut().iter_mut().zip(terms) {
                    *acc = m.add(*acc, m.mul(k, u));
                }
                ntt.inverse(&mut acc[limb], R::LOG_N);
            }
            let halves = errors.chunks_exact(R::N);
            for (acc, errors) in [&mut self.c0, &mut self.c1].into_iter().zip(halves) {
                for (x, &error) in acc[limb].as_mut().iter_mut().zip(errors) {
                    *x = m.add(*x, small_residue(error.into(), m));
                }
            }
        }
        u.zeroize();
        Rerandomised(self)
    }
}

impl<R: ExactRing> Rerandomised<R> {
    /// Adds the mask (residues mod t, coefficient domain) to the message.
    pub fn mask(mut self, mask: &R::Poly) -> Masked<R> {
        Ciphertext::<R>::add_plaintext(&mut self.0.c0, mask);
        Masked(self.0)
    }
}

impl<R: ExactRing> Masked<R> {
    /// Adds the flood to the phase.
    pub fn flood(mut self, random: &Randomness<R>) -> Flooded<R> {
        let mut stream = random.stream(Part::Flood);
        for i in 0..R::N {
            let v = flood(&mut stream, R::FLOOD_BITS);
            for (limb, m) in self.0.c0.iter_mut().zip(R::MODULI) {
                let x = &mut limb.as_mut()[i];
                *x = m.add(*x, flood_residue(v, R::FLOOD_BITS, m));
            }
        }
        Flooded(self.0)
    }
}

impl<R: ExactRing> Flooded<R> {
    /// Switches to the modulus of responses and drops the bits that decryption does not need.
    pub fn switch(mut self) -> Response<R> {
        let mut c1 = R::switch(&mut self.0.c1);
        R::to_response_domain(&mut c1);
        let mut c0 = R::switch(&mut self.0.c0);
        for x in c0.as_mut().as_mut() {
            *x = R::drop_bits(*x);
        }
        Response { c1, c0 }
    }
}
