//! How a layer is laid out in slots, which rotations it needs, and what it costs.
//! `docs/design.md#rotations`; GAZELLE (Juvekar, Vaikuntanathan, Chandrakasan, 2018), section V.
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

mod places;

use crate::network::LayerError;
use crate::network::layer::{Kernel, Layer, MAX_KERNEL};
use crate::packing::Places;
use crate::packing::geometry::{Geometry, Tiles, check_ciphertexts};
use crate::rlwe::Operations;
use crate::rlwe::galois::{Element, ROW};
use crate::rlwe::ring::ring8192::N;

pub use places::FactorId;

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
    /// The layer's shape.
    pub geometry: Geometry,
    /// How the output map is cut.
    pub tiles: Tiles,
    /// Input ciphertexts of a set of a tile.
    pub inputs_per_set: usize,
    /// Output ciphertexts of a set of a tile.
    pub outputs_per_set: usize,
    /// Where rotations for channels are done.
    pub schedule: Schedule,
    local_side: usize,
    /// Where a tile starts relative to its first output.
    halo: i32,
    /// Phases of the stride that a tap reads.
    phases: usize,
    /// Channels of a group times phases.
    virtual_channels: usize,
}

impl SlotLayout {
    /// Checks a layer's description and lays it out.
    pub fn new(layer: &Layer) -> Result<Self, LayerError> {
        let geometry = Geometry::new(layer)?;
        let Geometry {
            map_side,
            out_side,
            stride,
            groups,
            ..
        } = geometry;
        let margin = (geometry.last - geometry.first) as usize;

        // The whole map, or tiles whose margins are packed with them.
        let phase_side = map_side.div_ceil(stride);
        let whole = phase_side.max(out_side);
        const LARGEST: usize = ROW.isqrt();
        let (count, side, local_side, row_stride, halo) = if whole <= LARGEST {
            (1, out_side, phase_side, whole, 0)
        } else {
            let count = out_side.div_ceil(LARGEST - margin);
            let side = out_side.div_ceil(count);
            (count, side, side + margin, side + margin, geometry.first)
        };
        let block_len = (row_stride * row_stride).next_power_of_two();

        let blocks = N / block_len;
        let phases = (0..stride * stride)
            .filter(|&phase| is_used(&geometry, phase))
            .count();
        let virtual_channels = geometry.group_inputs * phases;
        let room = blocks / groups.next_power_of_two().min(blocks);
        let span = room.min(virtual_channels.next_power_of_two());
        let lanes = blocks / span;
        let repeat = (lanes / groups).max(1);
        let diagonals = (geometry.group_outputs.div_ceil(repeat))
            .next_power_of_two()
            .min(span);
        let mut layout = Self {
            block_len,
            row_stride,
            span,
            lanes,
            repeat,
            diagonals,
            sets: groups.div_ceil(lanes),
            geometry,
            tiles: Tiles { side, count },
            inputs_per_set: virtual_channels.div_ceil(span),
            outputs_per_set: geometry.group_outputs.div_ceil(repeat * diagonals),
            schedule: Schedule::OutputRotations,
            local_side,
            halo,
            phases,
            virtual_channels,
        };
        check_ciphertexts(layout.inputs() as u64, layout.outputs() as u64)?;
        let other = layout.with_schedule(Schedule::InputRotations);
        let kept = layout.inputs_per_set * layout.shifts().count() * diagonals;
        if kept <= MAX_ROTATED_INPUTS
            && other.operations().key_switches < layout.operations().key_switches
        {
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
        self.tiles.all() * self.sets
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
        let first = self.geometry.first - self.halo;
        let (r, c) = (i / usize::from(MAX_KERNEL), i % usize::from(MAX_KERNEL));
        let (r, c) = (r as i32 + first, c as i32 + first);
        let reachable = 1 - self.tiles.side as i32..self.local_side as i32;
        let used = (0..self.phases).any(|i| self.tap(self.phase(i), r, c).is_some());
        (used && reachable.contains(&r) && reachable.contains(&c))
            .then(|| r * self.row_stride as i32 + c)
    }

    /// Number `i` of the phases that a tap reads.
    fn phase(&self, i: usize) -> usize {
        (0..self.geometry.stride.pow(2))
            .filter(|&phase| is_used(&self.geometry, phase))
            .nth(i)
            .unwrap_or(0)
    }

    /// The tap that reads phase `phase` at an offset of (r, c) pixels of the phase.
    fn tap(&self, phase: usize, r: i32, c: i32) -> Option<usize> {
        let Geometry {
            kernel,
            stride,
            padding,
            ..
        } = self.geometry;
        let axis = |offset: i32, phase: usize| {
            (offset + self.halo) * stride as i32 + phase as i32 + padding
        };
        let wanted = (axis(r, phase / stride), axis(c, phase % stride));
        match kernel {
            Kernel::Square(side) => {
                let range = 0..i32::from(side);
                (range.contains(&wanted.0) && range.contains(&wanted.1))
                    .then(|| (wanted.0 * i32::from(side) + wanted.1) as usize)
            }
            Kernel::Cross => (0..kernel.taps()).find(|&i| kernel.tap(i) == wanted),
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

    /// What the layer costs. For dense layers with c_n dividing c_o, the formulas of
    /// `docs/design.md#rotations`: ceil(c_i/c_n)(taps - 1) internal and (c_o/c_n)(c_n - 1) external
    /// rotations; less where maps are too small for all taps, where there are few outputs, and
    /// where inputs are rotated.
    pub fn operations(&self) -> Operations {
        let shifts = self.shifts().count();
        let moved = self.shifts().filter(|&shift| shift != 0).count();
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let folds = outputs * self.folds().count();
        let (shifted, aligned) = match self.schedule {
            Schedule::OutputRotations => (inputs, outputs * (self.diagonals - 1)),
            Schedule::InputRotations => (inputs * self.diagonals, inputs * (self.diagonals - 1)),
        };
        let (internal, external) = (shifted * moved, aligned + folds);
        Operations {
            products: outputs * self.inputs_per_set * self.diagonals * shifts,
            internal_rotations: internal,
            external_rotations: external,
            key_switches: internal + external,
            decompositions: external + if moved > 0 { shifted } else { 0 },
            // That depends on what is kept.
            factors: 0,
        }
    }
}

/// Whether a tap reads the phase (row times stride plus column) of a stride.
fn is_used(geometry: &Geometry, phase: usize) -> bool {
    let (kernel, stride) = (geometry.kernel, geometry.stride);
    let axis = |tap: i32| (tap - geometry.padding).rem_euclid(stride as i32) as usize;
    let phase_of = |(row, col)| axis(row) * stride + axis(col);
    (0..kernel.taps()).any(|i| phase_of(kernel.tap(i)) == phase)
}
