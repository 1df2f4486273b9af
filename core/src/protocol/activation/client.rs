//! The client's side of a window. `docs/design.md#relu`.

use super::*;

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
    #[zeroize(skip)]
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
    /// Gives the random choice bits; serves nothing else.
    pub choices: &'a Seed,
    /// Memory that no one else uses during a window.
    pub scratch: &'a mut [u32; SCRATCH_WORDS],
}

impl<const CHUNKS: usize, const SUPPLY: usize> ClientWindow<CHUNKS, SUPPLY> {
    const FITS: () = assert!(
        CHUNKS >= 1
            && CHUNKS <= crate::protocol::greeting::MAX_WINDOW as usize
            && CHUNKS * MAX_CHUNK <= SUPPLY * CALL
    );

    /// The window of no session.
    pub(in crate::protocol) const fn empty() -> Self {
        let () = Self::FITS;
        Self {
            shape: Shape {
                relu: ReluParams::NONE,
                total: 0,
                trees: 0,
            },
            step: Step::Idle,
            supply: Supply {
                stock: 0,
                left: 0,
                calls: 0,
            },
            reverse_calls: 0,
            forward_call: 0,
            chunks: heapless::Vec::new(),
            shares: [[0; MAX_CHUNK]; CHUNKS],
            reshares: [[0; MAX_CHUNK]; CHUNKS],
            pads: [[[0; 2]; CALL]; SUPPLY],
        }
    }

    /// Begins a session, with the window empty.
    pub(in crate::protocol) fn begin_session(&mut self, relu: ReluParams, k_s: u32) {
        self.shape = Shape {
            relu,
            total: 0,
            trees: COLUMNS / k_s as usize,
        };
        self.step = Step::Idle;
        self.supply = Supply::default();
        self.forward_call = 0;
    }

    /// Activations that fit.
    pub fn capacity(&self) -> usize {
        CHUNKS * self.shape.relu.chunk()
    }

    /// Adds the client's share mod 2^k of the next activation.
    pub fn gather(&mut self, share: u16) -> Result<(), Error> {
        let (at, size) = (self.shape.total, self.shape.relu.chunk());
        *self
            .shares
            .get_mut(at / size)
            .ok_or(Error::Internal("window gathered beyond its capacity"))?
            .get_mut(at % size)
            .ok_or(Error::Internal("chunk gathered beyond its capacity"))? = share;
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
                        let (whole, part) = bytes.as_chunks_mut();
                        for (bytes, word) in whole.iter_mut().zip(words) {
                            *bytes = word.to_le_bytes();
                        }
                        if let Some(word) = words.get(whole.len()) {
                            part.copy_from_slice(&word.to_le_bytes()[..part.len()]);
                        }
                        bytes[size - 1] &= shape.last_byte();
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
        let call = self.forward_call;
        self.forward_call += 1;
        let mut stream = Stream::new(context.choices, [0, (call >> 32) as u32, call as u32]);
        let random = Zeroizing::new(core::array::from_fn(|_| stream.next_u32()));
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
            .map_err(|_| Error::Internal("more chunks than the window holds"))
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
                let size = 4 * crate::random::BLOCK_WORDS;
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
            _ => return Err(frame.unexpected()),
        }
        self.advance();
        Ok(())
    }
}
