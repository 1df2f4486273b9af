//! Drivers: they carry a party's frames over a byte stream.
//! `docs/protocol.md`, sections "Frames" and "Ends of a session".
//!
//! The parties take turns. [`drive`] gathers the frames of a turn and writes them together, because
//! a write for each makes a TCP connection without `TCP_NODELAY` 20 times slower; then it reads
//! frames until the party has the word again.

#[cfg(feature = "async")]
mod asynchronous;
#[cfg(test)]
mod tests;

use core::ops::DerefMut;

use embedded_io::{ErrorKind, Read, ReadExactError, Write};

use crate::Error;
use crate::error::Usage;
use crate::protocol::client::{Application, Driven};
use crate::protocol::frame::{
    Frame, FrameBuf, HEADER, Kind, MAX_FRAME, payload_len, write_failure,
};
#[cfg(feature = "server")]
use crate::protocol::server::Server;

#[cfg(feature = "async")]
pub use asynchronous::{drive_async, read_frame_async};

/// A side of a session, without its line: the server, or a client together with its app. One that
/// wraps another sees every call, to measure it for example.
pub trait Party {
    /// Writes the next frame and gives its length; none while the peer's is awaited, or at rest.
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error>;
    /// Takes the peer's next frame.
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error>;
    /// Whether it awaits no frame, so that the driver returns: a client that is ready or closed or has a
    /// ticket, a server that is closed.
    fn rests(&self) -> bool;
    /// Ends the session without a goodbye, and erases its secrets.
    fn close(&mut self);
}

/// A client, borrowed or in a box, with its app.
impl<C, A> Party for (C, A)
where
    C: DerefMut<Target: Driven>,
    A: Application,
{
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        self.0.poll(&mut self.1, out)
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.0.handle(&mut self.1, frame)
    }
    fn rests(&self) -> bool {
        self.0.rests()
    }
    fn close(&mut self) {
        self.0.close();
    }
}

impl<A: Application + ?Sized> Application for &mut A {
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32 {
        (**self).pixel(channel, row, col)
    }
    fn label(&mut self, class: u16, name: &str) {
        (**self).label(class, name);
    }
    fn logit(&mut self, class: u16, value: i32) {
        (**self).logit(class, value);
    }
}

impl<P: Party + ?Sized> Party for &mut P {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        (**self).poll(out)
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        (**self).handle(frame)
    }
    fn rests(&self) -> bool {
        (**self).rests()
    }
    fn close(&mut self) {
        (**self).close();
    }
}

#[cfg(feature = "server")]
impl Party for Server {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        Self::poll(self, out)
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        Self::handle(self, frame)
    }
    fn rests(&self) -> bool {
        self.is_closed()
    }
    fn close(&mut self) {
        Self::close(self);
    }
}

