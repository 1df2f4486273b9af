//! A session with a server, over any connection.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use stria_core::network::layer::MAX_SIDE;
use stria_core::protocol::activation::Phase;
use stria_core::protocol::frame::MAX_FRAME;
use stria_core::protocol::greeting::Welcome;
use stria_core::protocol::server::ServerShares;
use stria_core::protocol::ticket::Owner;
use stria_core::{DriveError, Error as ProtocolError, drive};
use zeroize::Zeroizing;

use super::super::entropy;
use super::super::error::SessionError;
use super::any::Kind;
use super::classification::Classification;
use super::mark::{Deadlines, Marked, Marks};
use super::options::ClientOptions;
use super::progress::{Watch, Watched};
use crate::model::Input;
use crate::report::{Inference, PhasePart};
use crate::transport::{self, FrameSocket, Socket, shape};

/// A session with a server whose set-up is done.
pub struct Connection {
    client: Kind,
    line: Option<FrameSocket>,
    classification: Classification,
    marks: Marks,
    setup_seconds: f64,
}

impl Connection {
    /// Connects to `address`, and sets a session up: `HOST:PORT`, `unix:PATH`, or `serial:NAME` where
    /// NAME is a serial port or `unix:PATH`.
    pub fn connect(address: &str, options: ClientOptions) -> Result<Self, SessionError> {
        let refused = |source| SessionError::Connect {
            address: address.into(),
            source,
        };
        let socket = transport::connect(address, options.baud, options.timeout).map_err(refused)?;
        Self::open(socket, options)
    }

    /// Sets a session up on a connection.
    pub fn open(socket: Box<dyn Socket>, options: ClientOptions) -> Result<Self, SessionError> {
        let start = Instant::now();
        let mut rng = entropy::session_rng("client")?;
        let mut session = Self::new(Kind::preparing(&options, &mut rng)?, socket, options)?;
        session.run()?;
        session.setup_seconds = start.elapsed().as_secs_f64();
        session.input()?;
        Ok(session)
    }

    fn new(
        client: Kind,
        socket: Box<dyn Socket>,
        options: ClientOptions,
    ) -> Result<Self, SessionError> {
        let socket = match options.pace {
            Some(pace) => shape(socket, pace)?,
            None => socket,
        };
        let never = Arc::new(AtomicBool::new(false));
        Ok(Self {
            client,
            line: Some(FrameSocket::new(socket, options.timeout, never)?),
            classification: Classification::default(),
            marks: Marks::default(),
            setup_seconds: 0.0,
        })
    }

    /// Connects to `address` to redeem tickets with [`Connection::redeem`]: nothing is exchanged yet.
    /// `options` are those of the tickets.
    pub fn redeeming(address: &str, options: ClientOptions) -> Result<Self, SessionError> {
        let refused = |source| SessionError::Connect {
            address: address.into(),
            source,
        };
        let start = Instant::now();
        let socket = transport::connect(address, options.baud, options.timeout).map_err(refused)?;
        let mut session = Self::new(Kind::redeeming(&options)?, socket, options)?;
        session.setup_seconds = start.elapsed().as_secs_f64();
        Ok(session)
    }

    /// Redeems a ticket, with which [`Connection::infer`] then has one image answered. As soon as the
    /// server has taken it, `spend` takes every copy of it away, for good; it says whether nobody else
    /// has done so before, since then this side must not use it.
    pub fn redeem(
        &mut self,
        ticket: &[u8],
        spend: impl FnOnce() -> std::io::Result<bool>,
    ) -> Result<(), SessionError> {
        let start = Instant::now();
        self.client.redeems()?.redeem(ticket)?;
        self.run()?;
        match spend() {
            Ok(true) => {}
            unspent => {
                // Nothing of it leaves.
                self.client.any_mut().close();
                unspent.map_err(SessionError::Spend)?;
                return Err(SessionError::Spent);
            }
        }
        self.setup_seconds += start.elapsed().as_secs_f64();
        self.begin(Phase::Prepare)
    }

    /// Begins to prepare so many tickets of this client together, at most as many as
    /// [`Welcome::batch`] says. [`Connection::ticket`] gives them.
    pub fn prepare_tickets(&mut self, owner: Owner, count: u16) -> Result<(), SessionError> {
        self.begin(Phase::Prepare)?;
        Ok(self.client.prepares()?.prepare_tickets(owner, count)?)
    }

