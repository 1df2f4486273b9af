//! Where a client has what it needs again: the layers' descriptions, and its records of outputs until
//! they are answered. `docs/design.md#records`.

use zeroize::Zeroize;

use crate::Error;
use crate::network::LayerError;
use crate::network::layer::Layer;
use crate::protocol::activation::{Chunk, ChunkShape, Store};
use crate::protocol::greeting::MAX_WINDOW;
use crate::protocol::steps::{CHUNK, Room};
use crate::relu::ReluParams;

/// The memory of a client.
pub trait Memory: Store + Zeroize {
    /// Nothing.
    const EMPTY: Self;
    /// Keeps the description of the next layer, which has so many outputs, if there is room for all.
    fn describe(&mut self, layer: Layer, outputs: usize) -> Result<(), LayerError>;
    /// Bytes outside of itself: at most so far.
    fn allocated(&self) -> usize {
        0
    }
    /// The description of a layer.
    fn layer(&self, index: usize) -> Option<Layer>;

    /// What of it goes into a ticket: descriptions and records, unless the server keeps them.
    type Kept: Zeroize;
    /// Takes that out of it; descriptions stay.
    fn take(&mut self) -> Self::Kept;
    /// Puts it back, and leaves nothing.
    fn put(&mut self, kept: &mut Self::Kept);
    /// Bytes of it, packed, at most.
    fn packed(kept: &Self::Kept, relu: &ReluParams) -> usize;
    /// Packs it, and gives its bytes; none if there is no room.
    fn pack(kept: &Self::Kept, relu: &ReluParams, out: &mut [u8]) -> Option<usize>;
    /// Takes what [`Memory::pack`] made, of so many layers.
    fn unpack(relu: &ReluParams, layers: u16, bytes: &[u8]) -> Result<Self::Kept, Error>;
}

/// Room for `N` chunks, in place: the server keeps the records of all others, sealed.
pub struct Chunks<const N: usize> {
    chunks: [Chunk; N],
    used: usize,
}

impl<const N: usize> Chunks<N> {
    const FITS: () = assert!(N >= 1 && N <= MAX_WINDOW as usize);
}

impl<const N: usize> Zeroize for Chunks<N> {
    fn zeroize(&mut self) {
        self.clear();
    }
}

impl<const N: usize> Memory for Chunks<N> {
    const EMPTY: Self = Self {
        chunks: [const { Chunk::EMPTY }; N],
        used: 0,
    };

    fn describe(&mut self, _: Layer, _: usize) -> Result<(), LayerError> {
        Ok(())
    }

    fn layer(&self, _: usize) -> Option<Layer> {
        None
    }

    type Kept = ();

    fn take(&mut self) {
        self.clear();
    }

    fn put(&mut self, (): &mut ()) {}

    fn packed((): &(), _: &ReluParams) -> usize {
        0
    }

    fn pack((): &(), _: &ReluParams, _: &mut [u8]) -> Option<usize> {
        Some(0)
    }

    fn unpack(_: &ReluParams, _: u16, bytes: &[u8]) -> Result<(), Error> {
        match bytes {
            [] => Ok(()),
            _ => Err(Error::Malformed("ticket")),
        }
    }
}

impl<const N: usize> Store for Chunks<N> {
    const ROOM: Room = {
        let () = Self::FITS;
        Room::Chunks(N as u16)
    };
    type Residues = [[[u32; 3]; CHUNK]; N];

    fn chunk(&mut self, index: usize) -> Option<&mut Chunk> {
        self.chunks.get_mut(..self.used)?.get_mut(index)
    }

    fn shape(&self, index: usize) -> Option<ChunkShape> {
        let chunk = self.chunks.get(..self.used)?.get(index)?;
        Some(chunk.shape)
    }

    fn push(&mut self, shape: ChunkShape) -> Result<(), Error> {
        let full = Error::Internal("more chunks than a window has");
        let chunk = self.chunks.get_mut(self.used).ok_or(full)?;
        chunk.shape = shape;
        self.used += 1;
        Ok(())
    }

    fn clear(&mut self) {
        let used = self.chunks.iter_mut().take(self.used);
        used.for_each(Zeroize::zeroize);
        self.used = 0;
    }
}
