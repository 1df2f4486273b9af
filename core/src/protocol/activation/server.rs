//! The server's side of a window. `docs/design.md#relu`.

use super::*;
use crate::ot::correlated_pads_receiver;
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
    /// d_s and the pad at d_s of each reverse transfer that is left.
    transfers: Vec<(u8, u32)>,
    chunks: Vec<(ServerChunk, Vec<u8>)>,
    /// Pads of this window's activations.
    pads: Vec<u32>,
    entries: Vec<[u32; 4]>,
    outputs: Vec<u32>,
}

impl Drop for ServerWindow {
    fn drop(&mut self) {
        self.transfers.zeroize();
        self.shares.zeroize();
        self.pads.zeroize();
        self.entries.zeroize();
        self.outputs.zeroize();
    }
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
    pub fn start(&mut self, shares: impl Iterator<Item = u16>) {
        self.shares.zeroize();
        self.shares.extend(shares);
        self.shape.total = self.shares.len();
        self.corrections.clear();
        self.outputs.zeroize();
        self.reverse_calls = self.supply.take(self.shape.total);
        if self.reverse_calls > 0 {
            self.transfers.zeroize();
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
                let mut corrections = payload.chunks_exact(size);
                if corrections.any(|bytes| bytes[size - 1] & !shape.last_byte() != 0) {
                    return Err(Error::DirtyPadding);
                }
                self.corrections
                    .extend(payload.chunks_exact(size).map(words));
                let last = chunk + 1 == shape.chunks() && index + 1 == shape.correction_frames();
                if last {
                    self.restock(receiver)?;
                    self.begin(sender)?;
                }
            }
            Step::Replies { chunk } => {
                let count = shape.chunk_len(chunk);
                let payload = frame.expect(Kind::Reply)?;
                let first = packed_len(count, 2);
                let (bits, taus) = payload.split_at_checked(first).ok_or(Error::FrameLength {
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
            _ => return Err(frame.unexpected()),
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
            let choices: Zeroizing<Correction> =
                Zeroizing::new(core::array::from_fn(|_| random.next_u32()));
            let mut pads = Zeroizing::new([0; CALL]);
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
            self.transfers.extend(bits.zip(pads.iter().copied()));
        }
        scratch.zeroize();
        Ok(())
    }

    /// Makes the tables of all chunks.
    fn begin(&mut self, sender: &SenderTrees) -> Result<(), Error> {
        let shape = self.shape;
        let transfers = self.transfers.drain(..shape.total);
        let (bits, pads): (Vec<u8>, Vec<u32>) = transfers.unzip();
        let bits = Zeroizing::new(bits);
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
        self.pads.zeroize();
        self.pads = pads;
        self.entries.zeroize();
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
