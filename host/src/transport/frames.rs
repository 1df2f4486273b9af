//! A connection as the protocol sees it: frames, deadlines and byte counts.

use std::io::{self, BufReader, ErrorKind, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stria_core::protocol::frame::MAX_FRAME;

use super::socket::{Socket, is_pause};

/// How often a waiting side looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a closing side listens on, so that its last frame is not lost.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are gathered before they are sent, if nobody waits for them.
const GATHER: usize = 1 << 16;

/// A connection with buffers.
pub struct FrameSocket {
    reader: BufReader<Box<dyn Socket>>,
    writer: Box<dyn Socket>,
    /// What was not sent yet.
    out: Vec<u8>,
    timeout: Duration,
    deadline: Instant,
    /// Set when this side should stop; looked at only between inferences.
    stop: Arc<AtomicBool>,
    stoppable: bool,
    received: u64,
    sent: u64,
    waited: Duration,
}

impl FrameSocket {
    /// Takes a connection. A peer that does not complete a frame in `timeout`, or does not take as
    /// much as one, is given up.
    pub fn new(
        socket: Box<dyn Socket>,
        timeout: Duration,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        socket.limit(GLANCE, GLANCE)?;
        Ok(Self {
            writer: socket.duplicate()?,
            out: Vec::with_capacity(GATHER),
            reader: BufReader::with_capacity(GATHER, socket),
            timeout,
            deadline: Instant::now() + timeout,
            stop,
            stoppable: false,
            received: 0,
            sent: 0,
            waited: Duration::ZERO,
        })
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Time spent in reading and writing so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Gives the peer the full time for its next frame. If `stoppable`, a request to stop ends the
    /// wait for it.
    pub fn await_frame(&mut self, stoppable: bool) {
        self.stoppable = stoppable;
        self.deadline = Instant::now() + self.timeout;
    }

    fn send(&mut self) -> io::Result<()> {
        // A slow line may take long for all, but not for as much as a frame.
        let (mut done, mut goal) = (0, MAX_FRAME);
        let mut deadline = Instant::now() + self.timeout;
        let result = loop {
            let rest = &self.out[done..];
            if rest.is_empty() {
                break self.writer.flush();
            }
            if done >= goal {
                goal = done + MAX_FRAME;
                deadline = Instant::now() + self.timeout;
            } else if Instant::now() >= deadline {
                break Err(ErrorKind::TimedOut.into());
            }
            match self.writer.write(rest) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if is_pause(&error) => {}
                Err(error) => break Err(error),
            }
        };
        self.sent += done as u64;
        self.out.drain(..done);
        result
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            // Before every read: neither a peer that sends a byte now and then nor one that
            // always has another request may keep this side for ever.
            if self.stoppable && self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::new(ErrorKind::Interrupted, "asked to stop"));
            }
            if Instant::now() >= self.deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            match self.reader.read(buffer) {
                Ok(count) => {
                    self.received += count as u64;
                    return Ok(count);
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a last frame, and listens for a moment so that the peer gets it.
    pub fn close_with(mut self, frame: &[u8]) {
        use embedded_io::Write;
        // A peer that has stopped reading gets no second full wait.
        self.timeout = LINGER;
        if self.write(frame).and_then(|_| self.flush()).is_ok() {
            self.linger();
        }
    }

    /// Sends nothing more, and listens for a moment so that the peer gets what was sent last.
    pub fn linger(mut self) {
        if self.reader.get_ref().end().is_err() {
            return;
        }
        let deadline = Instant::now() + LINGER;
        let mut sink = [0; 4096];
        while Instant::now() < deadline {
            match self.reader.get_mut().read(&mut sink) {
                Ok(1..) => {}
                Err(error) if is_pause(&error) => {}
                _ => return,
            }
        }
    }
}

impl embedded_io::ErrorType for FrameSocket {
    type Error = io::Error;
}

impl embedded_io::Read for FrameSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let start = Instant::now();
        let result = self.receive(buffer);
        self.waited += start.elapsed();
        result
    }
}

impl embedded_io::Write for FrameSocket {
    /// Gathers bytes until there are too many, or they are flushed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() > GATHER {
            self.flush()?;
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let result = self.send();
        self.waited += start.elapsed();
        result
    }
}
