//! The client's side of a window while it is prepared. `docs/design.md#relu`; the server's side is in
//! `server`.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::cursor::{ClientContext, Cursor};
use super::store::{Residues, Store};
use super::{ChunkShape, Part, Phase, Row};
use crate::Error;
use crate::arith::bits::pack;
use crate::arith::field::T_BITS;
use crate::network::layer::Activation;
use crate::ot::{
    Code, Direction, Lane, Plane, REVERSE, ReceiverTrees, RowUse, SenderTrees, receiver_words,
    sender_words,
};
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::seal::{self, TAG};
use crate::random::{Seed, Stream};
use crate::relu::{Record, ReluParams};

/// Words of scratch of a window: those of a forward extension, which are enough for a reverse one.
pub const SCRATCH_WORDS: usize = receiver_words(Direction::Forward);
const _: () = assert!(sender_words(Direction::Reverse, 8) <= SCRATCH_WORDS);

/// The client's side of windows that are prepared, with the chunks in a [`Store`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientWindow {
    #[zeroize(skip)]
    cursor: Cursor,
    /// Chunks of this session before this window.
    #[zeroize(skip)]
    before: u64,
    /// Choices of the forward extension that is run.
    lanes: [Lane; 2],
}

/// The client's keys and scratch, as a window borrows them while it is prepared.
pub struct ClientTransfers<'a, R> {
    /// Trees of the forward direction.
    pub receiver: &'a ReceiverTrees,
    /// Trees of the reverse direction.
    pub sender: &'a SenderTrees<REVERSE>,
    /// Gives beta; serves nothing else.
    pub choices: &'a Seed,
    /// What is sent of each activation.
    pub residues: &'a mut R,
    /// Memory that no one else uses during a window.
    pub scratch: &'a mut [u32; SCRATCH_WORDS],
}

impl ClientWindow {
    /// The window of no session.
    pub const fn empty() -> Self {
        Self {
            cursor: Cursor::NONE,
            before: 0,
            lanes: [Lane::UNUSED, Lane::UNUSED],
        }
    }

    /// Begins a session, with the window empty. Trees and choices must be the session's own: chunks
    /// are counted from 0 again.
    pub fn begin_session<S: Store>(&mut self, relu: ReluParams, k_s: u32) {
        self.cursor = Cursor::of_session(relu, k_s, S::ROOM);
        self.before = 0;
    }

    /// Goes on with the inference of this number, of which so many chunks are prepared.
    pub fn begin(&mut self, inference: u64, done: usize, store: &mut impl Store) {
        self.cursor.begin(inference, done);
        // Those of the last one, whether its answer was asked for or not.
        store.clear();
    }

    /// Chunks of the inference that are prepared.
    pub fn done(&self) -> usize {
        self.cursor.done
    }

    /// How the session's ReLUs are done.
    pub fn relu(&self) -> ReluParams {
        self.cursor.shape.relu
    }

    /// The layer of the next frame; none where the window is idle.
    pub fn layer(&self, store: &impl Store) -> Option<u16> {
        let shape = self.cursor.shapes(store)(self.cursor.step.chunk)?;
        (!self.idle()).then_some(shape.layer)
    }

    /// Adds the next output of a layer, of which the client has this share: mod 2^k before a ReLU,
    /// else mod t, as [`super::ClientAnswers::handle`] or the server needs it.
    pub fn gather(
        &mut self,
        (layer, activation): (u16, Activation),
        share: u32,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let last = |cursor: &Cursor| cursor.done_here() + cursor.count - 1;
        let goes_on = |shape: ChunkShape| shape.takes(layer);
        let cursor = &mut self.cursor;
        if cursor.count == 0 || !store.shape(last(cursor)).is_some_and(goes_on) {
            let shape = ChunkShape {
                layer,
                activation,
                len: 0,
            };
            cursor.add(shape, store)?;
        }
        let chunk = store.chunk(last(cursor));
        let chunk = chunk.ok_or(Error::Internal("no chunk to gather into"))?;
        let record = &mut chunk.records[chunk.shape.len];
        match activation {
            Activation::Relu => record.begin(share as u16),
            Activation::Linear | Activation::Logits => record.keep(share),
        }
        chunk.shape.len += 1;
        Ok(())
    }

    /// Starts to prepare what was gathered.
    pub fn start(&mut self, store: &impl Store) {
        self.before += self.cursor.start(Phase::Prepare, store);
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.cursor.idle()
    }

    /// Number of the step's chunk in the session.
    fn number(&self) -> u64 {
        self.before + self.cursor.step.chunk as u64
    }

    /// Number of its forward extension in the session.
    fn forward_number(&self, call: usize) -> u64 {
        self.number() * self.cursor.shape.calls() as u64 + call as u64
    }

    /// beta of the step's chunk.
    fn beta(&self, seed: &Seed) -> Zeroizing<Plane> {
        let number = self.number();
        let mut stream = Stream::new(seed, [0, (number >> 32) as u32, number as u32]);
        Zeroizing::new(core::array::from_fn(|_| stream.next_u32()))
    }

