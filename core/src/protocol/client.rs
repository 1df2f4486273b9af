//! The client: one value of fixed size, whatever the network.
//! DESIGN section 2; every share of an earlier layer is made again when it is needed.

use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::activation::{ClientContext, ClientWindow, SCRATCH_WORDS};
use super::base::{self, CONFIRM_FRAMES, Message, OPENING_FRAMES};
use super::download::{Dense, ReceiveDownload};
use super::frame::{Frame, FrameBuf, Kind, write};
use super::greeting::{
    Hello, PARAMETER_SET, PlanHash, Settings, VERSION, Welcome, read_control, write_control,
};
use super::upload::{PIECE, SendUpload};
use crate::Error;
use crate::bits::unpack;
use crate::layer::{Activation, Layer, Layout, TensorId};
use crate::ntt::Poly;
use crate::ot::{Direction, Key, ReceiverTrees, SenderTrees};
use crate::params::{LOG_N, N, T, T_BITS, T_MOD};
use crate::prg::{Kdf, Purpose, Seed, SessionId, Stream};
use crate::rlwe::{Expansion, SecretKey};
use crate::segment::{self, Output, OutputCursor, pack_input};
use crate::share::{SharePrf, to_ring};

/// What the client needs of the program around it.
pub trait App {
    /// The normalised integer at (channel, row, column) of the image, |x| < 2^19. It may be asked
    /// for more than once.
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32;
    /// Takes the name of a class, if names were asked for.
    fn label(&mut self, _class: u16, _name: &str) {}
    /// Takes one logit, in integer units.
    fn logit(&mut self, class: u32, value: i32);
}

/// Activations that a client in 64 KiB works on at once: one chunk.
pub type SmallClient = Client<1, 1>;

/// The client's state: keys, seeds, scratch for one ciphertext, one window of activations.
/// `CHUNKS` and `SUPPLY` size the window: see [`ClientWindow`].
pub struct Client<const CHUNKS: usize, const SUPPLY: usize> {
    settings: Settings,
    step: Step,
    secret: Seed,
    hello: Hello,
    session: Option<Session<CHUNKS, SUPPLY>>,
    /// The RLWE key in use: first that of the forward base transfers, then the session's.
    key: SecretKey,
    /// The polynomial being encrypted or decrypted.
    poly: Poly,
    /// Scratch of transforms, extensions and base transfers.
    scratch: [u32; SCRATCH_WORDS],
}

/// What exists from the server's greeting on.
struct Session<const CHUNKS: usize, const SUPPLY: usize> {
    id: SessionId,
    kdf: Kdf,
    welcome: Welcome,
    delta: Zeroizing<Key>,
    receiver: ReceiverTrees,
    sender: Option<SenderTrees>,
    choices: Stream,
    window: ClientWindow<CHUNKS, SUPPLY>,
    /// Uploads so far; each has seeds of its own.
    uploads: u64,
    inferences: u64,
    shares: SharePrf,
    plan: PlanHash,
    layer: u16,
    current: Option<Current>,
}

/// The layer that is being run.
struct Current {
    layer: Layer,
    layout: Layout,
    /// The next output to gather.
    gather: OutputCursor,
    pending: Option<Output>,
    /// The next output to give a new share to.
    reshare: OutputCursor,
    /// Response that is in `poly`; one less than it is the number received.
    received: usize,
}

enum Step {
    Hello,
    Welcome,
    Labels(u16),
    /// Sends a key or a ciphertext.
    Upload(What, SendUpload),
    /// Receives the response of a base transfer direction.
    BaseResponse(Direction, ReceiveDownload),
    Opening(usize),
    SendConfirm(usize),
    CheckConfirm(usize),
    /// Between inferences.
    Ready,
    Begin,
    Layer,
    Response(ReceiveDownload),
    /// Logits of this response that are still to come.
    Logits(usize),
    Window,
    Bye,
    Closed,
}

/// What an upload carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    BaseKey,
    BaseMessage(Message),
    SessionKey,
    BaseChoices,
    Input(usize),
}

const NOT_READY: Error = Error::Usage("the session is not that far");

