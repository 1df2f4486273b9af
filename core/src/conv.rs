//! The server's ExRot-Free convolution on ciphertexts: weights as plaintexts, products summed in
//! the NTT domain, no rotation. DESIGN section 4.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::layer::{Layer, Layout};
use crate::modular::Modulus;
use crate::ntt::{Poly, Q_NTT, T_NTT};
use crate::params::{LIMBS, LOG_N, N, Q_MOD, T_MOD};
use crate::prg::Seed;
use crate::rlwe::{Expansion, add_scaled, expand_public};
use crate::segment;

/// One residue polynomial a limb.
pub type Limbs = [Poly; LIMBS];

/// Allocates a zero value on the heap without passing it over the stack.
pub(crate) fn zero_limbs() -> Box<Limbs> {
    let limbs: Box<[Poly]> = alloc::vec![[0; N]; LIMBS].into_boxed_slice();
    limbs
        .try_into()
        .unwrap_or_else(|_| unreachable!("the length is LIMBS"))
}

/// Allocates a zero polynomial on the heap.
pub(crate) fn zero_poly() -> Box<Poly> {
    let poly: Box<[u32]> = alloc::vec![0; N].into_boxed_slice();
    poly.try_into()
        .unwrap_or_else(|_| unreachable!("the length is N"))
}

/// A ciphertext at the full modulus: `c0 + c1 s = round(q m / t) + noise`.
pub struct Ciphertext {
    /// c0.
    pub c0: Box<Limbs>,
    /// c1.
    pub c1: Box<Limbs>,
}

impl Ciphertext {
    /// The zero ciphertext.
    pub fn zero() -> Self {
        Self {
            c0: zero_limbs(),
            c1: zero_limbs(),
        }
    }

    /// A received ciphertext in the NTT domain: c0 came in the coefficient domain, c1 as a seed.
    pub fn from_wire(mut c0: Box<Limbs>, seed: &Seed) -> Self {
        let mut c1 = zero_limbs();
        for limb in 0..LIMBS {
            Q_NTT[limb].forward(&mut c0[limb], LOG_N);
            for (x, a) in c1[limb]
                .iter_mut()
                .zip(expand_public(seed, Expansion::Ciphertext, limb))
            {
                *x = a;
            }
        }
        Self { c0, c1 }
    }

    /// Adds a plaintext polynomial (residues mod t) to c0, which is in the coefficient domain.
    pub fn add_plaintext(c0: &mut Limbs, message: &Poly) {
        for (limb, out) in c0.iter_mut().enumerate() {
            add_scaled(out, message, limb);
        }
    }

    /// self += weights * other, all in the NTT domain.
    pub fn multiply_add(&mut self, weights: &Plaintext, other: &Self) {
        for limb in 0..LIMBS {
            let m = &Q_MOD[limb];
            let w = &weights.0[limb];
            for (acc, x) in [(&mut self.c0, &other.c0), (&mut self.c1, &other.c1)] {
                for ((acc, &w), &x) in acc[limb].iter_mut().zip(w).zip(&x[limb]) {
                    *acc = m.add(*acc, m.mul_montgomery(x, w));
                }
            }
        }
    }
}

/// A plaintext factor: small residues lifted to every limb, NTT domain, Montgomery form.
pub struct Plaintext(Box<Limbs>);

impl Plaintext {
    /// Lifts a polynomial modulo t (coefficient domain) by its centred representatives.
    pub fn lift(polynomial: &Poly) -> Self {
        let mut limbs = zero_limbs();
        for (limb, out) in limbs.iter_mut().enumerate() {
            let m = &Q_MOD[limb];
            for (x, &w) in out.iter_mut().zip(polynomial) {
                *x = m.to_montgomery(m.from_i32(T_MOD.centered(w)));
            }
            Q_NTT[limb].forward(out, LOG_N);
        }
        Self(limbs)
    }
}

