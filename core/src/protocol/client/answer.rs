//! The client has a prepared inference answered: it hides the image behind its shares, and then
//! replies to the server's answers, layer by layer. Nothing is encrypted.
//! `docs/design.md#two-phases`; the server's half is in [`super::super::server`].

use super::layer::Current;
use super::memory::Memory;
use super::session::Session;
use super::{Application, Client, Step};
use crate::Error;
use crate::arith::bits::pack;
use crate::arith::field::{T_BITS, T_MOD};
use crate::network::layer::Activation;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::LayersHash;
use crate::protocol::linear::ClientLinear;
use crate::protocol::steps::{Answer, AnswerSteps, LayerFacts, Room, image_piece};

/// The message that the answering is at.
pub(super) enum At {
    /// Sends this frame of the image.
    Image(usize),
    /// Awaits the description of this layer.
    Enter(usize),
    Window,
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// Begins with what is prepared.
    pub(super) fn begin_answering(&mut self) {
        self.layers_hash = LayersHash::default();
        let (layers, image) = (self.welcome.layers.into(), self.welcome.input.values());
        self.answer = AnswerSteps::new(M::ROOM, layers, image);
        self.window.begin_answering();
    }

    /// Writes a frame of the image, less its shares.
    fn image(&mut self, app: &mut impl Application, frame: usize, out: &mut FrameBuf) -> usize {
        let input = &self.welcome.input;
        let (side, values) = (usize::from(input.side), input.values());
        let shares = &mut self.shares;
        let value = |i: usize| {
            let (channel, position) = (i / (side * side), i % (side * side));
            let pixel = app.pixel(channel, position / side, position % side);
            let share = shares.value(0, channel as u16, position as u32);
            T_MOD.sub(T_MOD.residue(pixel), share)
        };
        write(out, Kind::Image, |payload| {
            pack(payload, T_BITS, image_piece(values, frame).map(value))
        })
    }

    /// What is to be done where a layer was entered.
    fn entered(&mut self, current: &Current<L::Layout>) {
        let facts = current.facts();
        if facts.activation == Activation::Linear {
            self.window.pass(facts.outputs);
        }
    }
}

impl<M: Memory, L: ClientLinear> Client<M, L> {
    /// Writes the next frame of the answering; none while the server's is awaited.
    pub(super) fn poll_answer(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let session = &mut self.session;
        let Step::Answer(at) = &mut self.step else {
            return Ok(None);
        };
        let (len, done) = match at {
            At::Image(frame) => (session.image(app, *frame, out), true),
            At::Window => {
                let (window, mut context, _) = session.window();
                let Some(len) = window.poll(&mut context, out)? else {
                    return Ok(None);
                };
                (len, window.idle())
            }
            At::Enter(_) => return Ok(None),
        };
        if done {
            self.answer_on()?;
        }
        Ok(Some(len))
    }

    /// Takes a frame of the answering.
    pub(super) fn handle_answer(
        &mut self,
        app: &mut impl Application,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let session = &mut self.session;
        let Step::Answer(at) = &mut self.step else {
            return Err(frame.unexpected());
        };
        let done = match at {
            At::Enter(index) => {
                let current = session.described(*index, frame)?;
                session.entered(&current);
                self.running.set(current);
                true
            }
            At::Window => {
                let (window, mut context, shares) = session.window();
                let outputs = self.running.layer()?.answered(shares, app);
                window.handle(frame, &mut context, outputs)?;
                window.idle()
            }
            // This side has the word.
            At::Image(_) => return Err(frame.unexpected()),
        };
        if done {
            self.answer_on()?;
        }
        Ok(())
    }

    /// Goes on to the next message, or to what comes after the answer.
    pub(super) fn answer_on(&mut self) -> Result<(), Error> {
        loop {
            let session = &mut self.session;
            let current = self.running.layer().ok();
            let facts = current.as_ref().map_or(LayerFacts::NONE, |c| c.facts());
            let at = match (session.answer.next(&facts), current) {
                (Answer::Image(frame), _) => At::Image(frame),
                (Answer::Enter(index), _) => {
                    if M::ROOM == Room::Whole {
                        let current = session.known(index)?;
                        session.entered(&current);
                        self.running.set(current);
                        continue;
                    }
                    At::Enter(index)
                }
                (Answer::Window(count), Some(current)) => {
                    let Session { window, memory, .. } = session;
                    window.answer((current.index, facts.activation), count, memory)?;
                    At::Window
                }
                (Answer::Window(_), None) => return Err(Error::Internal("no layer is answered")),
                (Answer::Done, _) => {
                    self.answered();
                    return Ok(());
                }
            };
            self.step = Step::Answer(at);
            return Ok(());
        }
    }
}