    /// What is sent of the step's chunk.
    fn residues<'a>(&self, residues: &'a mut impl Residues) -> Result<&'a mut [[u32; 3]], Error> {
        let index = self.cursor.done_here() + self.cursor.step.chunk;
        let of_chunk = residues.of_chunk(index);
        of_chunk
            .map(|of_chunk| &mut of_chunk[..])
            .ok_or(Error::Internal("a chunk without residues"))
    }

    /// Writes the next frame; none while the server's is awaited.
    // Not inlined: inside the driver's large function it took an eighth more instructions on a
    // Cortex-M4.
    #[inline(never)]
    pub fn poll<S: Store>(
        &mut self,
        context: &mut ClientContext<'_, S>,
        transfers: &mut ClientTransfers<'_, S::Residues>,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let cursor = &self.cursor;
        let (shape, step) = (cursor.shape, cursor.step);
        let Some(part) = step.part() else {
            return Ok(None);
        };
        let chunk = cursor.chunk(context.store)?;
        let range = shape.piece_range(chunk.shape, step.frame);
        let len = match part {
            Part::Residues => {
                let residues = self.residues(transfers.residues)?[range].as_flattened();
                write(out, Kind::Residues, |payload| {
                    pack(payload, T_BITS, residues.iter().copied())
                })
            }
            Part::Forward(call) => self.forward(call, context.store, transfers, out)?,
            Part::Reshares => {
                let kept = chunk.records[..chunk.shape.len].iter().map(Record::kept);
                write(out, Kind::Reshare, |payload| pack(payload, T_BITS, kept))
            }
            Part::Store => {
                let place = cursor.place(context, range.len());
                let chunk = cursor.chunk(context.store)?;
                let mut result = Ok(());
                let len = write(out, Kind::Records, |payload| {
                    let len = chunk.pack(&shape.relu, range, payload);
                    let (packed, rest) = payload.split_at_mut(len);
                    match seal::seal(context.seal, &place, packed) {
                        Ok(tag) => rest[..TAG].copy_from_slice(&tag),
                        Err(error) => result = Err(error),
                    }
                    len + TAG
                });
                result.map(|()| len)?
            }
            _ => return Ok(None),
        };
        self.advance(context.store, transfers);
        Ok(Some(len))
    }

    fn advance<S: Store>(
        &mut self,
        store: &mut S,
        transfers: &mut ClientTransfers<'_, S::Residues>,
    ) {
        self.before += self.cursor.advance(store);
        if self.idle() {
            // They have been sent.
            transfers.residues.zeroize();
        }
    }

    /// A frame of a forward extension; with its last one the records take their pads.
    fn forward<S: Store>(
        &mut self,
        call: usize,
        store: &mut S,
        transfers: &mut ClientTransfers<'_, S::Residues>,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let (shape, step) = (self.cursor.shape, self.cursor.step);
        let chunk = self.cursor.chunk(store)?;
        let number = self.forward_number(call);
        let public = shape.forward(chunk.shape, call);
        let rows_of = shape.rows(call);
        let records = &mut chunk.records[..chunk.shape.len];
        if step.frame == 0 {
            let beta = self.beta(transfers.choices);
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
        let trees = transfers.receiver;
        let lanes = (trees, self.lanes.each_ref());
        let len = public.write(number, step.frame, lanes, &mut transfers.scratch[..], out)?;
        if step.frame + 1 < public.frames() {
            return Ok(len);
        }
        let rows = trees.rows(number, &transfers.scratch[..])?;
        for (lane, of_lane) in rows_of.into_iter().enumerate() {
            let records = records.iter_mut().enumerate();
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

    /// Takes the server's next frame.
    // As above.
    #[inline(never)]
    pub fn handle<S: Store>(
        &mut self,
        frame: Frame<'_>,
        store: &mut S,
        transfers: &mut ClientTransfers<'_, S::Residues>,
    ) -> Result<(), Error> {
        let (shape, step) = (self.cursor.shape, self.cursor.step);
        if step.part() != Some(Part::Reverse) {
            return Err(frame.unexpected());
        }
        // The first call of the session was for base transfers.
        let number = base::CALL + 1 + self.number();
        let chunk = self.cursor.chunk(store)?;
        let (sender, scratch) = (transfers.sender, &mut transfers.scratch[..]);
        let call = shape.reverse(chunk.shape);
        if call.absorb(number, (frame, step.frame), sender, scratch)? {
            let rows = sender.rows(number, scratch)?;
            let one = rows.word(Code::Bit, 1);
            let residues = self.residues(transfers.residues)?;
            let records = chunk.records.iter_mut().zip(residues);
            for (i, (record, residues)) in records.take(call.rows).enumerate() {
                let [tau, product] = [0, 1].map(|lane| rows.hashes(lane, i, RowUse::Product, &one));
                *residues = record.products(&shape.relu, &tau, &product);
            }
        }
        self.advance(store, transfers);
        Ok(())
    }
}
