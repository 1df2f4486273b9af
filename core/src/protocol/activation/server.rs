//! The server's side of a window. `docs/design.md#relu`.

use alloc::vec;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{FIRST, Row, Shape, Step, advance};
use crate::Error;
use crate::arith::bits::{packed_len, unpack};
use crate::arith::field::{T, T_BITS};
use crate::ot::{
    Direction, FORWARD, Lane, Plane, ReceiverTrees, RowUse, SenderTrees, receiver_words,
    sender_words, transpose,
};
use crate::parallel;
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, Kind, MAX_FRAME, write};
use crate::random::{Seed, Stream};
use crate::relu::{Prepared, ReluParams, Secrets};

/// The server's side.
pub struct ServerWindow {
    shape: Shape,
    step: Step,
    /// Chunks of this session before this window.
    before: u64,
    /// Randomness of this session's windows.
    seed: Seed,
    shares: Zeroizing<Vec<u16>>,
    chunks: Vec<Chunk>,
    outputs: Zeroizing<Vec<u32>>,
}

/// A chunk of activations.
#[derive(Default)]
struct Chunk {
    /// Frames of the reverse extension.
    reverse: Vec<Vec<u8>>,
    secrets: Zeroizing<Vec<Secrets>>,
    pads: Zeroizing<Vec<[u32; 3]>>,
    prepared: Vec<Prepared>,
    /// Corrections of the forward extensions, by extension and tree.
    forward: Vec<[Plane; 2]>,
    answers: Vec<u8>,
}

impl Chunk {
    /// Draws its bits, and runs the reverse extension of `number`.
    fn new(
        shape: &Shape,
        chunk: usize,
        number: u64,
        seed: &Seed,
        trees: &ReceiverTrees,
    ) -> Result<Self, Error> {
        let mut random = Stream::new(seed, [0, (number >> 32) as u32, number as u32]);
        let mut lanes = [Lane::UNUSED, Lane::UNUSED];
        for lane in &mut lanes {
            let plane: Plane = core::array::from_fn(|_| random.next_u32());
            lane.choose_bits(&Zeroizing::new(plane));
        }
        let count = shape.chunk_len(chunk);
        let secrets = (0..count).map(|i| Secrets {
            tau: lanes[0].bit(i),
            sign: lanes[1].bit(i),
            chain: random.next_u32(),
        });
        let mut made = Self {
            secrets: Zeroizing::new(secrets.collect()),
            // No copy of a secret stays behind where it grows.
            prepared: Vec::with_capacity(count),
            ..Self::default()
        };

        let call = shape.reverse(chunk);
        // The first call of the session was for base transfers.
        let number = base::CALL + 1 + number;
        let mut scratch = Zeroizing::new(vec![0; receiver_words(call.direction)]);
        for frame in 0..call.frames() {
            let mut out = [0; MAX_FRAME];
            let trees = (trees, lanes.each_ref());
            let len = call.write(number, frame, trees, &mut scratch, &mut out)?;
            made.reverse.push(out[..len].to_vec());
        }
        let rows = trees.rows(number, &scratch)?;
        let pads = (0..count).map(|i| {
            let [tau, product] = [0, 1].map(|lane| rows.hash(lane, i, RowUse::Product));
            Prepared::pads(&tau, &product)
        });
        made.pads = Zeroizing::new(pads.collect());
        Ok(made)
    }

    /// Runs the forward extensions, the first of which has a number, and answers for its shares.
    fn answer(
        &mut self,
        shape: &Shape,
        chunk: usize,
        number: u64,
        shares: &[u16],
        trees: &SenderTrees<FORWARD>,
    ) -> Result<(), Error> {
        let relu = &shape.relu;
        let words = sender_words(Direction::Forward, trees.k_s());
        let mut scratch = Zeroizing::new(vec![0; words]);
        for call in 0..shape.calls() {
            let public = shape.forward(chunk, call);
            let number = number + call as u64;
            let corrections = self.forward[call * trees.count()..].iter();
            for (tree, corrections) in corrections.take(trees.count()).enumerate() {
                trees.absorb(number, tree, public.codes, corrections, &mut scratch)?;
            }
            transpose(public.direction, &mut scratch)?;
            let rows = trees.rows(number, &scratch)?;
            for (lane, of_lane) in shape.rows(call).into_iter().enumerate() {
                match of_lane {
                    Some(Row::Digit(digit)) => {
                        for value in 0..1 << digit.width {
                            let word = rows.word(public.codes[lane], value);
                            for (i, prepared) in self.prepared.iter_mut().enumerate() {
                                let block = rows.hash(lane, i, RowUse::Digit, &word);
                                prepared.digit(&digit, value, &block);
                            }
                        }
                    }
                    Some(Row::Beta) => {
                        let one = rows.word(public.codes[lane], 1);
                        for (i, prepared) in self.prepared.iter_mut().enumerate() {
                            prepared.bit(&rows.hashes(lane, i, RowUse::Bit, &one));
                        }
                    }
                    None => {}
                }
            }
        }
        self.answers = vec![0; shares.len() * relu.answer_bytes()];
        let answers = self.answers.chunks_exact_mut(relu.answer_bytes());
        for ((prepared, share), answer) in self.prepared.iter_mut().zip(shares).zip(answers) {
            prepared.answer(relu, *share, answer);
        }
        Ok(())
    }
}

