//! The client's side of a window. `docs/design.md#relu`.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::store::{Chunk, Store};
use super::{CHUNK, ChunkShape, Part, Phase, Row, Shape, Step};
use crate::Error;
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::network::layer::Activation;
use crate::ot::{
    Code, Direction, Lane, Plane, REVERSE, ReceiverTrees, RowUse, SenderTrees, receiver_words,
    sender_words,
};
use crate::protocol::base;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::LayersHash;
use crate::protocol::seal::{self, Place, TAG};
use crate::random::{Seed, SessionId, Stream};
use crate::relu::{Record, ReluParams};

/// Words of scratch of a window: those of a forward extension, which are enough for a reverse one.
pub const SCRATCH_WORDS: usize = receiver_words(Direction::Forward);
const _: () = assert!(sender_words(Direction::Reverse, 8) <= SCRATCH_WORDS);

/// The client's side, with its chunks in a [`Store`].
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientWindow {
    #[zeroize(skip)]
    shape: Shape,
    #[zeroize(skip)]
    step: Step,
    /// Number of the inference in this session.
    #[zeroize(skip)]
    inference: u64,
    /// Chunks of this session's earlier inferences.
    #[zeroize(skip)]
    before: u64,
    /// Chunks of this inference before this window.
    #[zeroize(skip)]
    done: usize,
    /// Chunks in this window.
    #[zeroize(skip)]
    count: usize,
    /// Choices of the forward extension that is run.
    lanes: [Lane; 2],
}

/// The client's keys and scratch, as a window borrows them.
pub struct ClientContext<'a, S> {
    /// The session.
    pub session: &'a SessionId,
    /// The layers that were described, up to the window's.
    pub layers: &'a LayersHash,
    /// Its chunks.
    pub store: &'a mut S,
    /// Trees of the forward direction.
    pub receiver: &'a ReceiverTrees,
    /// Trees of the reverse direction.
    pub sender: &'a SenderTrees<REVERSE>,
    /// Gives beta; serves nothing else.
    pub choices: &'a Seed,
    /// Seals records of this inference; serves nothing else.
    pub seal: &'a Seed,
    /// Memory that no one else uses during a window.
    pub scratch: &'a mut [u32; SCRATCH_WORDS],
}

impl ClientWindow {
    /// The window of no session.
    pub const fn empty() -> Self {
        Self {
            shape: Shape {
                relu: ReluParams::NONE,
                k_s: 0,
                sealed: false,
            },
            step: Step::IDLE,
            inference: 0,
            before: 0,
            done: 0,
            count: 0,
            lanes: [Lane::UNUSED, Lane::UNUSED],
        }
    }

    /// Begins a session, with the window empty. Trees and choices must be the session's own: chunks
    /// are counted from 0 again.
    pub fn begin_session<S: Store>(&mut self, relu: ReluParams, k_s: u32) {
        self.shape = Shape::new(relu, k_s, S::ROOM);
        (self.step, self.before, self.done) = (Step::IDLE, 0, 0);
    }

    /// Begins to prepare an inference of this number.
    pub fn begin_preparing(&mut self, inference: u64, store: &mut impl Store) {
        self.inference = inference;
        self.before += self.done as u64;
        (self.done, self.count) = (0, 0);
        // Those of the last one, whether its answer was asked for or not.
        store.clear();
    }

    /// Goes on with an inference that was prepared in another session.
    pub fn redeem(&mut self, inference: u64) {
        self.inference = inference;
    }

    /// How its ReLUs are done.
    pub fn relu(&self) -> ReluParams {
        self.shape.relu
    }

    /// Number of the inference in the session that prepared it.
    pub fn inference(&self) -> u64 {
        self.inference
    }

    /// Begins to answer it.
    pub fn begin_answering(&mut self) {
        (self.done, self.count) = (0, 0);
    }

    /// The layer of the next frame; none where the window is idle.
    pub fn layer(&self, store: &impl Store) -> Option<u16> {
        let shape = self.shapes(store)(self.step.chunk)?;
        (!self.idle()).then_some(shape.layer)
    }

