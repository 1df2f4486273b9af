//! How a layer is laid out in slots, which rotations it needs, and what it costs.
//! DESIGN section 9; GAZELLE (Juvekar, Vaikuntanathan, Chandrakasan, 2018), section V.
//!
//! A ciphertext is c_n = N/B blocks of B slots, one channel each, B a power of two. Blocks form
//! `lanes` of `span` blocks: lane s belongs to group s / repeat and holds `span` of its channels,
//! and channels are mixed inside their lane only. Its blocks are spread evenly over the ciphertext,
//! so that one rotation moves all lanes alike: block k of lane s is in row k / (span/2), and there
//! the one at k % (span/2) * lanes + s. Where lanes are left over, a group is packed in `repeat` of
//! them, which produce different output channels. ExRot-Free is span 1, fully dense is span c_n.
//!
//! The diagonal d = (a, b) of a lane's mixing takes input block (a + row, b + column) to output block
//! (row, column): the swap of the rows a times, then b rotations by N/span slots. All diagonals of
//! all outputs need two Galois keys. Where a lane has fewer outputs than blocks, it has that many
//! `diagonals` only, and what they leave in its other blocks is folded: GAZELLE's hybrid method.

mod packing;

use crate::network::layer::{
    Kernel, Layer, MAX_CHANNELS, MAX_CIPHERTEXTS, MAX_KERNEL, MAX_SIDE, MAX_STRIDE, MAX_VALUES,
};
use crate::packing::slot::galois::{Element, ROW};
use crate::packing::slot::params::{CIPHERTEXT_BYTES, N, RESPONSE_BYTES};
use crate::rlwe::operations::Work;

pub use packing::Factor;

/// Which side of the products the rotations for channels are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Schedule {
    /// Sums over the inputs first, a rotation for each diagonal of each output ciphertext.
    OutputRotations,
    /// A rotation for each diagonal of each input ciphertext first.
    InputRotations,
}

/// Most rotated inputs of a tile that [`Schedule::InputRotations`] may keep: 256 MiB.
const MAX_ROTATED_INPUTS: usize = 1024;

/// The slot layout of a layer. The layer's `repeat` and `tile` belong to segment packing and are not
/// read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotLayout {
    /// B slots of a block.
    pub block_len: usize,
    /// Slots from a pixel to the one below it.
    pub row_stride: usize,
    /// Blocks of a lane: channels that are mixed inside a ciphertext.
    pub span: usize,
    /// Lanes of a ciphertext; lanes times span is c_n.
    pub lanes: usize,
    /// Lanes of a group.
    pub repeat: usize,
    /// Output channels of a lane of an output ciphertext, each a sum along a diagonal: the span, or
    /// a smaller power of two if that is enough.
    pub diagonals: usize,
    /// Sets of ciphertexts that see groups of their own; 1 unless there are more groups than lanes.
    pub sets: usize,
    /// Side of the output map in pixels.
    pub out_side: usize,
    /// Side of an output tile in pixels; the output's side where there is one tile.
    pub tile: usize,
    /// Tiles along a side.
    pub tiles: usize,
    /// Input ciphertexts of a set of a tile.
    pub inputs_per_set: usize,
    /// Output ciphertexts of a set of a tile.
    pub outputs_per_set: usize,
    /// Where rotations for channels are done.
    pub schedule: Schedule,
    kernel: Kernel,
    map_side: usize,
    local_side: usize,
    /// Where a tile starts relative to its first output.
    halo: i32,
    stride: usize,
    padding: i32,
    /// Phases of the stride that a tap reads.
    phases: usize,
    /// Channels of a group times phases.
    virtual_channels: usize,
    groups: usize,
    group_inputs: usize,
    group_outputs: usize,
    in_channels: usize,
    shuffle: usize,
}

impl SlotLayout {
    /// Checks a layer's description and lays it out. The error says what is wrong.
    pub fn new(layer: &Layer) -> Result<Self, &'static str> {
        let ensure = |ok: bool, reason| if ok { Ok(()) } else { Err(reason) };
        let channels = 1..=MAX_CHANNELS;
        ensure(
            channels.contains(&layer.in_channels) && channels.contains(&layer.out_channels),
            "number of channels out of range",
        )?;
        ensure((1..=MAX_SIDE).contains(&layer.in_side), "side out of range")?;
        let side = layer.kernel.side();
        ensure((1..=MAX_KERNEL).contains(&side), "kernel out of range")?;
        let strides = 1..=MAX_STRIDE;
        ensure(strides.contains(&layer.stride), "stride out of range")?;
        ensure(layer.padding < side, "padding as wide as the kernel")?;
        let parts = |parts: u16| parts >= 1 && layer.in_channels.is_multiple_of(parts);
        ensure(
            parts(layer.groups) && layer.out_channels.is_multiple_of(layer.groups),
            "channels are not a multiple of the groups",
        )?;
        ensure(
            parts(layer.shuffle),
            "channels are not a multiple of the shuffle's groups",
        )?;

