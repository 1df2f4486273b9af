//! A link over a line, as a blocking `embedded-io` stream.

use super::machine::{Link, LinkError, State};
use super::timer::Timing;
use embedded_io::{ErrorKind, ErrorType, Read, Write};

/// What a board or an operating system gives: bytes that come and go without waiting, and a clock.
///
/// A serial port of `std` with a short read time-out is one (`wait` does nothing: `read` waits):
///
/// ```
/// use std::io::{ErrorKind, Read, Result, Write};
///
/// struct Port<P> {
///     port: P,
///     start: std::time::Instant,
/// }
///
/// impl<P: Read + Write> stria_core::link::Line for Port<P> {
///     type Error = std::io::Error;
///     fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
///         match self.port.read(buffer) {
///             Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
///             Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => Ok(0),
///             other => other,
///         }
///     }
///     fn write(&mut self, bytes: &[u8]) -> Result<usize> {
///         self.port.write(bytes)
///     }
///     fn now(&mut self) -> u64 {
///         self.start.elapsed().as_millis() as u64
///     }
/// }
/// ```
pub trait Line {
    /// Why the line itself fails, or why the wait must end.
    type Error: embedded_io::Error;

    /// Gives bytes that have come, 0 if none are there.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error>;

    /// Takes as many bytes as there is room for, possibly 0.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error>;

    /// Milliseconds since some fixed moment.
    fn now(&mut self) -> u64;

    /// May sleep until a byte comes, there is room for one, or `until` is reached. An error here
    /// ends a blocked call; the next call goes on.
    fn wait(&mut self, until: Option<u64>) -> Result<(), Self::Error> {
        let _ = until;
        Ok(())
    }
}

/// Why a stream has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoError<E> {
    /// The line itself has failed.
    Line(E),
    /// The connection has failed.
    Link(LinkError),
    /// There is no connection.
    NotConnected,
}

impl<E: core::fmt::Display> core::fmt::Display for IoError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Line(error) => error.fmt(f),
            Self::Link(error) => error.fmt(f),
            Self::NotConnected => f.write_str("the link is not connected"),
        }
    }
}

impl<E: embedded_io::Error> core::error::Error for IoError<E> {}

impl<E: embedded_io::Error> embedded_io::Error for IoError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Line(error) => error.kind(),
            Self::Link(LinkError::Dead) => ErrorKind::TimedOut,
            Self::Link(LinkError::Refused) => ErrorKind::ConnectionRefused,
            Self::Link(LinkError::Reset | LinkError::Reopened) => ErrorKind::ConnectionReset,
            Self::NotConnected => ErrorKind::NotConnected,
        }
    }
}

/// A [`Link`] on a [`Line`].
pub struct LinkIo<L, const MTU: usize, const WINDOW: usize> {
    link: Link<MTU, WINDOW>,
    line: L,
    /// The packet that is being written.
    packet: [u8; MTU],
    /// What is left of it.
    start: usize,
    end: usize,
    /// Milliseconds that the last packet may take.
    farewell: u32,
}

impl<L: Line, const MTU: usize, const WINDOW: usize> LinkIo<L, MTU, WINDOW> {
    /// A link without a connection.
    pub fn new(line: L, timing: Timing) -> Self {
        Self {
            link: Link::new(timing),
            line,
            packet: [0; MTU],
            start: 0,
            end: 0,
            farewell: timing.max,
        }
    }

    /// What the link is doing.
    pub fn state(&self) -> State {
        self.link.state()
    }

    /// The line below.
    pub fn line_mut(&mut self) -> &mut L {
        &mut self.line
    }

    /// Client: opens a connection. `id` must be random.
    pub fn connect(&mut self, id: u32) -> Result<(), IoError<L::Error>> {
        let now = self.line.now();
        self.link.open(now, id);
        self.until(|link| link.state() != State::Opening)
    }

    /// Server: waits for a connection, or takes the one that the client has opened in the meantime.
    pub fn accept(&mut self) -> Result<(), IoError<L::Error>> {
        let now = self.line.now();
        self.link.listen(now);
        self.until(|link| link.state() != State::Listening)
    }

