//! A layer's convolution as products of matrices: kernels times the pixels that each output reads.
//! Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
//! processing" (2006).

use alloc::vec;
use alloc::vec::Vec;
use core::ops::{AddAssign, Range};

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Axis};

use crate::network::layer::Layer;
use crate::packing::geometry::Geometry;
use crate::parallel;

/// Columns of a product, about: output pixels.
const COLUMNS: usize = 256;
/// Rows of a product at most: output channels. More, and one small map would keep one core busy.
const OUTPUTS: usize = 128;
/// What is added in one product at most, but for kernels that are larger: weights of an output.
const DEPTH: usize = 256;

/// A layer's convolution of numbers in f64, on all cores.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    geometry: Geometry,
    in_side: usize,
    in_channels: usize,
}

/// What one product computes, of a group's outputs.
struct Block {
    group: usize,
    /// Output channels.
    outputs: Range<usize>,
    /// Rows of all images' output maps, counted through.
    rows: Range<usize>,
}

impl Block {
    /// Its rows an image: which, and the rows of its maps.
    fn images(&self, out_side: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let Range { start, end } = self.rows;
        (start / out_side..end.div_ceil(out_side)).map(move |image| {
            let first = image * out_side;
            (
                image,
                start.max(first) - first..end.min(first + out_side) - first,
            )
        })
    }
}

/// Where the outputs of one tap read along one axis.
#[derive(Clone, Copy)]
struct Reads {
    /// First output index that does not read padding.
    first: usize,
    /// Number of such outputs.
    count: usize,
    /// Index in the map that the first reads.
    source: usize,
}

impl Reads {
    fn new(tap: i32, geometry: &Geometry) -> Self {
        let stride = geometry.stride;
        let offset = tap - geometry.padding;
        let first = usize::try_from(-offset).unwrap_or(0).div_ceil(stride);
        // The index that the first output reads is not negative now.
        let source = (first * stride).saturating_add_signed(offset as isize);
        let readable = geometry.map_side.saturating_sub(source).div_ceil(stride);
        Self {
            first,
            count: readable.min(geometry.out_side.saturating_sub(first)),
            source,
        }
    }

    /// What an output reads, unless it is padding.
    fn source(&self, output: usize, stride: usize) -> Option<usize> {
        let index = output.checked_sub(self.first)?;
        (index < self.count).then_some(self.source + index * stride)
    }
}

impl Convolution {
    /// Of a layer and its shape.
    pub fn new(layer: &Layer, geometry: &Geometry) -> Self {
        Self {
            geometry: *geometry,
            in_side: layer.in_side.into(),
            in_channels: layer.in_channels.into(),
        }
    }

    /// Side of the squares that are summed to a pixel first.
    pub fn pool_side(&self) -> usize {
        self.in_side / self.geometry.map_side
    }

    /// The maps that are convolved: those of every input `[in_channels, in_side, in_side]` in turn, with
    /// the values of every square of the pooling added and turned into a pixel by `pixel`.
    pub fn maps<X: Copy + Sync, V: Copy + Default + AddAssign>(
        &self,
        inputs: &[&[X]],
        value: impl Fn(X) -> V + Sync,
        pixel: impl Fn(V) -> f64 + Sync,
    ) -> Vec<Vec<f64>> {
        let (side, window) = (self.in_side, self.pool_side());
        parallel::map(inputs.len() * self.in_channels, |i| {
            let (image, channel) = (i / self.in_channels, i % self.in_channels);
            let map = &inputs[image][channel * side * side..][..side * side];
            if window == 1 {
                return map.iter().map(|&x| pixel(value(x))).collect();
            }
            let mut pooled = Vec::with_capacity(self.geometry.map_side.pow(2));
            for rows in map.chunks_exact(window * side) {
                for first in (0..side).step_by(window) {
                    let mut sum = V::default();
                    for row in rows.chunks_exact(side) {
                        row[first..first + window]
                            .iter()
                            .for_each(|&x| sum += value(x));
                    }
                    pooled.push(pixel(sum));
                }
            }
            pooled
        })
    }

