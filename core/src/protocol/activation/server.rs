//! The server's side of a window while it is prepared. `docs/design.md#relu`.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::answers::Answerable;
use super::{ChunkShape, Part, Phase, Row, Shape, Step};
use crate::Error;
use crate::arith::bits::unpack;
use crate::arith::field::{T, T_BITS};
use crate::network::layer::Activation;
use crate::ot::{
    Direction, FORWARD, Lane, Plane, ReceiverTrees, RowUse, SenderTrees, receiver_words,
    sender_words, transpose,
};
use crate::parallel;
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, MAX_FRAME};
use crate::protocol::steps::Room;
use crate::random::{Seed, Stream};
use crate::relu::{Prepared, ReluParams, Secrets};

/// Chunks that are worked on at once, on all cores: while the client works on the next ones.
const BATCH: usize = 16;

/// The server's side of a window while it is prepared.
pub struct ServerWindow {
    shape: Shape,
    step: Step,
    /// Chunks of this session before this window.
    before: u64,
    /// Randomness of this session's windows.
    seed: Seed,
    chunks: Vec<Chunk>,
    /// Chunks whose reverse extension has been run, and those whose forward ones have.
    reversed: usize,
    forwarded: usize,
}

/// A chunk while it is prepared.
struct Chunk {
    /// Frames of the reverse extension.
    reverse: Vec<Vec<u8>>,
    secrets: Zeroizing<Vec<Secrets>>,
    pads: Zeroizing<Vec<[u32; 3]>>,
    /// Corrections of the forward extensions, by extension and tree.
    forward: Vec<[Plane; 2]>,
    made: Answerable,
}

impl Chunk {
    fn new(shape: ChunkShape) -> Self {
        Self {
            reverse: Vec::new(),
            secrets: Zeroizing::default(),
            pads: Zeroizing::default(),
            forward: Vec::new(),
            made: Answerable {
                shape,
                prepared: Vec::new(),
                reshares: Zeroizing::default(),
                records: Vec::new(),
            },
        }
    }

    /// Draws its bits, and runs the reverse extension of `number`.
    fn reverse(
        &mut self,
        shape: &Shape,
        number: u64,
        seed: &Seed,
        trees: &ReceiverTrees,
    ) -> Result<(), Error> {
        let count = self.made.shape.len;
        if self.made.shape.activation != Activation::Relu {
            return Ok(());
        }
        let mut random = Stream::new(seed, [0, (number >> 32) as u32, number as u32]);
        let mut lanes = [Lane::UNUSED, Lane::UNUSED];
        for lane in &mut lanes {
            let plane: Plane = core::array::from_fn(|_| random.next_u32());
            lane.choose_bits(&Zeroizing::new(plane));
        }
        let secrets = (0..count).map(|i| Secrets {
            tau: lanes[0].bit(i),
            sign: lanes[1].bit(i),
            chain: random.next_u32(),
        });
        self.secrets = Zeroizing::new(secrets.collect());
        // No copy of a secret stays behind where it grows.
        self.made.prepared = Vec::with_capacity(count);

        let call = shape.reverse(self.made.shape);
        // The first call of the session was for base transfers.
        let number = base::CALL + 1 + number;
        let mut scratch = Zeroizing::new(vec![0; receiver_words(call.direction)]);
        for frame in 0..call.frames() {
            let mut out = [0; MAX_FRAME];
            let trees = (trees, lanes.each_ref());
            let len = call.write(number, frame, trees, &mut scratch, &mut out)?;
            self.reverse.push(out[..len].to_vec());
        }
        let rows = trees.rows(number, &scratch)?;
        let pads = (0..count).map(|i| {
            let [tau, product] = [0, 1].map(|lane| rows.hash(lane, i, RowUse::Product));
            Prepared::pads(&tau, &product)
        });
        self.pads = Zeroizing::new(pads.collect());
        Ok(())
    }

    /// Runs the forward extensions, the first of which has a number.
    fn forward(
        &mut self,
        shape: &Shape,
        number: u64,
        trees: &SenderTrees<FORWARD>,
    ) -> Result<(), Error> {
        if self.made.shape.activation != Activation::Relu {
            return Ok(());
        }
        let prepared = &mut self.made.prepared;
        let words = sender_words(Direction::Forward, trees.k_s());
        let mut scratch = Zeroizing::new(vec![0; words]);
        for call in 0..shape.calls() {
            let public = shape.forward(self.made.shape, call);
            let number = number + call as u64;
            let corrections = self.forward[call * trees.count()..].iter();
            for (tree, corrections) in corrections.take(trees.count()).enumerate() {
                trees.absorb(number, tree, public.codes, corrections, &mut scratch)?;
            }
            transpose(public.direction, public.codes, trees.k_s(), &mut scratch)?;
            let rows = trees.rows(number, &scratch)?;
            for (lane, of_lane) in shape.rows(call).into_iter().enumerate() {
                match of_lane {
                    Some(Row::Digit(digit)) => {
                        for value in 0..1 << digit.width {
                            let word = rows.word(public.codes[lane], value);
                            for (i, prepared) in prepared.iter_mut().enumerate() {
                                let block = rows.hash(lane, i, RowUse::Digit, &word);
                                prepared.digit(&digit, value, &block);
                            }
                        }
                    }
                    Some(Row::Beta) => {
                        let one = rows.word(public.codes[lane], 1);
                        for (i, prepared) in prepared.iter_mut().enumerate() {
                            prepared.bit(&rows.hashes(lane, i, RowUse::Bit, &one));
                        }
                    }
                    None => {}
                }
            }
        }
        self.forward = Vec::new();
        Ok(())
    }
}

