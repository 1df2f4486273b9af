//! Where the pixels of a layer stand in the segments of its ciphertexts.
//! `docs/design.md#segment-packing`: segments, blocks, channels per segment, repetition, stride
//! phases, tiles.

use crate::network::LayerError;
use crate::network::layer::Layer;
use crate::packing::geometry::{Geometry, Tiles, check_ciphertexts, ensure};
use crate::packing::{Layout, Output, Places};
use crate::rlwe::Ring4096;
use crate::rlwe::ring::ring4096::{N, Poly};

#[cfg(feature = "server")]
use crate::packing::Mask;
#[cfg(feature = "server")]
use crate::rlwe::Randomness;

/// Where the pixels of a layer stand in its ciphertexts.
///
/// A ciphertext has `segments` segments of `segment_len` coefficients; segment s belongs to group
/// s / repeat of its set, if there is one, and repetition s % repeat. A segment holds up to `blocks` virtual channels (a
/// channel of the group, at one phase of the stride), `block_len` coefficients each, rows
/// `row_stride` apart. Outputs stand in the last block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentLayout {
    /// d: log2 of the number of segments.
    pub depth: usize,
    /// S = G r, or the next power of two: what is beyond G r stays empty. Fewer where the map
    /// needs longer segments: then there are several sets.
    pub segments: usize,
    /// M = N / S coefficients.
    pub segment_len: usize,
    /// g: channels that are mixed inside a segment.
    pub blocks: usize,
    /// B coefficients.
    pub block_len: usize,
    /// Coefficients from a pixel to the one below it.
    pub row_stride: usize,
    /// The layer's shape.
    pub geometry: Geometry,
    /// How the output map is cut.
    pub tiles: Tiles,
    /// Sets of groups, each with ciphertexts of its own: more than one where a ciphertext has no
    /// room for all groups.
    pub sets: usize,
    /// Input ciphertexts of a part: of one set of one tile.
    pub inputs_per_part: usize,
    /// Output ciphertexts of a part.
    pub outputs_per_part: usize,
    /// Side of a phase of the map, or of a tile with its halo.
    local_side: usize,
    /// Where a tile starts relative to its first output: 0, or minus the halo.
    halo: i32,
    /// Phases of the stride along an axis that a tap reads: fewer than the stride where that is
    /// wider than the kernel.
    phases: usize,
    /// The first of them.
    first_phase: usize,
    /// Channels of a group times phases.
    virtual_channels: usize,
    repeat: usize,
}

/// A pixel of an input tensor and the coefficient it stands at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Row of the input map.
    pub row: usize,
    /// Column of the input map.
    pub col: usize,
    /// Coefficient inside the block.
    pub offset: usize,
}

impl SegmentLayout {
    /// Checks a layer's description and lays it out.
    pub fn new(layer: &Layer) -> Result<Self, LayerError> {
        let geometry = Geometry::new(layer)?;
        let segments = geometry.groups * usize::from(layer.repeat);
        let segments = segments.next_power_of_two();
        ensure(
            layer.repeat.is_power_of_two() && segments <= N,
            LayerError::Repeat(layer.repeat),
        )?;
        let Geometry {
            out_side,
            stride,
            first,
            last,
            ..
        } = geometry;
        let tile = match usize::from(layer.tile) {
            0 => out_side,
            tile => tile,
        };
        ensure(tile <= out_side, LayerError::Tile(layer.tile))?;
        let halo = HaloOrSpare::halo(tile, first, last);
        let spare = HaloOrSpare::spare(geometry.map_side.div_ceil(stride), out_side, first, last);
        let choice = match spare {
            Some(spare) if layer.tile == 0 && spare.block_len < halo.block_len => spare,
            _ => halo,
        };
        // Longer segments, and the groups in several sets, where the map needs that.
        let room = (N / choice.block_len).checked_ilog2();
        let segments = room.map_or(0, |log| segments.min(1 << log));
        let repeat = usize::from(layer.repeat);
        ensure(segments >= repeat, LayerError::Block(choice.block_len))?;
        let segment_len = N / segments;
        let sets = geometry.groups.div_ceil(segments / repeat);

        let phases = stride.min(usize::from(layer.kernel.side()));
        let first_phase = match phases < stride {
            true => (-geometry.padding).rem_euclid(stride as i32) as usize,
            false => 0,
        };
        let virtual_channels = geometry.group_inputs * phases * phases;
        let blocks = (segment_len / choice.block_len).min(virtual_channels);
        let tiles = Tiles {
            side: tile,
            count: out_side.div_ceil(tile),
        };
        let inputs_per_part = virtual_channels.div_ceil(blocks);
        let outputs_per_part = geometry.group_outputs.div_ceil(repeat);
        let parts = tiles.all() as u64 * sets as u64;
        check_ciphertexts(
            parts * inputs_per_part as u64,
            parts * outputs_per_part as u64,
        )?;
        Ok(Self {
            depth: segments.trailing_zeros() as usize,
            segments,
            segment_len,
            blocks,
            block_len: choice.block_len,
            row_stride: choice.row_stride,
            geometry,
            tiles,
            sets,
            inputs_per_part,
            outputs_per_part,
            local_side: choice.local_side,
            halo: choice.halo,
            phases,
            first_phase,
            virtual_channels,
            repeat,
        })
    }