    /// What `finish` makes of the sums `[out_channels, out_side, out_side]` of every input, from its
    /// [`Self::maps`] and the weights, `[out_channels, in_channels / groups, taps]`.
    ///
    /// # Panics
    /// If there are fewer weights.
    pub fn sums<W: Copy + Into<f64> + Sync, Y: Copy + Default>(
        &self,
        weights: &[W],
        maps: &[Vec<f64>],
        finish: impl Fn(f64) -> Y,
    ) -> Vec<Vec<Y>> {
        let out_side = self.geometry.out_side;
        let images = maps.len() / self.in_channels;
        let blocks = self.blocks(images);
        let products = parallel::map(blocks.len(), |i| self.product(weights, maps, &blocks[i]));
        let mut sums = vec![vec![Y::default(); self.geometry.out_values()]; images];
        for (block, product) in blocks.iter().zip(products) {
            let columns = block.rows.len() * out_side;
            for (output, row) in block.outputs.clone().zip(product.chunks_exact(columns)) {
                let mut row = row;
                for (image, rows) in block.images(out_side) {
                    let (values, rest) = row.split_at(rows.len() * out_side);
                    let first = (output * out_side + rows.start) * out_side;
                    let sums = &mut sums[image][first..][..values.len()];
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum = finish(value);
                    }
                    row = rest;
                }
            }
        }
        sums
    }

    /// All products of so many images.
    fn blocks(&self, images: usize) -> Vec<Block> {
        let Geometry {
            groups,
            group_outputs,
            out_side,
            ..
        } = self.geometry;
        let cut = |all: Range<usize>, step: usize| {
            let end = all.end;
            all.step_by(step)
                .map(move |start| start..end.min(start + step))
        };
        let rows = (COLUMNS / out_side).max(1);
        let mut blocks = Vec::new();
        for group in 0..groups {
            let first = group * group_outputs;
            for outputs in cut(first..first + group_outputs, OUTPUTS) {
                blocks.extend(cut(0..images * out_side, rows).map(|rows| Block {
                    group,
                    outputs: outputs.clone(),
                    rows,
                }));
            }
        }
        blocks
    }

    /// One product: `[outputs, rows, out_side]` of its block.
    fn product<W: Copy + Into<f64>>(
        &self,
        weights: &[W],
        maps: &[Vec<f64>],
        block: &Block,
    ) -> Vec<f64> {
        let taps = self.geometry.kernel.taps();
        let inputs = self.geometry.group_inputs;
        let columns = block.rows.len() * self.geometry.out_side;
        let step = (DEPTH / taps).clamp(1, inputs);
        let mut kernels = Array2::<f64>::zeros((block.outputs.len(), step * taps));
        let mut pixels = Array2::<f64>::zeros((step * taps, columns));
        let mut sums = Array2::<f64>::zeros((block.outputs.len(), columns));
        for first in (0..inputs).step_by(step) {
            let channels = first..inputs.min(first + step);
            let depth = channels.len() * taps;
            for (mut row, output) in kernels.rows_mut().into_iter().zip(block.outputs.clone()) {
                let kernel = &weights[(output * inputs + first) * taps..][..depth];
                row.iter_mut()
                    .zip(kernel)
                    .for_each(|(to, &w)| *to = w.into());
            }
            let rows = pixels.as_slice_mut().unwrap_or_default();
            for (i, row) in rows.chunks_exact_mut(columns).take(depth).enumerate() {
                let channel = self.geometry.source_channel(block.group, first + i / taps);
                self.gather(row, maps, block, channel, i % taps);
            }
            general_mat_mul(
                1.0,
                &kernels.slice_axis(Axis(1), (..depth).into()),
                &pixels.slice_axis(Axis(0), (..depth).into()),
                1.0,
                &mut sums,
            );
        }
        sums.into_raw_vec_and_offset().0
    }

    /// What a tap reads of a channel for every output of a block.
    fn gather(&self, to: &mut [f64], maps: &[Vec<f64>], block: &Block, channel: usize, tap: usize) {
        let Geometry {
            map_side,
            out_side,
            stride,
            ..
        } = self.geometry;
        let (row, col) = self.geometry.kernel.tap(tap);
        let [rows, cols] = [row, col].map(|tap| Reads::new(tap, &self.geometry));
        if stride == 1 && [rows.count, cols.count, out_side] == [map_side; 3] {
            // Output pixels read the pixels of their own places.
            let mut to = to;
            for (image, outputs) in block.images(out_side) {
                let map = &maps[image * self.in_channels + channel];
                let source = &map[outputs.start * map_side..outputs.end * map_side];
                let (line, rest) = to.split_at_mut(source.len());
                line.copy_from_slice(source);
                to = rest;
            }
            return;
        }
        let mut lines = to.chunks_exact_mut(out_side);
        for (image, outputs) in block.images(out_side) {
            let map = &maps[image * self.in_channels + channel];
            for (output, line) in outputs.zip(&mut lines) {
                let Some(source) = rows.source(output, stride).filter(|_| cols.count > 0) else {
                    line.fill(0.0);
                    continue;
                };
                let (before, line) = line.split_at_mut(cols.first);
                let (line, after) = line.split_at_mut(cols.count);
                before.fill(0.0);
                after.fill(0.0);
                let source = &map[source * map_side + cols.source..(source + 1) * map_side];
                if stride == 1 {
                    line.copy_from_slice(&source[..line.len()]);
                } else {
                    let source = source.iter().step_by(stride);
                    line.iter_mut().zip(source).for_each(|(to, &x)| *to = x);
                }
            }
        }
    }
}
