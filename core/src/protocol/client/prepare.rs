//! The client prepares a batch of inferences: for every layer it encrypts its future shares, decrypts
//! the result, and takes its shares of all outputs through the transfers. No image is needed. It works
//! on one of them at a time, whose secrets it makes again.
//! `docs/design.md#two-phases`; the server's half is in [`super::super::server`].

use super::layer::{Current, Running};
use super::memory::Memory;
use super::session::{Batch, Goal, Has, Session};
use super::{Client, Step};
use crate::Error;
use crate::arith::field::T_MOD;
use crate::packing::Output;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::{LayersHash, write_control};
use crate::protocol::linear::ClientLinear;
use crate::protocol::steps::{LayerFacts, Prepare, PrepareSteps, Room};
use crate::protocol::transfer::{ReceiveResponse, SendUpload, UploadSeeds};
use crate::random::{Kdf, Purpose};

/// The message that the preparing is at.
pub(super) enum At {
    /// Begins the inference whose turn it is.
    Begin,
    /// Awaits the description of this layer.
    Enter(usize),
    Input(SendUpload),
    Response(ReceiveResponse),
    Window,
    Confirm,
    /// None: a ticket that others follow is to be taken.
    Ticket,
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// Begins with fresh secrets.
    pub(super) fn begin_batch(&mut self, goal: Goal, count: u16) {
        let first = self.inferences;
        self.inferences += u64::from(count);
        let inference = &mut self.inference;
        inference.layers_hash = LayersHash::default();
        inference.running = Running::Nothing;
        self.window.begin(first, 0, &mut inference.memory);
        self.has = Has::Nothing;
        self.batch = Batch {
            secrets: Kdf::of(self.ratchet.seed(Purpose::Batch, first)),
            goal,
            steps: PrepareSteps::new(M::ROOM, inference.welcome.layers.into(), count),
            first,
            turn: 0,
            done: 0,
        };
        self.ratchet = Kdf::of(self.ratchet.seed(Purpose::Ratchet, first));
    }

    /// Turns to an inference of the batch.
    fn turn_to(&mut self, inference: u16) {
        if self.batch.turn != inference {
            self.draw(inference);
        }
    }

    /// Makes the secrets of an inference of the batch.
    fn draw(&mut self, inference: u16) {
        self.batch.turn = inference;
        let secret = (self.batch.secrets).seed(Purpose::Inference, inference.into());
        self.inference.draw(Kdf::of(secret));
    }

    /// Turns to the outputs of an inference: all of them, or those of the layer that is run.
    fn outputs_of(&mut self, inference: u16) {
        if inference == 0 {
            self.batch.done = self.window.done();
        }
        self.turn_to(inference);
        let (number, done) = (self.batch.number(), self.batch.done);
        let (relu, k_s) = (self.window.relu(), self.settings.k_s.into());
        let inference = &mut self.inference;
        self.window.begin(number, done, &mut inference.memory);
        inference.answers.begin::<M>(relu, k_s, number);
        if let Ok(current) = inference.running.layer() {
            current.again();
        }
    }

    /// Writes what begins the inference whose turn it is.
    fn say_begin(&self, out: &mut FrameBuf) -> Result<usize, Error> {
        match self.deposit() {
            None => Ok(write(out, Kind::Begin, |_| 0)),
            Some(deposit) => write_control(out, Kind::Begin, &deposit),
        }
    }

    /// Packs input ciphertext `i` of the layer that is run.
    fn input(&mut self, i: usize) -> Result<SendUpload, Error> {
        let (_, _, shares, running) = self.inference.parts();
        let Current { layer, layout, .. } = running.layer()?;
        let (tensor, side) = (layer.input, usize::from(layer.in_side));
        let value = |channel, row, col| {
            layer.pooled(row, col).fold(0, |sum, (row, col)| {
                let position = row * side + col;
                let share = shares.value(tensor, channel as u16, position as u32);
                T_MOD.add(sum, share)
            })
        };
        let seeds = UploadSeeds::next(&self.kdf, &mut self.uploads, UploadSeeds::CIPHERTEXT);
        Ok((self.linear).upload(&mut self.work, layout, i, seeds, value))
    }

