//! Ciphertexts over the integers modulo q = q0 q1 q2 q3, by schoolbook arithmetic on 128-bit
//! numbers: what the limbs, their transforms and their switching are compared with.

use num_bigint::BigUint;
use stria_core::arith::transform::{Poly, Q_NTT};
use stria_core::params::{DROPPED_BITS, FLOOD_BITS, LIMBS, LOG_N, N, Q, Q_MOD, T};
use stria_core::random::sample::{Ternary, error, flood};
use stria_core::random::{Seed, Stream};
use stria_core::rlwe::ciphertext::{Ciphertext, Limbs};
use stria_core::rlwe::{Expansion, SecretKey, expand_public};

use crate::linear::zero_limbs;

/// The product of all limbs' moduli.
pub fn q() -> u128 {
    Q.iter().map(|&q| u128::from(q)).product()
}

/// The representative of x < q in (-q/2, q/2].
pub fn centered(x: u128) -> i128 {
    if x > q() / 2 {
        x as i128 - q() as i128
    } else {
        x as i128
    }
}

/// Signed x modulo q.
pub fn reduce(x: i128) -> u128 {
    x.rem_euclid(q() as i128) as u128
}

/// round(q m / t).
pub fn scaled(m: u32) -> u128 {
    let product = BigUint::from(q()) * m + T / 2;
    (product / T).try_into().unwrap()
}

/// Residues of all limbs (coefficient domain) to numbers below q.
pub fn crt(limbs: &Limbs) -> Vec<u128> {
    let basis = [0, 1, 2, 3].map(|l| {
        let cofactor = q() / u128::from(Q[l]);
        let inverse = power(cofactor % u128::from(Q[l]), Q[l] - 2, Q[l]);
        (cofactor, inverse)
    });
    let number = |i: usize| {
        let terms = basis.iter().zip(limbs).zip(Q);
        let sum: u128 = terms
            .map(|(((cofactor, inverse), limb), q)| {
                u128::from(limb[i]) * inverse % u128::from(q) * cofactor
            })
            .sum();
        sum % q()
    };
    (0..N).map(number).collect()
}

/// base^exponent mod q, for q below 2^32.
pub fn power(base: u128, exponent: u32, q: u32) -> u128 {
    (0..32).rev().fold(1, |result, bit| {
        let square = result * result % u128::from(q);
        if exponent >> bit & 1 == 1 {
            square * base % u128::from(q)
        } else {
            square
        }
    })
}

/// The coefficients of a secret key.
pub fn key(secret: &SecretKey) -> Vec<i128> {
    let mut residues = [0; N];
    secret.load_ntt(0, &mut residues);
    Q_NTT[0].inverse(&mut residues, LOG_N);
    let signs = residues.map(|x| i128::from(Q_MOD[0].centered(x)));
    assert!(signs.iter().all(|s| (-1..=1).contains(s)));
    signs.into()
}

/// a s modulo X^N + 1 and q, for a ternary s.
pub fn multiply(a: &[u128], s: &[i128]) -> Vec<u128> {
    // Sums of up to N numbers below q < 2^106 fit in 128 bits.
    let (mut plus, mut minus) = (vec![0u128; N], vec![0u128; N]);
    for (j, &s) in s.iter().enumerate().filter(|(_, s)| **s != 0) {
        let (same, opposite) = if s > 0 {
            (&mut plus, &mut minus)
        } else {
            (&mut minus, &mut plus)
        };
        // X^j a: what leaves at the top comes back below with the opposite sign.
        same[j..].iter_mut().zip(a).for_each(|(sum, a)| *sum += a);
        let back = &a[N - j..];
        opposite.iter_mut().zip(back).for_each(|(sum, a)| *sum += a);
    }
    let difference = |(p, m): (u128, u128)| (p % q() + q() - m % q()) % q();
    plus.into_iter().zip(minus).map(difference).collect()
}

/// The public polynomial of a seed, coefficient domain.
pub fn public(seed: &Seed, expansion: Expansion) -> Vec<u128> {
    let mut limbs = zero_limbs();
    for (l, limb) in limbs.iter_mut().enumerate() {
        for (x, a) in limb.iter_mut().zip(expand_public(seed, expansion, l)) {
            *x = a;
        }
        Q_NTT[l].inverse(limb, LOG_N);
    }
    crt(&limbs)
}

