//! The client: one value of fixed size, whatever the network.
//! `docs/design.md#pseudo-random-shares`; every share of an earlier layer is made again when it is
//! needed.

mod inference;
mod setup;

use rand_core::CryptoRng;
use zeroize::Zeroize;

use self::inference::Current;
use super::activation::{ClientContext, ClientWindow};
use super::base::{self, CONFIRM_FRAMES, Message, OPENING_FRAMES};
use super::frame::{Frame, FrameBuf, Kind, write};
use super::greeting::{Hello, PlanHash, Settings, VERSION, Welcome, write_control};
use super::linear::segment::Segments;
use super::linear::slot::Slots;
use super::linear::{Buffers, ClientLinear, Workspace};
use super::transfer::{ReceiveResponse, SendUpload};
use crate::Error;
use crate::ot::{Direction, ReceiverTrees, SenderTrees};
use crate::protocol::share::SharePrf;
use crate::random::{Kdf, Seed, SessionId};
use crate::rlwe::Expansion;

/// What the client needs of the program around it.
pub trait App {
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

/// Activations that a client in 64 KiB works on at once: one chunk.
pub type SmallClient = Client<1, 1>;

/// A client of networks in slot packing, for whoever has the room.
pub type SlotClient<const CHUNKS: usize, const SUPPLY: usize> = Client<CHUNKS, SUPPLY, Slots>;

/// The client's state: keys, seeds, scratch for one ciphertext, one window of activations.
/// `CHUNKS` and `SUPPLY` size the window: see [`ClientWindow`]. `L` is the packing's part.
pub struct Client<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear = Segments> {
    step: Step,
    settings: Settings,
    secret: Seed,
    nonce: [u8; 32],
    /// From here on, what exists from the server's greeting on.
    id: SessionId,
    kdf: Kdf,
    welcome: Maybe<Welcome>,
    receiver: ReceiverTrees,
    sender: SenderTrees,
    choices: Seed,
    window: ClientWindow<CHUNKS, SUPPLY>,
    /// Uploads so far; each has seeds of its own.
    uploads: u64,
    inferences: u64,
    shares: SharePrf,
    plan: PlanHash,
    layer: u16,
    current: Maybe<Current<L::Layout>>,
    linear: L,
    work: Workspace,
}

/// An option whose empty state is all zeros, so that a static client takes no flash.
#[repr(u8)]
enum Maybe<T> {
    Empty = 0,
    Full(T),
}

impl<T> Maybe<T> {
    fn get(&self) -> Result<&T, Error> {
        match self {
            Self::Empty => Err(NOT_READY),
            Self::Full(value) => Ok(value),
        }
    }

    fn get_mut(&mut self) -> Result<&mut T, Error> {
        match self {
            Self::Empty => Err(NOT_READY),
            Self::Full(value) => Ok(value),
        }
    }
}

/// What comes next. The first is all zeros: see [`Maybe`].
#[repr(u8)]
enum Step {
    Closed = 0,
    Hello,
    Welcome,
    Labels(u16),
    /// Sends a key or a ciphertext.
    Upload(What, SendUpload),
    /// Receives the response of a base transfer direction.
    BaseResponse(Direction, ReceiveResponse),
    Opening(usize),
    SendConfirm(usize),
    CheckConfirm(usize),
    /// Awaits the list of keys, then sends them; only where the packing has keys of its own.
    Rotations,
    Keys,
    /// Between inferences.
    Ready,
    Begin,
    Layer,
    /// Sends input ciphertext i of the layer.
    Input(usize, SendUpload),
    Response(ReceiveResponse),
    /// Logits of this response that are still to come.
    Logits(usize),
    /// Outputs of this response, of a layer without activation, that still need a new share.
    Reshares(usize),
    Window,
    Bye,
}

/// What an upload of the set-up carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    BaseKey,
    BaseMessage(Message),
    SessionKey,
    BaseChoices,
}

impl What {
    fn expansion(self) -> Expansion {
        match self {
            Self::BaseKey | Self::SessionKey => Expansion::PublicKey,
            Self::BaseMessage(_) | Self::BaseChoices => Expansion::Ciphertext,
        }
    }
}

