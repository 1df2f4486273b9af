//! A client that redeems tickets: it has no keys, encrypts nothing and runs no transfer, so that a device
//! with 16 KiB of RAM can ask. `docs/design.md#tickets`; the server's half is in
//! [`super::super::server`].

use core::marker::PhantomData;

use super::inference::Inference;
use super::memory::{Chunks, Memory};
use super::tickets::{Ticket, token};
use super::{Application, Driven};
use crate::Error;
use crate::error::Usage;
use crate::packing::Layout;
use crate::protocol::activation::{ChunkShape, Phase};
use crate::protocol::frame::{Frame, FrameBuf, Kind, write};
use crate::protocol::greeting::{Welcome, write_control};
use crate::protocol::linear::ClientLinear;
use crate::protocol::linear::segment::Segments;
#[cfg(feature = "audit")]
use crate::protocol::share::SharePrf;
use crate::protocol::steps::Room;
use crate::protocol::ticket::{Owner, Redeem, TicketId};
use crate::random::{Kdf, SessionId};

/// A client that has tickets answered, one after the other, over one line: 4.8 KiB on a
/// microcontroller, where the server keeps its records.
pub struct AnswerClient<M: Memory = Chunks<1>, L: ClientLinear = Segments> {
    step: Step,
    ticket: TicketId,
    owner: Owner,
    inference: Inference<M, L::Layout>,
    packing: PhantomData<fn() -> L>,
}

/// What comes next. The first is all zeros, so that a static client takes no flash.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Closed = 0,
    /// Says what it redeems.
    Redeem,
    /// Awaits the server's word.
    Redeemed,
    /// The server has taken the ticket.
    Taken,
    Answer,
    Answered,
    Bye,
}

impl<M: Memory, L: ClientLinear> AnswerClient<M, L> {
    /// A client without a session. All its bytes are zero.
    pub const fn closed() -> Self {
        Self {
            step: Step::Closed,
            ticket: TicketId {
                session: [0; 32],
                inference: 0,
            },
            owner: [0; 32],
            inference: Inference::EMPTY,
            packing: PhantomData,
        }
    }

