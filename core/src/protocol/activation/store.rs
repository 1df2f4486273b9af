//! Chunks of outputs as a client has them, and where.
//! `docs/design.md#records`.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{CHUNK, ChunkShape};
use crate::Error;
use crate::protocol::steps::Room;
use crate::relu::Record;

/// A chunk of outputs.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Chunk {
    #[zeroize(skip)]
    pub(in crate::protocol) shape: ChunkShape,
    pub(super) records: [Record; CHUNK],
    /// What is sent of each activation while its share is prepared.
    pub(super) residues: [[u32; 3]; CHUNK],
}

impl Chunk {
    /// Without outputs.
    pub const EMPTY: Self = Self {
        shape: ChunkShape::EMPTY,
        records: [const { Record::EMPTY }; CHUNK],
        residues: [[0; 3]; CHUNK],
    };
}

/// Where a client has its chunks: as long as there is room, until they are answered.
pub trait Store {
    /// What there is room for.
    const ROOM: Room;
    /// A chunk by its number since the last [`Store::clear`].
    fn chunk(&mut self, index: usize) -> Option<&mut Chunk>;
    /// What is public of it.
    fn shape(&self, index: usize) -> Option<ChunkShape>;
    /// Adds a chunk.
    fn push(&mut self, shape: ChunkShape) -> Result<(), Error>;
    /// Erases all chunks.
    fn clear(&mut self);
}
