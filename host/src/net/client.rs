//! The client's side of a session over a line, with the small or the large window.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stria_core::network::layer::MAX_SIDE;
use stria_core::packing::Packing;
use stria_core::protocol::client::{App, Client, SlotClient, SmallClient};
use stria_core::protocol::frame::{Frame, FrameBuf, HEADER, Kind, MAX_FRAME, write_failure};
use stria_core::protocol::greeting::{Settings, Welcome};
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::server::ServerShares;

use super::serial::DEFAULT_BAUD;
use super::shape::{Pace, shape};
use super::socket::{self, Socket};
use super::{Line, ProtocolError, SessionError, entropy};
use crate::model::Input;

/// Chunks of [`SmallClient`] and of [`LargeClient`].
const SMALL_CHUNKS: usize = 1;
const LARGE_CHUNKS: usize = 256;
const _: fn(SmallClient) -> Client<SMALL_CHUNKS, 1> = |client| client;

/// Works on 14,336 activations at once: most layers of a small network.
pub type LargeClient = Client<LARGE_CHUNKS, 28>;
/// The same for networks in slot packing.
pub type LargeSlotClient = SlotClient<LARGE_CHUNKS, 28>;

/// Which client runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// The one that fits a microcontroller.
    Small,
    /// A desktop's.
    Large,
}

impl Window {
    /// Chunks of activations that it holds.
    pub fn chunks(self) -> usize {
        match self {
            Self::Small => SMALL_CHUNKS,
            Self::Large => LARGE_CHUNKS,
        }
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Window of activations.
    pub window: Window,
    /// The server's packing, as far as it makes another client: segment and coefficient packing
    /// have the same.
    pub packing: Packing,
    /// k_s and h.
    pub settings: Settings,
    /// How long the server may stay silent.
    pub timeout: Duration,
    /// Bits a second of a serial line.
    pub baud: u32,
    /// A link to send at the pace of, for measurements.
    pub pace: Option<Pace>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: Window::Large,
            packing: Packing::default(),
            settings: Settings {
                labels: true,
                ..Settings::default()
            },
            timeout: Duration::from_secs(120),
            baud: DEFAULT_BAUD,
            pace: None,
        }
    }
}

