//! Ciphertexts over the integers modulo q = q0 q1 q2 q3, by schoolbook arithmetic on 128-bit
//! numbers: what the limbs, their transforms and their switching are compared with.

use stria_core::random::sample::{Ternary, error, flood};
use stria_core::random::{Seed, Stream};
use stria_core::rlwe::ring::ring4096::{LOG_N, N, Poly, Q, Q_MOD, Q_NTT};
use stria_core::rlwe::{Ciphertext, ExactRing, Ring4096, SecretKey};

use crate::ring::{self, crt};

/// The product of all limbs' moduli.
pub fn q() -> u128 {
    ring::q::<Ring4096>()
}

/// The representative of x < q in (-q/2, q/2].
pub fn centered(x: u128) -> i128 {
    ring::centered::<Ring4096>(x)
}

/// round(q m / t).
fn scaled(m: u32) -> u128 {
    ring::scaled::<Ring4096>(m)
}

/// Signed x modulo q.
fn reduce(x: i128) -> u128 {
    x.rem_euclid(q() as i128) as u128
}

/// The coefficients of a secret key.
pub fn key(secret: &SecretKey<Ring4096>) -> Vec<i128> {
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
    pub fn new(ciphertext: &Ciphertext<Ring4096>) -> Self {
        let [c0, c1] = ciphertext.halves().map(|limbs: &[Poly]| {
            let mut out = limbs.to_vec();
            for (ntt, limb) in Q_NTT.iter().zip(&mut out) {
                ntt.inverse(limb, LOG_N);
            }
            crt::<Ring4096>(&out)
        });
        Self { c0, c1 }
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

    /// What [`stria_core::rlwe::respond`] adds, `b` and `a` being the public key.
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
                let [low, middle, high] = flood(&mut stream, Ring4096::FLOOD_BITS).map(u128::from);
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
        let half = 1 << (Ring4096::DROPPED_BITS - 1);
        [
            poly(&self.c0).map(|x| (x + half) >> Ring4096::DROPPED_BITS),
            c1,
        ]
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
