//! The client: one value of fixed size, whatever the network.
//! `docs/design.md#pseudo-random-shares`; every share of an earlier layer is made again when it is
//! needed.

mod answer;
mod inference;
mod layer;
mod memory;
mod prepare;
mod redeem;
mod session;
mod setup;
mod tickets;
#[cfg(feature = "alloc")]
mod whole;

use self::session::{Goal, Has, Session};
use super::activation::{Phase, Residues};
use super::frame::{Frame, FrameBuf, Kind, write};
use super::greeting::{Settings, Welcome};
use super::linear::ClientLinear;
use super::linear::segment::Segments;
use super::linear::slot::Slots;
#[cfg(feature = "audit")]
use super::share::SharePrf;
use crate::Error;
use crate::error::Usage;
#[cfg(feature = "audit")]
use crate::random::SessionId;
use rand_core::CryptoRng;
use zeroize::Zeroize;

pub use memory::{Chunks, Memory};
pub use redeem::AnswerClient;
pub use tickets::Ticket;
#[cfg(feature = "alloc")]
pub use whole::Whole;

/// What the client needs of the program around it.
pub trait Application {
    /// The normalised integer at (channel, row, column) of the image. It may be asked for more
    /// than once, and is asked for in the shape that [`Client::welcome`] tells: compare that with
    /// the image before [`Client::start`].
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32;
    /// Takes the name of a class, if names were asked for.
    fn label(&mut self, _class: u16, _name: &str) {}
    /// Takes one logit, in integer units; `class` is below the number of classes. Logits count
    /// only once [`Client::is_ready`] is true again: until then the server may yet fail.
    fn logit(&mut self, class: u16, value: i32);
}