    /// Parts: tile after tile, and set after set of each.
    pub fn parts(&self) -> usize {
        self.tiles.all() * self.sets
    }

    /// The groups of the set that input ciphertext `ciphertext` is of, in the order of segments.
    pub fn groups_of(&self, ciphertext: usize) -> core::ops::Range<usize> {
        let set = ciphertext / self.inputs_per_part % self.sets;
        let first = set * self.groups_per_set();
        first..(first + self.groups_per_set()).min(self.geometry.groups)
    }

    fn groups_per_set(&self) -> usize {
        self.segments / self.repeat
    }

    /// r.
    pub fn repeat(&self) -> usize {
        self.repeat
    }

    /// Phases of the stride that a channel is split into: its virtual channels.
    pub fn phases(&self) -> usize {
        self.phases * self.phases
    }

    /// Virtual channels of a group.
    pub fn virtual_channels(&self) -> usize {
        self.virtual_channels
    }

    /// Coefficient within a segment of pixel `i` of the output tile, rows first.
    pub fn output_offset(&self, i: usize) -> usize {
        (self.blocks - 1) * self.block_len
            + i / self.tiles.side * self.row_stride
            + i % self.tiles.side
    }

    /// The output channel in segment `segment` of output ciphertext `ciphertext`, if there is one.
    pub fn output_channel(&self, ciphertext: usize, segment: usize) -> Option<usize> {
        let set = ciphertext / self.outputs_per_part % self.sets;
        let group = set * self.groups_per_set() + segment / self.repeat;
        let within = ciphertext % self.outputs_per_part * self.repeat + segment % self.repeat;
        let Geometry {
            groups,
            group_outputs,
            ..
        } = self.geometry;
        (group < groups && within < group_outputs).then(|| group * group_outputs + within)
    }

    /// Row and column in the output map of pixel `i` of the tile that `ciphertext` is of.
    pub fn output_pixel(&self, ciphertext: usize, i: usize) -> Option<(usize, usize)> {
        let tile = ciphertext / self.outputs_per_tile();
        self.geometry.output_pixel(self.tiles, tile, i)
    }

    /// The input ciphertexts that output ciphertext `ciphertext` is a sum over.
    pub fn inputs_of(&self, ciphertext: usize) -> core::ops::Range<usize> {
        let part = ciphertext / self.outputs_per_part;
        part * self.inputs_per_part..(part + 1) * self.inputs_per_part
    }

    /// Output ciphertexts of a tile: every tile's have the same weights.
    pub fn outputs_per_tile(&self) -> usize {
        self.outputs_per_part * self.sets
    }

    /// The virtual channel in block `block` of the segments of input ciphertext `ciphertext`.
    pub fn virtual_channel(&self, ciphertext: usize, block: usize) -> Option<usize> {
        let v = ciphertext % self.inputs_per_part * self.blocks + block;
        (v < self.virtual_channels).then_some(v)
    }

    /// Channel of the input tensor, before the shuffle, of a group's virtual channel.
    pub fn source_channel(&self, group: usize, virtual_channel: usize) -> usize {
        let channel = virtual_channel / self.phases();
        self.geometry.source_channel(group, channel)
    }