/// Factors of base transfers are secrets of the server as much as weights are.
impl Drop for Plaintext {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Operations on ciphertexts, counted where they are done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Work {
    /// Products with a plaintext.
    pub products: usize,
    /// Rotations of slots. Segment packing has none.
    pub rotations: usize,
}

impl Work {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.products += other.products;
        self.rotations += other.rotations;
    }
}

/// The weights of a layer: `[out_channels, in_channels / groups, taps]`, taps in the order of
/// [`crate::layer::Kernel::tap`].
pub struct Weights<'a>(pub &'a [i32]);

/// The plaintext polynomial (coefficient domain, residues mod t) that takes input ciphertext
/// `input` of a tile to output ciphertext `output` of the same tile.
///
/// In a segment, channel u of the input stands at X^(uB) and its tap at offset o is
/// X^((g-1-u)B - o), so that the sum over u appears at block g - 1; negative powers are
/// `X^-n = zeta^-1 X^(M-n)`.
pub fn weight_polynomial(
    layer: &Layer,
    layout: &Layout,
    weights: &Weights<'_>,
    input: usize,
    output: usize,
    out: &mut Poly,
) {
    out.fill(0);
    let taps = layer.kernel.taps();
    let group_inputs = usize::from(layer.in_channels / layer.groups);
    let phases = usize::from(layer.stride) * usize::from(layer.stride);
    for segment in 0..layout.segments {
        let Some(channel) = layout.output_channel(output, segment) else {
            continue;
        };
        let zeta_inverse = T_NTT.zeta_inverse(layout.depth, segment);
        let values = &mut out[segment * layout.segment_len..][..layout.segment_len];
        for block in 0..layout.blocks {
            let Some(v) = layout.virtual_channel(input, block) else {
                continue;
            };
            let first = (channel * group_inputs + v / phases) * taps;
            for tap in 0..taps {
                let (row, col) = layer.kernel.tap(tap);
                let (phase, offset) = layout.tap(row, col);
                if phase != v % phases {
                    continue;
                }
                let weight = T_MOD.from_i32(weights.0[first + tap]);
                let power = ((layout.blocks - 1 - block) * layout.block_len) as i32 - offset;
                if power >= 0 {
                    values[power as usize] = weight;
                } else {
                    values[(power + layout.segment_len as i32) as usize] =
                        T_MOD.mul(weight, zeta_inverse);
                }
            }
        }
    }
    segment::encode(out, layout.depth);
}

/// A layer's weights as plaintexts, made once when a model is loaded.
pub struct PreparedWeights {
    /// Row by row: `outputs_per_tile` rows of `inputs_per_tile`.
    plaintexts: Vec<Plaintext>,
    inputs: usize,
}

impl PreparedWeights {
    /// Transforms all weights of a layer.
    pub fn new(layer: &Layer, layout: &Layout, weights: &Weights<'_>) -> Self {
        let inputs = layout.inputs_per_tile;
        let make = |i: usize| {
            let mut polynomial = zero_poly();
            weight_polynomial(
                layer,
                layout,
                weights,
                i % inputs,
                i / inputs,
                &mut polynomial,
            );
            Plaintext::lift(&polynomial)
        };
        let count = inputs * layout.outputs_per_tile;
        Self {
            plaintexts: crate::parallel::map(count, make),
            inputs,
        }
    }

    /// The sum over a tile's input ciphertexts that makes output ciphertext `output` of it.
    pub fn apply(&self, inputs: &[Ciphertext], output: usize, work: &mut Work) -> Ciphertext {
        let mut sum = Ciphertext::zero();
        let row = &self.plaintexts[output * self.inputs..][..self.inputs];
        for (w, x) in row.iter().zip(inputs) {
            sum.multiply_add(w, x);
            work.products += 1;
        }
        sum
    }
}

/// Multiplies by the inverse of one limb's modulus modulo another: the constants of rescaling.
pub(crate) const fn inverse_of_limb(of: usize, modulo: usize) -> u32 {
    let q = Q_MOD[modulo].value();
    Q_MOD[modulo].to_montgomery(Modulus::inverse_const(Q_MOD[of].value() % q, q))
}
