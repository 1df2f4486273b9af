//! The client prepares an inference: for every layer it encrypts its future shares, decrypts the
//! result, and takes its shares of all outputs through the transfers. No image is needed.
//! `docs/design.md#two-phases`; the server's half is in [`super::super::server`].

use super::layer::{Current, Running};
use super::memory::Memory;
use super::session::Session;
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
    /// Awaits the description of this layer.
    Enter(usize),
    Input(SendUpload),
    Response(ReceiveResponse),
    Window,
    Confirm,
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// Begins with fresh shares.
    pub(super) fn begin_preparing(&mut self, out: &mut FrameBuf) -> Result<usize, Error> {
        let number = self.inferences;
        let inference = &mut self.inference;
        inference.draw(Kdf::of(self.ratchet.seed(Purpose::Inference, number)));
        self.ratchet = Kdf::of(self.ratchet.seed(Purpose::Ratchet, number));
        self.window.begin(number, &mut inference.memory);
        let k_s = self.settings.k_s.into();
        inference
            .answers
            .begin::<M>(self.window.relu(), k_s, number);
        self.inferences += 1;
        inference.layers_hash = LayersHash::default();
        inference.running = Running::Nothing;
        self.prepare = PrepareSteps::new(M::ROOM, inference.welcome.layers.into());
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
        let session = &mut self.session;
        let Step::Prepare(at) = &mut self.step else {
            return Ok(None);
        };
        let (len, done) = match at {
            At::Input(upload) => session.linear.poll_upload(&mut session.work, upload, out),
            At::Window => {
                let (window, mut context, mut transfers) = session.window();
                let Some(len) = window.poll(&mut context, &mut transfers, out)? else {
                    return Ok(None);
                };
                (len, window.idle())
            }
            At::Enter(_) | At::Response(_) | At::Confirm => return Ok(None),
        };
        if done {
            self.prepare_on()?;
        }
        Ok(Some(len))
    }

    /// Takes a frame of the preparing.
    pub(super) fn handle_prepare(&mut self, frame: Frame<'_>) -> Result<(), Error> {
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
                true
            }
            // This side has the word.
            At::Input(_) => return Err(frame.unexpected()),
        };
        if done {
            self.prepare_on()?;
        }
        Ok(())
    }

    /// Goes on to the next message, or to what comes after the preparing.
    pub(super) fn prepare_on(&mut self) -> Result<(), Error> {
        loop {
            let session = &mut self.session;
            let (facts, pending) = match session.inference.running.layer() {
                Ok(current) => (current.facts(), current.pending),
                Err(_) => (LayerFacts::NONE, None),
            };
            let at = match session.prepare.next(&facts, pending) {
                Prepare::Enter(index) => {
                    if M::ROOM == Room::Whole {
                        let current = session.inference.known(index)?;
                        session.inference.running.set(current);
                        continue;
                    }
                    At::Enter(index)
                }
                Prepare::Input(i) => At::Input(session.input(i)?),
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
                Prepare::Confirm => At::Confirm,
                Prepare::Done => return self.prepared(),
            };
            self.step = Step::Prepare(at);
            return Ok(());
        }
    }
}
