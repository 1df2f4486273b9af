//! The public description of a linear layer with its activation, and the segment layout it implies.
//! DESIGN section 4: segments, blocks, channels per segment, repetition, stride phases, tiles.

use serde::{Deserialize, Serialize};

use crate::params::{C0_BITS, LIMBS, N, Q_BITS};

/// Names a tensor of one inference: 0 is the image, i + 1 the output of layer i.
pub type TensorId = u16;

/// Largest side of a kernel.
pub const MAX_KERNEL: u8 = 7;
/// Largest stride.
pub const MAX_STRIDE: u8 = 4;
/// Largest side of a map, in pixels.
pub const MAX_SIDE: u16 = 1024;
/// Most values of a tensor.
pub const MAX_VALUES: u64 = 1 << 24;
/// Most ciphertexts that a layer takes, and most that it returns.
pub const MAX_CIPHERTEXTS: u64 = 1 << 14;
/// Largest number of channels of a tensor.
pub const MAX_CHANNELS: u16 = 8192;

/// Which taps a kernel has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kernel {
    /// All taps of a square of this side.
    Square(u8),
    /// The five taps of a plus in a square of side 3, in the order up, left, centre, right, down.
    Cross,
}

impl Kernel {
    /// Side of the square around the taps.
    pub fn side(self) -> u8 {
        match self {
            Self::Square(side) => side,
            Self::Cross => 3,
        }
    }

    /// Number of taps.
    pub fn taps(self) -> usize {
        match self {
            Self::Square(side) => usize::from(side).pow(2),
            Self::Cross => 5,
        }
    }

    /// Row and column of tap `i` in the square.
    pub fn tap(self, i: usize) -> (i32, i32) {
        match self {
            Self::Square(side) => {
                let side = usize::from(side).max(1);
                ((i / side) as i32, (i % side) as i32)
            }
            Self::Cross => [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)][i % 5],
        }
    }
}

/// A residual sum: `factor` times a tensor of the output's shape is added before the activation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The tensor.
    pub tensor: TensorId,
    /// The integer M of DESIGN section 7.
    pub factor: u32,
}

/// What is done to the input's maps first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Pool {
    /// Nothing.
    None,
    /// Every map is summed to one pixel.
    Map,
    /// Every square of this side is summed to one pixel; the map's side is a multiple of it.
    Window(u8),
}

/// What follows the linear part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Activation {
    /// max(0, floor(y / 2^shift)).
    Relu,
    /// None: y goes to the client in clear. The last layer's, and only its.
    Logits,
    /// None: y itself, modulo t, is the tensor: projection shortcuts and linear bottlenecks.
    Linear,
}

/// A grouped convolution with its activation, as both parties know it. Weights are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Layer {
    /// The tensor that it reads.
    pub input: TensorId,
    /// Channels of that tensor.
    pub in_channels: u16,
    /// Side of that tensor's maps in pixels.
    pub in_side: u16,
    /// Sums before the convolution (average pooling; the divisor is in the weights).
    pub pool: Pool,
    /// Channel shuffle of the input with this many groups; 1 is none.
    pub shuffle: u16,
    /// Channels that it produces.
    pub out_channels: u16,
    /// Kernel.
    pub kernel: Kernel,
    /// Stride in pixels.
    pub stride: u8,
    /// Rows and columns of zeros around the map.
    pub padding: u8,
    /// G: groups of channels; output channels see the inputs of their group only.
    pub groups: u16,
    /// r: every group is packed in this many segments, which produce different outputs.
    pub repeat: u16,
    /// Side of an output tile in pixels; 0 for the whole map.
    pub tile: u16,
    /// Residual sum, if any.
    pub skip: Option<Skip>,
    /// What follows.
    pub activation: Activation,
}

