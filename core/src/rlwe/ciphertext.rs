//! The server's ExRot-Free convolution on ciphertexts: weights as plaintexts, products summed in
//! the NTT domain, no rotation. DESIGN section 4.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::arith::transform::{Poly, Q_NTT, T_NTT};
use crate::network::layer::{Layer, Layout};
use crate::packing::segment;
use crate::params::{LIMBS, LOG_N, Q_MOD, T_MOD};
use crate::random::Seed;
use crate::rlwe::operations::Work;
use crate::rlwe::{Expansion, add_scaled, expand_public};

/// One residue polynomial a limb, of 4096 coefficients unless said.
pub type Limbs<const N: usize = { crate::params::N }> = [[u32; N]; LIMBS];

/// Allocates zero polynomials on the heap without passing them over the stack.
pub(crate) fn zero_polys<const N: usize, const L: usize>() -> Box<[[u32; N]; L]> {
    let polys: Box<[[u32; N]]> = alloc::vec![[0; N]; L].into_boxed_slice();
    polys
        .try_into()
        .unwrap_or_else(|_| unreachable!("the length is L"))
}

/// Allocates a zero polynomial on the heap.
pub(crate) fn zero_poly<const N: usize>() -> Box<[u32; N]> {
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
            c0: zero_polys(),
            c1: zero_polys(),
        }
    }

    /// A received ciphertext in the NTT domain: c0 came in the coefficient domain, c1 as a seed.
    pub fn from_wire(mut c0: Box<Limbs>, seed: &Seed) -> Self {
        let mut c1: Box<Limbs> = zero_polys();
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
        let mut limbs: Box<Limbs> = zero_polys();
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

/// The plaintext polynomial (coefficient domain, residues mod t) that takes input ciphertext
/// `input` of a part to output ciphertext `output` of a tile, which is of that part. `weights` is
/// `[out_channels, in_channels / groups, taps]`, taps in the order of
/// [`crate::network::layer::Kernel::tap`].
///
/// In a segment, channel u of the input stands at X^(uB) and its tap at offset o is
/// X^((g-1-u)B - o), so that the sum over u appears at block g - 1; negative powers are
/// `X^-n = zeta^-1 X^(M-n)`.
pub fn weight_polynomial(
    layer: &Layer,
    layout: &Layout,
    weights: &[i32],
    input: usize,
    output: usize,
    out: &mut Poly,
) {
    out.fill(0);
    let taps = layer.kernel.taps();
    let phases = layout.phases();
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
            let Some(kernel) = kernel(layer, layout, channel, v / phases) else {
                continue;
            };
            for tap in 0..taps {
                let (row, col) = layer.kernel.tap(tap);
                let (phase, offset) = layout.tap(row, col);
                if phase != v % phases {
                    continue;
                }
                let weight = T_MOD.from_i32(weights[kernel * taps + tap]);
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

/// Number of the kernel from a channel of the layout's group to output channel `output`: none where
/// the layer's groups are smaller than the layout's, and keep the two apart.
fn kernel(layer: &Layer, layout: &Layout, output: usize, channel: usize) -> Option<usize> {
    let per_group = |channels: u16, groups: usize| usize::from(channels) / groups;
    let (groups, wide) = (usize::from(layer.groups), layout.groups());
    let inputs = per_group(layer.in_channels, groups);
    let wide_group = output / per_group(layer.out_channels, wide);
    let input = wide_group * per_group(layer.in_channels, wide) + channel;
    let group = output / per_group(layer.out_channels, groups);
    let within = input.checked_sub(group * inputs)?;
    (within < inputs).then_some(output * inputs + within)
}

/// Whether a product of input and output ciphertext is made: not where the layer's groups, which
/// are public, make every kernel between them zero. The weights have no part in it.
fn is_made(layer: &Layer, layout: &Layout, input: usize, output: usize) -> bool {
    let phases = layout.phases();
    let mut channels = (0..layout.segments).filter_map(|i| layout.output_channel(output, i));
    channels.any(|o| {
        let mut blocks = (0..layout.blocks).filter_map(|i| layout.virtual_channel(input, i));
        blocks.any(|v| kernel(layer, layout, o, v / phases).is_some())
    })
}

/// A layer's weights, `[out_channels, in_channels / groups, taps]`, as plaintexts. The layout may
/// be that of [`Layer::dense`]: then the layer's groups are rows of zeros.
pub struct SegmentWeights {
    layer: Layer,
    layout: Layout,
    weights: Vec<i32>,
    /// Products of a tile, (output, input of its part): by output.
    products: Vec<(usize, usize)>,
    /// One a product; none if made when needed.
    prepared: Vec<Plaintext>,
}

impl SegmentWeights {
    /// Bytes of a prepared plaintext.
    pub const PLAINTEXT_BYTES: usize = size_of::<Limbs>();

    /// Plaintexts that are made when they are needed: no memory, five transforms a product.
    pub fn on_the_fly(layer: &Layer, layout: &Layout, weights: &[i32]) -> Self {
        let outputs = 0..layout.outputs_per_tile();
        let all = outputs.flat_map(|o| (0..layout.inputs_per_part).map(move |i| (o, i)));
        Self {
            layer: *layer,
            layout: *layout,
            weights: weights.to_vec(),
            products: all.filter(|&(o, i)| is_made(layer, layout, i, o)).collect(),
            prepared: Vec::new(),
        }
    }

    /// Makes the plaintexts now, in place of the weights.
    pub fn prepare(&mut self) {
        let make = |i| self.make(i);
        self.prepared = crate::parallel::map(self.products.len(), make);
        self.weights = Vec::new();
    }

    /// Plaintexts that are made now.
    pub fn prepared(layer: &Layer, layout: &Layout, weights: &[i32]) -> Self {
        let mut this = Self::on_the_fly(layer, layout, weights);
        this.prepare();
        this
    }

    /// Number of plaintexts, and of products of a tile.
    pub fn plaintexts(&self) -> usize {
        self.products.len()
    }

    fn make(&self, i: usize) -> Plaintext {
        let (output, input) = self.products[i];
        let mut polynomial = zero_poly();
        let (layer, layout) = (&self.layer, &self.layout);
        weight_polynomial(layer, layout, &self.weights, input, output, &mut polynomial);
        let plaintext = Plaintext::lift(&polynomial);
        polynomial.zeroize();
        plaintext
    }

    /// The sum over a part's input ciphertexts that makes output ciphertext `output` of its tile.
    pub fn apply(&self, inputs: &[Ciphertext], output: usize, work: &mut Work) -> Ciphertext {
        let mut sum = Ciphertext::zero();
        let first = self.products.partition_point(|&(o, _)| o < output);
        let row = self.products[first..].iter().enumerate();
        for (i, &(_, input)) in row.take_while(|&(_, &(o, _))| o == output) {
            match self.prepared.get(first + i) {
                Some(factor) => sum.multiply_add(factor, &inputs[input]),
                None => sum.multiply_add(&self.make(first + i), &inputs[input]),
            }
            work.products += 1;
        }
        sum
    }
}
