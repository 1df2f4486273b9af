//! The client has a prepared inference answered: it hides the image behind its shares, and then
//! replies to the server's answers, layer by layer. Nothing is encrypted.
//! `docs/design.md#two-phases`; the server's half is in [`super::super::server`].

use super::Application;
use super::inference::{AnswerAt, Inference};
use super::layer::{Current, Running};
use super::memory::Memory;
use crate::Error;
use crate::arith::bits::pack;
use crate::arith::field::{T_BITS, T_MOD};
use crate::network::layer::Activation;
use crate::packing::Layout;
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::LayersHash;
use crate::protocol::steps::{Answer, AnswerSteps, LayerFacts, Room, image_piece};

impl<M: Memory, P: Layout> Inference<M, P> {
    /// Begins with what is prepared.
    pub(super) fn begin_answering(&mut self) -> Result<(), Error> {
        self.layers_hash = LayersHash::default();
        self.running = Running::Nothing;
        let (layers, image) = (self.welcome.layers.into(), self.welcome.input.values());
        self.steps = AnswerSteps::new(M::ROOM, layers, image);
        self.next_answer()
    }

    /// The layer that the answering's next frame, of either side, belongs to; none at rest.
    pub(super) fn answered_layer(&self) -> Option<u16> {
        match self.at {
            AnswerAt::Rest => None,
            AnswerAt::Image(_) => Some(0),
            AnswerAt::Enter(layer) => Some(layer as u16),
            AnswerAt::Window => Some(self.running.index()),
        }
    }

    /// Writes the next frame of the answering; none while the server's is awaited.
    pub(super) fn poll_answer(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let (len, done) = match self.at {
            AnswerAt::Image(frame) => (self.image(app, frame, out), true),
            AnswerAt::Window => {
                let (answers, mut context, ..) = self.parts();
                let Some(len) = answers.poll(&mut context, out)? else {
                    return Ok(None);
                };
                (len, answers.idle())
            }
            AnswerAt::Rest | AnswerAt::Enter(_) => return Ok(None),
        };
        if done {
            self.next_answer()?;
        }
        Ok(Some(len))
    }

    /// Takes a frame of the answering.
    pub(super) fn handle_answer(
        &mut self,
        app: &mut impl Application,
        frame: Frame<'_>,
    ) -> Result<(), Error> {
        let done = match self.at {
            AnswerAt::Enter(index) => {
                let current = self.described(index, frame)?;
                self.enter(current);
                true
            }
            AnswerAt::Window => {
                let (answers, mut context, shares, running) = self.parts();
                let outputs = running.layer()?.answered(shares, app);
                answers.handle(frame, &mut context, outputs)?;
                answers.idle()
            }
            // This side has the word.
            AnswerAt::Rest | AnswerAt::Image(_) => return Err(frame.unexpected()),
        };
        if done {
            self.next_answer()?;
        }
        Ok(())
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

    fn enter(&mut self, current: Current<P>) {
        let facts = current.facts();
        if facts.activation == Activation::Linear {
            self.answers.pass(facts.outputs);
        }
        self.running.set(current);
    }

    /// Goes on to the next message, or to rest.
    fn next_answer(&mut self) -> Result<(), Error> {
        self.at = loop {
            let current = self.running.layer().ok();
            let facts = current.as_ref().map_or(LayerFacts::NONE, |c| c.facts());
            break match (self.steps.next(&facts), current) {
                (Answer::Image(frame), _) => AnswerAt::Image(frame),
                (Answer::Enter(index), _) => {
                    if M::ROOM == Room::Whole {
                        let current = self.known(index)?;
                        self.enter(current);
                        continue;
                    }
                    AnswerAt::Enter(index)
                }
                (Answer::Window(count), Some(current)) => {
                    let layer = (current.index, facts.activation);
                    self.answers.start(layer, count, &mut self.memory)?;
                    AnswerAt::Window
                }
                (Answer::Window(_), None) => return Err(Error::Internal("no layer is answered")),
                (Answer::Done, _) => AnswerAt::Rest,
            };
        };
        Ok(())
    }
}