        let pool = layer.pool_side();
        ensure(
            pool >= 1 && layer.in_side.is_multiple_of(pool),
            "side is not a multiple of the pooling window",
        )?;
        let map_side = usize::from(layer.in_side / pool);
        let (kernel, stride) = (usize::from(side), usize::from(layer.stride));
        let padding = i32::from(layer.padding);
        let padded = map_side + 2 * usize::from(layer.padding);
        ensure(padded >= kernel, "kernel larger than the padded map")?;
        let out_side = (padded - kernel) / stride + 1;
        // Offsets of the taps within a phase of the stride, from first to last.
        let first = (-padding).div_euclid(stride as i32);
        let last = (kernel as i32 - 1 - padding).div_euclid(stride as i32);
        let margin = (last - first) as usize;

        let values = |channels: u16, side: usize| u64::from(channels) * (side as u64).pow(2);
        ensure(
            values(layer.in_channels, layer.in_side.into()) <= MAX_VALUES
                && values(layer.out_channels, out_side) <= MAX_VALUES,
            "tensor with too many values",
        )?;

        // The whole map, or tiles whose margins are packed with them.
        let phase_side = map_side.div_ceil(stride);
        let whole = phase_side.max(out_side);
        const LARGEST: usize = ROW.isqrt();
        let (tiles, tile, local_side, row_stride, halo) = if whole <= LARGEST {
            (1, out_side, phase_side, whole, 0)
        } else {
            let tiles = out_side.div_ceil(LARGEST - margin);
            let tile = out_side.div_ceil(tiles);
            (tiles, tile, tile + margin, tile + margin, first)
        };
        let block_len = (row_stride * row_stride).next_power_of_two();

