//! Chunks of outputs as a client has them, and where.
//! `docs/design.md#records`.

use core::ops::Range;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{CHUNK, ChunkShape, record_bytes};
use crate::Error;
use crate::arith::bits::{pack, unpack};
use crate::arith::field::{T, T_BITS};
use crate::network::layer::Activation;
use crate::protocol::steps::Room;
use crate::relu::{Record, ReluParams};

/// A chunk of outputs.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Chunk {
    #[zeroize(skip)]
    pub(in crate::protocol) shape: ChunkShape,
    pub(super) records: [Record; CHUNK],
}

impl Chunk {
    /// Without outputs.
    pub const EMPTY: Self = Self {
        shape: ChunkShape::EMPTY,
        records: [const { Record::EMPTY }; CHUNK],
    };
}

impl Chunk {
    /// Bytes of all its records, packed.
    pub(in crate::protocol) fn packed(relu: &ReluParams, shape: ChunkShape) -> usize {
        record_bytes(relu, shape.activation, shape.len)
    }

    /// Packs records that wait for their answers; gives their bytes.
    pub(in crate::protocol) fn pack(
        &self,
        relu: &ReluParams,
        range: Range<usize>,
        out: &mut [u8],
    ) -> usize {
        let records = &self.records[range];
        match self.shape.activation {
            Activation::Relu => relu.pack_records(records, out),
            Activation::Logits => pack(out, T_BITS, records.iter().map(Record::kept)),
            Activation::Linear => 0,
        }
    }

    /// Takes records as [`Chunk::pack`] packed them; `kind` names the frame in an error.
    pub(in crate::protocol) fn unpack(
        &mut self,
        relu: &ReluParams,
        range: Range<usize>,
        kind: u8,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let records = &mut self.records[range];
        match self.shape.activation {
            Activation::Relu => relu.unpack_records(kind, bytes, records),
            Activation::Logits => {
                let count = records.len();
                unpack(kind, bytes, T_BITS, T, count, |i, x| records[i].keep(x))
            }
            Activation::Linear => Ok(()),
        }
    }
}

/// Where a client has its chunks: as long as there is room, until they are answered.
pub trait Store {
    /// What there is room for.
    const ROOM: Room;
    /// What there is beside its chunks while they are prepared.
    type Residues: Residues;
    /// A chunk by its number since the last [`Store::clear`].
    fn chunk(&mut self, index: usize) -> Option<&mut Chunk>;
    /// What is public of it.
    fn shape(&self, index: usize) -> Option<ChunkShape>;
    /// Adds a chunk.
    fn push(&mut self, shape: ChunkShape) -> Result<(), Error>;
    /// Erases all chunks.
    fn clear(&mut self);
}

/// What is sent of each activation while its share is prepared, by chunk of a [`Store`].
pub trait Residues: Zeroize {
    /// Of no chunk.
    const EMPTY: Self;
    /// Bytes outside of itself: at most so far.
    fn allocated(&self) -> usize {
        0
    }
    /// Those of a chunk that there is room for.
    fn of_chunk(&mut self, index: usize) -> Option<&mut [[u32; 3]; CHUNK]>;
}

impl<const N: usize> Residues for [[[u32; 3]; CHUNK]; N] {
    const EMPTY: Self = [[[0; 3]; CHUNK]; N];

    fn of_chunk(&mut self, index: usize) -> Option<&mut [[u32; 3]; CHUNK]> {
        self.get_mut(index)
    }
}
