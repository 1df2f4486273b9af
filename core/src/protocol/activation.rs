//! The ReLU of one window of activations, both parties' messages side by side.
//! DESIGN section 6; the mathematics is in [`crate::relu`].
//!
//! | message | from | per activation, at h = 8 |
//! |---|---|---|
//! | `ForwardCorrection` | client | 128/k_s trees x 9 bits |
//! | `ReverseCorrection`, when the supply runs out | server | 128/k_s bits |
//! | `Tables` | server | 128 bits |
//! | `Reply` | client | 2 + 23 bits |
//! | `Entries` | server | 4 x 23 bits |
//! | `Reshare` | client | 23 bits |

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::frame::{Frame, FrameBuf, Kind, MAX_PAYLOAD, write};
use crate::Error;
use crate::bits::{pack, packed_len, unpack};
use crate::ot::{
    CALL, COLUMNS, Correction, ReceiverTrees, SenderTrees, correlated_pads_sender, scratch_words,
};
use crate::params::{T, T_BITS, T_MOD};
use crate::prg::Stream;
use crate::relu::{ClientChunk, MAX_CHUNK, ReluParams};

/// Corrections of this many trees share a frame.
const TREES_PER_FRAME: usize = 16;
/// Words of scratch of a window: an extension, and the corrections it hands out.
pub const SCRATCH_WORDS: usize = 4104;

const _: () = {
    let mut k_s = 1;
    while k_s <= 8 {
        assert!(scratch_words(k_s) + 16 * COLUMNS / k_s as usize <= SCRATCH_WORDS);
        k_s *= 2;
    }
};

/// How a window's activations are split into chunks and frames; the same on both sides.
#[derive(Clone, Copy, Debug)]
struct Shape {
    relu: ReluParams,
    total: usize,
    trees: usize,
}

impl Shape {
    fn chunks(&self) -> usize {
        self.total.div_ceil(self.relu.chunk())
    }

    fn chunk_len(&self, chunk: usize) -> usize {
        let size = self.relu.chunk();
        self.total.saturating_sub(chunk * size).min(size)
    }

    /// Bytes of a forward correction: h + 1 bits for each activation of a full chunk.
    fn correction_len(&self) -> usize {
        packed_len(self.relu.chunk(), self.relu.h() + 1)
    }

    fn correction_frames(&self) -> usize {
        self.trees.div_ceil(TREES_PER_FRAME)
    }

    /// Trees in a frame of corrections.
    fn trees_in(&self, frame: usize) -> core::ops::Range<usize> {
        frame * TREES_PER_FRAME..((frame + 1) * TREES_PER_FRAME).min(self.trees)
    }

    fn tables_per_frame(&self) -> usize {
        MAX_PAYLOAD / self.relu.table_bytes()
    }

    fn table_frames(&self, chunk: usize) -> usize {
        self.chunk_len(chunk).div_ceil(self.tables_per_frame())
    }

    /// Activations of the chunk whose tables are in a frame.
    fn tables_in(&self, chunk: usize, frame: usize) -> core::ops::Range<usize> {
        let size = self.tables_per_frame();
        frame * size..((frame + 1) * size).min(self.chunk_len(chunk))
    }
}

/// How many reverse transfers are left; both sides count alike.
#[derive(Clone, Copy, Default, Debug)]
struct Supply {
    /// Transfers that the last calls made.
    stock: usize,
    /// Those of them that are not used yet.
    left: usize,
    calls: u64,
}

impl Supply {
    /// Takes `count` transfers; gives the number of extension calls that must come first. What
    /// was left is given up where it is not enough.
    fn take(&mut self, count: usize) -> usize {
        let calls = if self.left < count {
            count.div_ceil(CALL)
        } else {
            0
        };
        if calls > 0 {
            self.stock = calls * CALL;
            self.left = self.stock;
        }
        self.left -= count;
        calls
    }

    /// Place in the stock of the first of the `count` transfers that were taken last.
    fn first(&self, count: usize) -> usize {
        self.stock - self.left - count
    }

    fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls - 1
    }
}

/// Where a window stands. Client and server step through the same list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Idle,
    Corrections { chunk: usize, frame: usize },
    Reverse { call: usize, frame: usize },
    Tables { chunk: usize, frame: usize },
    Replies { chunk: usize },
    Entries { chunk: usize },
    Reshares { chunk: usize },
}

/// The next step after `step`, where a window has `shape` and needs `reverse` calls.
fn advance(step: Step, shape: &Shape, reverse: usize) -> Step {
    let next = |chunk: usize, here: fn(usize) -> Step, then: Step| {
        if chunk + 1 < shape.chunks() {
            here(chunk + 1)
        } else {
            then
        }
    };
    let tables = Step::Tables { chunk: 0, frame: 0 };
    match step {
        Step::Idle => Step::Idle,
        Step::Corrections { chunk, frame } if frame + 1 < shape.correction_frames() => {
            Step::Corrections {
                chunk,
                frame: frame + 1,
            }
        }
        Step::Corrections { chunk, .. } => {
            let then = if reverse > 0 {
                Step::Reverse { call: 0, frame: 0 }
            } else {
                tables
            };
            next(chunk, |chunk| Step::Corrections { chunk, frame: 0 }, then)
        }
        Step::Reverse { call, frame } if frame + 1 < shape.correction_frames() => Step::Reverse {
            call,
            frame: frame + 1,
        },
        Step::Reverse { call, .. } if call + 1 < reverse => Step::Reverse {
            call: call + 1,
            frame: 0,
        },
        Step::Reverse { .. } => tables,
        Step::Tables { chunk, frame } if frame + 1 < shape.table_frames(chunk) => Step::Tables {
            chunk,
            frame: frame + 1,
        },
        Step::Tables { chunk, .. } => next(
            chunk,
            |chunk| Step::Tables { chunk, frame: 0 },
            Step::Replies { chunk: 0 },
        ),
        Step::Replies { chunk } => next(
            chunk,
            |chunk| Step::Replies { chunk },
            Step::Entries { chunk: 0 },
        ),
        Step::Entries { chunk } => next(
            chunk,
            |chunk| Step::Entries { chunk },
            Step::Reshares { chunk: 0 },
        ),
        Step::Reshares { chunk } => next(chunk, |chunk| Step::Reshares { chunk }, Step::Idle),
    }
}

/// The client's side: up to `CHUNKS` chunks at once, with `SUPPLY` calls of reverse transfers.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientWindow<const CHUNKS: usize, const SUPPLY: usize> {
    #[zeroize(skip)]
    shape: Shape,
    #[zeroize(skip)]
    step: Step,
    #[zeroize(skip)]
    supply: Supply,
    #[zeroize(skip)]
    reverse_calls: usize,
    forward_call: u64,
    chunks: heapless::Vec<ClientChunk, CHUNKS>,
    /// Shares mod 2^k as they are gathered.
    shares: [[u16; MAX_CHUNK]; CHUNKS],
    /// What is sent instead of the new shares.
    reshares: [[u32; MAX_CHUNK]; CHUNKS],
    pads: [[[u32; 2]; CALL]; SUPPLY],
}

/// The client's keys and scratch, as a window borrows them.
pub struct ClientContext<'a> {
    /// Trees of the forward direction.
    pub receiver: &'a ReceiverTrees,
    /// Trees of the reverse direction.
    pub sender: &'a SenderTrees,
    /// Random choice bits.
    pub choices: &'a mut Stream,
    /// Memory that no one else uses during a window.
    pub scratch: &'a mut [u32; SCRATCH_WORDS],
}

impl<const CHUNKS: usize, const SUPPLY: usize> ClientWindow<CHUNKS, SUPPLY> {
    const FITS: () = assert!(CHUNKS * MAX_CHUNK <= SUPPLY * CALL);

