//! The client's side of a window. `docs/design.md#relu`.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{CHUNK, FIRST, Row, Shape, Step, advance};
use crate::Error;
use crate::arith::bits::{pack, packed_len};
use crate::arith::field::T_BITS;
use crate::ot::{
    Code, Direction, Lane, Plane, REVERSE, ReceiverTrees, RowUse, SenderTrees, receiver_words,
    sender_words,
};
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::random::{Seed, Stream};
use crate::relu::{Record, ReluParams};

/// Words of scratch of a window: those of a forward extension, which are enough for a reverse one.
pub const SCRATCH_WORDS: usize = receiver_words(Direction::Forward);
const _: () = assert!(sender_words(Direction::Reverse, 8) <= SCRATCH_WORDS);

/// The client's side: up to `CHUNKS` chunks of 256 activations at once.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientWindow<const CHUNKS: usize> {
    #[zeroize(skip)]
    shape: Shape,
    #[zeroize(skip)]
    step: Step,
    /// Chunks of this session before this window.
    #[zeroize(skip)]
    before: u64,
    records: [[Record; CHUNK]; CHUNKS],
    /// What is sent of each activation while its share is prepared.
    residues: [[[u32; 3]; CHUNK]; CHUNKS],
    /// Choices of the forward extension that is run.
    lanes: [Lane; 2],
}

/// The client's keys and scratch, as a window borrows them.
pub struct ClientContext<'a> {
    /// Trees of the forward direction.
    pub receiver: &'a ReceiverTrees,
    /// Trees of the reverse direction.
    pub sender: &'a SenderTrees<REVERSE>,
    /// Gives beta; serves nothing else.
    pub choices: &'a Seed,
    /// Memory that no one else uses during a window.
    pub scratch: &'a mut [u32; SCRATCH_WORDS],
}

impl<const CHUNKS: usize> ClientWindow<CHUNKS> {
    const FITS: () =
        assert!(CHUNKS >= 1 && CHUNKS <= crate::protocol::greeting::MAX_WINDOW as usize);

    /// The window of no session.
    pub const fn empty() -> Self {
        let () = Self::FITS;
        Self {
            shape: Shape {
                relu: ReluParams::NONE,
                k_s: 0,
                total: 0,
            },
            step: Step::Idle,
            before: 0,
            records: [const { [const { Record::EMPTY }; CHUNK] }; CHUNKS],
            residues: [[[0; 3]; CHUNK]; CHUNKS],
            lanes: [Lane::UNUSED, Lane::UNUSED],
        }
    }

    /// Begins a session, with the window empty. Trees and choices must be the session's own: chunks
    /// are counted from 0 again.
    pub fn begin_session(&mut self, relu: ReluParams, k_s: u32) {
        self.shape = Shape {
            relu,
            k_s,
            total: 0,
        };
        self.step = Step::Idle;
        self.before = 0;
    }

    /// Activations that fit.
    pub fn capacity(&self) -> usize {
        CHUNKS * CHUNK
    }

    /// Adds the client's share mod 2^k of the next activation.
    pub fn gather(&mut self, share: u16) -> Result<(), Error> {
        let records = self.records.as_flattened_mut();
        let full = Error::Internal("window gathered beyond its capacity");
        let record = records.get_mut(self.shape.total).ok_or(full)?;
        record.begin(share);
        self.shape.total += 1;
        Ok(())
    }

    /// Starts on what was gathered.
    pub fn start(&mut self) {
        self.step = FIRST;
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.step == Step::Idle
    }

    fn advance(&mut self) {
        self.step = advance(self.step, &self.shape);
        if self.step == Step::Idle {
            self.before += self.shape.chunks() as u64;
            self.shape.total = 0;
            self.records.zeroize();
            self.residues.zeroize();
        }
    }

    /// Number of a chunk in the session.
    fn number(&self, chunk: usize) -> u64 {
        self.before + chunk as u64
    }

    /// Number of a chunk's forward extension in the session.
    fn forward_number(&self, chunk: usize, call: usize) -> u64 {
        self.number(chunk) * self.shape.calls() as u64 + call as u64
    }

    /// beta of a chunk's activations.
    fn beta(&self, chunk: usize, seed: &Seed) -> Zeroizing<Plane> {
        let number = self.number(chunk);
        let mut stream = Stream::new(seed, [0, (number >> 32) as u32, number as u32]);
        Zeroizing::new(core::array::from_fn(|_| stream.next_u32()))
    }