/// A ciphertext with numbers below q as coefficients.
pub struct Wide {
    /// c0.
    pub c0: Vec<u128>,
    /// c1.
    pub c1: Vec<u128>,
}

/// The steps of `core/docs/design.md#circuit-privacy` before the switch.
#[derive(Clone, Copy)]
pub struct Steps {
    /// Adds an encryption of zero.
    pub zero: bool,
    /// Adds the mask.
    pub mask: bool,
    /// Adds the flood.
    pub flood: bool,
}

/// All of them.
pub const ALL: Steps = Steps {
    zero: true,
    mask: true,
    flood: true,
};

impl Wide {
    /// A ciphertext in the NTT domain.
    pub fn new(ciphertext: &Ciphertext) -> Self {
        let wide = |limbs: &Limbs| {
            let mut out = zero_limbs();
            for l in 0..LIMBS {
                out[l] = limbs[l];
                Q_NTT[l].inverse(&mut out[l], LOG_N);
            }
            crt(&out)
        };
        Self {
            c0: wide(&ciphertext.c0),
            c1: wide(&ciphertext.c1),
        }
    }

    /// c0 + c1 s.
    pub fn phase(&self, key: &[i128]) -> Vec<u128> {
        let products = multiply(&self.c1, key);
        let sum = |(c0, c1_s)| (c0 + c1_s) % q();
        self.c0.iter().zip(products).map(sum).collect()
    }

    /// The phase without the message.
    pub fn noise(&self, key: &[i128], message: &Poly) -> Vec<i128> {
        let phase = self.phase(key).into_iter();
        let noise = |(x, &m)| centered((x + q() - scaled(m)) % q());
        phase.zip(message).map(noise).collect()
    }

    /// What [`stria_core::rlwe::respond::respond`] adds, `b` and `a` being the public key.
    pub fn prepare(mut self, [b, a]: [&[u128]; 2], mask: &Poly, seed: &Seed, steps: Steps) -> Self {
        let stream = |part: u32| Stream::new(seed, [part, 0, 0]);
        if steps.zero {
            let (mut signs, mut ternary) = (stream(1), Ternary::new());
            let u: Vec<i128> = (0..N)
                .map(|_| [0, 1, -1][ternary.next(&mut signs) as usize])
                .collect();
            let mut errors = stream(2);
            for (c, k) in [(&mut self.c0, b), (&mut self.c1, a)] {
                for (c, product) in c.iter_mut().zip(multiply(k, &u)) {
                    *c = (*c + product + reduce(error(&mut errors).into())) % q();
                }
            }
        }
        if steps.mask {
            let add = |(c, &m): (&mut u128, &u32)| *c = (*c + scaled(m)) % q();
            self.c0.iter_mut().zip(mask).for_each(add);
        }
        if steps.flood {
            let mut stream = stream(4);
            for c in &mut self.c0 {
                let [low, middle, high] = flood::<FLOOD_BITS>(&mut stream).map(u128::from);
                let v = low | middle << 32 | high << 64;
                *c = (*c + reduce(v as i128 - (1 << 81))) % q();
            }
        }
        self
    }

    /// The switch to q0: (c0 with its low bits dropped, c1 in the NTT domain).
    pub fn switch(&self) -> [Poly; 2] {
        let poly = |c: &[u128]| core::array::from_fn(|i| switch(c[i]));
        let mut c1 = poly(&self.c1);
        Q_NTT[0].forward(&mut c1, LOG_N);
        let half = 1 << (DROPPED_BITS - 1);
        [poly(&self.c0).map(|x| (x + half) >> DROPPED_BITS), c1]
    }
}

/// x divided by q3, q2 and q1, each time to the nearest integer.
fn switch(mut x: u128) -> u32 {
    let mut modulus = q();
    for &limb in Q[1..].iter().rev() {
        let limb = u128::from(limb);
        modulus /= limb;
        x = (x + limb / 2) / limb % modulus;
    }
    x as u32
}