    /// The next ticket of those that are prepared together, with what all so far took.
    pub fn ticket(&mut self) -> Result<(Zeroizing<Vec<u8>>, PhasePart), SessionError> {
        self.marks.goes_on();
        self.run()?;
        Ok((self.client.prepares()?.ticket()?, self.marks.prepare))
    }

    /// Exchanges frames until the client rests. After an error the session is dead.
    fn run(&mut self) -> Result<(), SessionError> {
        let line = self.line.as_mut().ok_or(SessionError::Closed)?;
        let mut party = Marked {
            client: self.client.any_mut(),
            app: &mut self.classification,
            marks: &mut self.marks,
        };
        // The line gathers what it sends.
        let result = drive(&mut party, line, &mut [0; MAX_FRAME], &mut Deadlines);
        if let (Err(error), Some(line)) = (&result, self.line.take_if(|_| result.is_err()))
            && let DriveError::Protocol(error) = error
            && !matches!(error, ProtocolError::Peer(_))
        {
            line.linger();
        }
        Ok(result?)
    }

    /// What the server told of its network.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.client.any().welcome()
    }

    /// Class names, in the order of the logits, if they were asked for.
    pub fn classes(&self) -> &[String] {
        &self.classification.classes
    }

    /// How a picture becomes the network's input.
    pub fn input(&self) -> Result<Input, SessionError> {
        input(self.welcome().ok_or(SessionError::Closed)?)
    }

    /// Tells where the inferences to come are, as it changes.
    pub fn watch(&mut self, watch: Watch) {
        let layers = self.welcome().map_or(0, |welcome| welcome.layers.into());
        self.marks.watched = Watched::new(watch, layers);
    }

    /// Prepares an inference, if none is prepared: no image is needed.
    pub fn prepare(&mut self) -> Result<(), SessionError> {
        if self.client.any().is_prepared() {
            return Ok(());
        }
        self.begin(Phase::Prepare)?;
        self.client.prepares()?.prepare()?;
        self.run()
    }

    fn begin(&mut self, phase: Phase) -> Result<(), SessionError> {
        let welcome = self.welcome().ok_or(SessionError::Closed)?;
        let layers = welcome.layers.into();
        self.marks.begin(phase, layers);
        Ok(())
    }

    /// Classifies one image, [channels, side, side], with the inference that is prepared, or with one
    /// that it prepares first.
    pub fn infer(&mut self, pixels: &[i32]) -> Result<Inference, SessionError> {
        let welcome = self.welcome().ok_or(SessionError::Closed)?;
        let side = usize::from(welcome.input.side);
        let classes = usize::from(welcome.classes);
        if pixels.len() != side * side * usize::from(welcome.input.channels) {
            return Err(SessionError::Image);
        }
        self.classification.pixels = pixels.to_vec();
        self.classification.side = side;
        self.classification.logits = vec![0; classes];
        self.classification.received = 0;
        self.begin(match self.client.any().is_prepared() {
            true => Phase::Answer,
            false => Phase::Prepare,
        })?;
        self.client.any_mut().start()?;
        self.run()?;
        if self.classification.received != classes {
            return Err(ProtocolError::Malformed("answer: not one logit a class").into());
        }
        let Marks {
            prepare,
            answer,
            layers,
            ..
        } = &mut self.marks;
        Ok(Inference {
            bytes_up: prepare.bytes_up + answer.bytes_up,
            bytes_down: prepare.bytes_down + answer.bytes_down,
            seconds: prepare.seconds + answer.seconds,
            prepare: *prepare,
            answer: *answer,
            logits: std::mem::take(&mut self.classification.logits),
            layers: std::mem::take(layers),
        })
    }

    /// Says goodbye.
    pub fn finish(mut self) -> Result<(), SessionError> {
        self.client.any_mut().finish()?;
        self.run()
    }

    /// Seconds from the connection to the end of the set-up.
    pub fn setup_seconds(&self) -> f64 {
        self.setup_seconds
    }

    /// Bytes of the set-up, both ways.
    pub fn setup_bytes(&self) -> u64 {
        self.marks.setup_bytes
    }

    /// Bytes of the client's whole state.
    pub fn state_bytes(&self) -> usize {
        self.client.any().bytes()
    }

    /// See [`ServerShares::open`].
    pub fn opened(&self, server: &ServerShares) -> Option<Vec<Vec<u32>>> {
        self.client.any().opened(server)
    }
}

/// How a picture becomes the input of the network that a server told of.
pub(super) fn input(welcome: &Welcome) -> Result<Input, SessionError> {
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