const NOT_READY: Error = Error::Usage("the session is not that far");

impl<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear> Client<CHUNKS, SUPPLY, L> {
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
            settings: Settings {
                k_s: 0,
                h: 0,
                labels: false,
            },
            secret: Seed([0; 32]),
            nonce: [0; 32],
            id: SessionId([0; 32]),
            kdf: Kdf::empty(),
            welcome: Maybe::Empty,
            receiver: ReceiverTrees::empty(),
            sender: SenderTrees::empty(),
            choices: Seed([0; 32]),
            window: ClientWindow::empty(),
            uploads: 0,
            inferences: 0,
            shares: SharePrf::empty(),
            plan: PlanHash([0; 32]),
            layer: 0,
            current: Maybe::Empty,
            linear: L::EMPTY,
            work: Workspace::EMPTY,
        }
    }

    /// Erases what was, and begins a session in place.
    ///
    /// All secrets come from `rng`. It must never repeat what it gave before, not even after a
    /// reset: a server that repeats its own nonce then gets two images under one pad.
    pub fn open(&mut self, settings: Settings, rng: &mut impl CryptoRng) {
        self.close();
        self.settings = settings;
        rng.fill_bytes(&mut self.secret.0);
        rng.fill_bytes(&mut self.nonce);
        self.step = Step::Hello;
    }

    /// Ends the session without a goodbye, when the line fails for example, and erases its
    /// secrets. Any error of this client does so by itself.
    pub fn close(&mut self) {
        self.step = Step::Closed;
        self.welcome = Maybe::Empty;
        self.current = Maybe::Empty;
        self.secret.zeroize();
        self.kdf.zeroize();
        self.receiver.zeroize();
        self.sender.zeroize();
        self.choices.zeroize();
        self.window.zeroize();
        self.shares.zeroize();
        self.work.key.zeroize();
        self.linear.zeroize();
        self.uploads = 0;
        self.inferences = 0;
        self.wipe();
    }

    /// Erases what the set-up or an inference left in the scratch.
    fn wipe(&mut self) {
        self.work.wipe();
        self.linear.wipe();
    }

    /// What the server said of its network, once it has greeted.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.get().ok()
    }

    /// Whether the set-up is done and no inference runs.
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready)
    }

    /// Whether the session has ended.
    pub fn is_closed(&self) -> bool {
        matches!(self.step, Step::Closed)
    }

    /// Starts an inference; the app's image must stay the same until the client is ready again.
    pub fn start(&mut self) -> Result<(), Error> {
        self.leave_ready(Step::Begin)
    }

    /// Says goodbye.
    pub fn finish(&mut self) -> Result<(), Error> {
        self.leave_ready(Step::Bye)
    }

    fn leave_ready(&mut self, next: Step) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::Usage(
                "an inference is running or the session is not set up",
            ));
        }
        self.step = next;
        Ok(())
    }

    /// The pseudo-random shares of the last inference, for checks in which one process holds both
    /// parties' shares. Whoever has these and the server's shares has the image.
    #[cfg(feature = "audit")]
    pub fn audit_shares(&self) -> Option<SharePrf> {
        let last = self.inferences.checked_sub(1)?;
        let seed = self.kdf.seed(crate::random::Purpose::Shares, last);
        Some(SharePrf::new(&seed))
    }

    /// Writes the next frame; none while the server's is awaited, or when ready or closed. After
    /// an error the session is closed.
    pub fn poll(&mut self, app: &mut impl App, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let result = self.poll_inner(app, out);
        if result.is_err() {
            self.close();
        }
        result
    }

    /// Takes the server's next frame. After an error the session is closed.
    pub fn handle(&mut self, app: &mut impl App, frame: Frame<'_>) -> Result<(), Error> {
        let result = self.handle_inner(app, frame);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn poll_inner(
        &mut self,
        app: &mut impl App,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let len = match &mut self.step {
            Step::Hello => {
                self.step = Step::Welcome;
                write_control(out, Kind::Hello, &self.hello())?
            }
            Step::Upload(what, upload) => {
                let what = *what;
                let (len, last) = self.work.buffers().poll(upload, what.expansion(), out);
                if last {
                    self.after_upload(what)?;
                }
                len
            }
            Step::Keys => {
                let (len, last) = (self.linear).poll_keys(&self.kdf, &mut self.uploads, out);
                if last {
                    self.set_up();
                }
                len
            }
            Step::Input(i, upload) => {
                let i = *i;
                let (len, last) = self.linear.poll_upload(&mut self.work, upload, out);
                if last {
                    self.next_input(i + 1, app)?;
                }
                len
            }
            Step::Opening(frame) => {
                let frame = *frame;
                self.step = if frame + 1 < OPENING_FRAMES {
                    Step::Opening(frame + 1)
                } else {
                    Step::SendConfirm(0)
                };
                base::write_opening(&self.work.poly, frame, out)
            }
            Step::SendConfirm(frame) => {
                let frame = *frame;
                let (trees, id) = (&self.receiver, &self.id);
                let len = base::write_confirmation(trees, id, frame, &mut self.work.scratch, out)?;
                self.step = Step::SendConfirm(frame + 1);
                if frame + 1 == CONFIRM_FRAMES {
                    self.session_key();
                }
                len
            }
            Step::Begin => {
                self.begin();
                write(out, Kind::Begin, |_| 0)
            }
            Step::Reshares(left) => {
                let left = *left;
                self.reshares(left, app, out)?
            }
            Step::Window => {
                let mut context = ClientContext {
                    receiver: &self.receiver,
                    sender: &self.sender,
                    choices: &self.choices,
                    scratch: &mut self.work.scratch,
                };
                let len = self.window.poll(&mut context, out)?;
                if self.window.idle() {
                    self.next_outputs(app)?;
                }
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

    fn handle_inner(&mut self, app: &mut impl App, frame: Frame<'_>) -> Result<(), Error> {
        match &mut self.step {
            Step::Welcome => self.greeted(frame),
            Step::Labels(class) => {
                let class = *class;
                self.label(class, app, frame)
            }
            Step::BaseResponse(direction, download) => {
                let direction = *direction;
                let Buffers { key, poly, scratch } = self.work.buffers();
                if download.handle(frame, &base::ALL, key, poly, scratch)? {
                    self.base_response(direction)?;
                }
                Ok(())
            }
            Step::CheckConfirm(index) => {
                let index = *index;
                base::check_confirmation(frame, index, &self.sender, &self.id)?;
                self.step = Step::CheckConfirm(index + 1);
                if index + 1 == CONFIRM_FRAMES {
                    self.set_up_keys();
                }
                Ok(())
            }
            Step::Rotations => {
                self.linear.take_rotations(frame, &self.kdf)?;
                self.step = Step::Keys;
                Ok(())
            }
            Step::Layer => self.next_layer(app, frame),
            Step::Response(download) => {
                let layout = &self.current.get()?.layout;
                if (self.linear).receive(&mut self.work, layout, download, frame)? {
                    self.response(app)?;
                }
                Ok(())
            }
            Step::Logits(left) => {
                let left = *left;
                self.logits(left, app, frame)
            }
            Step::Window => {
                let mut context = ClientContext {
                    receiver: &self.receiver,
                    sender: &self.sender,
                    choices: &self.choices,
                    scratch: &mut self.work.scratch,
                };
                let current = self.current.get_mut()?;
                let (shares, tensor) = (&mut self.shares, self.layer + 1);
                self.window.handle(frame, &mut context, || {
                    let output = current.reshare()?;
                    Ok(shares.value(tensor, output.channel, output.position))
                })
            }
            // This side has the word.
            _ => Err(frame.unexpected()),
        }
    }

    fn hello(&self) -> Hello {
        Hello {
            version: VERSION,
            parameters: L::PARAMETER_SET,
            nonce: self.nonce,
            k_s: self.settings.k_s,
            h: self.settings.h,
            window: CHUNKS as u16,
            labels: self.settings.labels,
        }
    }
}

impl<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear> Drop for Client<CHUNKS, SUPPLY, L> {
    fn drop(&mut self) {
        self.close();
    }
}
