//! What the server does to a result before it goes back: re-randomise, mask, flood, switch.
//! DESIGN section 5. Each step is needed; the order is fixed (all before the switch).
//!
//! `hide` has the first three for both rings; [`crate::packing::slot::privacy`] has slot packing's switch.

use alloc::boxed::Box;

use zeroize::Zeroize;

use crate::arith::modulus::Modulus;
use crate::arith::transform::{Ntt, Poly, Q_NTT};
use crate::params::{FLOOD_BITS, LIMBS, LOG_N, N, Q_MOD};
use crate::random::sample::{
    Ternary, error, flood, flood_residue, residue_t, sign_residue, small_residue,
};
use crate::random::{Seed, Stream};
use crate::rlwe::ciphertext::{Ciphertext, Limbs, zero_poly, zero_polys};
use crate::rlwe::{Expansion, drop_bits, expand_public};

/// Separates the streams that one response's seed gives.
#[repr(u32)]
enum Part {
    U = 1,
    Errors = 2,
    Mask = 3,
    Flood = 4,
}

/// The random numbers of one response, which its seed gives to it alone.
pub(crate) struct Randomness<'a> {
    /// The seed.
    pub seed: &'a Seed,
    /// Separates the rings.
    pub ring: u32,
}

impl Randomness<'_> {
    fn stream(&self, part: Part) -> Stream {
        Stream::new(self.seed, [self.ring + part as u32, 0, 0])
    }

    /// A uniform residue mod t for every coefficient or slot.
    pub fn mask<const N: usize>(&self) -> Box<[u32; N]> {
        let mut mask = zero_poly();
        let mut stream = self.stream(Part::Mask);
        mask.iter_mut().for_each(|x| *x = residue_t(&mut stream));
        mask
    }
}

/// A client's public key in a ring of N coefficients, NTT domain: `b + a s = e`.
pub struct RingPublicKey<const N: usize> {
    b: Box<Limbs<N>>,
    a: Box<Limbs<N>>,
}

impl<const N: usize> RingPublicKey<N> {
    /// The key whose `b` came in the coefficient domain; `a` gives a limb's residues, NTT domain.
    pub(crate) fn new<A: Iterator<Item = u32>>(
        ring: &[Ntt<N>],
        mut b: Box<Limbs<N>>,
        a: impl Fn(usize) -> A,
    ) -> Self {
        let mut expanded: Box<Limbs<N>> = zero_polys();
        for limb in 0..LIMBS {
            ring[limb].forward(&mut b[limb], Ntt::<N>::LOG_N);
            expanded[limb]
                .iter_mut()
                .zip(a(limb))
                .for_each(|(x, a)| *x = a);
        }
        Self { b, a: expanded }
    }
}

/// A client's public key, for segments.
pub type PublicKey = RingPublicKey<N>;

impl PublicKey {
    /// The key whose `b` came in the coefficient domain; `a` is expanded here, from a seed whose
    /// use for public keys is part of the expansion, and never taken from the wire.
    pub fn from_wire(b: Box<Limbs>, seed: &Seed) -> Self {
        Self::new(&Q_NTT, b, |limb| {
            expand_public(seed, Expansion::PublicKey, limb)
        })
    }
}

/// Re-randomises, masks and floods a result (NTT domain), which comes out in the coefficient domain.
/// `ring` holds its limbs' transforms, `mask` adds the mask to c0.
pub(crate) fn hide<const N: usize, const FLOOD_BITS: u32>(
    ring: &[Ntt<N>],
    [c0, c1]: [&mut Limbs<N>; 2],
    key: &RingPublicKey<N>,
    random: &Randomness<'_>,
    mask: impl FnOnce(&mut Limbs<N>),
) {
    add_encryption_of_zero(ring, [&mut *c0, c1], key, random);
    mask(c0);
    add_flood::<N, FLOOD_BITS>(ring, c0, random);
}

/// A returned ciphertext at the modulus q0.
pub struct Response {
    /// c1, NTT domain of q0.
    pub c1: Box<Poly>,
    /// c0, coefficient domain, low bits dropped.
    pub c0: Box<Poly>,
}

/// The randomness of segments' responses.
fn randomness(seed: &Seed) -> Randomness<'_> {
    Randomness { seed, ring: 0 }
}

/// A uniform residue mod t for every coefficient, from a response's seed.
pub fn uniform_mask(seed: &Seed) -> Box<Poly> {
    randomness(seed).mask()
}

