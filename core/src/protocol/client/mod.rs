//! The client: one value of fixed size, whatever the network.
//! `docs/design.md#pseudo-random-shares`; every share of an earlier layer is made again when it is
//! needed.

mod answer;
mod layer;
mod memory;
mod prepare;
mod setup;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use self::layer::Current;
use super::activation::{ClientContext, ClientWindow, Phase};
use super::base;
use super::frame::{Frame, FrameBuf, Kind, write};
use super::greeting::{LayersHash, Settings, Welcome, write_control};
use super::linear::segment::Segments;
use super::linear::slot::Slots;
use super::linear::{Buffers, ClientLinear, Workspace};
use super::share::SharePrf;
use super::steps::{AnswerSteps, PrepareSteps, Room, Setup, Upload};
use super::transfer::{ReceiveResponse, SendUpload};
use crate::Error;
use crate::error::Usage;
use crate::ot::{Direction, REVERSE, ReceiverTrees, SenderTrees};
use crate::random::{Kdf, Seed, SessionId};
use crate::rlwe::ring::ring4096::{LOG_N, T_NTT};

#[cfg(feature = "alloc")]
pub use memory::Whole;
pub use memory::{Chunks, Memory};

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
    Hello,
    Welcome,
    /// Awaits the name of this class.
    Labels(u16),
    /// Awaits the description of this layer.
    Layers(usize),
    /// Sends a key or a ciphertext of the set-up.
    Upload(Upload, SendUpload),
    /// Receives the response to its choices.
    BaseResponse(ReceiveResponse),
    /// Awaits this frame of the messages that it chooses from.
    TakeMessages(usize),
    /// Awaits this frame of the extension in which the server chooses.
    BaseCorrection(usize),
    /// Sends this frame of the messages that the server chooses from.
    SendMessages(usize),
    /// Awaits the list of keys, then sends them; only where the packing has keys of its own.
    Rotations,
    Keys,
    /// Between inferences.
    Ready,
    Begin,
    Prepare(prepare::At),
    Answer(answer::At),
    Bye,
}