impl<const CHUNKS: usize, const SUPPLY: usize> Client<CHUNKS, SUPPLY> {
    /// A client that has not said anything yet. All its secrets come from `rng`.
    pub fn new(settings: Settings, rng: &mut impl CryptoRng) -> Self {
        let secret = Seed::random(rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self {
            settings,
            step: Step::Hello,
            secret,
            hello: Hello {
                version: VERSION,
                parameters: PARAMETER_SET,
                nonce,
                k_s: settings.k_s,
                h: settings.h,
                window: CHUNKS as u16,
                labels: settings.labels,
            },
            session: None,
            key: SecretKey::zero(),
            poly: [0; N],
            scratch: [0; SCRATCH_WORDS],
        }
    }

    /// What the server said of its network, once it has greeted.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.session.as_ref().map(|session| &session.welcome)
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
        let session = self.session.as_ref()?;
        let last = session.inferences.checked_sub(1)?;
        Some(SharePrf::new(&session.kdf.seed(Purpose::Shares, last)))
    }

    /// Writes the next frame; none while the server's is awaited, or when ready or closed.
    pub fn poll(&mut self, app: &mut impl App, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let result = self.poll_inner(app, out);
        self.end_on_error(result)
    }

    /// Takes the server's next frame.
    pub fn handle(&mut self, app: &mut impl App, frame: Frame<'_>) -> Result<(), Error> {
        let result = self.handle_inner(app, frame);
        self.end_on_error(result)
    }