/// What a driver needs of a client: [`Client`] and [`AnswerClient`] have it, and nobody else.
pub trait Driven {
    /// See [`Client::poll`].
    fn poll(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error>;
    /// See [`Client::handle`].
    fn handle(&mut self, app: &mut impl Application, frame: Frame<'_>) -> Result<(), Error>;
    /// Whether it awaits no frame.
    fn rests(&self) -> bool;
    /// See [`Client::close`].
    fn close(&mut self);
    /// The pseudo-random shares of the last inference, if it was this session's. Whoever has these and
    /// the server's shares has the image.
    #[cfg(feature = "audit")]
    fn last_shares(&self, session: &SessionId) -> Option<SharePrf>;
}

/// A client for 64 KiB of RAM, in segment and coefficient packing: it works on one chunk of
/// activations at a time, and the server keeps its records.
pub type SmallClient = Client<Chunks<1>>;

/// A client that keeps its records: then the parties take few turns, however many layers.
#[cfg(feature = "alloc")]
pub type LargeClient = Client<Whole>;

/// A client of networks in slot packing, for whoever has the room.
pub type SlotClient<M> = Client<M, Slots>;

/// The client's state: keys, seeds, scratch for one ciphertext, and what is in its memory `M`.
/// `L` is the packing's part.
pub struct Client<M: Memory, L: ClientLinear = Segments> {
    step: Step,
    session: Session<M, L>,
}

/// What comes next, with what exists during that step alone. The first is all zeros, so that a
/// static client takes no flash.
#[repr(u8)]
enum Step {
    Closed = 0,
    Setup(setup::At),
    /// Between inferences.
    Ready,
    Prepare(prepare::At),
    Answer,
    Bye,
}

impl<M: Memory, L: ClientLinear> Client<M, L> {
    /// A client that has not said anything yet: see [`Client::open`].
    pub fn new(settings: Settings, rng: &mut impl CryptoRng) -> Self {
        let mut client = Self::closed();
        client.open(settings, rng);
        client
    }

    /// A client without a session. All its bytes are zero, if its packing's are.
    pub const fn closed() -> Self {
        Self {
            step: Step::Closed,
            session: Session::EMPTY,
        }
    }

    /// Erases what was, and begins a session in place.
    ///
    /// All secrets come from `rng`. It must never repeat what it gave before, not even after a
    /// reset: a server that repeats its own nonce then gets two images under one pad.
    pub fn open(&mut self, settings: Settings, rng: &mut impl CryptoRng) {
        self.close();
        self.session.settings = settings;
        rng.fill_bytes(&mut self.session.secret.0);
        rng.fill_bytes(&mut self.session.nonce);
        self.step = Step::Setup(setup::At::Hello);
    }

    /// Ends the session without a goodbye, when the line fails for example, and erases its
    /// secrets. Any error of this client does so by itself.
    pub fn close(&mut self) {
        self.step = Step::Closed;
        self.session.erase();
    }

    /// What the server said of its network, once it has greeted.
    pub fn welcome(&self) -> Option<&Welcome> {
        match self.step {
            Step::Closed | Step::Setup(setup::At::Hello | setup::At::Welcome) => None,
            _ => Some(&self.session.inference.welcome),
        }
    }

    /// Whether the set-up is done and no inference is prepared or answered at the moment.
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready)
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.step, Step::Closed)
    }

    /// Whether it awaits no frame: it is ready or closed, or has a ticket of several for
    /// [`Client::ticket`].
    pub fn rests(&self) -> bool {
        match self.step {
            Step::Ready | Step::Closed => true,
            Step::Prepare(prepare::At::Ticket) => matches!(self.session.has, Has::Ticket),
            _ => false,
        }
    }

    /// Whether an inference is prepared, so that [`Client::start`] needs its answer alone.
    pub fn is_prepared(&self) -> bool {
        self.is_ready() && matches!(self.session.has, Has::Prepared)
    }

    /// Where an inference is that is prepared or answered: the phase, and the index of the layer that
    /// its next frame, of either side, belongs to.
    pub fn position(&self) -> Option<(Phase, u16)> {
        let Session {
            window, inference, ..
        } = &self.session;
        let layer = match &self.step {
            Step::Answer => return Some((Phase::Answer, inference.answered_layer()?)),
            Step::Prepare(prepare::At::Enter(layer)) => *layer as u16,
            Step::Prepare(prepare::At::Window) => window.layer(&inference.memory)?,
            Step::Prepare(_) => inference.running.index(),
            _ => return None,
        };
        Some((Phase::Prepare, layer))
    }

    /// Bytes of its whole state: at most so far, if its memory grows.
    pub fn bytes(&self) -> usize {
        let Session {
            residues,
            inference,
            ..
        } = &self.session;
        size_of::<Self>() + residues.allocated() + inference.memory.allocated()
    }

    /// Starts to prepare an inference, for which no image is needed; nothing if one is prepared.
    pub fn prepare(&mut self) -> Result<(), Error> {
        if self.is_prepared() {
            return Ok(());
        }
        self.begin(Goal::Rest, 1)
    }

    fn begin(&mut self, goal: Goal, count: u16) -> Result<(), Error> {
        self.leave_ready(Step::Prepare(prepare::At::Begin))?;
        self.session.begin_batch(goal, count);
        self.prepare_on()
    }

    /// Starts an inference: the answer of the one that is prepared, or else both. The app's image
    /// must stay the same until the client is ready again.
    pub fn start(&mut self) -> Result<(), Error> {
        if !self.is_prepared() {
            return self.begin(Goal::Answer, 1);
        }
        self.begin_answering()
    }

    fn begin_answering(&mut self) -> Result<(), Error> {
        // It is spent from its first byte on, whatever becomes of it.
        self.session.has = Has::Nothing;
        self.session.inference.begin_answering()?;
        self.step = Step::Answer;
        Ok(())
    }

    /// What comes after the preparing.
    fn prepared(&mut self) -> Result<(), Error> {
        self.session.batch.secrets.zeroize();
        self.session.has = match self.session.batch.goal {
            Goal::Rest => Has::Prepared,
            Goal::Tickets(_) => Has::Ticket,
            Goal::Answer => return self.begin_answering(),
        };
        self.step = Step::Ready;
        Ok(())
    }

    /// What comes after a frame of the answer.
    fn answer_on(&mut self) {
        let session = &mut self.session;
        if session.inference.answered_layer().is_none() {
            session.inference.answered();
            session.wipe();
            self.step = Step::Ready;
        }
    }

    /// Says goodbye.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.leave_ready(Step::Bye)
    }

    fn leave_ready(&mut self, next: Step) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::Usage(Usage::NotReady));
        }
        self.step = next;
        Ok(())
    }

    /// Writes the next frame; none while the server's is awaited, or at [rest](Client::rests). After
    /// an error the session is closed.
    pub fn poll(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let result = self.poll_inner(app, out);
        if result.is_err() {
            self.close();
        }
        result
    }

    /// Takes the server's next frame. After an error the session is closed.
    pub fn handle(&mut self, app: &mut impl Application, frame: Frame<'_>) -> Result<(), Error> {
        let result = self.handle_inner(app, frame);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn poll_inner(
        &mut self,
        app: &mut impl Application,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let len = match &self.step {
            Step::Setup(_) => return self.poll_setup(out),
            Step::Prepare(_) => return self.poll_prepare(out),
            Step::Answer => {
                let len = self.session.inference.poll_answer(app, out)?;
                self.answer_on();
                return Ok(len);
            }
            Step::Bye => {
                self.close();
                write(out, Kind::Bye, |_| 0)
            }
            _ => return Ok(None),
        };
        Ok(Some(len))
    }

    fn handle_inner(&mut self, app: &mut impl Application, frame: Frame<'_>) -> Result<(), Error> {
        match &self.step {
            Step::Setup(_) => self.handle_setup(app, frame),
            Step::Prepare(_) => self.handle_prepare(frame),
            Step::Answer => {
                self.session.inference.handle_answer(app, frame)?;
                self.answer_on();
                Ok(())
            }
            // This side has the word.
            _ => Err(frame.unexpected()),
        }
    }
}

impl<M: Memory, L: ClientLinear> Driven for Client<M, L> {
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
        Self::rests(self)
    }
    fn close(&mut self) {
        Self::close(self);
    }
    #[cfg(feature = "audit")]
    fn last_shares(&self, session: &SessionId) -> Option<SharePrf> {
        let begun = self.session.inferences > 0;
        self.session
            .inference
            .last_shares(session)
            .filter(|_| begun)
    }
}

impl<M: Memory, L: ClientLinear> Drop for Client<M, L> {
    fn drop(&mut self) {
        self.close();
    }
}