/// What lasts for the whole session. Where there is none, all its bytes are zero, if its packing's
/// are. `settings`, `secret` and `nonce` are there from [`Client::open`] on, the rest from the
/// server's greeting on.
struct Session<M, L> {
    settings: Settings,
    secret: Seed,
    nonce: [u8; 32],
    id: SessionId,
    kdf: Kdf,
    welcome: Welcome,
    receiver: ReceiverTrees,
    sender: SenderTrees<REVERSE>,
    choices: Seed,
    window: ClientWindow,
    memory: M,
    /// Uploads so far; each has seeds of its own.
    uploads: u64,
    /// Inferences that were prepared or begun to be.
    inferences: u64,
    /// One is prepared and has not been answered.
    prepared: bool,
    /// The one that is prepared is to be answered at once.
    at_once: bool,
    /// Shares of the last inference, and what its records are sealed with.
    shares: SharePrf,
    seal: Seed,
    prepare: PrepareSteps,
    answer: AnswerSteps,
    layers_hash: LayersHash,
    linear: L,
    work: Workspace,
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
            session: Session {
                settings: Settings {
                    k_s: 0,
                    h: 0,
                    labels: false,
                },
                secret: Seed([0; 32]),
                nonce: [0; 32],
                id: SessionId([0; 32]),
                kdf: Kdf::empty(),
                welcome: Welcome::empty(),
                receiver: ReceiverTrees::empty(),
                sender: SenderTrees::empty(),
                choices: Seed([0; 32]),
                window: ClientWindow::empty(),
                memory: M::EMPTY,
                uploads: 0,
                inferences: 0,
                prepared: false,
                at_once: false,
                shares: SharePrf::empty(),
                seal: Seed([0; 32]),
                prepare: PrepareSteps::new(Room::Whole, 0),
                answer: AnswerSteps::new(Room::Whole, 0, 0),
                layers_hash: LayersHash([0; 32]),
                linear: L::EMPTY,
                work: Workspace::EMPTY,
            },
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
        self.step = Step::Hello;
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
            Step::Closed | Step::Hello | Step::Welcome => None,
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
        self.is_ready() && self.session.prepared
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
        self.leave_ready(Step::Begin)?;
        self.session.at_once = false;
        Ok(())
    }

    /// Starts an inference: the answer of the one that is prepared, or else both. The app's image
    /// must stay the same until the client is ready again.
    pub fn start(&mut self) -> Result<(), Error> {
        if !self.is_prepared() {
            self.leave_ready(Step::Begin)?;
            self.session.at_once = true;
            return Ok(());
        }
        self.begin_answering()
    }

    fn begin_answering(&mut self) -> Result<(), Error> {
        // It is spent from its first byte on, whatever becomes of it.
        self.session.prepared = false;
        self.session.begin_answering();
        self.running = Running::Nothing;
        self.answer_on()
    }

    /// What comes after the preparing.
    fn prepared(&mut self) -> Result<(), Error> {
        self.session.wipe();
        if self.session.at_once {
            return self.begin_answering();
        }
        self.session.prepared = true;
        self.step = Step::Ready;
        Ok(())
    }

    /// What comes after the answer.
    fn answered(&mut self) {
        let session = &mut self.session;
        session.memory.clear();
        session.shares.zeroize();
        session.seal.zeroize();
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
        if self.session.id != *session {
            return None;
        }
        let last = self.session.inferences.checked_sub(1)?;
        let seed = self.session.kdf.seed(crate::random::Purpose::Shares, last);
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
        let session = &mut self.session;
        let len = match &mut self.step {
            Step::Hello => {
                self.step = Step::Welcome;
                write_control(out, Kind::Hello, &session.hello())?
            }
            Step::Upload(upload, send) => {
                let expansion = upload.expansion();
                let (len, last) = session.work.buffers().poll(send, expansion, out);
                if last {
                    self.step = session.after(Setup::Upload(*upload))?;
                }
                len
            }
            Step::SendMessages(frame) => {
                let len = session.send_messages(*frame, out)?;
                *frame += 1;
                if *frame == base::frames(Direction::Forward) {
                    self.step = session.after(Setup::BaseMessages(Direction::Forward))?;
                }
                len
            }
            Step::Keys => {
                let Session { kdf, uploads, .. } = session;
                let (len, last) = session.linear.poll_keys(kdf, uploads, out);
                if last {
                    self.step = session.after(Setup::Keys)?;
                }
                len
            }
            Step::Begin => {
                let len = session.begin_preparing(out);
                self.running = Running::Nothing;
                self.prepare_on()?;
                len
            }
            Step::Prepare(_) => return self.poll_prepare(out),
            Step::Answer(_) => return self.poll_answer(app, out),
            Step::Bye => {
                self.close();
                write(out, Kind::Bye, |_| 0)
            }
            _ => return Ok(None),
        };
        Ok(Some(len))
    }

    fn handle_inner(&mut self, app: &mut impl Application, frame: Frame<'_>) -> Result<(), Error> {
        let session = &mut self.session;
        match &mut self.step {
            Step::Welcome => {
                session.greeted(frame)?;
                self.step = session.after(Setup::Welcome)?;
            }
            Step::Labels(class) => {
                app.label(*class, setup::label(frame)?);
                *class += 1;
                if *class == session.welcome.classes {
                    self.step = session.after(Setup::Labels)?;
                }
            }
            Step::Layers(index) => {
                let current = session.described(*index, frame)?;
                let (index_of, outputs) = (current.index, current.facts().outputs);
                let kept = session.memory.describe(current.layer, outputs);
                kept.map_err(|reason| Error::Layer {
                    index: index_of,
                    reason,
                })?;
                *index += 1;
                if *index == usize::from(session.welcome.layers) {
                    self.step = session.after(Setup::Layers)?;
                }
            }
            Step::BaseResponse(download) => {
                let Buffers { key, poly, scratch } = session.work.buffers();
                if download.handle(frame, &base::ALL, key, poly, scratch)? {
                    T_NTT.forward(&mut session.work.poly, LOG_N);
                    self.step = session.after(Setup::Response)?;
                }
            }
            Step::TakeMessages(index) => {
                session.take_messages(frame, *index)?;
                *index += 1;
                if *index == base::frames(Direction::Reverse) {
                    self.step = session.after(Setup::BaseMessages(Direction::Reverse))?;
                }
            }
            Step::BaseCorrection(index) => {
                if session.base_correction(frame, *index)? {
                    self.step = session.after(Setup::BaseCorrection)?;
                } else {
                    *index += 1;
                }
            }
            Step::Rotations => {
                session.linear.take_rotations(frame, &session.kdf)?;
                self.step = session.after(Setup::Rotations)?;
            }
            Step::Prepare(_) => return self.handle_prepare(app, frame),
            Step::Answer(_) => return self.handle_answer(app, frame),
            // This side has the word.
            _ => return Err(frame.unexpected()),
        }
        Ok(())
    }
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// Erases all secrets. Not inlined: it is 4 KiB of stores on a microcontroller.
    #[inline(never)]
    fn erase(&mut self) {
        self.secret.zeroize();
        self.kdf.zeroize();
        self.receiver.zeroize();
        self.sender.zeroize();
        self.choices.zeroize();
        self.window.zeroize();
        self.memory.zeroize();
        self.shares.zeroize();
        self.seal.zeroize();
        self.work.key.zeroize();
        self.linear.zeroize();
        self.uploads = 0;
        self.inferences = 0;
        self.prepared = false;
        self.wipe();
    }

    /// Erases what the set-up or an inference left in the scratch.
    fn wipe(&mut self) {
        self.work.wipe();
        self.linear.wipe();
    }

    /// The window, what it borrows of the session, and the new shares.
    fn window(&mut self) -> (&mut ClientWindow, ClientContext<'_, M>, &mut SharePrf) {
        let context = ClientContext {
            session: &self.id,
            layers: &self.layers_hash,
            store: &mut self.memory,
            receiver: &self.receiver,
            sender: &self.sender,
            choices: &self.choices,
            seal: &self.seal,
            scratch: &mut self.work.scratch,
        };
        (&mut self.window, context, &mut self.shares)
    }
}

impl<M: Memory, L: ClientLinear> Drop for Client<M, L> {
    fn drop(&mut self) {
        self.close();
    }
}