    /// The pixels of a virtual channel that input ciphertext `ciphertext` holds.
    pub fn placements(
        &self,
        ciphertext: usize,
        virtual_channel: usize,
    ) -> impl Iterator<Item = Placement> + '_ {
        let tile = ciphertext / (self.inputs_per_part * self.sets);
        let phase = virtual_channel % self.phases();
        let rows = self.axis(tile / self.tiles.count, phase / self.phases);
        let cols = self.axis(tile % self.tiles.count, phase % self.phases);
        rows.flat_map(move |(r, row)| {
            cols.clone().map(move |(c, col)| Placement {
                row,
                col,
                offset: r * self.row_stride + c,
            })
        })
    }

    /// (local index, pixel) along one axis of a tile, for the pixels that exist.
    fn axis(&self, tile: usize, phase: usize) -> impl Iterator<Item = (usize, usize)> + Clone + '_ {
        let start = (tile * self.tiles.side) as i32 + self.halo;
        let stride = self.geometry.stride;
        let phase = (self.first_phase + phase) % stride;
        (0..self.local_side).filter_map(move |i| {
            let pixel = (start + i as i32) * stride as i32 + phase as i32;
            usize::try_from(pixel)
                .ok()
                .filter(|&pixel| pixel < self.geometry.map_side)
                .map(|pixel| (i, pixel))
        })
    }

    /// The phase that a tap at (row, column) of the kernel reads, and the offset in coefficients
    /// from an output pixel to its source there.
    pub fn tap(&self, row: i32, col: i32) -> (usize, i32) {
        let stride = self.geometry.stride as i32;
        let padding = self.geometry.padding;
        let (r, c) = (row - padding, col - padding);
        let phase = |at: i32| (at - self.first_phase as i32).rem_euclid(stride) as usize;
        let phase = phase(r) * self.phases + phase(c);
        let r = r.div_euclid(stride) - self.halo;
        let c = c.div_euclid(stride) - self.halo;
        (phase, r * self.row_stride as i32 + c)
    }
}

impl Layout for SegmentLayout {
    type Ring = Ring4096;

    fn new(layer: &Layer) -> Result<Self, LayerError> {
        Self::new(layer)
    }

    fn depth(&self) -> usize {
        self.depth
    }

    fn pack(
        &self,
        input: usize,
        out: &mut Poly,
        mut value: impl FnMut(usize, usize, usize) -> u32,
    ) {
        out.fill(0);
        let (repeat, len) = (self.repeat, self.segment_len);
        for (i, group) in self.groups_of(input).enumerate() {
            let first = i * repeat * len;
            for block in 0..self.blocks {
                let Some(v) = self.virtual_channel(input, block) else {
                    continue;
                };
                let channel = self.source_channel(group, v);
                for p in self.placements(input, v) {
                    out[first + block * self.block_len + p.offset] = value(channel, p.row, p.col);
                }
            }
            for r in 1..repeat {
                out.copy_within(first..first + len, first + r * len);
            }
        }
    }

    fn returned(&self) -> usize {
        self.places()
    }

    fn returned_coefficient(&self, i: usize) -> usize {
        let pixels = self.tiles.pixels();
        i / pixels * self.segment_len + self.output_offset(i % pixels)
    }

    /// Uniform coefficients.
    #[cfg(feature = "server")]
    fn mask(&self, random: &Randomness<Ring4096>) -> Mask<Ring4096> {
        let message = random.mask();
        let mut values = message.clone();
        self.decode(&mut values);
        Mask { message, values }
    }
}

impl Places for SegmentLayout {
    fn out_side(&self) -> usize {
        self.geometry.out_side
    }
    fn inputs(&self) -> usize {
        self.parts() * self.inputs_per_part
    }
    fn outputs(&self) -> usize {
        self.parts() * self.outputs_per_part
    }
    fn places(&self) -> usize {
        self.tiles.pixels() * self.segments
    }
    fn output(&self, ciphertext: usize, place: usize) -> Option<Output> {
        let pixels = self.tiles.pixels();
        let (segment, pixel) = (place / pixels, place % pixels);
        let channel = self.output_channel(ciphertext, segment)?;
        let (row, col) = self.output_pixel(ciphertext, pixel)?;
        Some(Output {
            ciphertext,
            coefficient: segment * self.segment_len + self.output_offset(pixel),
            channel: channel as u16,
            position: (row * self.geometry.out_side + col) as u32,
        })
    }
}

/// The two ways to keep a tap that leaves the map from reading a neighbour.
struct HaloOrSpare {
    local_side: usize,
    row_stride: usize,
    block_len: usize,
    halo: i32,
}

impl HaloOrSpare {
    /// The margin is packed with the tile, as zeros or as the neighbouring tile's pixels.
    fn halo(tile: usize, first: i32, last: i32) -> Self {
        let side = tile + (last - first) as usize;
        Self {
            local_side: side,
            row_stride: side,
            block_len: side * side,
            halo: first,
        }
    }

    /// The whole map with spare columns and a spare tail, which taps share: (s+1)^2 for a "same"
    /// kernel of side 3 on an s x s map.
    fn spare(phase: usize, out: usize, first: i32, last: i32) -> Option<Self> {
        let before = usize::try_from(-first).ok()?;
        let after = usize::try_from(last).ok()?;
        let row_stride = (phase + before).max(out + after);
        let tail = (phase - 1) * row_stride + phase + before * (row_stride + 1);
        let reach = (out - 1 + after) * (row_stride + 1) + 1;
        Some(Self {
            local_side: phase,
            row_stride,
            block_len: tail.max(reach),
            halo: 0,
        })
    }
}