/// Where the pixels of a layer stand in its ciphertexts.
///
/// A ciphertext has `segments` segments of `segment_len` coefficients; segment s belongs to group
/// s / repeat of its set, if there is one, and repetition s % repeat. A segment holds up to `blocks` virtual channels (a
/// channel of the group, at one phase of the stride), `block_len` coefficients each, rows
/// `row_stride` apart. Outputs stand in the last block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
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
    /// Side of the output map in pixels.
    pub out_side: usize,
    /// Side of an output tile in pixels; the output's side where there is one tile.
    pub tile: usize,
    /// Tiles along a side.
    pub tiles: usize,
    /// Sets of groups, each with ciphertexts of its own: more than one where a ciphertext has no
    /// room for all groups.
    pub sets: usize,
    /// Input ciphertexts of a part: of one set of one tile.
    pub inputs_per_part: usize,
    /// Output ciphertexts of a part.
    pub outputs_per_part: usize,
    /// Side of the map that is convolved, after pooling.
    map_side: usize,
    /// Side of a phase of it, or of a tile with its halo.
    local_side: usize,
    /// Where a tile starts relative to its first output: 0, or minus the halo.
    halo: i32,
    stride: usize,
    padding: i32,
    /// Phases of the stride along an axis that a tap reads: fewer than the stride where that is
    /// wider than the kernel.
    phases: usize,
    /// The first of them.
    first_phase: usize,
    /// Channels of a group times phases.
    virtual_channels: usize,
    groups: usize,
    group_inputs: usize,
    group_outputs: usize,
    repeat: usize,
    in_channels: usize,
    shuffle: usize,
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

impl Layer {
    /// Checks the description and lays it out. The error says what is wrong.
    pub fn layout(&self) -> Result<Layout, &'static str> {
        let ensure = |ok: bool, reason| if ok { Ok(()) } else { Err(reason) };
        ensure(
            (1..=MAX_CHANNELS).contains(&self.in_channels)
                && (1..=MAX_CHANNELS).contains(&self.out_channels),
            "number of channels out of range",
        )?;
        ensure((1..=MAX_SIDE).contains(&self.in_side), "side out of range")?;
        let kernel = self.kernel.side();
        ensure((1..=MAX_KERNEL).contains(&kernel), "kernel out of range")?;
        ensure(
            (1..=MAX_STRIDE).contains(&self.stride),
            "stride out of range",
        )?;
        ensure(self.padding < kernel, "padding as wide as the kernel")?;
        ensure(self.groups >= 1 && self.repeat >= 1, "no groups or repeats")?;
        ensure(
            self.in_channels.is_multiple_of(self.groups)
                && self.out_channels.is_multiple_of(self.groups),
            "channels are not a multiple of the groups",
        )?;
        ensure(
            self.shuffle >= 1 && self.in_channels.is_multiple_of(self.shuffle),
            "channels are not a multiple of the shuffle's groups",
        )?;
        let segments = usize::from(self.groups) * usize::from(self.repeat);
        let segments = segments.next_power_of_two();
        ensure(
            self.repeat.is_power_of_two() && segments <= N,
            "repeat is not a power of two, or groups times repeat is above N",
        )?;

        let pool = self.pool_side();
        ensure(
            pool >= 1 && self.in_side.is_multiple_of(pool),
            "side is not a multiple of the pooling window",
        )?;
        let pool = usize::from(pool);
        let map_side = usize::from(self.in_side) / pool;
        let (kernel, stride) = (usize::from(kernel), usize::from(self.stride));
        let padded = map_side + 2 * usize::from(self.padding);
        ensure(padded >= kernel, "kernel larger than the padded map")?;
        let out_side = (padded - kernel) / stride + 1;
        ensure(
            usize::from(self.tile) <= out_side,
            "tile larger than the output",
        )?;