    /// An idle window of a session.
    pub fn new(relu: ReluParams, k_s: u32) -> Self {
        let () = Self::FITS;
        Self {
            shape: Shape {
                relu,
                total: 0,
                trees: COLUMNS / k_s as usize,
            },
            step: Step::Idle,
            supply: Supply::default(),
            reverse_calls: 0,
            forward_call: 0,
            chunks: heapless::Vec::new(),
            shares: [[0; MAX_CHUNK]; CHUNKS],
            reshares: [[0; MAX_CHUNK]; CHUNKS],
            pads: [[[0; 2]; CALL]; SUPPLY],
        }
    }

    /// Activations that fit.
    pub fn capacity(&self) -> usize {
        CHUNKS * self.shape.relu.chunk()
    }

    /// Activations gathered so far.
    pub fn gathered(&self) -> usize {
        self.shape.total
    }

    /// Adds the client's share mod 2^k of the next activation.
    pub fn gather(&mut self, share: u16) -> Result<(), Error> {
        let (at, size) = (self.shape.total, self.shape.relu.chunk());
        *self
            .shares
            .get_mut(at / size)
            .ok_or(Error::Usage("window gathered beyond its capacity"))?
            .get_mut(at % size)
            .ok_or(Error::Usage("chunk gathered beyond its capacity"))? = share;
        self.shape.total += 1;
        Ok(())
    }

    /// Starts on what was gathered.
    pub fn start(&mut self) {
        self.chunks.clear();
        self.reverse_calls = self.supply.take(self.shape.total);
        self.step = Step::Corrections { chunk: 0, frame: 0 };
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.step == Step::Idle
    }

    fn advance(&mut self) {
        self.step = advance(self.step, &self.shape, self.reverse_calls);
        if self.step == Step::Idle {
            self.shape.total = 0;
            self.chunks.clear();
        }
    }

    /// The pads of an activation's reverse transfer.
    fn pad(&self, activation: usize) -> [u32; 2] {
        let at = self.supply.first(self.shape.total) + activation;
        self.pads[at / CALL][at % CALL]
    }

    /// Writes the next frame; none while the server's is awaited.
    pub fn poll(
        &mut self,
        context: &mut ClientContext<'_>,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let shape = self.shape;
        let len = match self.step {
            Step::Corrections { chunk, frame } => {
                if frame == 0 {
                    self.begin(chunk, context)?;
                }
                let corrections = &context.scratch[scratch_words(context.receiver.k_s())..];
                write(out, Kind::ForwardCorrection, |payload| {
                    let size = shape.correction_len();
                    for (tree, bytes) in shape.trees_in(frame).zip(payload.chunks_exact_mut(size)) {
                        let words = &corrections[16 * tree..][..16];
                        for (bytes, word) in bytes.chunks_mut(4).zip(words) {
                            bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
                        }
                    }
                    shape.trees_in(frame).len() * size
                })
            }
            Step::Replies { chunk } => {
                let mut bits = [0; MAX_CHUNK];
                let mut taus = [0; MAX_CHUNK];
                let count = shape.chunk_len(chunk);
                for i in 0..count {
                    let pads = self.pad(chunk * shape.relu.chunk() + i);
                    let (bit, tau) = self.chunks[chunk].reply(i, pads);
                    (bits[i], taus[i]) = (u32::from(bit), tau);
                }
                write(out, Kind::Reply, |payload| {
                    let first = pack(payload, 2, bits[..count].iter().copied());
                    first + pack(&mut payload[first..], T_BITS, taus[..count].iter().copied())
                })
            }
            Step::Reshares { chunk } => {
                let values = &self.reshares[chunk][..shape.chunk_len(chunk)];
                write(out, Kind::Reshare, |payload| {
                    pack(payload, T_BITS, values.iter().copied())
                })
            }
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(len))
    }

