//! Where a client has what it needs again: the layers' descriptions, and its records of outputs until
//! they are answered. `docs/design.md#records`.

#[cfg(feature = "alloc")]
use alloc::boxed::Box;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use zeroize::Zeroize;

use crate::Error;
use crate::network::LayerError;
use crate::network::layer::Layer;
use crate::protocol::activation::{Chunk, ChunkShape, Store};
use crate::protocol::greeting::MAX_WINDOW;
use crate::protocol::steps::Room;

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
}

impl<const N: usize> Store for Chunks<N> {
    const ROOM: Room = {
        let () = Self::FITS;
        Room::Chunks(N as u16)
    };

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

/// Room for whatever an inference has, on the heap.
#[cfg(feature = "alloc")]
#[derive(Default)]
pub struct Whole {
    layers: Vec<Layer>,
    // In boxes, so that no copy of a secret stays behind where the list grows.
    chunks: Vec<Box<Chunk>>,
    /// Outputs of the layers.
    outputs: usize,
    /// Chunks at most so far.
    most: usize,
}

/// Outputs of a network that there is room for: nearly a GiB of records. A server that describes more
/// gets an error instead.
#[cfg(feature = "alloc")]
const MAX_OUTPUTS: usize = 1 << 25;

#[cfg(feature = "alloc")]
impl Zeroize for Whole {
    fn zeroize(&mut self) {
        self.layers.clear();
        self.outputs = 0;
        self.clear();
    }
}

#[cfg(feature = "alloc")]
impl Memory for Whole {
    const EMPTY: Self = Self {
        layers: Vec::new(),
        chunks: Vec::new(),
        outputs: 0,
        most: 0,
    };

    fn describe(&mut self, layer: Layer, outputs: usize) -> Result<(), LayerError> {
        self.outputs += outputs;
        if self.outputs > MAX_OUTPUTS {
            return Err(LayerError::Values(self.outputs as u64));
        }
        self.layers.push(layer);
        Ok(())
    }

    fn allocated(&self) -> usize {
        self.layers.len() * size_of::<Layer>()
            + self.most * (size_of::<Chunk>() + size_of::<Box<Chunk>>())
    }

    fn layer(&self, index: usize) -> Option<Layer> {
        self.layers.get(index).copied()
    }
}

#[cfg(feature = "alloc")]
impl Store for Whole {
    const ROOM: Room = Room::Whole;

    fn chunk(&mut self, index: usize) -> Option<&mut Chunk> {
        Some(&mut **self.chunks.get_mut(index)?)
    }

    fn shape(&self, index: usize) -> Option<ChunkShape> {
        Some(self.chunks.get(index)?.shape)
    }

    fn push(&mut self, shape: ChunkShape) -> Result<(), Error> {
        let mut chunk = Box::new(Chunk::EMPTY);
        chunk.shape = shape;
        self.chunks.push(chunk);
        self.most = self.most.max(self.chunks.len());
        Ok(())
    }

    fn clear(&mut self) {
        // Each erases itself.
        self.chunks.clear();
    }
}