impl ServerWindow {
    /// An idle window of a session; `seed` serves nothing else.
    pub fn new(relu: ReluParams, k_s: u32, seed: Seed) -> Self {
        Self {
            shape: Shape {
                relu,
                k_s,
                total: 0,
            },
            step: Step::Idle,
            before: 0,
            seed,
            shares: Zeroizing::default(),
            chunks: Vec::new(),
            outputs: Zeroizing::default(),
        }
    }

    /// Starts on activations with these shares mod 2^k.
    pub fn start(
        &mut self,
        shares: impl Iterator<Item = u16>,
        receiver: &ReceiverTrees,
    ) -> Result<(), Error> {
        self.shares = Zeroizing::new(shares.collect());
        self.shape.total = self.shares.len();
        self.outputs = Zeroizing::new(Vec::with_capacity(self.shape.total));
        let make = |chunk| {
            let number = self.before + chunk as u64;
            Chunk::new(&self.shape, chunk, number, &self.seed, receiver)
        };
        let made = parallel::map(self.shape.chunks(), make);
        self.chunks = made.into_iter().collect::<Result<_, _>>()?;
        self.step = FIRST;
        Ok(())
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.step == Step::Idle
    }

    /// The server's new shares mod t, in order, once the window is idle.
    pub fn outputs(&self) -> &[u32] {
        &self.outputs
    }

    fn advance(&mut self) {
        self.step = advance(self.step, &self.shape);
        if self.idle() {
            self.before += self.shape.chunks() as u64;
            self.chunks.clear();
        }
    }

    /// Takes the client's next frame.
    pub fn handle(&mut self, frame: Frame<'_>, sender: &SenderTrees<FORWARD>) -> Result<(), Error> {
        let shape = self.shape;
        match self.step {
            Step::Residues { chunk, piece } => {
                let payload = frame.expect(Kind::Residues)?;
                let range = shape.piece_range(chunk, piece);
                let mut residues = Zeroizing::new(vec![0; 3 * range.len()]);
                let (kind, count) = (Kind::Residues as u8, residues.len());
                unpack(kind, payload, T_BITS, T, count, |i, x| residues[i] = x)?;
                let Chunk {
                    secrets,
                    pads,
                    prepared,
                    ..
                } = &mut self.chunks[chunk];
                for (i, residues) in range.zip(residues.as_chunks().0) {
                    prepared.push(Prepared::new(secrets[i], pads[i], *residues));
                }
            }
            Step::Forward {
                chunk,
                call,
                frame: index,
            } => {
                let public = shape.forward(chunk, call);
                let forward = &mut self.chunks[chunk].forward;
                forward.resize((call + 1) * sender.count(), [[0; 8]; 2]);
                public.read(frame, index, |tree, corrections| {
                    forward[call * sender.count() + tree] = *corrections;
                    Ok(())
                })?;
            }
            Step::Replies { chunk, piece } => {
                let payload = frame.expect(Kind::Replies)?;
                let range = shape.piece_range(chunk, piece);
                let kind = Kind::Replies as u8;
                let first = packed_len(range.len(), 1);
                let (bits, residues) =
                    payload.split_at_checked(first).ok_or(Error::FrameLength {
                        kind,
                        expected: first + packed_len(range.len(), T_BITS),
                        got: payload.len(),
                    })?;
                let mut replies = vec![(0, 0); range.len()];
                unpack(kind, bits, 1, 2, range.len(), |i, x| replies[i].0 = x)?;
                unpack(kind, residues, T_BITS, T, range.len(), |i, x| {
                    replies[i].1 = x;
                })?;
                let prepared = &self.chunks[chunk].prepared[range];
                let shares = prepared.iter().zip(replies);
                let shares = shares.map(|(prepared, reply)| prepared.finish(reply));
                self.outputs.extend(shares);
            }
            _ => return Err(frame.unexpected()),
        }
        self.advance();
        if self.step == (Step::Answers { chunk: 0, piece: 0 }) {
            self.answer(sender)?;
        }
        Ok(())
    }

    /// Makes the answers of all chunks.
    fn answer(&mut self, sender: &SenderTrees<FORWARD>) -> Result<(), Error> {
        let Self {
            shape,
            before,
            shares,
            chunks,
            ..
        } = self;
        let (shape, before, shares) = (*shape, *before, &shares[..]);
        let answered = parallel::map_mut(chunks, |chunk, made| {
            let number = (before + chunk as u64) * shape.calls() as u64;
            let shares = &shares[chunk * super::CHUNK..][..shape.chunk_len(chunk)];
            made.answer(&shape, chunk, number, shares, sender)
        });
        answered.into_iter().collect()
    }

    /// Writes the next frame; none while the client's is awaited.
    pub fn poll(&mut self, out: &mut FrameBuf) -> Option<usize> {
        let shape = self.shape;
        let len = match self.step {
            Step::Reverse { chunk, frame } => {
                let frame = &self.chunks[chunk].reverse[frame];
                out[..frame.len()].copy_from_slice(frame);
                frame.len()
            }
            Step::Answers { chunk, piece } => {
                let size = shape.relu.answer_bytes();
                let range = shape.piece_range(chunk, piece);
                let answers = &self.chunks[chunk].answers[size * range.start..size * range.end];
                write(out, Kind::Answers, |payload| {
                    payload[..answers.len()].copy_from_slice(answers);
                    answers.len()
                })
            }
            _ => return None,
        };
        self.advance();
        Some(len)
    }
}
