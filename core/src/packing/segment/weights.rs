//! The server's ExRot-Free convolution on ciphertexts: weights as plaintext factors, products summed
//! in the NTT domain, no rotation. `docs/design.md#segment-packing`.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroize;

use super::SegmentLayout;
use crate::Error;
use crate::arith::field::T_MOD;
use crate::network::layer::Layer;
use crate::packing::factors::Factors;
use crate::packing::{Layout, Places, Weights};
use crate::rlwe::ring::ring4096::{Poly, T_NTT};
use crate::rlwe::{Ciphertext, Factor, Operations, Ring4096, zero_poly};

/// Sums that are made together where factors are not kept: each factor is made once for so many.
const TOGETHER: usize = 16;

/// A layer's weights, `[out_channels, in_channels / groups, taps]`, as plaintext factors. The layout
/// may be that of [`Layer::dense`]: then the layer's groups are rows of zeros.
pub struct SegmentWeights {
    layer: Layer,
    layout: SegmentLayout,
    weights: Arc<[i32]>,
    /// Products of a tile, (output, input of its part): by output.
    products: Vec<(usize, usize)>,
    /// One a product.
    factors: Factors<Ring4096>,
}

impl SegmentWeights {
    /// Weights whose factors are kept, or made again for every few products: no memory, five transforms.
    pub fn new(
        layer: &Layer,
        layout: &SegmentLayout,
        weights: impl Into<Arc<[i32]>>,
        keep: impl FnOnce(usize) -> bool,
    ) -> Self {
        let outputs = 0..layout.outputs_per_tile();
        let all = outputs.flat_map(|o| (0..layout.inputs_per_part).map(move |i| (o, i)));
        let products: Vec<_> = all.filter(|&(o, i)| is_made(layer, layout, i, o)).collect();
        Self {
            layer: *layer,
            layout: *layout,
            weights: weights.into(),
            factors: Factors::new(products.len(), keep),
            products,
        }
    }

    /// Number of factors, and of products of a tile.
    pub fn factors(&self) -> usize {
        self.products.len()
    }

    fn make(&self, i: usize) -> Factor<Ring4096> {
        let (output, input) = self.products[i];
        let mut polynomial = zero_poly::<Ring4096>();
        let (layer, layout) = (&self.layer, &self.layout);
        weight_polynomial(layer, layout, &self.weights, input, output, &mut polynomial);
        let factor = Factor::<Ring4096>::lift(&polynomial);
        polynomial.zeroize();
        factor
    }

    /// The sums over the input ciphertexts of each of `parts` that make output ciphertext `output` of
    /// its tile.
    fn sums(
        &self,
        parts: &[&[Ciphertext<Ring4096>]],
        output: usize,
        operations: &mut Operations,
    ) -> Vec<Ciphertext<Ring4096>> {
        let mut sums = vec![Ciphertext::zero(); parts.len()];
        for i in self.row(output) {
            let input = self.products[i].1;
            let add = |factor: &_| {
                for (sum, part) in sums.iter_mut().zip(parts) {
                    sum.multiply_add(factor, &part[input]);
                }
            };
            self.factors.with(i, |i| self.make(i), add, operations);
            operations.products += parts.len();
        }
        sums
    }

    /// The products of an output ciphertext of a tile.
    fn row(&self, output: usize) -> core::ops::Range<usize> {
        let first = |output| self.products.partition_point(|&(o, _)| o < output);
        first(output)..first(output + 1)
    }
}

impl Weights for SegmentWeights {
    type Layout = SegmentLayout;
    type Keys = ();

    fn layout(&self) -> &SegmentLayout {
        &self.layout
    }

    fn prepare(&self) {
        self.factors.prepare(|i| self.make(i));
    }

    fn apply<T: Send>(
        &self,
        inputs: &[Ciphertext<Ring4096>],
        (): &(),
        operations: &mut Operations,
        finish: impl Fn(usize, Ciphertext<Ring4096>) -> T + Sync,
    ) -> Result<Vec<T>, Error> {
        let (layout, per_tile) = (&self.layout, self.layout.outputs_per_tile());
        // A factor is for one output of all tiles, of all inferences.
        let inputs: Vec<_> = inputs.chunks_exact(layout.inputs()).collect();
        let per_inference = layout.outputs() / per_tile;
        let tiles = inputs.len() * per_inference;
        let part = |tile: usize, output: usize| {
            let (inference, tile) = (tile / per_inference, tile % per_inference);
            &inputs[inference][layout.inputs_of(tile * per_tile + output)]
        };
        let together = match self.factors.kept() {
            true => 1,
            false => TOGETHER,
        };
        let jobs = tiles.div_ceil(together) * per_tile;
        let results = crate::parallel::map(jobs, |job| {
            let (first, output) = (job / per_tile * together, job % per_tile);
            let tiles = first..tiles.min(first + together);
            let parts: Vec<_> = tiles.clone().map(|tile| part(tile, output)).collect();
            let mut done = Operations::default();
            let sums = self.sums(&parts, output, &mut done).into_iter();
            let finished = tiles
                .zip(sums)
                .map(|(tile, sum)| finish(tile * per_tile + output, sum));
            (finished.collect::<Vec<_>>().into_iter(), done)
        });
        let mut finished = operations.collect(results);
        let numbers = (0..tiles * per_tile).map(|o| (o / per_tile, o % per_tile));
        let in_order = numbers
            .filter_map(|(tile, output)| finished[tile / together * per_tile + output].next());
        Ok(in_order.collect())
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
    layout: &SegmentLayout,
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
                let weight = T_MOD.residue(weights[kernel * taps + tap]);
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
    layout.encode(out);
}

/// Number of the kernel from a channel of the layout's group to output channel `output`: none where
/// the layer's groups are smaller than the layout's, and keep the two apart.
fn kernel(layer: &Layer, layout: &SegmentLayout, output: usize, channel: usize) -> Option<usize> {
    let per_group = |channels: u16, groups: usize| usize::from(channels) / groups;
    let (groups, wide) = (usize::from(layer.groups), layout.geometry.groups);
    let inputs = per_group(layer.in_channels, groups);
    let wide_group = output / per_group(layer.out_channels, wide);
    let input = wide_group * per_group(layer.in_channels, wide) + channel;
    let group = output / per_group(layer.out_channels, groups);
    let within = input.checked_sub(group * inputs)?;
    (within < inputs).then_some(output * inputs + within)
}

/// Whether a product of input and output ciphertext is made: not where the layer's groups, which
/// are public, make every kernel between them zero. The weights have no part in it.
fn is_made(layer: &Layer, layout: &SegmentLayout, input: usize, output: usize) -> bool {
    let phases = layout.phases();
    let mut channels = (0..layout.segments).filter_map(|i| layout.output_channel(output, i));
    channels.any(|o| {
        let mut blocks = (0..layout.blocks).filter_map(|i| layout.virtual_channel(input, i));
        blocks.any(|v| kernel(layer, layout, o, v / phases).is_some())
    })
}
