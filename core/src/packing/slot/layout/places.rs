//! Where the channels, pixels and weights of a layer stand in the slots of its ciphertexts.
//! `docs/design.md#rotations`, in the terms of [`super`].

use super::{Schedule, SlotLayout};
use crate::network::LayerError;
use crate::network::layer::Layer;
use crate::packing::{Layout, Output, Places};
use crate::rlwe::Ring8192;
use crate::rlwe::galois::{ROW, slot_index};
use crate::rlwe::ring::ring8192::{LOG_N, N, Poly};

#[cfg(feature = "server")]
use crate::packing::Mask;
#[cfg(feature = "server")]
use crate::rlwe::{Randomness, zero_poly};

/// Names one plaintext factor of a layer; all tiles have the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FactorId {
    /// Set of ciphertexts.
    pub set: usize,
    /// Output ciphertext of the set.
    pub output: usize,
    /// Diagonal of the lanes' mixing.
    pub diagonal: usize,
    /// Input ciphertext of the set.
    pub input: usize,
    /// Shift for the taps, in slots.
    pub shift: i32,
}

impl SlotLayout {
    /// First slot of block `k` of lane `lane`.
    fn block(&self, lane: usize, k: usize) -> usize {
        let (row, column) = if self.span == 1 {
            (lane / (self.lanes / 2), lane % (self.lanes / 2))
        } else {
            let columns = self.span / 2;
            (k / columns, k % columns * self.lanes + lane)
        };
        row * ROW + column * self.block_len
    }

    /// Where diagonal `d` takes input block `k` of a lane.
    fn aligned_block(&self, k: usize, d: usize) -> usize {
        let columns = self.columns();
        let row = (k / columns) ^ (d / columns);
        row * columns + (k + columns - d % columns) % columns
    }

    /// The group of a lane of a set, if it has one.
    fn group(&self, set: usize, lane: usize) -> Option<usize> {
        let group = set * self.lanes + lane / self.repeat;
        (group < self.geometry.groups).then_some(group)
    }

    /// The output channel in block `k` of a lane of output ciphertext `output` of a set: (group,
    /// number within the group).
    fn output_channel(
        &self,
        set: usize,
        (output, k): (usize, usize),
        lane: usize,
    ) -> Option<(usize, usize)> {
        let group = self.group(set, lane)?;
        let within = (output * self.repeat + lane % self.repeat) * self.diagonals + k;
        (within < self.geometry.group_outputs).then_some((group, within))
    }

    /// The pixel of the map at local index `i` of a phase of a tile, along one axis.
    fn pixel(&self, tile: usize, phase: usize, i: usize) -> Option<usize> {
        let local = (tile * self.tiles.side + i) as i32 + self.halo;
        let pixel = local * self.geometry.stride as i32 + phase as i32;
        usize::try_from(pixel)
            .ok()
            .filter(|&pixel| pixel < self.geometry.map_side)
    }

    /// The values (signed weights, with their place) of the factor that takes input ciphertext `input` of a set, moved
    /// by `shift`, to diagonal `diagonal` of output ciphertext `output`. `weights` is
    /// `[out_channels, in_channels / groups, taps]`.
    pub fn weight_slots(&self, weights: &[i32], factor: FactorId, mut put: impl FnMut(usize, i32)) {
        let phases = self.phases;
        let taps = self.geometry.kernel.taps();
        for lane in 0..self.lanes {
            for source in 0..self.span {
                let aligned = self.aligned_block(source, factor.diagonal);
                let output = (factor.output, aligned % self.diagonals);
                let Some((group, within)) = self.output_channel(factor.set, output, lane) else {
                    continue;
                };
                let v = factor.input * self.span + source;
                if v >= self.virtual_channels {
                    continue;
                }
                let channel = group * self.geometry.group_outputs + within;
                let kernel = channel * self.geometry.group_inputs + v / phases;
                let kernel = &weights[kernel * taps..][..taps];
                let block = match self.schedule {
                    Schedule::OutputRotations => self.block(lane, source),
                    Schedule::InputRotations => self.block(lane, aligned),
                };
                let phase = self.phase(v % phases);
                for pixel in 0..self.tiles.pixels() {
                    let (r, c) = (pixel / self.tiles.side, pixel % self.tiles.side);
                    let slot = r * self.row_stride + c;
                    if let Some(tap) = self.tap_at(phase, (r, c), factor.shift) {
                        put(slot_index(block + slot), kernel[tap]);
                    }
                }
            }
        }
    }

