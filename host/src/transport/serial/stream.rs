//! The stream of one connection over a line: a [`Socket`] like any other.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use stria_core::link::State;

use super::super::socket::Socket;
use super::line::Serial;
use super::shared::Shared;

/// How long the server's end of a connection may take, whose client may be gone.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the client's may take: its goodbye is worth some retransmissions.
const GOODBYE: Duration = Duration::from_secs(5);

impl Serial {
    /// The next client's connection, or [`ErrorKind::WouldBlock`].
    pub(crate) fn accept(&self) -> io::Result<Box<dyn Socket>> {
        let mut end = self.shared.lock();
        if !end.taken && end.link.is_called() {
            end.link.listen(self.shared.now());
            self.shared.changed.notify_all();
        }
        if end.taken || end.link.state() != State::Open {
            return Err(ErrorKind::WouldBlock.into());
        }
        end.taken = true;
        Ok(Box::new(SerialSocket(Arc::new(Connection {
            shared: self.shared.clone(),
            line: None,
        }))))
    }
}

/// Opens a connection to a server over a line. `name`: a serial port, or `unix:PATH`.
pub(in crate::transport) fn connect(
    name: &str,
    baud: u32,
    timeout: Duration,
) -> io::Result<Box<dyn Socket>> {
    let line = Serial::open(name, baud, false)?;
    let id = getrandom::u32().map_err(io::Error::other)?;
    let mut end = line.shared.lock();
    end.link.open(line.shared.now(), id);
    end.taken = true;
    drop(end);
    line.shared.changed.notify_all();
    let opened = line.shared.wait(timeout, |end| match end.link.state() {
        State::Opening => None,
        state => Some(state),
    });
    match opened {
        Some(State::Open) => {}
        Some(State::Failed(error)) => return Err(io::Error::other(error)),
        _ => return Err(ErrorKind::TimedOut.into()),
    }
    Ok(Box::new(SerialSocket(Arc::new(Connection {
        shared: line.shared.clone(),
        line: Some(line),
    }))))
}

/// The stream of one connection.
struct SerialSocket(Arc<Connection>);

/// A connection in use. Its end is the connection's.
struct Connection {
    shared: Arc<Shared>,
    /// The client's line, which ends with its connection.
    line: Option<Serial>,
}

impl Connection {
    /// Waits for a moment until the peer has everything, then closes.
    fn close(&self) {
        self.shared.lock().link.flush();
        self.shared.changed.notify_all();
        let limit = if self.line.is_some() {
            GOODBYE
        } else {
            FAREWELL
        };
        self.shared.wait(limit, |end| {
            let done = end.link.has_arrived() || !end.link.is_active();
            done.then_some(())
        });
        self.shared.lock().link.close();
        self.shared.changed.notify_all();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
        self.shared.lock().taken = false;
        drop(self.line.take());
    }
}

/// What a stream gives once its connection has ended.
fn ended(state: State) -> Option<io::Error> {
    match state {
        State::Failed(error) => Some(io::Error::other(error)),
        State::Closed => Some(ErrorKind::BrokenPipe.into()),
        _ => None,
    }
}

impl Read for SerialSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let shared = &self.0.shared;
        let limit = shared.lock().read_limit;
        let result = shared.wait(limit, |end| match end.link.recv(buffer) {
            0 if end.link.state() == State::Closed => Some(Ok(0)),
            0 => ended(end.link.state()).map(Err),
            count => Some(Ok(count)),
        });
        result.unwrap_or(Err(ErrorKind::TimedOut.into()))
    }
}

impl Write for SerialSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let shared = &self.0.shared;
        let limit = shared.lock().write_limit;
        let result = shared.wait(limit, |end| match end.link.send(bytes) {
            0 => ended(end.link.state()).map(Err),
            count => Some(Ok(count)),
        });
        result.unwrap_or(Err(ErrorKind::TimedOut.into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.shared.lock().link.flush();
        self.0.shared.changed.notify_all();
        Ok(())
    }
}

impl Socket for SerialSocket {
    fn duplicate(&self) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(Self(self.0.clone())))
    }

    fn limit(&self, read: Duration, write: Duration) -> io::Result<()> {
        let mut end = self.0.shared.lock();
        (end.read_limit, end.write_limit) = (read, write);
        Ok(())
    }

    fn end(&self) -> io::Result<()> {
        self.0.close();
        Ok(())
    }
}