/// Re-randomises, masks, floods and switches `result` (NTT domain). `mask` (residues mod t,
/// coefficient domain) becomes part of the message; `seed` belongs to this response alone.
pub fn respond(mut result: Ciphertext, key: &PublicKey, mask: &Poly, seed: &Seed) -> Response {
    let Ciphertext { c0, c1 } = &mut result;
    hide::<N, FLOOD_BITS>(&Q_NTT, [c0, c1], key, &randomness(seed), |c0| {
        Ciphertext::add_plaintext(c0, mask)
    });
    switch(c0);
    switch(c1);

    let mut c1 = zero_poly();
    c1.copy_from_slice(&result.c1[0]);
    Q_NTT[0].forward(&mut c1, LOG_N);
    let mut c0 = zero_poly();
    for (x, &y) in c0.iter_mut().zip(&result.c0[0]) {
        *x = drop_bits(y);
    }
    Response { c1, c0 }
}

/// c += (b u + e0, a u + e1) with u ternary; takes it from the NTT to the coefficient domain.
fn add_encryption_of_zero<const N: usize>(
    ring: &[Ntt<N>],
    [c0, c1]: [&mut Limbs<N>; 2],
    key: &RingPublicKey<N>,
    random: &Randomness<'_>,
) {
    let mut u = zero_poly();
    for (limb, ntt) in ring[..LIMBS].iter().enumerate() {
        let m = ntt.modulus();
        let mut signs = random.stream(Part::U);
        let mut ternary = Ternary::new();
        for x in u.iter_mut() {
            *x = sign_residue(ternary.next(&mut signs), m);
        }
        ntt.forward(&mut u, Ntt::<N>::LOG_N);
        for (acc, key) in [(&mut *c0, &key.b), (&mut *c1, &key.a)] {
            for ((acc, &k), &u) in acc[limb].iter_mut().zip(&key[limb]).zip(u.iter()) {
                *acc = m.add(*acc, m.mul(k, u));
            }
            ntt.inverse(&mut acc[limb], Ntt::<N>::LOG_N);
        }
        let mut errors = random.stream(Part::Errors);
        for acc in [&mut *c0, &mut *c1] {
            for x in acc[limb].iter_mut() {
                *x = m.add(*x, small_residue(error(&mut errors), m));
            }
        }
    }
    u.zeroize();
}

fn add_flood<const N: usize, const FLOOD_BITS: u32>(
    ring: &[Ntt<N>],
    c0: &mut Limbs<N>,
    random: &Randomness<'_>,
) {
    let mut stream = random.stream(Part::Flood);
    let [l0, l1, l2, l3] = c0;
    for (((x0, x1), x2), x3) in l0.iter_mut().zip(l1).zip(l2).zip(l3) {
        let v = flood::<FLOOD_BITS>(&mut stream);
        for (x, ntt) in [x0, x1, x2, x3].into_iter().zip(ring) {
            let m = ntt.modulus();
            *x = m.add(*x, flood_residue::<FLOOD_BITS>(v, m));
        }
    }
}

/// The inverse of the modulus `of` modulo another, Montgomery form.
pub(crate) const fn inverse(of: &Modulus, modulo: &Modulus) -> u32 {
    let q = modulo.value();
    modulo.to_montgomery(Modulus::inverse_const(of.value() % q, q))
}

/// The inverses of each limb's modulus modulo those before it: `[of][modulo]`.
pub(crate) const fn inverses(limbs: &[Modulus]) -> [[u32; LIMBS]; LIMBS] {
    let mut table = [[0; LIMBS]; LIMBS];
    let mut of = 1;
    while of < LIMBS {
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
pub(crate) fn divide<const N: usize>(
    ring: &[Ntt<N>],
    limbs: &mut Limbs<N>,
    last: usize,
    inverses: &[u32; LIMBS],
) {
    let dropped_modulus = ring[last].modulus();
    let (kept, dropped) = limbs.split_at_mut(last);
    for ((limb, ntt), &inverse) in kept.iter_mut().zip(ring).zip(inverses) {
        let m = ntt.modulus();
        for (x, &d) in limb.iter_mut().zip(&dropped[0]) {
            let d = m.from_i32(dropped_modulus.centered(d));
            *x = m.mul_montgomery(m.sub(*x, d), inverse);
        }
    }
}

/// Divides by q3 q2 q1, each time to the nearest integer: what is left is limb 0. Coefficient
/// domain.
fn switch(limbs: &mut Limbs) {
    const INVERSES: [[u32; LIMBS]; LIMBS] = inverses(&Q_MOD);
    for last in (1..LIMBS).rev() {
        divide(&Q_NTT, limbs, last, &INVERSES[last]);
    }
}
