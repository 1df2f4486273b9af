//! Samplers over a ChaCha stream: uniform, ternary, error, mask and flood.
//! `docs/design.md#parameters` and `#circuit-privacy`. Where a sampler rejects, what it rejects is
//! independent of what it returns, so its timing tells nothing about the result.

use crate::arith::field::T_MOD;
use crate::arith::modulus::{Modulus, sign_mask};
use crate::random::Stream;

/// A uniform residue of `bits` bits below the modulus, by rejection. For public polynomials.
#[inline]
pub fn uniform(stream: &mut Stream, modulus: &Modulus, bits: u32) -> u32 {
    loop {
        let x = stream.next_u32() >> (32 - bits);
        if x < modulus.value() {
            return x;
        }
    }
}

/// Uniform signs: each call gives one of 0, 1, 2, for 0, 1 and -1.
pub struct Ternary {
    word: u32,
    left: u32,
}

impl Ternary {
    /// A sampler with an empty buffer.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { word: 0, left: 0 }
    }

    /// The next sign. Inline: callers are generic, so compiled in other crates, where a call would
    /// be unrolled first and inlined sixteen times at link time.
    #[inline]
    pub fn next(&mut self, stream: &mut Stream) -> u32 {
        loop {
            if self.left == 0 {
                self.word = stream.next_u32();
                self.left = 16;
            }
            let pair = self.word & 3;
            self.word >>= 2;
            self.left -= 1;
            if pair < 3 {
                return pair;
            }
        }
    }
}

/// The residue of a sign 0, 1, 2; constant-time.
pub fn sign_residue(sign: u32, modulus: &Modulus) -> u32 {
    signed(sign, 1, modulus)
}

/// A residue x > 0 times a sign 0, 1, 2; constant-time.
#[inline]
pub fn signed(sign: u32, x: u32, modulus: &Modulus) -> u32 {
    x & sign_mask(sign << 31) | (modulus.value() - x) & sign_mask(sign << 30)
}

/// Centred binomial error with 21 coins a side: sigma 3.24, |e| <= 21; constant-time.
#[inline]
pub fn error(stream: &mut Stream) -> i32 {
    // With the second side's coins turned over, their sum is that of the differences, plus 21.
    const FIRST: u64 = (1 << 21) - 1;
    const COINS: u64 = (1 << 42) - 1;
    let coins = (stream.next_u64() ^ (COINS - FIRST)) & COINS;
    // Both words' counts by four bits, then their sum's as one.
    let by_four = |x: u32| {
        let x = x - (x >> 1 & 0x5555_5555);
        (x & 0x3333_3333) + (x >> 2 & 0x3333_3333)
    };
    let sum = by_four(coins as u32) + by_four((coins >> 32) as u32);
    let sum = (sum & 0x0F0F_0F0F) + (sum >> 4 & 0x0F0F_0F0F);
    (sum.wrapping_mul(0x0101_0101) >> 24) as i32 - 21
}

/// A small signed number as a residue; constant-time.
pub fn small_residue(x: i32, modulus: &Modulus) -> u32 {
    (x as u32).wrapping_add(modulus.value() & sign_mask(x as u32))
}

/// A residue mod t, 2^-73 from uniform, from 96 bits; constant-time.
pub fn residue_t(stream: &mut Stream) -> u32 {
    T_MOD.reduce_96([stream.next_u32(), stream.next_u32(), stream.next_u32()])
}

/// Sum of four uniforms on [-2^bits, 2^bits), as v + 2^(bits + 3) in three little-endian words;
/// `bits` from 64 to 92.
#[inline(always)]
pub fn flood(stream: &mut Stream, bits: u32) -> [u32; 3] {
    debug_assert!((64..=92).contains(&bits));
    let mut sum: u128 = 0;
    for _ in 0..4 {
        let low = u128::from(stream.next_u64());
        let high = u128::from(stream.next_u32() >> (32 + 63 - bits));
        sum += low | high << 64;
    }
    // The four halves 2^bits are 2^(bits + 2) in all.
    let v = sum + (1 << (bits + 3)) - (4 << bits);
    [v as u32, (v >> 32) as u32, (v >> 64) as u32]
}

/// The residue of a flood; constant-time.
#[inline(always)]
pub fn flood_residue(v: [u32; 3], bits: u32, modulus: &Modulus) -> u32 {
    let offset = modulus.reduce_96([0, 0, 1 << (bits + 3 - 64)]);
    modulus.sub(modulus.reduce_96(v), offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::field::T;
    use crate::random::Seed;
    use crate::rlwe::ring::ring4096::{Q_BITS, Q_MOD};
    use crate::rlwe::{ExactRing, Ring4096};

    fn stream() -> Stream {
        Stream::new(&Seed([7; 32]), [0; 3])
    }

    /// Mean and variance of 2^16 samples, each within six standard errors of what they should be.
    fn moments(mean: f64, variance: f64, fourth: f64, mut draw: impl FnMut() -> f64) {
        let n = 65536.0;
        let (mut s1, mut s2) = (0.0, 0.0);
        for _ in 0..65536 {
            let x = draw() - mean;
            s1 += x;
            s2 += x * x;
        }
        assert!(
            (s1 / n).abs() < 6.0 * (variance / n).sqrt(),
            "mean is off by {}",
            s1 / n
        );
        let error = (s2 / n - variance).abs();
        assert!(
            error < 6.0 * ((fourth - variance * variance) / n).sqrt(),
            "variance is off by {error}"
        );
    }

    #[test]
    fn distributions_have_their_moments() {
        let mut s = stream();
        let mut ternary = Ternary::new();
        moments(0.0, 2.0 / 3.0, 2.0 / 3.0, || {
            f64::from(Q_MOD[1].centered(sign_residue(ternary.next(&mut s), &Q_MOD[1])))
        });
        moments(0.0, 10.5, 3.0 * 10.5 * 10.5 - 10.5 / 2.0, || {
            f64::from(error(&mut s))
        });
        for limb in 0..4 {
            let q = f64::from(Q_MOD[limb].value());
            moments((q - 1.0) / 2.0, q * q / 12.0, q.powi(4) / 80.0, || {
                f64::from(uniform(&mut s, &Q_MOD[limb], Q_BITS[limb]))
            });
        }
        let t = f64::from(T);
        moments((t - 1.0) / 2.0, t * t / 12.0, t.powi(4) / 80.0, || {
            f64::from(residue_t(&mut s))
        });
        // In units of 2^78: four uniforms on [-1, 1) have variance 4/3, fourth moment 4/5 + 12/9.
        moments(0.0, 4.0 / 3.0, 4.0 / 5.0 + 12.0 * 3.0 / 9.0, || {
            let v = flood(&mut s, Ring4096::FLOOD_BITS);
            let v = i128::from(v[0]) | i128::from(v[1]) << 32 | i128::from(v[2]) << 64;
            (v - (1 << 81)) as f64 / 2f64.powi(78)
        });
    }

    #[test]
    fn residues_of_signed_samples() {
        for m in &Q_MOD {
            let q = i128::from(m.value());
            for x in -21..=21 {
                assert_eq!(i128::from(small_residue(x, m)), i128::from(x).rem_euclid(q));
            }
            let mut s = stream();
            for _ in 0..100 {
                let v = flood(&mut s, Ring4096::FLOOD_BITS);
                let wide = i128::from(v[0]) | i128::from(v[1]) << 32 | i128::from(v[2]) << 64;
                assert_eq!(
                    i128::from(flood_residue(v, Ring4096::FLOOD_BITS, m)),
                    (wide - (1 << 81)).rem_euclid(q)
                );
            }
        }
    }
}