    /// Runs the forward extension of a chunk; its corrections stay behind the extension's scratch.
    fn begin(&mut self, chunk: usize, context: &mut ClientContext<'_>) -> Result<(), Error> {
        let (scratch, corrections) = context
            .scratch
            .split_at_mut(scratch_words(context.receiver.k_s()));
        let random = core::array::from_fn(|_| context.choices.next_u32());
        let call = self.forward_call;
        self.forward_call += 1;
        let shares = &self.shares[chunk][..self.shape.chunk_len(chunk)];
        let state = ClientChunk::begin(
            self.shape.relu,
            context.receiver,
            call,
            &random,
            shares,
            scratch,
            |tree, correction| corrections[16 * tree..][..16].copy_from_slice(correction),
        )?;
        self.chunks
            .push(state)
            .map_err(|_| Error::Usage("more chunks than the window holds"))
    }

    /// Takes the server's next frame. `share` gives the pseudo-random share that takes the place
    /// of the client's share of the next activation.
    pub fn handle(
        &mut self,
        frame: Frame<'_>,
        context: &mut ClientContext<'_>,
        mut share: impl FnMut() -> Result<u32, Error>,
    ) -> Result<(), Error> {
        let shape = self.shape;
        match self.step {
            Step::Reverse { call, frame: index } => {
                let size = 4 * crate::prg::BLOCK_WORDS;
                let trees = shape.trees_in(index);
                let payload = expect_len(frame, Kind::ReverseCorrection, trees.len() * size)?;
                let number = self.supply.calls;
                for (tree, bytes) in trees.zip(payload.chunks_exact(size)) {
                    let correction = words(bytes);
                    context
                        .sender
                        .absorb(number, tree, &correction, &mut context.scratch[..])?;
                }
                if index + 1 == shape.correction_frames() {
                    let number = self.supply.next_call();
                    let scratch = &mut context.scratch[..];
                    correlated_pads_sender(context.sender, number, scratch, &mut self.pads[call])?;
                }
            }
            Step::Tables {
                chunk,
                frame: index,
            } => {
                let (size, range) = (shape.relu.table_bytes(), shape.tables_in(chunk, index));
                let payload = expect_len(frame, Kind::Tables, range.len() * size)?;
                for (i, table) in range.zip(payload.chunks_exact(size)) {
                    self.chunks[chunk].read_table(i, table);
                }
            }
            Step::Entries { chunk } => {
                let mut entries = [[0; 4]; MAX_CHUNK];
                let count = shape.chunk_len(chunk);
                let payload = frame.expect(Kind::Entries)?;
                unpack(
                    Kind::Entries as u8,
                    payload,
                    T_BITS,
                    T,
                    4 * count,
                    |i, x| {
                        entries[i / 4][i % 4] = x;
                    },
                )?;
                for (i, entries) in entries[..count].iter().enumerate() {
                    let z = self.chunks[chunk].finish(i, *entries);
                    self.reshares[chunk][i] = T_MOD.sub(z, share()?);
                }
            }
            _ => {
                // Only the peer's failure can be read while this side has the word.
                frame.expect(Kind::Fail)?;
                return Err(Error::Usage("frame for an idle window"));
            }
        }
        self.advance();
        Ok(())
    }
}

fn words(bytes: &[u8]) -> Correction {
    let mut words = [0; crate::prg::BLOCK_WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(4)) {
        let mut le = [0; 4];
        le[..bytes.len()].copy_from_slice(bytes);
        *word = u32::from_le_bytes(le);
    }
    words
}

fn expect_len(frame: Frame<'_>, kind: Kind, expected: usize) -> Result<&[u8], Error> {
    let payload = frame.expect(kind)?;
    if payload.len() == expected {
        return Ok(payload);
    }
    Err(Error::FrameLength {
        kind: kind as u8,
        expected,
        got: payload.len(),
    })
}

#[cfg(feature = "server")]
pub use server::ServerWindow;

#[cfg(feature = "server")]
mod server {
    use super::*;
    use crate::ot::correlated_pads_receiver;
    use crate::prg::Seed;
    use crate::relu::ServerChunk;
    use alloc::vec;
    use alloc::vec::Vec;