/// A client of either size.
trait AnyClient: Send {
    fn poll(
        &mut self,
        app: &mut Picture,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, SessionError>;
    fn handle(&mut self, app: &mut Picture, frame: Frame<'_>) -> Result<(), SessionError>;
    fn start(&mut self) -> Result<(), SessionError>;
    fn finish(&mut self) -> Result<(), SessionError>;
    fn rests(&self) -> bool;
    fn welcome(&self) -> Option<&Welcome>;
    fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>>;
    fn bytes(&self) -> usize;
}

impl<const CHUNKS: usize, const SUPPLY: usize, L> AnyClient for Client<CHUNKS, SUPPLY, L>
where
    L: ClientLinear + Send,
    L::Layout: Send,
    L::Upload: Send,
    L::Download: Send,
{
    fn poll(
        &mut self,
        app: &mut Picture,
        out: &mut FrameBuf,
    ) -> Result<Option<usize>, SessionError> {
        Ok(self.poll(app, out)?)
    }
    fn handle(&mut self, app: &mut Picture, frame: Frame<'_>) -> Result<(), SessionError> {
        Ok(self.handle(app, frame)?)
    }
    fn start(&mut self) -> Result<(), SessionError> {
        Ok(self.start()?)
    }
    fn finish(&mut self) -> Result<(), SessionError> {
        Ok(self.finish()?)
    }
    fn rests(&self) -> bool {
        self.is_ready() || self.is_closed()
    }
    fn welcome(&self) -> Option<&Welcome> {
        self.welcome()
    }
    fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>> {
        server.open(self)
    }
    fn bytes(&self) -> usize {
        size_of::<Self>()
    }
}

/// The image that is classified, and what comes back.
#[derive(Default)]
struct Picture {
    side: usize,
    /// [channels, rows, cols].
    pixels: Vec<i32>,
    /// One a class.
    logits: Vec<i32>,
    /// Logits that came.
    received: usize,
    classes: Vec<String>,
}

impl App for Picture {
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32 {
        let at = (channel * self.side + row) * self.side + col;
        self.pixels.get(at).copied().unwrap_or(0)
    }
    fn label(&mut self, _class: u16, name: &str) {
        // A name is shown on a terminal, which must not take orders from the server.
        self.classes
            .push(name.replace(char::is_control, "\u{fffd}"));
    }
    fn logit(&mut self, class: u16, value: i32) {
        self.received += 1;
        if let Some(logit) = self.logits.get_mut(usize::from(class)) {
            *logit = value;
        }
    }
}

/// What one inference gave and cost.
#[derive(Clone, Debug)]
pub struct Inference {
    /// Integer logits, by class.
    pub logits: Vec<i32>,
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// The layers' parts of bytes and seconds, in execution order.
    pub layers: Vec<Passed>,
}

/// What one layer of an inference cost, from its first frame to the next layer's; the first layer
/// has the frame that opens an inference.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Passed {
    /// Bytes to the server.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Of both, bytes of ciphertexts: of the layer's linear part.
    pub ciphertext_bytes: u64,
    /// Seconds.
    pub seconds: f64,
}

/// Bytes of a frame that is part of a ciphertext.
fn ciphertext(frame: Frame<'_>) -> u64 {
    match frame.kind {
        Kind::Seed | Kind::Limb | Kind::ResponseC1 | Kind::ResponseC0 => {
            (HEADER + frame.payload.len()) as u64
        }
        _ => 0,
    }
}

/// A session with a server whose set-up is done.
pub struct Session {
    client: Box<dyn AnyClient>,
    line: Option<Line>,
    picture: Picture,
    /// Where the layers of the inference under way began.
    marks: Vec<Mark>,
    /// Bytes of ciphertexts, both ways.
    ciphertexts: u64,
    setup_seconds: f64,
    setup_bytes: u64,
}

/// A moment of an inference.
#[derive(Clone, Copy)]
struct Mark {
    sent: u64,
    received: u64,
    ciphertexts: u64,
    at: Instant,
}

impl Mark {
    fn to(&self, next: &Self) -> Passed {
        Passed {
            bytes_up: next.sent - self.sent,
            bytes_down: next.received - self.received,
            ciphertext_bytes: next.ciphertexts - self.ciphertexts,
            seconds: (next.at - self.at).as_secs_f64(),
        }
    }
}

impl Session {
    /// Connects to `address`, and sets a session up: `HOST:PORT`, `unix:PATH`, or `serial:NAME` where
    /// NAME is a serial port or `unix:PATH`.
    pub fn connect(address: &str, options: Options) -> Result<Self, SessionError> {
        let refused = |source| SessionError::Connect {
            address: address.into(),
            source,
        };
        let socket = socket::connect(address, options.baud, options.timeout).map_err(refused)?;
        Self::open(socket, options)
    }

    /// Sets a session up on a connection.
    pub fn open(socket: Box<dyn Socket>, options: Options) -> Result<Self, SessionError> {
        let start = Instant::now();
        let socket = match options.pace {
            Some(pace) => shape(socket, pace)?,
            None => socket,
        };
        let mut rng = entropy::session_rng("client")?;
        let client: Box<dyn AnyClient> = match (options.window, options.packing) {
            (Window::Small, Packing::Slot) => return Err(SessionError::NoRoom),
            (Window::Small, _) => Box::new(SmallClient::new(options.settings, &mut rng)),
            (Window::Large, Packing::Slot) => {
                Box::new(LargeSlotClient::new(options.settings, &mut rng))
            }
            (Window::Large, _) => Box::new(LargeClient::new(options.settings, &mut rng)),
        };
        let never = Arc::new(AtomicBool::new(false));
        let mut session = Self {
            client,
            line: Some(Line::new(socket, options.timeout, never)?),
            picture: Picture::default(),
            marks: Vec::new(),
            ciphertexts: 0,
            setup_seconds: 0.0,
            setup_bytes: 0,
        };
        session.run()?;
        session.setup_seconds = start.elapsed().as_secs_f64();
        let end = session.mark();
        session.setup_bytes = end.sent + end.received;
        session.input()?;
        Ok(session)
    }

    fn mark(&self) -> Mark {
        let line = self.line.as_ref();
        Mark {
            sent: line.map_or(0, Line::sent),
            received: line.map_or(0, Line::received),
            ciphertexts: self.ciphertexts,
            at: Instant::now(),
        }
    }

    /// Exchanges frames until the client rests. After an error the session is dead.
    fn run(&mut self) -> Result<(), SessionError> {
        let result = self.exchange();
        if let (Err(error), Some(line)) = (&result, self.line.take_if(|_| result.is_err())) {
            let mut buffer = [0; MAX_FRAME];
            match error {
                SessionError::Protocol(ProtocolError::Peer(_)) | SessionError::Closed => {}
                SessionError::Protocol(error) => {
                    let len = write_failure(&mut buffer, error);
                    line.close_with(&buffer[..len]);
                }
                _ => {}
            }
        }
        result
    }

