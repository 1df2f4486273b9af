//! The client prepares an inference: for every layer it encrypts its future shares, decrypts the
//! result, and takes its shares of all outputs through the transfers. No image is needed.
//! `docs/design.md#two-phases`; the server's half is in [`super::super::server`].

use super::layer::Current;
use super::memory::Memory;
use super::session::Session;
use super::{Application, Client, Step};
use crate::Error;
use crate::arith::field::T_MOD;
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
        self.inference = Kdf::of(self.ratchet.seed(Purpose::Inference, number));
        self.ratchet = Kdf::of(self.ratchet.seed(Purpose::Ratchet, number));
        self.draw();
        self.window.begin_preparing(number, &mut self.memory);
        self.inferences += 1;
        self.layers_hash = LayersHash::default();
        self.prepare = PrepareSteps::new(M::ROOM, self.welcome.layers.into());
        match self.deposit() {
            None => Ok(write(out, Kind::Begin, |_| 0)),
            Some(deposit) => write_control(out, Kind::Begin, &deposit),
        }
    }

    /// Packs input ciphertext `i` of a layer.
    fn input(&mut self, current: &Current<L::Layout>, i: usize) -> SendUpload {
        let layer = &current.layer;
        let (tensor, side) = (layer.input, usize::from(layer.in_side));
        let shares = &mut self.shares;
        let value = |channel, row, col| {
            layer.pooled(row, col).fold(0, |sum, (row, col)| {
                let position = row * side + col;
                let share = shares.value(tensor, channel as u16, position as u32);
                T_MOD.add(sum, share)
            })
        };
        let seeds = UploadSeeds::next(&self.kdf, &mut self.uploads, UploadSeeds::CIPHERTEXT);
        (self.linear).upload(&mut self.work, &current.layout, i, seeds, value)
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
                let (window, mut context, _) = session.window();
                let Some(len) = window.poll(&mut context, out)? else {
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
    pub(super) fn handle_prepare(
        &mut self,
        app: &mut impl Application,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let session = &mut self.session;
        let Step::Prepare(at) = &mut self.step else {
            return Err(frame.unexpected());
        };
        let done = match at {
            At::Enter(index) => {
                self.running.set(session.described(*index, frame)?);
                true
            }
            At::Response(download) => {
                let Session { linear, work, .. } = session;
                let layout = &self.running.layer()?.layout;
                linear.receive(work, layout, download, frame)?
            }
            At::Window => {
                let (window, mut context, shares) = session.window();
                let outputs = self.running.layer()?.answered(shares, app);
                window.handle(frame, &mut context, outputs)?;
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
            let current = self.running.layer().ok();
            let (facts, pending) = match &current {
                Some(current) => (current.facts(), current.pending),
                None => (LayerFacts::NONE, None),
            };
            let at = match (session.prepare.next(&facts, pending), current) {
                (Prepare::Enter(index), _) => {
                    if M::ROOM == Room::Whole {
                        self.running.set(session.known(index)?);
                        continue;
                    }
                    At::Enter(index)
                }
                (Prepare::Input(i), Some(current)) => At::Input(session.input(current, i)),
                (Prepare::Response, _) => At::Response(ReceiveResponse::default()),
                (Prepare::Gather(output), Some(current)) => {
                    let value = session.linear.value(&session.work, output.coefficient);
                    let shift = session.welcome.shift.into();
                    let value = current.gathered(output, value, &mut session.shares, shift);
                    let Session { window, memory, .. } = session;
                    window.gather((current.index, current.layer.activation), value, memory)?;
                    current.take()?;
                    continue;
                }
                (Prepare::Window, _) => {
                    session.window.prepare(&session.memory);
                    if session.window.idle() {
                        continue;
                    }
                    At::Window
                }
                (Prepare::Confirm, _) => At::Confirm,
                (Prepare::Done, _) => return self.prepared(),
                _ => return Err(Error::Internal("no layer is prepared")),
            };
            self.step = Step::Prepare(at);
            return Ok(());
        }
    }
}
