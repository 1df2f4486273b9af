//! One session over a line: set-up, one inference, goodbye.

use core::fmt;

use embedded_io::{Read, Write};
use rand_core::CryptoRng;
use stria_core::Error;
use stria_core::protocol::client::SmallClient;
use stria_core::protocol::frame::{Frame, FrameBuf, Kind, MAX_FRAME, ReadError};
use stria_core::protocol::frame::{read_frame, write_frame};
use stria_core::protocol::greeting::Settings;

use crate::meter::Meter;
use crate::picture::Picture;

/// k_s = 2: the fewest instructions an activation; the traffic is twice that of k_s = 4.
const SETTINGS: Settings = Settings {
    k_s: 2,
    h: 8,
    labels: false,
};

/// Why a session ended before its time.
pub enum Failure<E> {
    /// The line failed.
    Line(E),
    /// The server closed the line.
    Closed,
    /// A party broke the protocol.
    Protocol(Error),
    /// The server's network takes another kind of picture.
    Picture,
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(error) => error.fmt(f),
            Self::Closed => f.write_str("the server closed the line"),
            Self::Protocol(error) => error.fmt(f),
            Self::Picture => f.write_str("the network takes another kind of picture"),
        }
    }
}

impl<E> From<Error> for Failure<E> {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl<E> From<ReadError<E>> for Failure<E> {
    fn from(error: ReadError<E>) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            ReadError::Io(error) => Self::Line(error),
            ReadError::Protocol(error) => Self::Protocol(error),
        }
    }
}

/// A session: the client, its line, and a frame's buffer.
pub struct Session<'a, L> {
    client: &'a mut SmallClient,
    line: &'a mut L,
    meter: &'a mut Meter,
    buffer: FrameBuf,
}

impl<'a, L: Read + Write> Session<'a, L> {
    /// A session that has not begun.
    pub fn new(client: &'a mut SmallClient, line: &'a mut L, meter: &'a mut Meter) -> Self {
        Self {
            client,
            line,
            meter,
            buffer: [0; MAX_FRAME],
        }
    }

    /// Runs the session; afterwards the picture has its logits. The client's secrets are erased
    /// however it ends.
    pub fn classify(
        &mut self,
        picture: &mut Picture,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Failure<L::Error>> {
        self.client.open(SETTINGS, rng);
        let result = self.run(picture);
        if result.is_err() {
            self.client.close();
        }
        result
    }

    fn run(&mut self, picture: &mut Picture) -> Result<(), Failure<L::Error>> {
        self.until_ready(picture)?;
        let welcome = self.client.welcome();
        if !welcome.is_some_and(|welcome| picture.fit(welcome)) {
            return Err(Failure::Picture);
        }
        self.client.start()?;
        self.until_ready(picture)?;
        self.client.finish()?;
        self.send(picture)
    }

    /// Exchanges frames until the client has nothing to do.
    fn until_ready(&mut self, picture: &mut Picture) -> Result<(), Failure<L::Error>> {
        loop {
            self.send(picture)?;
            if self.client.is_ready() {
                return Ok(());
            }
            let frame = read_frame(self.line, &mut self.buffer)?;
            let (client, kind) = (&mut *self.client, frame.kind);
            let len = frame.payload.len();
            self.meter
                .measure(|| (client.handle(picture, frame), Some((kind, len))))?;
        }
    }

    /// Sends all frames that the client has.
    fn send(&mut self, picture: &mut Picture) -> Result<(), Failure<L::Error>> {
        loop {
            let (client, buffer) = (&mut *self.client, &mut self.buffer);
            let len = self.meter.measure(|| {
                let len = client.poll(picture, buffer);
                let frame = match len {
                    Ok(Some(len)) => Frame::new_checked(&buffer[..len]).ok(),
                    _ => None,
                };
                (len, frame.map(|frame| (frame.kind, frame.payload.len())))
            })?;
            let Some(len) = len else {
                return self.line.flush().map_err(Failure::Line);
            };
            write_frame(self.line, &self.buffer[..len]).map_err(Failure::Line)?;
        }
    }
}

/// A frame's kind and payload bytes.
pub type Seen = Option<(Kind, usize)>;