        // Offsets of the taps within a phase, from first to last.
        let padding = i32::from(self.padding);
        let first = (-padding).div_euclid(stride as i32);
        let last = (kernel as i32 - 1 - padding).div_euclid(stride as i32);
        let tile = match usize::from(self.tile) {
            0 => out_side,
            tile => tile,
        };
        let halo = HaloOrSpare::halo(tile, first, last);
        let spare = HaloOrSpare::spare(map_side.div_ceil(stride), out_side, first, last);
        let choice = match spare {
            Some(spare) if self.tile == 0 && spare.block_len < halo.block_len => spare,
            _ => halo,
        };
        // Longer segments, and the groups in several sets, where the map needs that.
        let room = (N / choice.block_len).checked_ilog2();
        let segments = room.map_or(0, |log| segments.min(1 << log));
        ensure(
            segments >= usize::from(self.repeat),
            "the map does not fit a segment; it needs tiles or fewer repeats",
        )?;
        let segment_len = N / segments;
        let groups_per_set = segments / usize::from(self.repeat);
        let sets = usize::from(self.groups).div_ceil(groups_per_set);

        let values = |channels: u16, side: usize| u64::from(channels) * (side as u64).pow(2);
        ensure(
            values(self.in_channels, self.in_side.into()) <= MAX_VALUES
                && values(self.out_channels, out_side) <= MAX_VALUES,
            "tensor with too many values",
        )?;

