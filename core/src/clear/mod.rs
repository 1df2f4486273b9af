//! Convolutions in the clear, of integers and exactly: what the server computes of its own share, and
//! the plaintext reference of pixels and activations.
//! `docs/design.md#integer-model`; the splitting is that of Ozaki, Ogita, Oishi and Rump, "Error-free
//! transformations of matrix multiplication by using fast routines of matrix multiplication and its
//! applications" (2012), for integers.
//!
//! Products of matrices are the `ndarray` crate's, in f64. Copies of inputs and sums that are made on
//! the way are freed without being erased.

mod convolution;

use alloc::vec::Vec;

pub use convolution::Convolution;

use crate::arith::field::{T, T_MOD};
use crate::network::layer::Layer;
use crate::packing::geometry::Geometry;

/// Bits of a magnitude up to which f64 holds every integer.
const EXACT_BITS: u32 = f64::MANTISSA_DIGITS;

/// A layer's convolution with integer weights.
pub struct ClearConvolution<W> {
    convolution: Convolution,
    /// `[out_channels, in_channels / groups, taps]`.
    weights: W,
    /// The largest sum of magnitudes of one output channel's weights.
    norm: u64,
}

impl<W: AsRef<[i32]> + Sync> ClearConvolution<W> {
    /// Its weights, `[out_channels, in_channels / groups, taps]`.
    pub fn weights(&self) -> &[i32] {
        self.weights.as_ref()
    }

    /// Takes a layer, its shape and its weights, `[out_channels, in_channels / groups, taps]`.
    pub fn new(layer: &Layer, geometry: &Geometry, weights: W) -> Self {
        let per_output = geometry.group_inputs * geometry.kernel.taps();
        let magnitude = |kernel: &[i32]| kernel.iter().map(|w| u64::from(w.unsigned_abs())).sum();
        let norms = weights.as_ref().chunks(per_output).map(magnitude);
        Self {
            convolution: Convolution::new(layer, geometry),
            norm: norms.max().unwrap_or(0),
            weights,
        }
    }

    /// The sums of integers: `[out_channels, out_side, out_side]` for every input
    /// `[in_channels, in_side, in_side]`, whose magnitudes are at most `limit`. A sum that 64 bits do
    /// not hold is reduced mod 2^64. The work depends on `limit`, not on the inputs.
    ///
    /// # Panics
    /// If an input or the weights are not of the layer's shape.
    pub fn sums(&self, inputs: &[&[i32]], limit: u32) -> Vec<Vec<i64>> {
        let pixels = (self.convolution.pool_side() as u64).pow(2);
        let split = Split::new(self.norm, u64::from(limit) * pixels);
        let value = |x: i32| {
            debug_assert!(x.unsigned_abs() <= limit, "{x} is beyond {limit}");
            i64::from(x)
        };
        self.split_sums(inputs, value, |x| x, split)
    }

    /// The same of residues mod t: of inputs and sums below t, with weights of at most t/2 in magnitude.
    ///
    /// # Panics
    /// If an input or the weights are not of the layer's shape.
    pub fn residues(&self, inputs: &[&[u32]]) -> Vec<Vec<u32>> {
        // So that pooling makes no value larger, what it gives is reduced. A sum is then below 2^63: it
        // has no more than 2^13 * 49 < 2^18.7 products, each below 2^43.7.
        let centered = |x: i64| i64::from(T_MOD.centered(residue(x)));
        let split = Split::new(self.norm, (T / 2).into());
        let value = |x: u32| i64::from(T_MOD.centered(x));
        let sums = match self.convolution.pool_side() {
            1 => self.split_sums(inputs, value, |x| x, split),
            _ => self.split_sums(inputs, value, centered, split),
        };
        let reduced = |sums: Vec<i64>| sums.into_iter().map(residue).collect();
        sums.into_iter().map(reduced).collect()
    }

    /// The sums of what `pooled` makes of each pooled pixel.
    fn split_sums<X: Copy + Sync>(
        &self,
        inputs: &[&[X]],
        value: impl Fn(X) -> i64 + Sync,
        pooled: impl Fn(i64) -> i64 + Sync,
        split: Split,
    ) -> Vec<Vec<i64>> {
        let weights = self.weights.as_ref();
        let sums = |part: u32| {
            let maps = match split.parts {
                1 => (self.convolution).maps(inputs, &value, |x| pooled(x) as f64),
                _ => (self.convolution).maps(inputs, &value, |x| split.part(pooled(x), part)),
            };
            let shifted = |sum: f64| (sum as i64).wrapping_shl(part * split.bits);
            self.convolution.sums(weights, &maps, shifted)
        };
        let mut total = sums(0);
        for part in 1..split.parts {
            for (total, sums) in total.iter_mut().zip(sums(part)) {
                for (total, sum) in total.iter_mut().zip(sums) {
                    *total = total.wrapping_add(sum);
                }
            }
        }
        total
    }
}

/// x mod t.
fn residue(x: i64) -> u32 {
    // As an unsigned word, a negative x is 2^64 too large.
    const WRAP: u32 = T_MOD.reduce_u64(u64::MAX) + 1;
    let wrapped = WRAP & (x >> 63) as u32;
    T_MOD.sub(T_MOD.reduce_u64(x as u64), wrapped)
}

/// How integers are cut, so that f64 adds their products without rounding.
///
/// With weights whose magnitudes add up to at most `norm`, and factors of at most 2^b where
/// `norm` * 2^b <= 2^53, every product and every sum of some of the products is an integer of at most
/// 2^53, and f64 holds all of these. So no order of additions rounds, fused or not. An x of at most
/// `largest` <= 2^(b n) is the sum of x_i 2^(b i) for i < n: x_i is in [0, 2^b) but for the last, which
/// is floor(x / 2^(b (n - 1))) and at most 2^b in magnitude. Where `norm` * `largest` <= 2^53, x itself
/// is such a factor.
#[derive(Clone, Copy, Debug)]
struct Split {
    /// b: bits of a part.
    bits: u32,
    /// n: number of parts.
    parts: u32,
}

impl Split {
    /// For weights of at most 2^32 * 2^18.7, so that b is at least 2.
    fn new(norm: u64, largest: u64) -> Self {
        if u128::from(norm) * u128::from(largest) <= 1 << EXACT_BITS {
            return Self { bits: 0, parts: 1 };
        }
        let bits = EXACT_BITS - norm.next_power_of_two().ilog2();
        let needed = largest.next_power_of_two().ilog2();
        Self {
            bits,
            parts: needed.div_ceil(bits),
        }
    }

    /// Part `i` of x.
    fn part(self, x: i64, i: u32) -> f64 {
        let above = x >> (i * self.bits);
        let mask = match i + 1 == self.parts {
            true => -1,
            false => (1 << self.bits) - 1,
        };
        (above & mask) as f64
    }
}

#[cfg(test)]
mod tests;