impl ServerWindow {
    /// An idle window of a session; `seed` serves nothing else.
    pub fn new(relu: ReluParams, k_s: u32, room: Room, seed: Seed) -> Self {
        Self {
            shape: Shape::new(relu, k_s, room),
            step: Step::IDLE,
            before: 0,
            seed,
            chunks: Vec::new(),
            reversed: 0,
            forwarded: 0,
        }
    }

    /// Adds the next output of a layer.
    pub fn gather(&mut self, layer: u16, activation: Activation) {
        let last = self.chunks.last_mut().map(|chunk| &mut chunk.made.shape);
        match last.filter(|shape| shape.takes(layer)) {
            Some(shape) => shape.len += 1,
            None => self.chunks.push(Chunk::new(ChunkShape {
                layer,
                activation,
                len: 1,
            })),
        }
    }

    /// Starts to prepare what was gathered.
    pub fn start(&mut self) {
        (self.reversed, self.forwarded) = (0, 0);
        let chunks = &self.chunks;
        self.step = Step::first(Phase::Prepare, &self.shape, |chunk| {
            chunks.get(chunk).map(|chunk| chunk.made.shape)
        });
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.step == Step::IDLE
    }

    /// The chunks of a window that has been worked off, each with its layer.
    pub fn finish(
        &mut self,
        sender: &SenderTrees<FORWARD>,
    ) -> Result<impl Iterator<Item = (usize, Answerable)> + use<>, Error> {
        self.forward(self.chunks.len(), sender)?;
        self.before += self.chunks.len() as u64;
        let chunks = core::mem::take(&mut self.chunks).into_iter();
        Ok(chunks.map(|chunk| (chunk.made.shape.layer.into(), chunk.made)))
    }

    fn advance(&mut self) {
        let chunks = &self.chunks;
        self.step = self.step.advance(&self.shape, |chunk| {
            chunks.get(chunk).map(|chunk| chunk.made.shape)
        });
    }

    /// Runs the reverse extensions of the chunks before `end`.
    fn reverse(&mut self, end: usize, trees: &ReceiverTrees) -> Result<(), Error> {
        let (shape, seed, first) = (self.shape, &self.seed, self.reversed);
        let before = self.before + first as u64;
        let chunks = self.chunks.get_mut(first..end).unwrap_or_default();
        let made = parallel::map_mut(chunks, |i, chunk| {
            chunk.reverse(&shape, before + i as u64, seed, trees)
        });
        self.reversed = end.max(first);
        made.into_iter().collect()
    }

    /// Runs the forward extensions of the chunks before `end`, of which all is there.
    fn forward(&mut self, end: usize, trees: &SenderTrees<FORWARD>) -> Result<(), Error> {
        let (shape, first) = (self.shape, self.forwarded);
        let before = self.before + first as u64;
        let chunks = self.chunks.get_mut(first..end).unwrap_or_default();
        let made = parallel::map_mut(chunks, |i, chunk| {
            let number = (before + i as u64) * shape.calls() as u64;
            chunk.forward(&shape, number, trees)
        });
        self.forwarded = end.max(first);
        made.into_iter().collect()
    }

    /// Writes the next frame; none while the client's is awaited.
    pub fn poll(
        &mut self,
        trees: &ReceiverTrees,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let (index, frame) = (self.step.chunk, self.step.frame);
        if self.step.part() != Some(Part::Reverse) {
            return Ok(None);
        }
        if index >= self.reversed {
            let end = (index + BATCH).min(self.chunks.len());
            self.reverse(end, trees)?;
        }
        let frame = core::mem::take(&mut self.chunks[index].reverse[frame]);
        out[..frame.len()].copy_from_slice(&frame);
        self.advance();
        Ok(Some(frame.len()))
    }

    /// Takes the client's next frame.
    pub fn handle(&mut self, frame: Frame<'_>, sender: &SenderTrees<FORWARD>) -> Result<(), Error> {
        let (shape, step) = (self.shape, self.step);
        let Some(part) = step.part() else {
            return Err(frame.unexpected());
        };
        let chunk = &mut self.chunks[step.chunk];
        let of_chunk = chunk.made.shape;
        let range = shape.piece_range(of_chunk, step.frame);
        let (_, kind, expected) = shape.frame(part, of_chunk, step.frame);
        match part {
            Part::Residues => {
                let payload = frame.expect(kind)?;
                let mut residues = Zeroizing::new(vec![0; 3 * range.len()]);
                let count = residues.len();
                unpack(kind as u8, payload, T_BITS, T, count, |i, x| {
                    residues[i] = x
                })?;
                for (i, residues) in range.zip(residues.as_chunks().0) {
                    let made = Prepared::new(chunk.secrets[i], chunk.pads[i], *residues);
                    chunk.made.prepared.push(made);
                }
            }
            Part::Forward(call) => {
                let public = shape.forward(of_chunk, call);
                let forward = &mut chunk.forward;
                forward.resize((call + 1) * sender.count(), [[0; 8]; 2]);
                public.read(frame, step.frame, |tree, corrections| {
                    forward[call * sender.count() + tree] = *corrections;
                    Ok(())
                })?;
            }
            Part::Reshares => {
                let payload = frame.expect(kind)?;
                let mut reshares = Zeroizing::new(vec![0; of_chunk.len]);
                let count = reshares.len();
                unpack(kind as u8, payload, T_BITS, T, count, |i, x| {
                    reshares[i] = x
                })?;
                chunk.made.reshares = reshares;
            }
            Part::Store => {
                let payload = frame.expect_len(kind, expected)?;
                chunk.made.records.push(payload.to_vec());
            }
            _ => return Err(frame.unexpected()),
        }
        self.advance();
        if self.step.chunk >= self.forwarded + BATCH {
            self.forward(self.step.chunk, sender)?;
        }
        Ok(())
    }
}