        let group_inputs = usize::from(self.in_channels / self.groups);
        let group_outputs = usize::from(self.out_channels / self.groups);
        let phases = stride.min(kernel);
        let first_phase = match phases < stride {
            true => (-padding).rem_euclid(stride as i32) as usize,
            false => 0,
        };
        let virtual_channels = group_inputs * phases * phases;
        let blocks = (segment_len / choice.block_len).min(virtual_channels);
        let tiles = out_side.div_ceil(tile);
        let inputs_per_part = virtual_channels.div_ceil(blocks);
        let outputs_per_part = group_outputs.div_ceil(usize::from(self.repeat));
        let parts = (tiles as u64).pow(2) * sets as u64;
        let ciphertexts = |per_part: usize| parts * per_part as u64;
        ensure(
            ciphertexts(inputs_per_part).max(ciphertexts(outputs_per_part)) <= MAX_CIPHERTEXTS,
            "too many ciphertexts",
        )?;
        Ok(Layout {
            depth: segments.trailing_zeros() as usize,
            segments,
            segment_len,
            blocks,
            block_len: choice.block_len,
            row_stride: choice.row_stride,
            out_side,
            tile,
            tiles,
            sets,
            inputs_per_part,
            outputs_per_part,
            map_side,
            local_side: choice.local_side,
            halo: choice.halo,
            stride,
            padding,
            phases,
            first_phase,
            virtual_channels,
            groups: usize::from(self.groups),
            group_inputs,
            group_outputs,
            repeat: usize::from(self.repeat),
            in_channels: usize::from(self.in_channels),
            shuffle: usize::from(self.shuffle),
        })
    }

    /// Side of the squares that are summed to a pixel first: 1 without pooling.
    pub fn pool_side(&self) -> u16 {
        match self.pool {
            Pool::None => 1,
            Pool::Map => self.in_side,
            Pool::Window(side) => side.into(),
        }
    }

    /// Row and column in the input of every pixel that is summed to a pixel of the map.
    pub fn pooled(&self, row: usize, col: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let side = usize::from(self.pool_side());
        (0..side * side).map(move |i| (row * side + i / side, col * side + i % side))
    }

    /// The layer as one group in one segment: what coefficient packing computes. The kernels between
    /// what were different groups are zero.
    pub fn dense(&self) -> Self {
        Self {
            groups: 1,
            repeat: 1,
            ..*self
        }
    }

    /// Values that the activation is applied to.
    pub fn outputs(&self, layout: &Layout) -> usize {
        usize::from(self.out_channels) * layout.out_side * layout.out_side
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

impl Layout {
    /// Parts: tile after tile, and set after set of each.
    pub fn parts(&self) -> usize {
        self.tiles * self.tiles * self.sets
    }

    /// Input ciphertexts, part after part.
    pub fn inputs(&self) -> usize {
        self.parts() * self.inputs_per_part
    }

    /// Output ciphertexts, part after part.
    pub fn outputs(&self) -> usize {
        self.parts() * self.outputs_per_part
    }

    /// G.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The groups of the set that input ciphertext `ciphertext` is of, in the order of segments.
    pub fn groups_of(&self, ciphertext: usize) -> core::ops::Range<usize> {
        let set = ciphertext / self.inputs_per_part % self.sets;
        let first = set * self.groups_per_set();
        first..(first + self.groups_per_set()).min(self.groups)
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

    /// Pixels of an output tile.
    pub fn pixels(&self) -> usize {
        self.tile * self.tile
    }

    /// Coefficients of c0 that are returned for one ciphertext.
    pub fn useful(&self) -> usize {
        self.pixels() * self.segments
    }

    /// Coefficient within a segment of pixel `i` of the output tile, rows first.
    pub fn output_offset(&self, i: usize) -> usize {
        (self.blocks - 1) * self.block_len + i / self.tile * self.row_stride + i % self.tile
    }

    /// The output channel in segment `segment` of output ciphertext `ciphertext`, if there is one.
    pub fn output_channel(&self, ciphertext: usize, segment: usize) -> Option<usize> {
        let set = ciphertext / self.outputs_per_part % self.sets;
        let group = set * self.groups_per_set() + segment / self.repeat;
        let within = ciphertext % self.outputs_per_part * self.repeat + segment % self.repeat;
        (group < self.groups && within < self.group_outputs)
            .then(|| group * self.group_outputs + within)
    }

    /// Row and column in the output map of pixel `i` of the tile that `ciphertext` is of.
    pub fn output_pixel(&self, ciphertext: usize, i: usize) -> Option<(usize, usize)> {
        let tile = ciphertext / (self.outputs_per_part * self.sets);
        let row = tile / self.tiles * self.tile + i / self.tile;
        let col = tile % self.tiles * self.tile + i % self.tile;
        (row < self.out_side && col < self.out_side).then_some((row, col))
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
        let shuffled = group * self.group_inputs + virtual_channel / self.phases();
        let per_group = self.in_channels / self.shuffle;
        shuffled % self.shuffle * per_group + shuffled / self.shuffle
    }

    /// The pixels of a virtual channel that input ciphertext `ciphertext` holds.
    pub fn placements(
        &self,
        ciphertext: usize,
        virtual_channel: usize,
    ) -> impl Iterator<Item = Placement> + '_ {
        let tile = ciphertext / (self.inputs_per_part * self.sets);
        let phase = virtual_channel % self.phases();
        let rows = self.axis(tile / self.tiles, phase / self.phases);
        let cols = self.axis(tile % self.tiles, phase % self.phases);
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
        let start = (tile * self.tile) as i32 + self.halo;
        let phase = (self.first_phase + phase) % self.stride;
        (0..self.local_side).filter_map(move |i| {
            let pixel = (start + i as i32) * self.stride as i32 + phase as i32;
            usize::try_from(pixel)
                .ok()
                .filter(|&pixel| pixel < self.map_side)
                .map(|pixel| (i, pixel))
        })
    }

    /// The phase that a tap at (row, column) of the kernel reads, and the offset in coefficients
    /// from an output pixel to its source there.
    pub fn tap(&self, row: i32, col: i32) -> (usize, i32) {
        let stride = self.stride as i32;
        let (r, c) = (row - self.padding, col - self.padding);
        let phase = |at: i32| (at - self.first_phase as i32).rem_euclid(stride) as usize;
        let phase = phase(r) * self.phases + phase(c);
        let r = r.div_euclid(stride) - self.halo;
        let c = c.div_euclid(stride) - self.halo;
        (phase, r * self.row_stride as i32 + c)
    }

    /// Bytes of one input ciphertext on the wire, without its frames' headers.
    pub fn upload_bytes() -> usize {
        32 + (0..LIMBS)
            .map(|l| N * Q_BITS[l] as usize / 8)
            .sum::<usize>()
    }

    /// Bytes of one output ciphertext on the wire, without its frames' headers.
    pub fn download_bytes(&self) -> usize {
        N * Q_BITS[0] as usize / 8 + (self.useful() * C0_BITS as usize).div_ceil(8)
    }
}
