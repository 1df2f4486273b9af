//! What the server does to a result of slot packing before it goes back: re-randomise, mask, flood,
//! switch to the modulus 2^32. DESIGN section 5, with the figures of [`crate::slot::params`].

use alloc::boxed::Box;

use zeroize::Zeroize;

use crate::modular::Modulus;
use crate::prg::{Seed, Stream};
use crate::sample::{Ternary, error, flood, flood_residue, residue_t, sign_residue, small_residue};
use crate::slot::cipher::{Ciphertext, Limbs, zero_poly, zero_polys};
use crate::slot::params::{FLOOD_BITS, LIMBS, LOG_N, Poly, Q, Q_MOD, Q_NTT};
use crate::slot::rlwe::{Expansion, add_scaled, drop_bits, expand_public};

/// Separates the streams that one response's seed gives.
#[repr(u32)]
enum Part {
    U = 17,
    Errors = 18,
    Mask = 19,
    Flood = 20,
}

fn stream(seed: &Seed, part: Part) -> Stream {
    Stream::new(seed, [part as u32, 0, 0])
}

/// A client's public key, NTT domain: `b + a s = e`.
pub struct PublicKey {
    b: Box<Limbs>,
    a: Box<Limbs>,
}

impl PublicKey {
    /// The key whose `b` came in the coefficient domain; `a` is expanded here, from a seed whose
    /// use for public keys is part of the expansion.
    pub fn from_wire(mut b: Box<Limbs>, seed: &Seed) -> Self {
        let mut a: Box<Limbs> = zero_polys();
        for limb in 0..LIMBS {
            Q_NTT[limb].forward(&mut b[limb], LOG_N);
            let public = expand_public(seed, Expansion::PublicKey, limb);
            a[limb].iter_mut().zip(public).for_each(|(x, a)| *x = a);
        }
        Self { b, a }
    }
}

/// A returned ciphertext at the modulus 2^32, coefficient domain.
pub struct Response {
    /// c1.
    pub c1: Box<Poly>,
    /// c0, low bits dropped.
    pub c0: Box<Poly>,
}

/// A uniform residue mod t for every slot, from a response's seed.
pub fn uniform_mask(seed: &Seed) -> Box<Poly> {
    let mut mask = zero_poly();
    let mut stream = stream(seed, Part::Mask);
    mask.iter_mut().for_each(|x| *x = residue_t(&mut stream));
    mask
}

/// Re-randomises, masks, floods and switches `result`. `mask` (residues mod t, coefficient domain:
/// encode it if it is made of slots) becomes part of the message; `seed` belongs to this response
/// alone.
pub fn respond(mut result: Ciphertext, key: &PublicKey, mask: &Poly, seed: &Seed) -> Response {
    add_encryption_of_zero(&mut result, key, seed);
    for (limb, c0) in result.c0.iter_mut().enumerate() {
        add_scaled(c0, mask, limb);
    }
    add_flood(&mut result.c0, seed);
    let c1 = switch(&mut result.c1);
    let mut c0 = switch(&mut result.c0);
    c0.iter_mut().for_each(|x| *x = drop_bits(*x));
    Response { c1, c0 }
}

/// result += (b u + e0, a u + e1) with u ternary; takes it from the NTT to the coefficient domain.
fn add_encryption_of_zero(result: &mut Ciphertext, key: &PublicKey, seed: &Seed) {
    let mut u = zero_poly();
    for limb in 0..LIMBS {
        let m = &Q_MOD[limb];
        let mut signs = stream(seed, Part::U);
        let mut ternary = Ternary::new();
        for x in u.iter_mut() {
            *x = sign_residue(ternary.next(&mut signs), m);
        }
        Q_NTT[limb].forward(&mut u, LOG_N);
        for (acc, key) in [(&mut result.c0, &key.b), (&mut result.c1, &key.a)] {
            for ((acc, &k), &u) in acc[limb].iter_mut().zip(&key[limb]).zip(u.iter()) {
                *acc = m.add(*acc, m.mul(k, u));
            }
            Q_NTT[limb].inverse(&mut acc[limb], LOG_N);
        }
        let mut errors = stream(seed, Part::Errors);
        for acc in [&mut result.c0, &mut result.c1] {
            for x in acc[limb].iter_mut() {
                *x = m.add(*x, small_residue(error(&mut errors), m));
            }
        }
    }
    u.zeroize();
}

fn add_flood(c0: &mut Limbs, seed: &Seed) {
    let mut stream = stream(seed, Part::Flood);
    let [l0, l1, l2, l3] = c0;
    for (((x0, x1), x2), x3) in l0.iter_mut().zip(l1).zip(l2).zip(l3) {
        let v = flood::<FLOOD_BITS>(&mut stream);
        for (x, m) in [x0, x1, x2, x3].into_iter().zip(&Q_MOD) {
            *x = m.add(*x, flood_residue::<FLOOD_BITS>(v, m));
        }
    }
}

/// The inverse of one limb's modulus modulo another, Montgomery form.
const fn inverse(of: usize, modulo: usize) -> u32 {
    Q_MOD[modulo].to_montgomery(Modulus::inverse_const(Q[of] % Q[modulo], Q[modulo]))
}

/// Divides by q3 and q2, each time to the nearest integer, and brings what is left from q0 q1 to
/// 2^32. Coefficient domain; overwrites `limbs`.
fn switch(limbs: &mut Limbs) -> Box<Poly> {
    const INVERSES: [[u32; LIMBS]; LIMBS] = {
        let mut table = [[0; LIMBS]; LIMBS];
        let mut of = 1;
        while of < LIMBS {
            let mut modulo = 0;
            while modulo < of {
                table[of][modulo] = inverse(of, modulo);
                modulo += 1;
            }
            of += 1;
        }
        table
    };
    const FIRST_INVERSE: u32 = inverse(0, 1);
    /// 2^124 / (q0 q1), for numbers below 2^60: what its rounding loses is below 2^-32.
    const RATIO: u128 = (1 << 124) / (Q[0] as u128 * Q[1] as u128);
    for last in [3, 2] {
        let (kept, dropped) = limbs.split_at_mut(last);
        for (i, limb) in kept.iter_mut().enumerate() {
            let m = &Q_MOD[i];
            for (x, &d) in limb.iter_mut().zip(&dropped[0]) {
                let d = m.from_i32(Q_MOD[last].centered(d));
                *x = m.mul_montgomery(m.sub(*x, d), INVERSES[last][i]);
            }
        }
    }
    let mut out = zero_poly();
    for (out, (&x0, &x1)) in out.iter_mut().zip(limbs[0].iter().zip(&limbs[1])) {
        let m = &Q_MOD[1];
        let difference = m.sub(x1, m.reduce_once(x0));
        let quotient = m.mul_montgomery(difference, FIRST_INVERSE);
        let x = u64::from(x0) + u64::from(Q[0]) * u64::from(quotient);
        *out = ((u128::from(x) * RATIO + (1 << 91)) >> 92) as u32;
    }
    out
}