    /// Puts the next output into the window.
    fn gather(&mut self, output: Output) -> Result<(), Error> {
        let shift = self.inference.welcome.shift.into();
        let value = self.linear.value(&self.work, output.coefficient);
        let (_, context, shares, running) = self.inference.parts();
        let current = running.layer()?;
        let value = current.gathered(output, value, shares, shift);
        let layer = (current.index, current.layer.activation);
        self.window.gather(layer, value, context.store)?;
        current.take().map(drop)
    }
}

impl<M: Memory, L: ClientLinear> Client<M, L> {
    /// Writes the next frame of the preparing; none while the server's is awaited.
    pub(super) fn poll_prepare(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        self.after_ticket()?;
        let session = &mut self.session;
        let Step::Prepare(at) = &mut self.step else {
            return Ok(None);
        };
        let (len, done) = match at {
            At::Begin => (session.say_begin(out)?, true),
            At::Input(upload) => session.linear.poll_upload(&mut session.work, upload, out),
            At::Window => {
                let (window, mut context, mut transfers) = session.window();
                let Some(len) = window.poll(&mut context, &mut transfers, out)? else {
                    return Ok(None);
                };
                (len, window.idle())
            }
            At::Enter(_) | At::Response(_) | At::Confirm | At::Ticket => return Ok(None),
        };
        if done {
            self.prepare_on()?;
        }
        Ok(Some(len))
    }

    /// Takes a frame of the preparing.
    pub(super) fn handle_prepare(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.after_ticket()?;
        let session = &mut self.session;
        let Step::Prepare(at) = &mut self.step else {
            return Err(frame.unexpected());
        };
        let done = match at {
            At::Enter(index) => {
                let current = session.inference.described(*index, frame)?;
                session.inference.running.set(current);
                true
            }
            At::Response(download) => {
                let layout = &session.inference.running.layer()?.layout;
                (session.linear).receive(&mut session.work, layout, download, frame)?
            }
            At::Window => {
                let (window, context, mut transfers) = session.window();
                window.handle(frame, context.store, &mut transfers)?;
                window.idle()
            }
            At::Confirm => {
                frame.expect_array::<0>(Kind::Prepared)?;
                session.wipe();
                if session.batch.steps.following(session.batch.turn) > 0 {
                    session.has = Has::Ticket;
                    *at = At::Ticket;
                    return Ok(());
                }
                true
            }
            // This side has the word.
            At::Begin | At::Input(_) | At::Ticket => return Err(frame.unexpected()),
        };
        if done {
            self.prepare_on()?;
        }
        Ok(())
    }

    /// Goes on once a ticket was taken that others follow.
    fn after_ticket(&mut self) -> Result<(), Error> {
        match (&self.step, self.session.has) {
            (Step::Prepare(At::Ticket), Has::Nothing) => self.prepare_on(),
            _ => Ok(()),
        }
    }

    /// Goes on to the next message, or to what comes after the preparing.
    pub(super) fn prepare_on(&mut self) -> Result<(), Error> {
        loop {
            let session = &mut self.session;
            let (facts, pending) = match session.inference.running.layer() {
                Ok(current) => (current.facts(), current.pending),
                Err(_) => (LayerFacts::NONE, None),
            };
            let at = match session.batch.steps.next(&facts, pending) {
                Prepare::Begin(inference) => {
                    session.draw(inference);
                    At::Begin
                }
                Prepare::Outputs(inference) => {
                    session.outputs_of(inference);
                    continue;
                }
                Prepare::Enter(index) => {
                    if M::ROOM == Room::Whole {
                        let current = session.inference.known(index)?;
                        session.inference.running.set(current);
                        continue;
                    }
                    At::Enter(index)
                }
                Prepare::Input(inference, i) => {
                    session.turn_to(inference);
                    At::Input(session.input(i)?)
                }
                Prepare::Response => At::Response(ReceiveResponse::default()),
                Prepare::Gather(output) => {
                    session.gather(output)?;
                    continue;
                }
                Prepare::Window => {
                    session.window.start(&session.inference.memory);
                    if session.window.idle() {
                        continue;
                    }
                    At::Window
                }
                Prepare::Confirm(_) => At::Confirm,
                Prepare::Done => return self.prepared(),
            };
            self.step = Step::Prepare(at);
            return Ok(());
        }
    }
}