    /// While preparing: adds the next output of a layer, of which the client has this share: mod 2^k
    /// before a ReLU, else mod t, as [`ClientWindow::handle`] or the server needs it.
    pub fn gather(
        &mut self,
        (layer, activation): (u16, Activation),
        share: u32,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let last = |window: &Self| window.done_here() + window.count - 1;
        let goes_on = |shape: ChunkShape| shape.takes(layer);
        if self.count == 0 || !store.shape(last(self)).is_some_and(goes_on) {
            store.push(ChunkShape {
                layer,
                activation,
                len: 0,
            })?;
            self.count += 1;
        }
        let chunk = store.chunk(last(self));
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
    pub fn prepare(&mut self, store: &impl Store) {
        self.start(Phase::Prepare, store);
    }

    /// Starts to answer the next outputs of a layer.
    pub fn answer(
        &mut self,
        (layer, activation): (u16, Activation),
        outputs: usize,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        for shape in ChunkShape::split(layer, activation, outputs) {
            if self.shape.sealed {
                store.push(shape)?;
            } else if store.shape(self.done + self.count) != Some(shape) {
                return Err(Error::Internal("chunks that were not prepared"));
            }
            self.count += 1;
        }
        self.start(Phase::Answer, store);
        Ok(())
    }

    /// While answering: goes past a layer's outputs, which were prepared to the end.
    pub fn pass(&mut self, outputs: usize) {
        self.done += outputs.div_ceil(CHUNK);
    }

    fn start(&mut self, phase: Phase, store: &impl Store) {
        let chunks = self.shapes(store);
        self.step = Step::first(phase, &self.shape, chunks);
        self.rest_if_idle();
    }

    /// Whether the window has been worked off.
    pub fn idle(&self) -> bool {
        self.step == Step::IDLE
    }

    /// Chunks of the store before this window.
    fn done_here(&self) -> usize {
        if self.shape.sealed { 0 } else { self.done }
    }

    /// The shapes of this window's chunks.
    fn shapes<'a, S: Store>(
        &self,
        store: &'a S,
    ) -> impl Fn(usize) -> Option<ChunkShape> + use<'a, S> {
        let (first, count) = (self.done_here(), self.count);
        move |chunk| store.shape(first + chunk).filter(|_| chunk < count)
    }

    fn advance(&mut self, store: &mut impl Store) {
        self.step = self.step.advance(&self.shape, self.shapes(&*store));
        if self.idle() && self.shape.sealed {
            store.clear();
        }
        self.rest_if_idle();
    }

    fn rest_if_idle(&mut self) {
        if self.idle() {
            self.done += self.count;
            self.count = 0;
        }
    }

    /// Number of a chunk in the session.
    fn number(&self, chunk: usize) -> u64 {
        self.before + (self.done + chunk) as u64
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

    /// Where the records of the step's frame belong; their count is left open.
    fn place<S>(&self, context: &ClientContext<'_, S>) -> Place {
        Place {
            session: *context.session,
            layers: *context.layers,
            inference: self.inference,
            chunk: (self.done + self.step.chunk) as u64,
            piece: self.step.frame as u16,
            count: 0,
        }
    }

    /// The chunk of the step.
    fn chunk<'a>(&self, store: &'a mut impl Store) -> Result<&'a mut Chunk, Error> {
        let chunk = store.chunk(self.done_here() + self.step.chunk);
        chunk.ok_or(Error::Internal("a window without its chunk"))
    }

    /// Writes the next frame; none while the server's is awaited.
    pub fn poll<S: Store>(
        &mut self,
        context: &mut ClientContext<'_, S>,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let (shape, step) = (self.shape, self.step);
        let Some(part) = step.part() else {
            return Ok(None);
        };
        let place = self.place(context);
        let chunk = self.chunk(context.store)?;
        let (records, range) = (&chunk.records, shape.piece_range(chunk.shape, step.frame));
        let len = match part {
            Part::Residues => {
                let residues = chunk.residues[range].as_flattened().iter();
                write(out, Kind::Residues, |payload| {
                    pack(payload, T_BITS, residues.copied())
                })
            }
            Part::Forward(call) => self.forward(call, context, out)?,
            Part::Reshares => {
                let kept = records[..chunk.shape.len].iter().map(Record::kept);
                write(out, Kind::Reshare, |payload| pack(payload, T_BITS, kept))
            }
            Part::Store => {
                let count = range.len() as u16;
                let place = Place { count, ..place };
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
            Part::Replies => {
                let replies = || records[range.clone()].iter().map(Record::reply);
                write(out, Kind::Replies, |payload| {
                    let first = pack(payload, 1, replies().map(|(e, _)| e));
                    debug_assert_eq!(first, packed_len(range.len(), 1));
                    first + pack(&mut payload[first..], T_BITS, replies().map(|(_, out)| out))
                })
            }
            Part::Reverse | Part::Recall | Part::Answers | Part::Logits => return Ok(None),
        };
        self.advance(context.store);
        Ok(Some(len))
    }

    /// A frame of a forward extension; with its last one the records take their pads.
    fn forward<S: Store>(
        &mut self,
        call: usize,
        context: &mut ClientContext<'_, S>,
        out: &mut FrameBuf,
    ) -> Result<usize, Error> {
        let (shape, step) = (self.shape, self.step);
        let Chunk {
            shape: of_chunk,
            records,
            ..
        } = self.chunk(context.store)?;
        let records = &mut records[..of_chunk.len];
        let number = self.forward_number(step.chunk, call);
        let public = shape.forward(*of_chunk, call);
        let rows_of = shape.rows(call);
        if step.frame == 0 {
            let beta = self.beta(step.chunk, context.choices);
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
        let len = public.write(number, step.frame, lanes, &mut context.scratch[..], out)?;
        if step.frame + 1 < public.frames() {
            return Ok(len);
        }
        let rows = trees.rows(number, &context.scratch[..])?;
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

    /// Takes the server's next frame. Of an activation `share` gives the pseudo-random share that
    /// takes the place of the client's; of a logit it takes the value mod t.
    pub fn handle<S: Store>(
        &mut self,
        frame: Frame<'_>,
        context: &mut ClientContext<'_, S>,
        mut outputs: impl Outputs,
    ) -> Result<(), Error> {
        let (shape, step) = (self.shape, self.step);
        let Some(part) = step.part() else {
            return Err(frame.unexpected());
        };
        let number = base::CALL + 1 + self.number(step.chunk);
        let place = self.place(context);
        let chunk = self.chunk(context.store)?;
        let range = shape.piece_range(chunk.shape, step.frame);
        let (_, kind, expected) = shape.frame(part, chunk.shape, step.frame);
        match part {
            Part::Reverse => {
                // The first call of the session was for base transfers.
                let (sender, scratch) = (context.sender, &mut context.scratch[..]);
                let call = shape.reverse(chunk.shape);
                if call.absorb(number, (frame, step.frame), sender, scratch)? {
                    let rows = sender.rows(number, scratch)?;
                    let one = rows.word(Code::Bit, 1);
                    let records = chunk.records.iter_mut().zip(&mut chunk.residues);
                    for (i, (record, residues)) in records.take(call.rows).enumerate() {
                        let [tau, product] =
                            [0, 1].map(|lane| rows.hashes(lane, i, RowUse::Product, &one));
                        *residues = record.products(&shape.relu, &tau, &product);
                    }
                }
            }
            Part::Recall => {
                let payload = frame.expect_len(kind, expected)?;
                let count = range.len() as u16;
                let place = Place { count, ..place };
                let (sealed, tag) = payload
                    .split_last_chunk::<TAG>()
                    .ok_or(Error::Internal("no tag"))?;
                let bytes = &mut Zeroizing::new([0; super::MAX_PAYLOAD])[..sealed.len()];
                bytes.copy_from_slice(sealed);
                seal::open(context.seal, &place, bytes, tag)?;
                chunk.unpack(&shape.relu, range, kind as u8, bytes)?;
            }
            Part::Answers => {
                let payload = frame.expect_len(kind, expected)?;
                let answers = payload.chunks_exact(shape.relu.answer_bytes());
                for (record, answer) in chunk.records[range].iter_mut().zip(answers) {
                    record.answer(&shape.relu, answer, outputs.share()?)?;
                }
            }
            Part::Logits => {
                let payload = frame.expect(kind)?;
                let (records, mut result) = (&chunk.records[range], Ok(()));
                unpack(kind as u8, payload, T_BITS, T, records.len(), |i, x| {
                    let logit = outputs.logit(T_MOD.add(records[i].kept(), x));
                    result = result.and(logit);
                })?;
                result?;
            }
            _ => return Err(frame.unexpected()),
        }
        self.advance(context.store);
        Ok(())
    }
}

/// The outputs of a layer, one after the other, as a window is answered.
pub trait Outputs {
    /// The pseudo-random share mod t of the next one, an activation's.
    fn share(&mut self) -> Result<u32, Error>;
    /// The value mod t of the next one, a logit.
    fn logit(&mut self, value: u32) -> Result<(), Error>;
}
