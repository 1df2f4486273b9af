//! Where a client's window is among the chunks of an inference: the same while it is prepared and while
//! it is answered. `docs/design.md#relu`.

use super::store::{Chunk, Store};
use super::{CHUNK, ChunkShape, Phase, Shape, Step};
use crate::Error;
use crate::protocol::greeting::LayersHash;
use crate::protocol::seal::Place;
use crate::protocol::steps::Room;
use crate::random::{Seed, SessionId};
use crate::relu::ReluParams;

/// What a client's window borrows in either phase.
pub struct ClientContext<'a, S> {
    /// The session that prepares, or has prepared.
    pub session: &'a SessionId,
    /// The layers that were described, up to the window's.
    pub layers: &'a LayersHash,
    /// Its chunks.
    pub store: &'a mut S,
    /// Seals records of this inference; serves nothing else.
    pub seal: &'a Seed,
}

/// A window of a client, all of it public.
pub(super) struct Cursor {
    pub(super) shape: Shape,
    pub(super) step: Step,
    /// Number of the inference in its session.
    inference: u64,
    /// Chunks of this inference before this window.
    pub(super) done: usize,
    /// Chunks in this window.
    pub(super) count: usize,
}

impl Cursor {
    /// Of no session.
    pub(super) const NONE: Self = Self {
        shape: Shape {
            relu: ReluParams::NONE,
            k_s: 0,
            sealed: false,
        },
        step: Step::IDLE,
        inference: 0,
        done: 0,
        count: 0,
    };

    /// After so many chunks of an inference.
    pub(super) fn begin(&mut self, inference: u64, done: usize) {
        (self.inference, self.done, self.count) = (inference, done, 0);
    }

    /// Idle, with ReLUs of these parameters.
    pub(super) fn of_session(relu: ReluParams, k_s: u32, room: Room) -> Self {
        Self {
            shape: Shape::new(relu, k_s, room),
            ..Self::NONE
        }
    }

    /// Adds a chunk to the window.
    pub(super) fn add(&mut self, shape: ChunkShape, store: &mut impl Store) -> Result<(), Error> {
        store.push(shape)?;
        self.count += 1;
        Ok(())
    }

    /// Goes past the chunks of so many outputs.
    pub(super) fn pass(&mut self, outputs: usize) {
        self.done += outputs.div_ceil(CHUNK);
    }

    /// Starts to work the window off. If nothing of it is said, it is over: gives its chunks then.
    pub(super) fn start(&mut self, phase: Phase, store: &impl Store) -> u64 {
        let chunks = self.shapes(store);
        self.step = Step::first(phase, &self.shape, chunks);
        self.rest_if_idle()
    }

    pub(super) fn idle(&self) -> bool {
        self.step == Step::IDLE
    }

    /// Chunks of the store before this window.
    pub(super) fn done_here(&self) -> usize {
        if self.shape.sealed { 0 } else { self.done }
    }

    /// The shapes of this window's chunks.
    pub(super) fn shapes<'a, S: Store>(
        &self,
        store: &'a S,
    ) -> impl Fn(usize) -> Option<ChunkShape> + use<'a, S> {
        let (first, count) = (self.done_here(), self.count);
        move |chunk| store.shape(first + chunk).filter(|_| chunk < count)
    }

    /// Goes past a frame. After the window's last one gives its chunks.
    pub(super) fn advance(&mut self, store: &mut impl Store) -> u64 {
        self.step = self.step.advance(&self.shape, self.shapes(&*store));
        if self.idle() && self.shape.sealed {
            store.clear();
        }
        self.rest_if_idle()
    }

    fn rest_if_idle(&mut self) -> u64 {
        if !self.idle() {
            return 0;
        }
        self.done += self.count;
        core::mem::take(&mut self.count) as u64
    }

    /// Where the records of the step's frame belong.
    pub(super) fn place<S>(&self, context: &ClientContext<'_, S>, count: usize) -> Place {
        Place {
            session: *context.session,
            layers: *context.layers,
            inference: self.inference,
            chunk: (self.done + self.step.chunk) as u64,
            piece: self.step.frame as u16,
            count: count as u16,
        }
    }

    /// The chunk of the step.
    pub(super) fn chunk<'a>(&self, store: &'a mut impl Store) -> Result<&'a mut Chunk, Error> {
        let chunk = store.chunk(self.done_here() + self.step.chunk);
        chunk.ok_or(Error::Internal("a window without its chunk"))
    }
}
