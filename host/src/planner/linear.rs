//! The linear part of a layer in any packing: ciphertexts, operations and frames.

use stria_core::arith::bits::packed_len;
use stria_core::protocol::frame::HEADER;
use stria_core::protocol::transfer::PIECE;

/// Bytes of `count` values of `bits` bits in frames of up to [`PIECE`] values, headers included.
pub(super) fn framed(count: usize, bits: u32) -> usize {
    let rest = count % PIECE;
    let last = if rest > 0 {
        HEADER + packed_len(rest, bits)
    } else {
        0
    };
    count / PIECE * (HEADER + packed_len(PIECE, bits)) + last
}

/// Bytes of the seed's frame.
pub(super) const SEED: usize = HEADER + 32;

/// Jobs that the server spreads over its cores; there is at least one of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jobs {
    /// Input ciphertexts that are rotated for taps.
    pub inputs: usize,
    /// Ciphertexts that are rotated for channels.
    pub channels: usize,
    /// Output ciphertexts that are summed and made responses of.
    pub outputs: usize,
}

/// What the linear part of a layer costs, whatever follows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Linear {
    /// Ciphertexts to the server.
    pub inputs: usize,
    /// Bytes of one of them, frame headers included.
    pub input_bytes: usize,
    /// Bytes of one ciphertext from the server, frame headers included.
    pub output_bytes: usize,
    /// Products of a ciphertext with a plaintext.
    pub products: usize,
    /// Rotations for taps.
    pub internal_rotations: usize,
    /// Rotations for channels.
    pub external_rotations: usize,
    /// Decompositions of a ciphertext into digits: one a rotation for channels, and one for all the
    /// rotations for taps of a ciphertext.
    pub decompositions: usize,
    /// What the server does side by side.
    pub jobs: Jobs,
    /// Coefficients that are sent of one response's c0.
    pub returned: usize,
    /// Values of the output map that the ciphertexts of a tile hold, in channels: an entry a
    /// ciphertext.
    pub(super) channels: Vec<usize>,
    /// Side of the output map, and of a tile of it.
    pub(super) out_side: usize,
    pub(super) tile: usize,
}

impl Linear {
    /// Ciphertexts from the server.
    pub fn outputs(&self) -> usize {
        self.tiles().pow(2) * self.channels.len()
    }

    /// Bytes of the ciphertexts to the server.
    pub fn bytes_up(&self) -> usize {
        self.inputs * self.input_bytes
    }

    /// Bytes of the ciphertexts from the server.
    pub fn bytes_down(&self) -> usize {
        self.outputs() * self.output_bytes
    }

    /// Values that each ciphertext from the server carries, in the order in which they come.
    pub fn valid(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let tiles = self.tiles();
        let side = |i: usize| self.tile.min(self.out_side - i * self.tile);
        (0..tiles * tiles).flat_map(move |tile| {
            let pixels = side(tile / tiles) * side(tile % tiles);
            self.channels.iter().map(move |channels| channels * pixels)
        })
    }

    /// Plaintexts of the weights: all tiles have the same.
    pub fn plaintexts(&self) -> usize {
        self.products / self.tiles().pow(2)
    }

    fn tiles(&self) -> usize {
        self.out_side.div_ceil(self.tile)
    }
}