    /// The server's side.
    pub struct ServerWindow {
        shape: Shape,
        step: Step,
        supply: Supply,
        reverse_calls: usize,
        forward_call: u64,
        /// Randomness of this session's windows.
        seed: Seed,
        shares: Vec<u16>,
        corrections: Vec<Correction>,
        reverse: Vec<Correction>,
        /// d_s and the pad at d_s of each reverse transfer, the last first.
        transfers: Vec<(u8, u32)>,
        chunks: Vec<(ServerChunk, Vec<u8>)>,
        /// Pads of this window's activations.
        pads: Vec<u32>,
        entries: Vec<[u32; 4]>,
        outputs: Vec<u32>,
    }

    impl ServerWindow {
        /// An idle window of a session; `seed` serves nothing else.
        pub fn new(relu: ReluParams, k_s: u32, seed: Seed) -> Self {
            Self {
                shape: Shape {
                    relu,
                    total: 0,
                    trees: COLUMNS / k_s as usize,
                },
                step: Step::Idle,
                supply: Supply::default(),
                reverse_calls: 0,
                forward_call: 0,
                seed,
                shares: Vec::new(),
                corrections: Vec::new(),
                reverse: Vec::new(),
                transfers: Vec::new(),
                chunks: Vec::new(),
                pads: Vec::new(),
                entries: Vec::new(),
                outputs: Vec::new(),
            }
        }

        /// Starts on activations with these shares mod 2^k.
        pub fn start(&mut self, shares: &[u16]) {
            self.shape.total = shares.len();
            self.shares = shares.to_vec();
            self.corrections.clear();
            self.outputs.clear();
            self.reverse_calls = self.supply.take(shares.len());
            if self.reverse_calls > 0 {
                self.transfers.clear();
            }
            self.step = Step::Corrections { chunk: 0, frame: 0 };
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
            self.step = advance(self.step, &self.shape, self.reverse_calls);
        }

        /// Takes the client's next frame.
        pub fn handle(
            &mut self,
            frame: Frame<'_>,
            receiver: &ReceiverTrees,
            sender: &SenderTrees,
        ) -> Result<(), Error> {
            let shape = self.shape;
            match self.step {
                Step::Corrections {
                    chunk,
                    frame: index,
                } => {
                    let (size, trees) = (shape.correction_len(), shape.trees_in(index));
                    let kind = Kind::ForwardCorrection;
                    let payload = expect_len(frame, kind, trees.len() * size)?;
                    self.corrections
                        .extend(payload.chunks_exact(size).map(words));
                    let last =
                        chunk + 1 == shape.chunks() && index + 1 == shape.correction_frames();
                    if last {
                        self.restock(receiver)?;
                        self.begin(sender)?;
                    }
                }
                Step::Replies { chunk } => {
                    let count = shape.chunk_len(chunk);
                    let payload = frame.expect(Kind::Reply)?;
                    let first = packed_len(count, 2);
                    let (bits, taus) =
                        payload.split_at_checked(first).ok_or(Error::FrameLength {
                            kind: Kind::Reply as u8,
                            expected: first + packed_len(count, T_BITS),
                            got: payload.len(),
                        })?;
                    let mut reply = [(0u8, 0u32); MAX_CHUNK];
                    let kind = Kind::Reply as u8;
                    unpack(kind, bits, 2, 4, count, |i, x| reply[i].0 = x as u8)?;
                    unpack(kind, taus, T_BITS, T, count, |i, x| reply[i].1 = x)?;
                    for (i, (bits, tau)) in reply[..count].iter().enumerate() {
                        let pad = self.pads[chunk * shape.relu.chunk() + i];
                        let (entries, z) = self.chunks[chunk].0.answer(i, *bits, *tau, pad);
                        self.entries.push(entries);
                        self.outputs.push(z);
                    }
                }
                Step::Reshares { chunk } => {
                    let (first, count) = (chunk * shape.relu.chunk(), shape.chunk_len(chunk));
                    let payload = frame.expect(Kind::Reshare)?;
                    let outputs = &mut self.outputs[first..first + count];
                    unpack(Kind::Reshare as u8, payload, T_BITS, T, count, |i, x| {
                        outputs[i] = T_MOD.add(outputs[i], x);
                    })?;
                }
                _ => {
                    frame.expect(Kind::Fail)?;
                    return Err(Error::Usage("frame for an idle window"));
                }
            }
            self.advance();
            Ok(())
        }

