//! Arithmetic modulo an odd prime below 2^31, in constant time.
//! Montgomery's method with R = 2^32 (Montgomery, 1985).

/// All ones if the highest bit of x is set, else zero.
///
/// On processors that can select without a branch the compiler is left free to use that. On others
/// (RISC-V, ARMv6-M) it would turn the use of the mask into a branch, which the barrier prevents.
#[inline(always)]
pub(crate) const fn sign_mask(x: u32) -> u32 {
    let mask = ((x as i32) >> 31) as u32;
    if cfg!(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        // ARMv7-M and later; ARMv6-M has no compare-and-swap.
        all(target_arch = "arm", target_has_atomic = "32"),
    )) {
        mask
    } else {
        core::hint::black_box(mask)
    }
}

/// A prime modulus q < 2^31 with the constants of Montgomery reduction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Modulus {
    q: u32,
    /// -q^(-1) mod 2^32.
    neg_inv: u32,
    /// 2^64 mod q.
    r2: u32,
}

impl Modulus {
    /// The constants of q, an odd number below 2^31.
    pub const fn new(q: u32) -> Self {
        assert!(q % 2 == 1 && q < 1 << 31);
        let mut inv = 1u32;
        let mut i = 0;
        while i < 5 {
            inv = inv.wrapping_mul(2u32.wrapping_sub(q.wrapping_mul(inv)));
            i += 1;
        }
        let r = (1u64 << 32) % q as u64;
        Self {
            q,
            neg_inv: inv.wrapping_neg(),
            r2: (r * r % q as u64) as u32,
        }
    }

    /// The modulus.
    pub const fn value(&self) -> u32 {
        self.q
    }

    /// x - q if x >= q, for x < 2q.
    #[inline(always)]
    pub const fn reduce_once(&self, x: u32) -> u32 {
        let y = x.wrapping_sub(self.q);
        y.wrapping_add(self.q & sign_mask(y))
    }

    /// a + b mod q, for a, b < q.
    #[inline(always)]
    pub const fn add(&self, a: u32, b: u32) -> u32 {
        self.reduce_once(a + b)
    }

    /// a - b mod q, for a, b < q.
    #[inline(always)]
    pub const fn sub(&self, a: u32, b: u32) -> u32 {
        let y = a.wrapping_sub(b);
        y.wrapping_add(self.q & sign_mask(y))
    }

    /// -a mod q, for a < q.
    #[inline(always)]
    pub const fn neg(&self, a: u32) -> u32 {
        self.sub(0, a)
    }

    /// x / 2^32 mod q, in [0, 2q), for x < 2^32 q.
    #[inline(always)]
    pub const fn montgomery_lazy(&self, x: u64) -> u32 {
        let m = (x as u32).wrapping_mul(self.neg_inv);
        ((x + m as u64 * self.q as u64) >> 32) as u32
    }

    /// a b / 2^32 mod q, for a b < 2^32 q: a product where one factor is in Montgomery form.
    #[inline(always)]
    pub const fn mul_montgomery(&self, a: u32, b_montgomery: u32) -> u32 {
        self.reduce_once(self.montgomery_lazy(a as u64 * b_montgomery as u64))
    }

    /// a 2^32 mod q: the Montgomery form, for any a.
    #[inline(always)]
    pub const fn montgomery(&self, a: u32) -> u32 {
        self.mul_montgomery(a, self.r2)
    }

    /// a b mod q, for a b < 2^32 q.
    #[inline(always)]
    pub const fn mul(&self, a: u32, b: u32) -> u32 {
        self.mul_montgomery(self.mul_montgomery(a, b), self.r2)
    }

    /// x mod q for any 64-bit x.
    #[inline(always)]
    pub const fn reduce_u64(&self, x: u64) -> u32 {
        // x = hi 2^32 + lo, and Montgomery multiplication by 2^64 is multiplication by 2^32.
        let hi = self.mul_montgomery((x >> 32) as u32, self.r2);
        let lo = self.mul(x as u32, 1);
        self.add(hi, lo)
    }

