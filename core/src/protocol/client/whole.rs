//! A client's memory on the heap: descriptions of all layers, and all records of an inference.
//! `docs/design.md#records` and `#tickets`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use zeroize::Zeroize;

use super::memory::Memory;
use crate::Error;
use crate::network::LayerError;
use crate::network::layer::Layer;
use crate::protocol::activation::{Chunk, ChunkShape, Residues, Store};
use crate::protocol::steps::{CHUNK, Room};
use crate::relu::ReluParams;

/// Room for whatever an inference has, on the heap.
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
const MAX_OUTPUTS: usize = 1 << 25;

/// Bytes of a layer's description in a ticket, and of a chunk's shape, at most.
const MAX_LAYER: usize = 64;
const MAX_SHAPE: usize = 8;

impl Zeroize for Whole {
    fn zeroize(&mut self) {
        self.layers.clear();
        self.outputs = 0;
        self.clear();
    }
}

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

    type Kept = Self;

    fn take(&mut self) -> Self {
        Self {
            layers: self.layers.clone(),
            chunks: mem::take(&mut self.chunks),
            outputs: self.outputs,
            most: 0,
        }
    }

    fn put(&mut self, kept: &mut Self) {
        *self = mem::replace(kept, Self::EMPTY);
        self.most = self.chunks.len();
    }

    fn packed(kept: &Self, relu: &ReluParams) -> usize {
        let chunks = kept.chunks.iter();
        let chunks = chunks.map(|chunk| MAX_SHAPE + Chunk::packed(relu, chunk.shape));
        kept.layers.len() * MAX_LAYER + chunks.sum::<usize>()
    }

    fn pack(kept: &Self, relu: &ReluParams, out: &mut [u8]) -> Option<usize> {
        let mut len = 0;
        for layer in &kept.layers {
            len += postcard::to_slice(layer, out.get_mut(len..)?).ok()?.len();
        }
        for chunk in &kept.chunks {
            let shape = chunk.shape;
            let head = (shape.layer, shape.activation, shape.len as u16);
            len += postcard::to_slice(&head, out.get_mut(len..)?).ok()?.len();
            let records = out.get_mut(len..len + Chunk::packed(relu, shape))?;
            len += chunk.pack(relu, 0..shape.len, records);
        }
        Some(len)
    }

    fn unpack(relu: &ReluParams, layers: u16, bytes: &[u8]) -> Result<Self, Error> {
        let malformed = Error::Malformed("ticket");
        let (mut kept, mut rest) = (Self::EMPTY, bytes);
        for _ in 0..layers {
            let (layer, after) = postcard::take_from_bytes(rest).map_err(|_| malformed)?;
            kept.layers.push(layer);
            rest = after;
        }
        while !rest.is_empty() {
            let (head, after) = postcard::take_from_bytes(rest).map_err(|_| malformed)?;
            let (layer, activation, len): (_, _, u16) = head;
            let len = usize::from(len);
            kept.outputs += len;
            let most = MAX_OUTPUTS / CHUNK + usize::from(layers);
            if !(1..=CHUNK).contains(&len)
                || kept.outputs > MAX_OUTPUTS
                || kept.chunks.len() == most
            {
                return Err(malformed);
            }
            let shape = ChunkShape {
                layer,
                activation,
                len,
            };
            let records = after.split_at_checked(Chunk::packed(relu, shape));
            let (records, after) = records.ok_or(malformed)?;
            let mut chunk = Box::new(Chunk::EMPTY);
            chunk.shape = shape;
            chunk.unpack(relu, 0..len, 0, records)?;
            kept.chunks.push(chunk);
            rest = after;
        }
        Ok(kept)
    }
}

/// Residues as they come, on the heap.
pub struct WholeResidues {
    #[expect(clippy::vec_box, reason = "no copy stays behind where the list grows")]
    chunks: Vec<Box<[[u32; 3]; CHUNK]>>,
    /// Chunks at most so far.
    most: usize,
}

impl Zeroize for WholeResidues {
    fn zeroize(&mut self) {
        self.chunks
            .iter_mut()
            .for_each(|of_chunk| of_chunk.zeroize());
        self.chunks.clear();
    }
}

impl Residues for WholeResidues {
    const EMPTY: Self = Self {
        chunks: Vec::new(),
        most: 0,
    };

    fn allocated(&self) -> usize {
        let each = size_of::<[[u32; 3]; CHUNK]>() + size_of::<Box<[[u32; 3]; CHUNK]>>();
        self.most * each
    }

    fn of_chunk(&mut self, index: usize) -> Option<&mut [[u32; 3]; CHUNK]> {
        while self.chunks.len() <= index {
            self.chunks.push(Box::new([[0; 3]; CHUNK]));
        }
        self.most = self.most.max(self.chunks.len());
        Some(&mut **self.chunks.get_mut(index)?)
    }
}

impl Store for Whole {
    const ROOM: Room = Room::Whole;
    type Residues = WholeResidues;

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
