//! The client: one value of fixed size, whatever the network.
//! `docs/design.md#pseudo-random-shares`; every share of an earlier layer is made again when it is
//! needed.

mod answer;
mod layer;
mod memory;
mod prepare;
mod session;
mod setup;
mod tickets;
#[cfg(feature = "alloc")]
mod whole;

use self::layer::Current;
use self::session::{Goal, Has, Session};
use super::activation::Phase;
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
use crate::random::{Kdf, Purpose, SessionId};
use rand_core::CryptoRng;

pub use memory::{Chunks, Memory};
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
    /// The layer of [`Step::Prepare`] and [`Step::Answer`].
    running: Running<L::Layout>,
    session: Session<M, L>,
}

/// The layer that is run, or the last one; all of it is public. Not a part of the step: a step that
/// is much larger than most of its values would keep what the stack held before, through
/// [`Client::close`] too.
#[repr(u8)]
enum Running<P> {
    /// All zeros, so that a static client takes no flash.
    Nothing = 0,
    Layer(Current<P>),
}

impl<P> Running<P> {
    fn set(&mut self, current: Current<P>) {
        *self = Self::Layer(current);
    }

    fn layer(&mut self) -> Result<&mut Current<P>, Error> {
        match self {
            Self::Nothing => Err(Error::Internal("no layer is run")),
            Self::Layer(current) => Ok(current),
        }
    }
}

/// What comes next, with what exists during that step alone. The first is all zeros, so that a
/// static client takes no flash.
#[repr(u8)]
enum Step {
    Closed = 0,
    Setup(setup::At),
    /// Between inferences.
    Ready,
    Begin,
    Prepare(prepare::At),
    Answer(answer::At),
    Redeem(tickets::At),
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
            running: Running::Nothing,
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
            _ => Some(&self.session.welcome),
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

    /// Whether an inference is prepared, so that [`Client::start`] needs its answer alone.
    pub fn is_prepared(&self) -> bool {
        self.is_ready() && matches!(self.session.has, Has::Prepared)
    }

    /// Where an inference is that is prepared or answered: the phase, and the index of the layer that
    /// its next frame, of either side, belongs to.
    pub fn position(&self) -> Option<(Phase, u16)> {
        let (Session { window, memory, .. }, running) = (&self.session, &self.running);
        let current = match running {
            Running::Nothing => 0,
            Running::Layer(current) => current.index,
        };
        Some(match &self.step {
            Step::Begin => (Phase::Prepare, 0),
            Step::Prepare(prepare::At::Enter(layer)) => (Phase::Prepare, *layer as u16),
            Step::Prepare(prepare::At::Window) => (Phase::Prepare, window.layer(memory)?),
            Step::Prepare(_) => (Phase::Prepare, current),
            Step::Answer(answer::At::Image(_)) => (Phase::Answer, 0),
            Step::Answer(answer::At::Enter(layer)) => (Phase::Answer, *layer as u16),
            Step::Answer(answer::At::Window) => (Phase::Answer, current),
            _ => return None,
        })
    }

    /// Bytes of its whole state: at most so far, if its memory grows.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.session.memory.allocated()
    }

    /// Starts to prepare an inference, for which no image is needed; nothing if one is prepared.
    pub fn prepare(&mut self) -> Result<(), Error> {
        if self.is_prepared() {
            return Ok(());
        }
        self.begin(Goal::Rest)
    }

    fn begin(&mut self, goal: Goal) -> Result<(), Error> {
        if self.session.redeems {
            return Err(Error::Usage(Usage::Redeems));
        }
        self.leave_ready(Step::Begin)?;
        (self.session.goal, self.session.has) = (goal, Has::Nothing);
        Ok(())
    }

    /// Starts an inference: the answer of the one that is prepared, or else both. The app's image
    /// must stay the same until the client is ready again.
    pub fn start(&mut self) -> Result<(), Error> {
        if !self.is_prepared() {
            return self.begin(Goal::Answer);
        }
        self.begin_answering()
    }

    fn begin_answering(&mut self) -> Result<(), Error> {
        // It is spent from its first byte on, whatever becomes of it.
        self.session.has = Has::Nothing;
        self.session.begin_answering();
        self.running = Running::Nothing;
        self.answer_on()
    }

    /// What comes after the preparing.
    fn prepared(&mut self) -> Result<(), Error> {
        self.session.wipe();
        self.session.has = match self.session.goal {
            Goal::Rest => Has::Prepared,
            Goal::Ticket(owner) => Has::Ticket(owner),
            Goal::Answer => return self.begin_answering(),
        };
        self.step = Step::Ready;
        Ok(())
    }

    /// What comes after the answer.
    fn answered(&mut self) {
        let session = &mut self.session;
        // Only whoever opens shares needs them again.
        #[cfg(feature = "audit")]
        let inference = Kdf::of(session.inference.secret().clone());
        session.forget();
        #[cfg(feature = "audit")]
        (session.inference = inference);
        session.wipe();
        self.step = Step::Ready;
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

    /// The pseudo-random shares of the last inference, if there was one. Whoever has these and the
    /// server's shares has the image.
    #[cfg(feature = "audit")]
    pub(super) fn last_shares(&self, session: &SessionId) -> Option<SharePrf> {
        let begun = self.session.inferences > 0 || self.session.redeems;
        if self.session.id != *session || !begun {
            return None;
        }
        let seed = self.session.inference.seed(Purpose::Shares, 0);
        Some(SharePrf::new(&seed))
    }

    /// Writes the next frame; none while the server's is awaited, or when ready or closed. After
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
            Step::Begin => {
                let len = self.session.begin_preparing(out)?;
                self.running = Running::Nothing;
                self.prepare_on()?;
                len
            }
            Step::Prepare(_) => return self.poll_prepare(out),
            Step::Answer(_) => return self.poll_answer(app, out),
            Step::Redeem(_) => return self.poll_redeem(out),
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
            Step::Prepare(_) => self.handle_prepare(app, frame),
            Step::Answer(_) => self.handle_answer(app, frame),
            Step::Redeem(_) => self.handle_redeem(frame),
            // This side has the word.
            _ => Err(frame.unexpected()),
        }
    }
}

impl<M: Memory, L: ClientLinear> Drop for Client<M, L> {
    fn drop(&mut self) {
        self.close();
    }
}