    /// An aborted session is dead: its secrets are erased, and nothing of it is used again.
    fn end_on_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.erase();
            self.step = Step::Closed;
        }
        result
    }

    fn erase(&mut self) {
        self.session = None;
        self.secret.zeroize();
        self.key.zeroize();
        self.poly.zeroize();
        self.scratch.zeroize();
    }

    fn poll_inner(
        &mut self,
        app: &mut impl App,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, Error> {
        let len = match &mut self.step {
            Step::Hello => {
                self.step = Step::Welcome;
                write_control(out, Kind::Hello, &self.hello)?
            }
            Step::Upload(what, upload) => {
                let what = *what;
                let message = match what {
                    What::BaseKey | What::SessionKey => None,
                    _ => Some(&self.poly),
                };
                let len = upload.poll(&self.key, message, limb(&mut self.scratch), out);
                if upload.done() {
                    self.after_upload(what, app)?;
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
                base::write_opening(&self.poly, frame, out)
            }
            Step::SendConfirm(frame) => {
                let frame = *frame;
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                let (trees, id) = (&session.receiver, &session.id);
                let len = base::write_confirmation(trees, id, frame, &mut self.scratch, out)?;
                self.step = Step::SendConfirm(frame + 1);
                if frame + 1 == CONFIRM_FRAMES {
                    // The key that opened whatever came is erased; the session's key follows.
                    self.key = self.new_key(1)?;
                    self.upload(What::SessionKey)?;
                }
                len
            }
            Step::Begin => {
                let session = self.session.as_mut().ok_or(NOT_READY)?;
                let seed = session.kdf.seed(Purpose::Shares, session.inferences);
                session.inferences += 1;
                session.shares = SharePrf::new(&seed);
                session.plan = PlanHash::default();
                session.layer = 0;
                self.step = Step::Layer;
                write(out, Kind::Begin, |_| 0)
            }
            Step::Window => {
                let (window, mut context, _) = self.window()?;
                let len = window.poll(&mut context, out)?;
                if window.idle() {
                    self.next_outputs(app)?;
                }
                return Ok(len);
            }
            Step::Bye => {
                self.erase();
                self.step = Step::Closed;
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
                let name = frame.expect(Kind::Label)?;
                let name = core::str::from_utf8(name).map_err(|_| Error::Malformed("label"))?;
                app.label(class, name);
                self.after_label(class + 1)
            }
            Step::BaseResponse(direction, download) => {
                let direction = *direction;
                let (poly, scratch) = (&mut self.poly, limb(&mut self.scratch));
                if download.handle(frame, &Dense, &self.key, poly, scratch)? {
                    segment::decode(&mut self.poly, LOG_N);
                    self.step = match direction {
                        Direction::Forward => Step::Opening(0),
                        Direction::Reverse => {
                            let session = self.session.as_mut().ok_or(NOT_READY)?;
                            let keys = Zeroizing::new(base::decode_keys(&self.poly)?);
                            let k_s = self.settings.k_s.into();
                            let (id, delta) = (&session.id, &session.delta);
                            let trees = SenderTrees::new(direction, k_s, id, delta, &keys)?;
                            session.sender = Some(trees);
                            Step::CheckConfirm(0)
                        }
                    };
                }
                Ok(())
            }
            Step::CheckConfirm(index) => {
                let index = *index;
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                let trees = session.sender.as_ref().ok_or(NOT_READY)?;
                base::check_confirmation(frame, index, trees, &session.id)?;
                self.step = if index + 1 < CONFIRM_FRAMES {
                    Step::CheckConfirm(index + 1)
                } else {
                    Step::Ready
                };
                Ok(())
            }
            Step::Layer => self.next_layer(app, frame),
            Step::Response(download) => {
                let current = self.session.as_mut().and_then(|s| s.current.as_mut());
                let current = current.ok_or(NOT_READY)?;
                let (poly, scratch) = (&mut self.poly, limb(&mut self.scratch));
                if download.handle(frame, &current.layout, &self.key, poly, scratch)? {
                    current.received += 1;
                    segment::decode(&mut self.poly, current.layout.depth);
                    self.next_outputs(app)?;
                }
                Ok(())
            }
            Step::Logits(left) => {
                let count = (*left).min(PIECE);
                *left -= count;
                let last = *left == 0;
                let current = self.session.as_mut().and_then(|s| s.current.as_mut());
                let current = current.ok_or(NOT_READY)?;
                let payload = frame.expect(Kind::Logits)?;
                let poly = &self.poly;
                unpack(Kind::Logits as u8, payload, T_BITS, T, count, |_, share| {
                    if let Some(output) = current.pending {
                        let area = (current.layout.out_side * current.layout.out_side) as u32;
                        let class = u32::from(output.channel) * area + output.position;
                        let value = T_MOD.add(poly[output.coefficient], share);
                        app.logit(class, T_MOD.centered(value));
                        current.pending = current.gather.next(&current.layout);
                    }
                })?;
                if last { self.next_outputs(app) } else { Ok(()) }
            }
            Step::Window => {
                let (window, mut context, rest) = self.window()?;
                let (shares, tensor) = (rest.shares, rest.tensor);
                let current = rest.current;
                window.handle(frame, &mut context, || {
                    let output = current
                        .reshare
                        .next(&current.layout)
                        .ok_or(Error::Usage("window with more activations than the layer"))?;
                    Ok(shares.value(tensor, output.channel, output.position))
                })
            }
            _ => {
                // While this side has the word, the only frame to expect is the peer's failure.
                frame.expect(Kind::Fail)?;
                Err(Error::Usage("frame out of turn"))
            }
        }
    }

    /// Opens the session on the server's greeting.
    fn greeted(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let payload = frame.expect(Kind::Welcome)?;
        let welcome: Welcome = read_control(payload, "greeting")?;
        let relu = welcome.check(self.settings.h)?;
        let mut hello = [0; super::frame::MAX_FRAME];
        let hello_len = write_control(&mut hello, Kind::Hello, &self.hello)?;
        let id = SessionId::new(&hello[super::frame::HEADER..hello_len], payload);
        let kdf = Kdf::new(&self.secret, &id);
        let mut delta = Zeroizing::new([0; 4]);
        let mut stream = Stream::new(&kdf.seed(Purpose::Delta, 0), [0; 3]);
        delta.fill_with(|| stream.next_u32());
        let k_s = self.settings.k_s.into();
        let roots = kdf.seed(Purpose::GgmRoots, 0);
        let labels = self.settings.labels && welcome.classes > 0;
        self.open(Session {
            id,
            receiver: ReceiverTrees::new(Direction::Forward, k_s, &id, &roots)?,
            sender: None,
            choices: Stream::new(&kdf.seed(Purpose::Choices, 0), [0; 3]),
            window: ClientWindow::new(relu, k_s),
            uploads: 0,
            inferences: 0,
            shares: SharePrf::new(&Seed([0; 32])),
            plan: PlanHash::default(),
            layer: 0,
            current: None,
            kdf,
            welcome,
            delta,
        });
        if labels {
            self.step = Step::Labels(0);
            return Ok(());
        }
        self.after_label(u16::MAX)
    }

    fn open(&mut self, session: Session<CHUNKS, SUPPLY>) {
        self.session = Some(session);
    }

    /// Goes on to the next label, or to the base transfers.
    fn after_label(&mut self, next: u16) -> Result<(), Error> {
        if self.welcome().is_some_and(|welcome| next < welcome.classes) {
            self.step = Step::Labels(next);
            return Ok(());
        }
        self.key = self.new_key(0)?;
        self.upload(What::BaseKey)
    }

    fn new_key(&self, counter: u64) -> Result<SecretKey, Error> {
        let session = self.session.as_ref().ok_or(NOT_READY)?;
        Ok(SecretKey::generate(
            &session.kdf.seed(Purpose::SecretKey, counter),
        ))
    }

    /// Starts an upload with fresh seeds.
    fn upload(&mut self, what: What) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let (a, error, expansion) = match what {
            What::BaseKey | What::SessionKey => (
                Purpose::PublicKeyA,
                Purpose::PublicKeyError,
                Expansion::PublicKey,
            ),
            _ => (
                Purpose::CiphertextA,
                Purpose::CiphertextError,
                Expansion::Ciphertext,
            ),
        };
        let counter = session.uploads;
        session.uploads += 1;
        let (a, error) = (
            session.kdf.seed(a, counter),
            session.kdf.seed(error, counter),
        );
        self.step = Step::Upload(what, SendUpload::new(a, error, expansion));
        Ok(())
    }

    fn after_upload(&mut self, what: What, app: &mut impl App) -> Result<(), Error> {
        match what {
            What::BaseKey => self.upload_messages(Message::Zero),
            What::BaseMessage(Message::Zero) => self.upload_messages(Message::Difference),
            What::BaseMessage(Message::Difference) => {
                self.step = Step::BaseResponse(Direction::Forward, ReceiveDownload::default());
                Ok(())
            }
            What::SessionKey => {
                let session = self.session.as_ref().ok_or(NOT_READY)?;
                base::encode_choices(&session.delta, &mut self.poly);
                self.upload(What::BaseChoices)
            }
            What::BaseChoices => {
                self.step = Step::BaseResponse(Direction::Reverse, ReceiveDownload::default());
                Ok(())
            }
            What::Input(i) => self.next_input(i + 1, app),
        }
    }

    fn upload_messages(&mut self, message: Message) -> Result<(), Error> {
        let session = self.session.as_ref().ok_or(NOT_READY)?;
        base::encode_messages(
            &session.receiver,
            message,
            &mut self.poly,
            &mut self.scratch,
        )?;
        self.upload(What::BaseMessage(message))
    }

    /// Takes the description of the next layer.
    fn next_layer(&mut self, app: &mut impl App, frame: Frame<'_>) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let payload = frame.expect(Kind::Layer)?;
        let layer: Layer = read_control(payload, "layer")?;
        session.plan.add(payload);
        let index = session.layer;
        let fail = |reason| Error::Layer { index, reason };
        let layout = layer.layout().map_err(fail)?;
        check_reads(&layer, &layout, index, &session.welcome).map_err(fail)?;
        let mut gather = OutputCursor::start();
        session.current = Some(Current {
            layer,
            layout,
            pending: gather.next(&layout),
            gather,
            reshare: OutputCursor::start(),
            received: 0,
        });
        self.next_input(0, app)
    }

    /// Packs and sends input ciphertext `i`, or goes on to the outputs after the last one.
    fn next_input(&mut self, i: usize, app: &mut impl App) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let Current { layer, layout, .. } = session.current.as_ref().ok_or(NOT_READY)?;
        if i == layout.inputs() {
            return self.next_outputs(app);
        }
        let (tensor, side) = (layer.input, usize::from(layer.in_side));
        let shares = &mut session.shares;
        pack_input(layout, i, &mut self.poly, |channel, row, col| {
            if layer.pool {
                let pixels = 0..side * side;
                return pixels.fold(0, |sum, p| {
                    T_MOD.add(sum, share(app, shares, tensor, channel, p, side))
                });
            }
            share(app, shares, tensor, channel, row * side + col, side)
        });
        self.upload(What::Input(i))
    }

    /// Gathers outputs until a window is full or another response is needed, and goes on to what
    /// comes next.
    fn next_outputs(&mut self, app: &mut impl App) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let current = session.current.as_mut().ok_or(NOT_READY)?;
        let relu = current.layer.activation == Activation::Relu;
        while let Some(output) = current.pending {
            if relu && session.window.gathered() == session.window.capacity() {
                break;
            }
            if output.ciphertext >= current.received {
                self.step = Step::Response(ReceiveDownload::default());
                return Ok(());
            }
            if !relu {
                let mut ahead = current.gather;
                let mut left = 1;
                while let Some(next) = ahead.next(&current.layout) {
                    left += usize::from(next.ciphertext == output.ciphertext);
                }
                self.step = Step::Logits(left);
                return Ok(());
            }
            let mut value = self.poly[output.coefficient];
            if let Some(skip) = current.layer.skip {
                let side = current.layout.out_side;
                let (channel, position) = (usize::from(output.channel), output.position as usize);
                let shares = &mut session.shares;
                let x = share(app, shares, skip.tensor, channel, position, side);
                value = T_MOD.add(value, T_MOD.mul(x, skip.factor));
            }
            session
                .window
                .gather(to_ring(value, session.welcome.shift.into()))?;
            current.pending = current.gather.next(&current.layout);
        }
        if session.window.gathered() > 0 {
            session.window.start();
            self.step = Step::Window;
            return Ok(());
        }
        self.layer_done()
    }

    fn layer_done(&mut self) -> Result<(), Error> {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        session.current = None;
        session.layer += 1;
        self.step = Step::Layer;
        if session.layer == session.welcome.layers {
            if core::mem::take(&mut session.plan).finish() != session.welcome.plan {
                return Err(Error::PlanMismatch);
            }
            self.poly.zeroize();
            self.step = Step::Ready;
        }
        Ok(())
    }

    /// The window and what it works with.
    #[allow(clippy::type_complexity)]
    fn window(
        &mut self,
    ) -> Result<
        (
            &mut ClientWindow<CHUNKS, SUPPLY>,
            ClientContext<'_>,
            Rest<'_>,
        ),
        Error,
    > {
        let session = self.session.as_mut().ok_or(NOT_READY)?;
        let context = ClientContext {
            receiver: &session.receiver,
            sender: session.sender.as_ref().ok_or(NOT_READY)?,
            choices: &mut session.choices,
            scratch: &mut self.scratch,
        };
        let rest = Rest {
            current: session.current.as_mut().ok_or(NOT_READY)?,
            shares: &mut session.shares,
            tensor: session.layer + 1,
        };
        Ok((&mut session.window, context, rest))
    }
}