/// Sees what a driver does with party `P` over stream `IO`. `()` looks away.
pub trait Observer<P: ?Sized, IO: ?Sized> {
    /// A frame of this side is to be sent, with the rest of its turn.
    fn sent(&mut self, _frame: Frame<'_>) {}
    /// A frame of the peer has come; the party takes it next.
    fn received(&mut self, _frame: Frame<'_>) {}
    /// All frames so far are on their way, and the next one of the peer is awaited: the moment to
    /// set a deadline.
    fn waits(&mut self, _party: &P, _io: &mut IO) {}
}

impl<P: ?Sized, IO: ?Sized> Observer<P, IO> for () {}

/// Why a session ended before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DriveError<E> {
    /// The peer closed the line.
    Closed,
    /// The line failed.
    Io(E),
    /// A party broke the protocol, or refused to go on.
    Protocol(Error),
}

impl<E> From<Error> for DriveError<E> {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for DriveError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Closed => f.write_str("the peer closed the line"),
            Self::Io(error) => write!(f, "the line failed: {error}"),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl<E: embedded_io::Error> core::error::Error for DriveError<E> {}

impl<E: embedded_io::Error> DriveError<E> {
    /// Whether the peer may have said something before it hung up.
    fn hung_up(&self) -> bool {
        use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        let gone = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected];
        matches!(self, Self::Io(error) if gone.contains(&error.kind()))
    }
}

impl<E> DriveError<E> {
    /// Writes what the peer is told of this error, if it can hear it and does not know it.
    fn last_frame(&self, buffer: &mut [u8]) -> Option<usize> {
        match self {
            Self::Closed | Self::Io(_) | Self::Protocol(Error::Peer(_)) => None,
            Self::Protocol(error) => Some(write_failure(one_frame(buffer).ok()?, error)),
        }
    }
}

/// Exchanges frames over `io` until the party rests.
///
/// `buffer` has room for one frame, [`MAX_FRAME`] bytes, or for more: then a turn goes out in fewer
/// writes. Reading takes two reads a frame, for which a stream with a cost by call has its own buffer.
///
/// After an error the party is closed. If the fault is not the peer's word or the line's, the peer
/// is told.
pub fn drive<P: Party + ?Sized, IO: Read + Write + ?Sized>(
    party: &mut P,
    io: &mut IO,
    buffer: &mut [u8],
    observer: &mut impl Observer<P, IO>,
) -> Result<(), DriveError<IO::Error>> {
    let mut result = exchange(party, io, buffer, observer);
    if result.is_err() {
        // Its secrets do not wait for the peer's last word.
        party.close();
    }
    if matches!(&result, Err(error) if error.hung_up()) {
        observer.waits(party, io);
        if let Ok(frame) = read_frame(io, one_frame(buffer)?)
            && frame.kind == Kind::Fail
        {
            observer.received(frame);
            result = Err(frame.unexpected().into());
        }
    }
    if let Err(error) = &result
        && let Some(len) = error.last_frame(buffer)
    {
        // This error counts, whether or not the peer hears of it.
        let _ = write(io, &buffer[..len]).and_then(|()| flush(io));
    }
    result
}

fn exchange<P: Party + ?Sized, IO: Read + Write + ?Sized>(
    party: &mut P,
    io: &mut IO,
    buffer: &mut [u8],
    observer: &mut impl Observer<P, IO>,
) -> Result<(), DriveError<IO::Error>> {
    loop {
        let (len, over) = gather(party, buffer, observer)?;
        write(io, &buffer[..len])?;
        if !over {
            continue;
        }
        flush(io)?;
        if party.rests() {
            return Ok(());
        }
        observer.waits(party, io);
        let frame = read_frame(io, one_frame(buffer)?)?;
        observer.received(frame);
        party.handle(frame)?;
    }
}

/// Gathers frames until the party's turn is over or another one might not fit. Gives their length,
/// and whether the turn is over.
fn gather<P: Party + ?Sized, IO: ?Sized>(
    party: &mut P,
    buffer: &mut [u8],
    observer: &mut impl Observer<P, IO>,
) -> Result<(usize, bool), Error> {
    one_frame(buffer)?;
    let mut len = 0;
    while let Ok(room) = one_frame(&mut buffer[len..]) {
        let Some(count) = party.poll(room)? else {
            return Ok((len, true));
        };
        observer.sent(Frame::new_checked(room.get(..count).unwrap_or_default())?);
        len += count;
    }
    Ok((len, false))
}

fn one_frame(buffer: &mut [u8]) -> Result<&mut FrameBuf, Error> {
    let room = buffer.first_chunk_mut::<MAX_FRAME>();
    room.ok_or(Error::Usage(Usage::Buffer))
}

/// Not `write_all`, which panics on a writer that takes nothing.
fn write<W: Write + ?Sized>(io: &mut W, mut bytes: &[u8]) -> Result<(), DriveError<W::Error>> {
    while !bytes.is_empty() {
        match io.write(bytes).map_err(DriveError::Io)? {
            0 => return Err(DriveError::Closed),
            count => bytes = bytes.get(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

fn flush<W: Write + ?Sized>(io: &mut W) -> Result<(), DriveError<W::Error>> {
    io.flush().map_err(DriveError::Io)
}

/// Reads one frame, for a loop of one's own.
pub fn read_frame<'a, R: Read + ?Sized>(
    io: &mut R,
    buffer: &'a mut FrameBuf,
) -> Result<Frame<'a>, DriveError<R::Error>> {
    let mut header = [0; HEADER];
    io.read_exact(&mut header).map_err(ended)?;
    let bytes = begin_frame(header, buffer)?;
    io.read_exact(&mut bytes[HEADER..]).map_err(ended)?;
    Ok(Frame::new_checked(bytes)?)
}

/// Room for the frame that a header begins.
fn begin_frame(header: [u8; HEADER], buffer: &mut FrameBuf) -> Result<&mut [u8], Error> {
    let len = payload_len(&header)?;
    buffer[..HEADER].copy_from_slice(&header);
    Ok(&mut buffer[..HEADER + len])
}

fn ended<E>(error: ReadExactError<E>) -> DriveError<E> {
    match error {
        ReadExactError::UnexpectedEof => DriveError::Closed,
        ReadExactError::Other(error) => DriveError::Io(error),
    }
}

/// Carries frames between two parties in one thread, without a line, until the client rests or neither
/// has one for the other. After an error of one party, the other is as it was.
pub fn loopback(
    client: &mut (impl Party + ?Sized),
    server: &mut (impl Party + ?Sized),
    buffer: &mut FrameBuf,
) -> Result<(), Error> {
    loop {
        let mut quiet = true;
        while let Some(len) = client.poll(buffer)? {
            server.handle(Frame::new_checked(&buffer[..len])?)?;
            quiet = false;
        }
        while !client.rests()
            && let Some(len) = server.poll(buffer)?
        {
            client.handle(Frame::new_checked(&buffer[..len])?)?;
            quiet = false;
        }
        if quiet {
            return Ok(());
        }
    }
}