    /// The tap with which output pixel (r, c) of a tile reads the slot `shift` after its own.
    fn tap_at(&self, phase: usize, (r, c): (usize, usize), shift: i32) -> Option<usize> {
        let source = (r * self.row_stride + c) as i32 + shift;
        let source = usize::try_from(source).ok()?;
        let (row, col) = (source / self.row_stride, source % self.row_stride);
        if row >= self.local_side || col >= self.local_side {
            return None;
        }
        self.tap(phase, row as i32 - r as i32, col as i32 - c as i32)
    }
}

impl Layout for SlotLayout {
    type Ring = Ring8192;

    fn new(layer: &Layer) -> Result<Self, LayerError> {
        Self::new(layer)
    }

    fn depth(&self) -> usize {
        LOG_N
    }

    fn pack(
        &self,
        ciphertext: usize,
        out: &mut Poly,
        mut value: impl FnMut(usize, usize, usize) -> u32,
    ) {
        out.fill(0);
        let (part, input) = (
            ciphertext / self.inputs_per_set,
            ciphertext % self.inputs_per_set,
        );
        let (tile, set) = (part / self.sets, part % self.sets);
        let (tiles, stride, phases) = (self.tiles.count, self.geometry.stride, self.phases);
        for lane in 0..self.lanes {
            let Some(group) = self.group(set, lane) else {
                continue;
            };
            for k in 0..self.span {
                let v = input * self.span + k;
                if v >= self.virtual_channels {
                    continue;
                }
                let channel = self.geometry.source_channel(group, v / phases);
                let phase = self.phase(v % phases);
                let block = self.block(lane, k);
                for r in 0..self.local_side {
                    let row = self.pixel(tile / tiles, phase / stride, r);
                    for c in 0..self.local_side {
                        let col = self.pixel(tile % tiles, phase % stride, c);
                        if let (Some(row), Some(col)) = (row, col) {
                            let slot = block + r * self.row_stride + c;
                            out[slot_index(slot)] = value(channel, row, col);
                        }
                    }
                }
            }
        }
    }

    fn returned(&self) -> usize {
        N
    }

    fn returned_coefficient(&self, i: usize) -> usize {
        i
    }

    /// Uniform slots.
    #[cfg(feature = "server")]
    fn mask(&self, random: &Randomness<Ring8192>) -> Mask<Ring8192> {
        let slots = random.mask();
        let mut values = zero_poly::<Ring8192>();
        for (slot, &x) in slots.iter().enumerate() {
            values[slot_index(slot)] = x;
        }
        let mut message = slots;
        *message = *values;
        self.encode(&mut message);
        Mask { message, values }
    }
}

impl Places for SlotLayout {
    fn out_side(&self) -> usize {
        self.geometry.out_side
    }
    /// Set after set, tile after tile.
    fn inputs(&self) -> usize {
        self.parts() * self.inputs_per_set
    }
    fn outputs(&self) -> usize {
        self.parts() * self.outputs_per_set
    }
    /// Pixels of the blocks of all lanes.
    fn places(&self) -> usize {
        self.lanes * self.diagonals * self.tiles.pixels()
    }
    fn output(&self, ciphertext: usize, place: usize) -> Option<Output> {
        let (part, output) = (
            ciphertext / self.outputs_per_set,
            ciphertext % self.outputs_per_set,
        );
        let (tile, set) = (part / self.sets, part % self.sets);
        let (block, pixel) = (place / self.tiles.pixels(), place % self.tiles.pixels());
        let (lane, k) = (block / self.diagonals, block % self.diagonals);
        let (group, within) = self.output_channel(set, (output, k), lane)?;
        let (row, col) = self.geometry.output_pixel(self.tiles, tile, pixel)?;
        let (r, c) = (pixel / self.tiles.side, pixel % self.tiles.side);
        Some(Output {
            ciphertext,
            coefficient: slot_index(self.block(lane, k) + r * self.row_stride + c),
            channel: (group * self.geometry.group_outputs + within) as u16,
            position: (row * self.geometry.out_side + col) as u32,
        })
    }
}