        let blocks = N / block_len;
        let groups = usize::from(layer.groups);
        let group_inputs = usize::from(layer.in_channels) / groups;
        let group_outputs = usize::from(layer.out_channels) / groups;
        let used = |phase: &usize| is_used(layer.kernel, stride, padding, *phase);
        let phases = (0..stride * stride).filter(used).count();
        let virtual_channels = group_inputs * phases;
        let room = blocks / groups.next_power_of_two().min(blocks);
        let span = room.min(virtual_channels.next_power_of_two());
        let lanes = blocks / span;
        let repeat = (lanes / groups).max(1);
        let diagonals = group_outputs.div_ceil(repeat).next_power_of_two().min(span);
        let mut layout = Self {
            block_len,
            row_stride,
            span,
            lanes,
            repeat,
            diagonals,
            sets: groups.div_ceil(lanes),
            out_side,
            tile,
            tiles,
            inputs_per_set: virtual_channels.div_ceil(span),
            outputs_per_set: group_outputs.div_ceil(repeat * diagonals),
            schedule: Schedule::OutputRotations,
            kernel: layer.kernel,
            map_side,
            local_side,
            halo,
            stride,
            padding,
            phases,
            virtual_channels,
            groups,
            group_inputs,
            group_outputs,
            in_channels: usize::from(layer.in_channels),
            shuffle: usize::from(layer.shuffle),
        };
        ensure(
            layout.inputs().max(layout.outputs()) as u64 <= MAX_CIPHERTEXTS,
            "too many ciphertexts",
        )?;
        let other = layout.with_schedule(Schedule::InputRotations);
        let kept = layout.inputs_per_set * layout.shifts().count() * diagonals;
        if kept <= MAX_ROTATED_INPUTS && other.work().key_switches < layout.work().key_switches {
            layout = other;
        }
        Ok(layout)
    }

    /// The same layout with another schedule than the cheaper one.
    pub fn with_schedule(self, schedule: Schedule) -> Self {
        Self { schedule, ..self }
    }

    /// Sets of all tiles.
    pub fn parts(&self) -> usize {
        self.tiles * self.tiles * self.sets
    }

    /// Input ciphertexts: set after set, tile after tile.
    pub fn inputs(&self) -> usize {
        self.parts() * self.inputs_per_set
    }

    /// Output ciphertexts, in the same order.
    pub fn outputs(&self) -> usize {
        self.parts() * self.outputs_per_set
    }

    /// Bytes of all ciphertexts that the client sends, without their frames' headers.
    pub fn upload_bytes(&self) -> usize {
        self.inputs() * CIPHERTEXT_BYTES
    }

    /// Bytes of all ciphertexts that it gets, without their frames' headers.
    pub fn download_bytes(&self) -> usize {
        self.outputs() * RESPONSE_BYTES
    }

    /// The distinct shifts of the slots, from an output pixel to what its taps read.
    pub fn shifts(&self) -> impl Iterator<Item = i32> + '_ {
        (0..self.offsets()).filter_map(|i| {
            let shift = self.shift(i)?;
            let seen = (0..i).any(|earlier| self.shift(earlier) == Some(shift));
            (!seen).then_some(shift)
        })
    }

    /// Offsets along one axis, squared.
    fn offsets(&self) -> usize {
        usize::from(MAX_KERNEL).pow(2)
    }

    /// The shift of offset `i`, if a tap has it that can read a pixel.
    fn shift(&self, i: usize) -> Option<i32> {
        let first = (-self.padding).div_euclid(self.stride as i32) - self.halo;
        let (r, c) = (i / usize::from(MAX_KERNEL), i % usize::from(MAX_KERNEL));
        let (r, c) = (r as i32 + first, c as i32 + first);
        let reachable = 1 - self.tile as i32..self.local_side as i32;
        let used = (0..self.phases).any(|i| self.tap(self.phase(i), r, c).is_some());
        (used && reachable.contains(&r) && reachable.contains(&c))
            .then(|| r * self.row_stride as i32 + c)
    }

    /// Number `i` of the phases that a tap reads.
    fn phase(&self, i: usize) -> usize {
        let used = |phase: &usize| is_used(self.kernel, self.stride, self.padding, *phase);
        (0..self.stride * self.stride)
            .filter(used)
            .nth(i)
            .unwrap_or(0)
    }

    /// The tap that reads phase `phase` at an offset of (r, c) pixels of the phase.
    fn tap(&self, phase: usize, r: i32, c: i32) -> Option<usize> {
        let stride = self.stride as i32;
        let axis =
            |offset: i32, phase: usize| (offset + self.halo) * stride + phase as i32 + self.padding;
        let wanted = (axis(r, phase / self.stride), axis(c, phase % self.stride));
        match self.kernel {
            Kernel::Square(side) => {
                let range = 0..i32::from(side);
                (range.contains(&wanted.0) && range.contains(&wanted.1))
                    .then(|| (wanted.0 * i32::from(side) + wanted.1) as usize)
            }
            Kernel::Cross => (0..self.kernel.taps()).find(|&i| self.kernel.tap(i) == wanted),
        }
    }

    /// The automorphisms that the layer needs keys for: shifts for taps, the step between
    /// diagonals, folds and swap.
    pub fn rotations(&self) -> impl Iterator<Item = Element> + '_ {
        let internal = self.shifts().filter(|&shift| shift != 0);
        let internal = internal.map(Element::rotation);
        // The step is also the first fold where there is one diagonal.
        let step = self.needs_step().then(|| self.move_columns(1));
        let swap = (self.span >= 2 && self.diagonals == self.span).then_some(Element::SWAP);
        internal.chain(step).chain(swap).chain(self.folds())
    }

    /// Columns of blocks of a lane in one row.
    pub(crate) fn columns(&self) -> usize {
        (self.span / 2).max(1)
    }

    /// Whether diagonals differ by columns.
    pub(crate) fn needs_step(&self) -> bool {
        self.diagonals.min(self.columns()) >= 2
    }

    /// The move of every lane's blocks to the left.
    pub(crate) fn move_columns(&self, columns: usize) -> Element {
        Element::rotation((columns * N / self.span) as i32)
    }

    /// The moves that each double what is folded, after the diagonals are summed.
    pub(crate) fn folds(&self) -> impl Iterator<Item = Element> + '_ {
        let folded = self.diagonals < self.span;
        let doublings = (0..usize::BITS).map(|i| self.diagonals << i);
        let doublings = doublings.take_while(move |&columns| folded && columns < self.columns());
        let doublings = doublings.map(|columns| self.move_columns(columns));
        doublings.chain(folded.then_some(Element::SWAP))
    }

    /// What the layer costs. For dense layers with c_n dividing c_o, DESIGN section 9's formulas:
    /// ceil(c_i/c_n)(taps - 1) internal and (c_o/c_n)(c_n - 1) external rotations; less where maps
    /// are too small for all taps, where there are few outputs, and where inputs are rotated.
    pub fn work(&self) -> Work {
        let shifts = self.shifts().count();
        let moved = self.shifts().filter(|&shift| shift != 0).count();
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let folds = outputs * self.folds().count();
        let (shifted, aligned) = match self.schedule {
            Schedule::OutputRotations => (inputs, outputs * (self.diagonals - 1)),
            Schedule::InputRotations => (inputs * self.diagonals, inputs * (self.diagonals - 1)),
        };
        let (internal, external) = (shifted * moved, aligned + folds);
        Work {
            products: outputs * self.inputs_per_set * self.diagonals * shifts,
            internal_rotations: internal,
            external_rotations: external,
            key_switches: internal + external,
            decompositions: external + if moved > 0 { shifted } else { 0 },
        }
    }
}

/// Whether a tap reads the phase (row times stride plus column) of a stride.
fn is_used(kernel: Kernel, stride: usize, padding: i32, phase: usize) -> bool {
    let axis = |tap: i32| (tap - padding).rem_euclid(stride as i32) as usize;
    let phase_of = |(row, col)| axis(row) * stride + axis(col);
    (0..kernel.taps()).any(|i| phase_of(kernel.tap(i)) == phase)
}
