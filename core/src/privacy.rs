//! What the server does to a result before it goes back: re-randomise, mask, flood, switch.
//! DESIGN section 5. Each step is needed; the order is fixed (all before the switch).

use alloc::boxed::Box;

use crate::conv::{Ciphertext, Limbs, inverse_of_limb, zero_limbs, zero_poly};
use crate::ntt::{Poly, Q_NTT};
use crate::params::{FLOOD_BITS, LIMBS, LOG_N, Q_MOD};
use crate::prg::{Seed, Stream};
use crate::rlwe::{Expansion, add_scaled, drop_bits, expand_public};
use crate::sample::{Ternary, error, flood, flood_residue, residue_t, sign_residue, small_residue};

/// Separates the streams that one response's seed gives.
#[repr(u32)]
enum Part {
    U = 1,
    Errors = 2,
    Mask = 3,
    Flood = 4,
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
    /// use for public keys is part of the expansion, and never taken from the wire.
    pub fn from_wire(mut b: Box<Limbs>, seed: &Seed) -> Self {
        let mut a = zero_limbs();
        for limb in 0..LIMBS {
            Q_NTT[limb].forward(&mut b[limb], LOG_N);
            for (x, y) in a[limb]
                .iter_mut()
                .zip(expand_public(seed, Expansion::PublicKey, limb))
            {
                *x = y;
            }
        }
        Self { b, a }
    }
}

/// A returned ciphertext at the modulus q0.
pub struct Response {
    /// c1, NTT domain of q0.
    pub c1: Box<Poly>,
    /// c0, coefficient domain, low bits dropped.
    pub c0: Box<Poly>,
}

/// A uniform residue mod t for every coefficient, from a response's seed.
pub fn uniform_mask(seed: &Seed) -> Box<Poly> {
    let mut mask = zero_poly();
    let mut stream = stream(seed, Part::Mask);
    for x in mask.iter_mut() {
        *x = residue_t(&mut stream);
    }
    mask
}

/// Re-randomises, masks, floods and switches `result` (NTT domain). `mask` (residues mod t,
/// coefficient domain) becomes part of the message; `seed` belongs to this response alone.
pub fn respond(mut result: Ciphertext, key: &PublicKey, mask: &Poly, seed: &Seed) -> Response {
    add_encryption_of_zero(&mut result, key, seed);
    for (limb, c0) in result.c0.iter_mut().enumerate() {
        add_scaled(c0, mask, limb);
    }
    add_flood(&mut result.c0, seed);
    switch(&mut result.c0);
    switch(&mut result.c1);

    let mut c1 = zero_poly();
    c1.copy_from_slice(&result.c1[0]);
    Q_NTT[0].forward(&mut c1, LOG_N);
    let mut c0 = zero_poly();
    for (x, &y) in c0.iter_mut().zip(&result.c0[0]) {
        *x = drop_bits(y);
    }
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
        let halves = [(&mut result.c0, &key.b), (&mut result.c1, &key.a)];
        for (acc, key) in halves {
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
    zeroize::Zeroize::zeroize(&mut *u);
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

/// Divides by q3 q2 q1, each time to the nearest integer: what is left is limb 0. Coefficient
/// domain.
fn switch(limbs: &mut Limbs) {
    const INVERSES: [[u32; LIMBS]; LIMBS] = {
        let mut table = [[0; LIMBS]; LIMBS];
        let mut of = 1;
        while of < LIMBS {
            let mut modulo = 0;
            while modulo < of {
                table[of][modulo] = inverse_of_limb(of, modulo);
                modulo += 1;
            }
            of += 1;
        }
        table
    };
    for last in (1..LIMBS).rev() {
        let (kept, dropped) = limbs.split_at_mut(last);
        for (i, limb) in kept.iter_mut().enumerate() {
            let m = &Q_MOD[i];
            for (x, &d) in limb.iter_mut().zip(&dropped[0]) {
                let d = m.from_i32(Q_MOD[last].centered(d));
                *x = m.mul_montgomery(m.sub(*x, d), INVERSES[last][i]);
            }
        }
    }
}