    fn exchange(&mut self) -> Result<(), SessionError> {
        let line = self.line.as_mut().ok_or(SessionError::Closed)?;
        let (client, picture) = (&mut self.client, &mut self.picture);
        let mut buffer = [0; MAX_FRAME];
        loop {
            let sent = loop {
                match client.poll(picture, &mut buffer)? {
                    None => break line.flush(),
                    Some(len) => {
                        self.ciphertexts += ciphertext(Frame::new_checked(&buffer[..len])?);
                        if let Err(error) = line.write_frame(&buffer[..len]) {
                            break Err(error);
                        }
                    }
                }
            };
            if sent.is_ok() && client.rests() {
                return Ok(());
            }
            // If the server hung up, it may have said why.
            let received = line.received();
            let frame = match (sent, line.read_frame(&mut buffer, false)) {
                (Err(error), Err(_)) => return Err(error.into()),
                (_, frame) => frame?,
            };
            if frame.kind == Kind::Layer {
                self.marks.push(Mark {
                    sent: line.sent(),
                    received,
                    ciphertexts: self.ciphertexts,
                    at: Instant::now(),
                });
            }
            self.ciphertexts += ciphertext(frame);
            client.handle(picture, frame)?;
        }
    }

    /// What the server told of its network.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.client.welcome()
    }

    /// Class names, in the order of the logits, if they were asked for.
    pub fn classes(&self) -> &[String] {
        &self.picture.classes
    }

    /// How a picture becomes the network's input.
    pub fn input(&self) -> Result<Input, SessionError> {
        let welcome = self.welcome().ok_or(SessionError::Closed)?;
        let spec = &welcome.input;
        let channels = usize::from(spec.channels);
        let (mean, std) = (&spec.mean[..channels], &spec.std[..channels]);
        if !matches!(channels, 1 | 3) {
            return Err(SessionError::Input("neither grey nor RGB"));
        }
        if spec.side > spec.resize || spec.resize > MAX_SIDE {
            return Err(SessionError::Input("a crop larger than the picture"));
        }
        let finite = mean.iter().chain(std).all(|x| x.is_finite()) && spec.scale.is_finite();
        if !finite || std.iter().any(|&x| x <= 0.0) {
            return Err(SessionError::Input("constants that are not numbers"));
        }
        Ok(Input {
            channels,
            side: spec.side.into(),
            resize: spec.resize.into(),
            mean: mean.to_vec(),
            std: std.to_vec(),
            scale: spec.scale,
        })
    }

    /// Classifies one image, [channels, side, side].
    pub fn infer(&mut self, pixels: &[i32]) -> Result<Inference, SessionError> {
        let start = self.mark();
        let welcome = self.welcome().ok_or(SessionError::Closed)?;
        let side = usize::from(welcome.input.side);
        let classes = usize::from(welcome.classes);
        if pixels.len() != side * side * usize::from(welcome.input.channels) {
            return Err(SessionError::Image);
        }
        self.picture.pixels = pixels.to_vec();
        self.picture.side = side;
        self.picture.logits = vec![0; classes];
        self.picture.received = 0;
        self.marks.clear();
        self.client.start()?;
        self.run()?;
        if self.picture.received != classes {
            return Err(ProtocolError::Malformed("answer: not one logit a class").into());
        }
        let end = self.mark();
        // The first layer begins with the inference.
        if let Some(first) = self.marks.first_mut() {
            *first = start;
        }
        self.marks.push(end);
        let layers = self.marks.windows(2).map(|pair| pair[0].to(&pair[1]));
        let layers = layers.collect();
        let all = start.to(&end);
        Ok(Inference {
            logits: std::mem::take(&mut self.picture.logits),
            bytes_up: all.bytes_up,
            bytes_down: all.bytes_down,
            seconds: all.seconds,
            layers,
        })
    }

    /// Says goodbye.
    pub fn finish(mut self) -> Result<(), SessionError> {
        self.client.finish()?;
        self.run()
    }

    /// Seconds from the connection to the end of the set-up.
    pub fn setup_seconds(&self) -> f64 {
        self.setup_seconds
    }

    /// Bytes of the set-up, both ways.
    pub fn setup_bytes(&self) -> u64 {
        self.setup_bytes
    }

    /// Bytes of the client's whole state.
    pub fn state_bytes(&self) -> usize {
        self.client.bytes()
    }

    /// See [`ServerShares::open`].
    pub fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>> {
        self.client.opened(server)
    }
}