        /// Makes new reverse transfers where the supply ran out.
        fn restock(&mut self, receiver: &ReceiverTrees) -> Result<(), Error> {
            self.reverse.clear();
            let mut scratch = vec![0; scratch_words(receiver.k_s())];
            for _ in 0..self.reverse_calls {
                let call = self.supply.next_call();
                let mut random = Stream::new(&self.seed, [1, (call >> 32) as u32, call as u32]);
                let choices: Correction = core::array::from_fn(|_| random.next_u32());
                let mut pads = [0; CALL];
                let reverse = &mut self.reverse;
                correlated_pads_receiver(
                    receiver,
                    call,
                    &choices,
                    &mut scratch,
                    &mut pads,
                    |_, correction| reverse.push(*correction),
                )?;
                let bits = (0..CALL).map(|i| (choices[i / 32] >> (i % 32) & 1) as u8);
                self.transfers.extend(bits.zip(pads));
            }
            scratch.zeroize();
            Ok(())
        }

        /// Makes the tables of all chunks.
        fn begin(&mut self, sender: &SenderTrees) -> Result<(), Error> {
            let shape = self.shape;
            let rest = self.transfers.split_off(shape.total);
            let transfers = core::mem::replace(&mut self.transfers, rest);
            let (bits, pads): (Vec<u8>, Vec<u32>) = transfers.into_iter().unzip();
            let first_call = self.forward_call;
            self.forward_call += shape.chunks() as u64;
            let make = |chunk: usize| {
                let call = first_call + chunk as u64;
                let mut scratch = vec![0; scratch_words(sender.k_s())];
                let corrections = &self.corrections[chunk * shape.trees..][..shape.trees];
                let rows = sender.extend(call, corrections, &mut scratch)?;
                let first = chunk * shape.relu.chunk();
                let range = first..first + shape.chunk_len(chunk);
                let mut random = Stream::new(&self.seed, [0, (call >> 32) as u32, call as u32]);
                let mut tables = vec![0; range.len() * shape.relu.table_bytes()];
                let state = ServerChunk::begin(
                    shape.relu,
                    &rows,
                    &self.shares[range.clone()],
                    &bits[range],
                    &mut random,
                    &mut tables,
                )?;
                scratch.zeroize();
                Ok((state, tables))
            };
            let made: Result<Vec<_>, Error> = crate::parallel::map(shape.chunks(), make)
                .into_iter()
                .collect();
            self.chunks = made?;
            self.pads = pads;
            self.entries.clear();
            Ok(())
        }

        /// Writes the next frame; none while the client's is awaited.
        pub fn poll(&mut self, out: &mut FrameBuf) -> Option<usize> {
            let shape = self.shape;
            let len = match self.step {
                Step::Reverse { call, frame } => write(out, Kind::ReverseCorrection, |payload| {
                    let all = &self.reverse[call * shape.trees..][..shape.trees];
                    let range = shape.trees_in(frame);
                    let words = all[range.clone()].as_flattened();
                    for (bytes, word) in payload.chunks_exact_mut(4).zip(words) {
                        bytes.copy_from_slice(&word.to_le_bytes());
                    }
                    4 * words.len()
                }),
                Step::Tables { chunk, frame } => write(out, Kind::Tables, |payload| {
                    let (size, range) = (shape.relu.table_bytes(), shape.tables_in(chunk, frame));
                    let tables = &self.chunks[chunk].1[range.start * size..range.end * size];
                    payload[..tables.len()].copy_from_slice(tables);
                    tables.len()
                }),
                Step::Entries { chunk } => write(out, Kind::Entries, |payload| {
                    let first = chunk * shape.relu.chunk();
                    let entries = &self.entries[first..first + shape.chunk_len(chunk)];
                    pack(payload, T_BITS, entries.as_flattened().iter().copied())
                }),
                _ => return None,
            };
            self.advance();
            Some(len)
        }
    }
}