    /// Begins a session in which a ticket is redeemed, or goes on with a further one: the client rests
    /// once the server has taken it, and then [`AnswerClient::start`] has an image answered.
    ///
    /// **Between the two** every copy of the ticket must be gone, durably: whoever sends two images
    /// under one ticket tells their difference.
    pub fn redeem(&mut self, ticket: Ticket<M>) -> Result<(), Error> {
        if !matches!(self.step, Step::Closed | Step::Answered) {
            return Err(Error::Usage(Usage::NotReady));
        }
        let result = self.begin(ticket);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn begin(&mut self, mut ticket: Ticket<M>) -> Result<(), Error> {
        self.close();
        let about = &ticket.about;
        if about.parameters != L::PARAMETER_SET {
            return Err(Error::ParameterSet {
                ours: L::PARAMETER_SET,
                theirs: about.parameters,
            });
        }
        (self.ticket, self.owner) = (about.id, about.owner);
        let inference = &mut self.inference;
        inference.session = SessionId(about.id.session);
        inference.welcome = about.welcome.clone();
        inference.draw(Kdf::of(ticket.secret.clone()));
        let k_s = about.k_s.into();
        (inference.answers).begin::<M>(ticket.relu, k_s, about.id.inference);
        inference.memory.put(&mut ticket.kept);
        inference.check_kept()?;
        self.step = Step::Redeem;
        Ok(())
    }

    /// Ends the session without a goodbye, and erases its secrets. Any error of this client does so by
    /// itself.
    pub fn close(&mut self) {
        self.step = Step::Closed;
        self.inference.erase();
    }

    /// What the server said of its network when the ticket was prepared.
    pub fn welcome(&self) -> Option<&Welcome> {
        (!self.is_closed()).then_some(&self.inference.welcome)
    }

    /// Whether it awaits no frame: a ticket was taken or answered.
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Taken | Step::Answered)
    }

    /// Whether the server has taken a ticket, with which [`AnswerClient::start`] has an image answered.
    pub fn is_prepared(&self) -> bool {
        self.step == Step::Taken
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        self.step == Step::Closed
    }

    /// As [`super::Client::position`].
    pub fn position(&self) -> Option<(Phase, u16)> {
        let layer = self.inference.answered_layer()?;
        (self.step == Step::Answer).then_some((Phase::Answer, layer))
    }

    /// Bytes of its whole state.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.inference.memory.allocated()
    }

    /// Starts to have the app's image answered, which must stay the same until the client is ready
    /// again.
    pub fn start(&mut self) -> Result<(), Error> {
        if !self.is_prepared() {
            return Err(Error::Usage(Usage::NotReady));
        }
        let begun = self.inference.begin_answering();
        self.step = Step::Answer;
        self.after(begun)
    }

    /// Says goodbye.
    pub fn finish(&mut self) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::Usage(Usage::NotReady));
        }
        self.step = Step::Bye;
        Ok(())
    }

    /// Writes the next frame; none while the server's is awaited, or when ready or closed. After an
    /// error the session is closed.
    pub fn poll(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let result = match self.step {
            Step::Redeem => self.say(out).map(Some),
            Step::Answer => self.inference.poll_answer(app, out),
            Step::Bye => {
                self.close();
                Ok(Some(write(out, Kind::Bye, |_| 0)))
            }
            _ => Ok(None),
        };
        self.after(result)
    }

    /// Takes the server's next frame. After an error the session is closed.
    pub fn handle(&mut self, app: &mut impl Application, frame: Frame<'_>) -> Result<(), Error> {
        let result = match self.step {
            Step::Redeemed => {
                let taken = frame.expect_array::<0>(Kind::Redeemed);
                taken.map(|_| self.step = Step::Taken)
            }
            Step::Answer => self.inference.handle_answer(app, frame),
            // This side has the word.
            _ => Err(frame.unexpected()),
        };
        self.after(result)
    }

    /// Writes the greeting.
    fn say(&mut self, out: &mut FrameBuf) -> Result<usize, Error> {
        let (model, token) = (self.inference.welcome.model, token(&self.inference.kdf));
        let redeem = Redeem::new(model, self.ticket, self.owner, &token);
        self.step = Step::Redeemed;
        write_control(out, Kind::Redeem, &redeem)
    }

    fn after<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.close();
        } else if self.step == Step::Answer && self.inference.answered_layer().is_none() {
            self.inference.answered();
            self.step = Step::Answered;
        }
        result
    }
}

impl<M: Memory, L: ClientLinear> Driven for AnswerClient<M, L> {
    fn poll(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        Self::poll(self, app, out)
    }
    fn handle(&mut self, app: &mut impl Application, frame: Frame<'_>) -> Result<(), Error> {
        Self::handle(self, app, frame)
    }
    fn rests(&self) -> bool {
        self.is_ready() || self.is_closed()
    }
    fn close(&mut self) {
        Self::close(self);
    }
    #[cfg(feature = "audit")]
    fn last_shares(&self, session: &SessionId) -> Option<SharePrf> {
        (self.inference.last_shares(session)).filter(|_| !self.is_closed())
    }
}

impl<M: Memory, L: ClientLinear> Drop for AnswerClient<M, L> {
    fn drop(&mut self) {
        self.close();
    }
}

impl<M: Memory, P: Layout> Inference<M, P> {
    /// Whether a ticket's records are those of its layers, where the client keeps them.
    fn check_kept(&self) -> Result<(), Error> {
        if M::ROOM != Room::Whole {
            return Ok(());
        }
        let mut kept = 0;
        for index in 0..usize::from(self.welcome.layers) {
            let current = self.known(index)?;
            let activation = current.layer.activation;
            for shape in ChunkShape::split(current.index, activation, current.facts().outputs) {
                if self.memory.shape(kept) != Some(shape) {
                    return Err(Error::Malformed("ticket: records of other layers"));
                }
                kept += 1;
            }
        }
        match self.memory.shape(kept) {
            None => Ok(()),
            Some(_) => Err(Error::Malformed("ticket: records of no layer")),
        }
    }
}
