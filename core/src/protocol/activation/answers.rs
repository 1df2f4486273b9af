//! The server's side of a window while it is answered: its shares are known now, and what was prepared
//! of each output is spent. `docs/design.md#relu`.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{CHUNK, ChunkShape, Part, Phase, Shape, Step};
use crate::Error;
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS};
use crate::network::layer::Activation;
use crate::parallel;
use crate::protocol::frame::{Frame, FrameBuf, HEADER, Kind, write};
use crate::protocol::share::to_ring;
use crate::protocol::steps::Room;
use crate::relu::{Prepared, ReluParams, packed_prepared};

/// What is left of a chunk for its answer.
pub struct Answerable {
    pub(super) shape: ChunkShape,
    pub(super) prepared: Vec<Prepared>,
    /// What takes the place of the client's shares, in a layer without activation.
    pub(in crate::protocol) reshares: Zeroizing<Vec<u32>>,
    /// The client's records, sealed, frame by frame.
    pub(super) records: Vec<Vec<u8>>,
}

impl Answerable {
    /// Bytes of an output in memory, with its sealed record, about.
    pub const OUTPUT_BYTES: usize = size_of::<Prepared>() + 16;

    /// What is public of it.
    pub fn shape(&self) -> ChunkShape {
        self.shape
    }
}

/// How a prepared inference's chunks are stored in a ticket: all sizes follow from their shapes.
#[derive(Clone, Copy)]
pub struct StoredChunks(Shape);

impl StoredChunks {
    /// Of a session.
    pub fn new(relu: ReluParams, k_s: u32, room: Room) -> Self {
        Self(Shape::new(relu, k_s, room))
    }

    /// Bytes of the client's records, frame by frame.
    fn records(&self, chunk: ChunkShape) -> impl Iterator<Item = usize> {
        let frames = 0..self.0.frames(Part::Store, chunk);
        frames.map(move |frame| self.0.frame(Part::Store, chunk, frame).2)
    }

    /// Bytes of what the server has of a chunk itself.
    fn own(&self, chunk: ChunkShape) -> usize {
        match chunk.activation {
            Activation::Relu => packed_prepared(&self.0.relu, chunk.len),
            Activation::Linear => packed_len(chunk.len, T_BITS),
            Activation::Logits => 0,
        }
    }

    /// Bytes of a chunk.
    pub fn bytes(&self, chunk: ChunkShape) -> usize {
        self.own(chunk) + self.records(chunk).sum::<usize>()
    }

    /// Writes a chunk of [`Self::bytes`].
    pub fn pack(&self, chunk: &Answerable, out: &mut [u8]) {
        let (own, mut rest) = out.split_at_mut(self.own(chunk.shape));
        match chunk.shape.activation {
            Activation::Relu => self.0.relu.pack_prepared(&chunk.prepared, own),
            Activation::Linear => pack(own, T_BITS, chunk.reshares.iter().copied()),
            Activation::Logits => 0,
        };
        for records in &chunk.records {
            rest[..records.len()].copy_from_slice(records);
            rest = &mut rest[records.len()..];
        }
    }

    /// Takes a chunk of this shape.
    pub fn unpack(&self, shape: ChunkShape, bytes: &[u8]) -> Result<Answerable, Error> {
        let (own, mut rest) = bytes
            .split_at_checked(self.own(shape))
            .ok_or(Error::Malformed("stored chunk"))?;
        let mut chunk = Answerable {
            shape,
            prepared: Vec::new(),
            reshares: Zeroizing::default(),
            records: Vec::new(),
        };
        match shape.activation {
            Activation::Relu => {
                chunk.prepared = self.0.relu.unpack_prepared(own, shape.len)?;
            }
            Activation::Linear => {
                chunk.reshares = Zeroizing::new(vec![0; shape.len]);
                let reshares = &mut chunk.reshares;
                unpack(0, own, T_BITS, T, shape.len, |i, x| reshares[i] = x)?;
            }
            Activation::Logits => {}
        }
        for len in self.records(shape) {
            let (records, after) = rest
                .split_at_checked(len)
                .ok_or(Error::Malformed("stored records"))?;
            chunk.records.push(records.to_vec());
            rest = after;
        }
        Ok(chunk)
    }
}

/// The server's side of a window while it is answered.
pub struct ServerAnswers {
    shape: Shape,
    step: Step,
    /// The window's first chunk in the layer.
    first: usize,
    count: usize,
    /// The shares mod t of its outputs.
    shares: Zeroizing<Vec<u32>>,
    /// Answers by chunk.
    answers: Vec<Vec<u8>>,
    outputs: Zeroizing<Vec<u32>>,
}