/// What gives new shares to a window's outputs.
struct Rest<'a> {
    current: &'a mut Current,
    shares: &'a mut SharePrf,
    tensor: TensorId,
}

impl<const CHUNKS: usize, const SUPPLY: usize> Drop for Client<CHUNKS, SUPPLY> {
    fn drop(&mut self) {
        self.erase();
    }
}

/// The part of the scratch that is a polynomial.
fn limb(scratch: &mut [u32; SCRATCH_WORDS]) -> &mut Poly {
    // The length is a constant above N.
    scratch.first_chunk_mut().unwrap_or_else(|| unreachable!())
}

/// The client's share mod t of a value: the image is its own share, all else is pseudo-random.
fn share(
    app: &mut impl App,
    shares: &mut SharePrf,
    tensor: TensorId,
    channel: usize,
    position: usize,
    side: usize,
) -> u32 {
    if tensor == 0 {
        T_MOD.from_i32(app.pixel(channel, position / side, position % side))
    } else {
        shares.value(tensor, channel as u16, position as u32)
    }
}

/// Whether a layer reads only what exists: earlier tensors, and the image in its shape.
fn check_reads(
    layer: &Layer,
    layout: &Layout,
    index: u16,
    welcome: &Welcome,
) -> Result<(), &'static str> {
    let image = (
        u16::from(welcome.input.channels),
        usize::from(welcome.input.side),
    );
    let side = usize::from(layer.in_side);
    if layer.input > index || layer.skip.is_some_and(|skip| skip.tensor > index) {
        return Err("it reads a tensor that does not exist yet");
    }
    if layer.input == 0 && (layer.in_channels, side) != image {
        return Err("it reads the image in another shape");
    }
    let reads_image = layer.skip.is_some_and(|skip| skip.tensor == 0);
    if reads_image && (layer.out_channels, layout.out_side) != image {
        return Err("it adds the image in another shape");
    }
    if layer.skip.is_some_and(|skip| skip.factor >= T) {
        return Err("its skip factor is not below t");
    }
    if layer.activation == Activation::Logits && layer.skip.is_some() {
        return Err("a residual sum of logits is not supported");
    }
    let last = index + 1 == welcome.layers;
    if last != (layer.activation == Activation::Logits) {
        return Err("logits come from the last layer, and only from it");
    }
    Ok(())
}
