//! Serial lines. A line runs the link layer (`stria_core::link`) in threads of its own, so that the
//! peer gets its acknowledgements while this side computes; the stream on top is a [`Socket`] like any
//! other, for one session at a time.

mod port;

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use stria_core::link::{Link, State, Timing};

use super::socket::{Socket, is_pause};
use port::{GLANCE, Port, Reader, Writer};

/// Bits a second where nothing else is said.
pub const DEFAULT_BAUD: u32 = 115_200;

/// Bytes of the longest packet; a device's own limit may be lower, and counts.
const MTU: usize = 1024;
/// Packets under way at once.
const WINDOW: usize = 16;
/// A device that computes does not answer for a tenth of a second: nothing is sent again before.
const TIMING: Timing = Timing {
    min: 250,
    ..Timing::DEFAULT
};
/// How long to wait before a port that went away is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long the server's end of a connection may take, whose client may be gone.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the client's may take: its goodbye is worth some retransmissions.
const GOODBYE: Duration = Duration::from_secs(5);

/// What the threads of a line share.
struct Shared {
    start: Instant,
    end: Mutex<End>,
    /// Something in `end` has changed.
    changed: Condvar,
}

/// This end of the line.
struct End {
    link: Link<MTU, WINDOW>,
    /// The port to write to, put here by the thread that opened it.
    writer: Option<Writer>,
    /// Reading or writing has failed. The port is opened again once neither thread holds it: until
    /// then the system may keep its name for it.
    lost: bool,
    /// The sender has let go of a lost port.
    released: bool,
    /// A session uses the connection.
    taken: bool,
    /// The line is given up.
    stopped: bool,
    read_limit: Duration,
    write_limit: Duration,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, End> {
        // A panic elsewhere cannot leave it half changed: the link never panics.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Waits until `done` gives something; the last look decides.
    fn wait<R>(&self, limit: Duration, mut done: impl FnMut(&mut End) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + limit;
        let mut end = self.lock();
        loop {
            if let Some(result) = done(&mut end) {
                self.changed.notify_all();
                return Some(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(end, left);
            end = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// One end of a serial line. Dropping it ends the line's threads.
pub struct Serial {
    name: String,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Serial {
    fn open(name: &str, baud: u32, answer: bool) -> io::Result<Self> {
        let port = Port::new(name, baud, answer)?;
        // What cannot be opened at all is an error now; what goes away later may come back.
        let halves = port.open()?;
        let shared = Arc::new(Shared {
            start: Instant::now(),
            end: Mutex::new(End {
                link: Link::new(TIMING),
                writer: None,
                lost: false,
                released: true,
                taken: false,
                stopped: false,
                read_limit: GLANCE,
                write_limit: GLANCE,
            }),
            changed: Condvar::new(),
        });
        let spawn = |work: Box<dyn FnOnce() + Send>| thread::Builder::new().spawn(work);
        let mut serial = Self {
            name: name.into(),
            shared: shared.clone(),
            threads: Vec::new(),
        };
        let (receiver, sender) = (shared.clone(), shared);
        let label = serial.name.clone();
        let receive = move || receive(&receiver, &port, halves, &label);
        serial.threads.push(spawn(Box::new(receive))?);
        serial.threads.push(spawn(Box::new(move || send(&sender)))?);
        Ok(serial)
    }

    /// Waits on a line for clients. `name`: a serial port, or `unix:PATH`, a socket whose every
    /// connection in turn is the line.
    pub fn listen(name: &str, baud: u32) -> io::Result<Self> {
        let serial = Self::open(name, baud, true)?;
        serial.shared.lock().link.listen(serial.shared.now());
        Ok(serial)
    }

    /// Where the line is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next client's connection, or [`ErrorKind::WouldBlock`].
    pub(super) fn accept(&self) -> io::Result<Box<dyn Socket>> {
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

impl Drop for Serial {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // They do not panic; if one did, the line is at its end all the same.
            let _ = thread.join();
        }
    }
}

/// Opens a connection to a server over a line. `name`: a serial port, or `unix:PATH`.
pub(super) fn connect(name: &str, baud: u32, timeout: Duration) -> io::Result<Box<dyn Socket>> {
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

/// Takes what comes, until the line is given up; opens the port again where it went away.
fn receive(shared: &Shared, port: &Port, mut halves: Option<(Reader, Writer)>, name: &str) {
    let mut told = false;
    loop {
        if let Some((reader, writer)) = halves.take() {
            if std::mem::take(&mut told) {
                tracing::info!(line = name, "the line is back");
            }
            let mut end = shared.lock();
            (end.writer, end.lost, end.released) = (Some(writer), false, false);
            drop(end);
            shared.changed.notify_all();
            receive_from(shared, reader);
            let mut end = shared.lock();
            (end.writer, end.lost) = (None, true);
            drop(end);
            shared.changed.notify_all();
        }
        let end = shared.lock();
        if end.stopped {
            return;
        }
        let waited = shared.changed.wait_timeout(end, RETRY);
        let end = waited.unwrap_or_else(PoisonError::into_inner).0;
        if end.stopped {
            return;
        }
        if !end.released {
            continue;
        }
        drop(end);
        match port.open() {
            Ok(opened) => halves = opened,
            Err(error) if !told => {
                tracing::warn!(line = name, %error, "the line is gone");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Takes what comes, until the port fails or the line is given up.
fn receive_from(shared: &Shared, mut reader: Reader) {
    let mut buffer = [0; 4096];
    loop {
        let count = match reader.read(&mut buffer) {
            Err(error) if is_pause(&error) => 0,
            Ok(count @ 1..) => count,
            // Unplugged, or the emulator has ended.
            Ok(0) | Err(_) => return,
        };
        let mut end = shared.lock();
        if end.stopped || end.lost {
            return;
        }
        if count > 0 {
            end.link.receive(shared.now(), &buffer[..count]);
            shared.changed.notify_all();
        }
    }
}

/// Sends what is due, until the line is given up.
fn send(shared: &Shared) {
    let mut packet = [0; MTU];
    let mut port = None;
    let mut end = shared.lock();
    loop {
        if end.lost {
            port = None;
            end.released = true;
        } else {
            port = end.writer.take().or(port);
        }
        let now = shared.now();
        let before = end.link.state();
        let due = end.link.poll_transmit(now, &mut packet);
        if end.link.state() != before {
            // The peer is dead: somebody may wait for it.
            shared.changed.notify_all();
        }
        let Some(len) = due else {
            if end.stopped {
                return;
            }
            let until = end.link.next_deadline();
            let limit = until.map_or(RETRY, |until| {
                Duration::from_millis(until.saturating_sub(now)).min(RETRY)
            });
            let waited = shared.changed.wait_timeout(end, limit);
            end = waited.unwrap_or_else(PoisonError::into_inner).0;
            continue;
        };
        drop(end);
        // What cannot be written is lost, as on any bad line; the link sends it again.
        let failed = port
            .as_mut()
            .is_some_and(|port| write_all(shared, port, &packet[..len]).is_err());
        end = shared.lock();
        end.lost |= failed;
    }
}

fn write_all(shared: &Shared, port: &mut Writer, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match port.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_pause(&error) => {
                let end = shared.lock();
                if end.stopped || end.lost {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