    /// x mod q for a 96-bit x given as little-endian words: 2^-70 from uniform for q < 2^24.
    #[inline(always)]
    pub const fn reduce_96(&self, x: [u32; 3]) -> u32 {
        // Montgomery multiplication by 2^(32 i + 32) is multiplication by 2^(32 i).
        let factors = [self.montgomery(1), self.r2, self.montgomery(self.r2)];
        let low = x[0] as u64 * factors[0] as u64;
        let middle = x[1] as u64 * factors[1] as u64;
        let high = x[2] as u64 * factors[2] as u64;
        if self.q < 1 << 29 {
            // The sum is below 3 2^32 q: one reduction leaves less than 4 q.
            let y = self
                .montgomery_lazy(low + middle + high)
                .wrapping_sub(2 * self.q);
            self.reduce_once(y.wrapping_add((2 * self.q) & sign_mask(y)))
        } else {
            let low = self.reduce_once(self.montgomery_lazy(low));
            let middle = self.reduce_once(self.montgomery_lazy(middle));
            let high = self.reduce_once(self.montgomery_lazy(high));
            self.add(low, self.add(middle, high))
        }
    }

    /// x mod q.
    #[inline(always)]
    pub const fn residue(&self, x: i32) -> u32 {
        // As an unsigned word, a negative x is 2^32 too large.
        let wrapped = self.mul_montgomery(self.r2, 1) & sign_mask(x as u32);
        self.sub(self.mul(x as u32, 1), wrapped)
    }

    /// The representative of a < q in (-q/2, q/2].
    #[inline(always)]
    pub const fn centered(&self, a: u32) -> i32 {
        let half = self.q / 2;
        let above = sign_mask(half.wrapping_sub(a));
        a as i32 - (self.q & above) as i32
    }

    /// base^exponent mod q; for public constants only.
    pub const fn pow_const(base: u32, exponent: u32, q: u32) -> u32 {
        let (mut result, mut square, mut e) = (1u64, base as u64 % q as u64, exponent);
        while e > 0 {
            if e & 1 == 1 {
                result = result * square % q as u64;
            }
            square = square * square % q as u64;
            e >>= 1;
        }
        result as u32
    }

    /// a^(-1) mod q; for public constants only.
    pub const fn inverse_const(a: u32, q: u32) -> u32 {
        Self::pow_const(a, q - 2, q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::field::T;
    use crate::rlwe::ring::ring4096::Q;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_division(i in 0usize..5, a: u32, b: u32, x: u64, w: [u32; 3], s: i32) {
            let q = [Q[0], Q[1], Q[2], Q[3], T][i];
            let m = Modulus::new(q);
            let (a, b, wide) = (a % q, b % q, u64::from(q));
            prop_assert_eq!(u64::from(m.add(a, b)), (u64::from(a) + u64::from(b)) % wide);
            prop_assert_eq!(u64::from(m.sub(a, b)), (u64::from(a) + wide - u64::from(b)) % wide);
            prop_assert_eq!(u64::from(m.mul(a, b)), u64::from(a) * u64::from(b) % wide);
            prop_assert_eq!(u64::from(m.mul_montgomery(a, m.montgomery(b))), u64::from(a) * u64::from(b) % wide);
            prop_assert_eq!(u64::from(m.reduce_u64(x)), x % wide);
            let big = u128::from(w[0]) | u128::from(w[1]) << 32 | u128::from(w[2]) << 64;
            prop_assert_eq!(u128::from(m.reduce_96(w)), big % u128::from(q));
            prop_assert_eq!(i64::from(m.residue(s)), i64::from(s).rem_euclid(i64::from(q)));
            prop_assert_eq!(i64::from(m.centered(a)).rem_euclid(i64::from(q)), i64::from(a));
            prop_assert!(m.centered(a).unsigned_abs() <= q / 2);
        }
    }
}