impl ServerAnswers {
    /// An idle window of a session.
    pub fn new(relu: ReluParams, k_s: u32, room: Room) -> Self {
        Self {
            shape: Shape::new(relu, k_s, room),
            step: Step::IDLE,
            first: 0,
            count: 0,
            shares: Zeroizing::default(),
            answers: Vec::new(),
            outputs: Zeroizing::default(),
        }
    }

    /// Starts on the next outputs of a layer, with those from chunk `first` on; `shares` are the
    /// server's of them, mod t, of which a ReLU drops `shift` bits.
    pub fn start(
        &mut self,
        chunks: &mut [Answerable],
        first: usize,
        shares: &[u32],
        shift: u32,
    ) -> Result<(), Error> {
        let count = shares.len().div_ceil(CHUNK);
        let window = chunks.get_mut(first..first + count);
        let window = window.ok_or(Error::Internal("chunks that were not prepared"))?;
        (self.first, self.count) = (first, count);
        self.shares = Zeroizing::new(shares.to_vec());
        self.outputs = Zeroizing::new(Vec::with_capacity(shares.len()));
        let relu = &self.shape.relu;
        self.answers = parallel::map_mut(window, |i, chunk| {
            let mut answers = vec![0; chunk.prepared.len() * relu.answer_bytes()];
            let out = answers.chunks_exact_mut(relu.answer_bytes());
            let shares = &shares[i * CHUNK..];
            for ((prepared, &share), answer) in chunk.prepared.iter_mut().zip(shares).zip(out) {
                prepared.answer(relu, to_ring(share, shift), answer);
            }
            answers
        });
        self.step = Step::first(Phase::Answer, &self.shape, |chunk| {
            self.shape_of(chunks, chunk)
        });
        Ok(())
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.step == Step::IDLE
    }

    /// The server's new shares mod t of activations, in order, once the window is idle.
    pub fn outputs(&self) -> &[u32] {
        &self.outputs
    }

    fn shape_of(&self, chunks: &[Answerable], chunk: usize) -> Option<ChunkShape> {
        let made = chunks.get(self.first + chunk);
        made.filter(|_| chunk < self.count).map(|made| made.shape)
    }

    fn advance(&mut self, chunks: &[Answerable]) {
        self.step = self
            .step
            .advance(&self.shape, |chunk| self.shape_of(chunks, chunk));
    }

    /// Writes the next frame; none while the client's is awaited.
    pub fn poll(&mut self, chunks: &mut [Answerable], out: &mut FrameBuf) -> Option<usize> {
        let (shape, step) = (self.shape, self.step);
        let part = step.part()?;
        let chunk = chunks.get_mut(self.first + step.chunk)?;
        let range = shape.piece_range(chunk.shape, step.frame);
        let copy = |out: &mut FrameBuf, kind, bytes: &[u8]| {
            write(out, kind, |payload| {
                payload[..bytes.len()].copy_from_slice(bytes);
                bytes.len()
            })
        };
        let len = match part {
            Part::Recall => {
                let records = core::mem::take(chunk.records.get_mut(step.frame)?);
                copy(out, Kind::Records, &records)
            }
            Part::Answers => {
                let size = shape.relu.answer_bytes();
                let answers = &self.answers[step.chunk][size * range.start..size * range.end];
                copy(out, Kind::Answers, answers)
            }
            Part::Logits => {
                let shares = &self.shares[step.chunk * CHUNK..][range];
                write(out, Kind::Logits, |payload| {
                    pack(payload, T_BITS, shares.iter().copied())
                })
            }
            _ => return None,
        };
        debug_assert_eq!(len, HEADER + shape.frame(part, chunk.shape, step.frame).2);
        self.advance(chunks);
        Some(len)
    }

    /// Takes the client's next frame.
    pub fn handle(&mut self, frame: Frame<'_>, chunks: &[Answerable]) -> Result<(), Error> {
        let (shape, step) = (self.shape, self.step);
        let chunk = chunks.get(self.first + step.chunk);
        let (Some(Part::Replies), Some(chunk)) = (step.part(), chunk) else {
            return Err(frame.unexpected());
        };
        let range = shape.piece_range(chunk.shape, step.frame);
        let (_, kind, expected) = shape.frame(Part::Replies, chunk.shape, step.frame);
        let payload = frame.expect_len(kind, expected)?;
        let (bits, residues) = payload.split_at(packed_len(range.len(), 1));
        let (kind, mut replies) = (kind as u8, vec![(0, 0); range.len()]);
        unpack(kind, bits, 1, 2, range.len(), |i, x| replies[i].0 = x)?;
        unpack(kind, residues, T_BITS, T, range.len(), |i, x| {
            replies[i].1 = x;
        })?;
        let shares = chunk.prepared[range].iter().zip(replies);
        let shares = shares.map(|(prepared, reply)| prepared.finish(reply));
        self.outputs.extend(shares);
        self.advance(chunks);
        Ok(())
    }
}