    /// Writes the next frame; none while the server's is awaited.
    pub fn poll(
        &mut self,
        context: &mut ClientContext<'_>,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let shape = self.shape;
        let len = match self.step {
            Step::Residues { chunk, piece } => {
                let residues = &self.residues[chunk][shape.piece_range(chunk, piece)];
                write(out, Kind::Residues, |payload| {
                    pack(payload, T_BITS, residues.as_flattened().iter().copied())
                })
            }
            Step::Forward { chunk, call, frame } => {
                self.forward([chunk, call, frame], context, out)?
            }
            Step::Replies { chunk, piece } => {
                let records = &self.records[chunk][shape.piece_range(chunk, piece)];
                let replies = || records.iter().map(Record::reply);
                write(out, Kind::Replies, |payload| {
                    let first = pack(payload, 1, replies().map(|(e, _)| e));
                    debug_assert_eq!(first, packed_len(records.len(), 1));
                    first + pack(&mut payload[first..], T_BITS, replies().map(|(_, out)| out))
                })
            }
            _ => return Ok(None),
        };
        self.advance();
        Ok(Some(len))
    }

    /// A frame of a forward extension; with its last one the records take their pads.
    fn forward(
        &mut self,
        [chunk, call, frame]: [usize; 3],
        context: &mut ClientContext<'_>,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let shape = self.shape;
        let (number, public) = (self.forward_number(chunk, call), shape.forward(chunk, call));
        let rows_of = shape.rows(call);
        if frame == 0 {
            let beta = self.beta(chunk, context.choices);
            let records = &self.records[chunk][..public.rows];
            for (lane, rows) in self.lanes.iter_mut().zip(rows_of) {
                match rows {
                    Some(Row::Digit(digit)) => {
                        let choices = records.iter().map(|record| record.choice(&digit));
                        lane.choose(Code::Digit(digit.width), choices);
                    }
                    Some(Row::Beta) => lane.choose_bits(&beta),
                    None => lane.leave(),
                }
            }
        }
        let trees = context.receiver;
        let lanes = (trees, self.lanes.each_ref());
        let len = public.write(number, frame, lanes, &mut context.scratch[..], out)?;
        if frame + 1 < public.frames() {
            return Ok(len);
        }
        let rows = trees.rows(number, &context.scratch[..])?;
        for (lane, of_lane) in rows_of.into_iter().enumerate() {
            let records = self.records[chunk][..public.rows].iter_mut().enumerate();
            match of_lane {
                Some(Row::Digit(digit)) => records.for_each(|(i, record)| {
                    record.digit(&digit, &rows.hash(lane, i, RowUse::Digit));
                }),
                Some(Row::Beta) => records.for_each(|(i, record)| {
                    let beta = self.lanes[lane].bit(i);
                    record.bit(beta, &rows.hash(lane, i, RowUse::Bit));
                }),
                None => {}
            }
        }
        self.lanes.iter_mut().for_each(Lane::leave);
        Ok(len)
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
            Step::Reverse {
                chunk,
                frame: index,
            } => {
                // The first call of the session was for base transfers.
                let number = base::CALL + 1 + self.number(chunk);
                let (sender, scratch) = (context.sender, &mut context.scratch[..]);
                let call = shape.reverse(chunk);
                if call.absorb(number, (frame, index), sender, scratch)? {
                    let rows = sender.rows(number, scratch)?;
                    let one = rows.word(Code::Bit, 1);
                    let records = self.records[chunk]
                        .iter_mut()
                        .zip(&mut self.residues[chunk]);
                    for (i, (record, residues)) in records.take(call.rows).enumerate() {
                        let [tau, product] =
                            [0, 1].map(|lane| rows.hashes(lane, i, RowUse::Product, &one));
                        *residues = record.products(&shape.relu, &tau, &product);
                    }
                }
            }
            Step::Answers { chunk, piece } => {
                let range = shape.piece_range(chunk, piece);
                let size = shape.relu.answer_bytes();
                let payload = frame.expect_len(Kind::Answers, range.len() * size)?;
                let records = &mut self.records[chunk][range];
                for (record, answer) in records.iter_mut().zip(payload.chunks_exact(size)) {
                    record.answer(&shape.relu, answer, share()?)?;
                }
            }
            _ => return Err(frame.unexpected()),
        }
        self.advance();
        Ok(())
    }
}