    /// Waits until the peer has everything, and ends the connection.
    pub fn close(&mut self) -> Result<(), IoError<L::Error>> {
        self.link.flush();
        match self.until(|link| link.has_arrived() || !link.is_active()) {
            // The peer was faster.
            Err(IoError::NotConnected) => return Ok(()),
            other => other?,
        }
        self.link.close();
        // A closed link has no timer, and a line may take nothing any more.
        let deadline = self.line.now() + u64::from(self.farewell);
        while self.line.now() < deadline {
            let busy = self.pump()?;
            if self.start == self.end {
                break;
            }
            if !busy {
                self.line.wait(Some(deadline)).map_err(IoError::Line)?;
            }
        }
        Ok(())
    }

    /// Moves bytes between link and line without waiting; true if there were any. A long computation
    /// that calls it now and then keeps the connection fast, and alive.
    pub fn pump(&mut self) -> Result<bool, IoError<L::Error>> {
        let came = self.pull()?;
        Ok(self.push()? || came)
    }

    fn pull(&mut self) -> Result<bool, IoError<L::Error>> {
        let mut buffer = [0; 64];
        let count = self.line.read(&mut buffer).map_err(IoError::Line)?;
        let now = self.line.now();
        self.link
            .receive(now, buffer.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    fn push(&mut self) -> Result<bool, IoError<L::Error>> {
        let mut went = false;
        loop {
            if self.start == self.end {
                let now = self.line.now();
                let Some(len) = self.link.poll_transmit(now, &mut self.packet) else {
                    return Ok(went);
                };
                (self.start, self.end) = (0, len);
            }
            let rest = &self.packet[self.start..self.end];
            let count = self.line.write(rest).map_err(IoError::Line)?;
            if count == 0 {
                // A line that takes nothing any more is as dead as one that gives nothing.
                let now = self.line.now();
                self.link.expire(now);
                return Ok(went);
            }
            self.start = self.end.min(self.start + count);
            went = true;
        }
    }

    /// Waits for something to do, after a turn in which nothing was done.
    fn wait(&mut self) -> Result<(), IoError<L::Error>> {
        let until = self.link.next_deadline();
        self.line.wait(until).map_err(IoError::Line)
    }

    /// The error that ends a wait for the peer.
    fn check(&self) -> Result<(), IoError<L::Error>> {
        match self.link.state() {
            State::Failed(error) => Err(IoError::Link(error)),
            State::Closed => Err(IoError::NotConnected),
            _ => Ok(()),
        }
    }

    fn until(
        &mut self,
        done: impl Fn(&Link<MTU, WINDOW>) -> bool,
    ) -> Result<(), IoError<L::Error>> {
        loop {
            let busy = self.pump()?;
            if done(&self.link) {
                self.push()?;
                return self.check();
            }
            if !busy {
                self.wait()?;
            }
        }
    }
}

impl<L: Line, const MTU: usize, const WINDOW: usize> ErrorType for LinkIo<L, MTU, WINDOW> {
    type Error = IoError<L::Error>;
}

impl<L: Line, const MTU: usize, const WINDOW: usize> Read for LinkIo<L, MTU, WINDOW> {
    /// Sends what is left to send, and waits for at least one byte; 0 after the peer's close.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.link.flush();
        loop {
            // In this order one packet acknowledges what came, and that it was read.
            let came = self.pull()?;
            let count = self.link.recv(buffer);
            let went = self.push()?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            match self.check() {
                Err(IoError::NotConnected) => return Ok(0),
                other => other?,
            }
            if !came && !went {
                self.wait()?;
            }
        }
    }
}

impl<L: Line, const MTU: usize, const WINDOW: usize> Write for LinkIo<L, MTU, WINDOW> {
    /// Waits only while the window is full.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        loop {
            self.check()?;
            let count = self.link.send(bytes);
            let busy = self.pump()?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            if !busy {
                self.wait()?;
            }
        }
    }

    /// Waits until everything is on the line once; [`Read::read`] and later writes repeat what gets
    /// lost. [`LinkIo::close`] waits until everything has arrived.
    fn flush(&mut self) -> Result<(), Self::Error> {
        self.link.flush();
        loop {
            let busy = self.pump()?;
            if let State::Failed(error) = self.link.state() {
                return Err(IoError::Link(error));
            }
            let sent = self.link.is_sent() || !self.link.is_active();
            if sent && self.start == self.end {
                return Ok(());
            }
            if !busy {
                self.wait()?;
            }
        }
    }
}
