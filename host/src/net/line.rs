//! A connection as the protocol sees it: frames, deadlines and byte counts.

use std::io::{self, BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stria_core::protocol::frame::{Frame, FrameBuf, ReadError, read_frame, write_frame};

use super::socket::{Socket, is_pause};

/// How often a waiting side looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a closing side listens on, so that its last frame is not lost.
const LINGER: Duration = Duration::from_secs(1);

/// A connection with buffers.
pub struct Line {
    reader: BufReader<Box<dyn Socket>>,
    writer: BufWriter<Box<dyn Socket>>,
    timeout: Duration,
    deadline: Instant,
    /// Set when this side should stop; looked at only between inferences.
    stop: Arc<AtomicBool>,
    stoppable: bool,
    received: u64,
    sent: u64,
    waited: Duration,
}

impl Line {
    /// Takes a connection. A peer that does not complete a frame in `timeout` is given up.
    pub fn new(
        socket: Box<dyn Socket>,
        timeout: Duration,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        socket.limit(GLANCE, timeout)?;
        Ok(Self {
            writer: BufWriter::with_capacity(1 << 16, socket.duplicate()?),
            reader: BufReader::with_capacity(1 << 16, socket),
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

    /// Reads one frame. If `stoppable`, a request to stop ends the wait.
    pub fn read_frame<'a>(
        &mut self,
        buffer: &'a mut FrameBuf,
        stoppable: bool,
    ) -> Result<Frame<'a>, ReadError<io::Error>> {
        self.stoppable = stoppable;
        let start = Instant::now();
        self.deadline = start + self.timeout;
        let frame = read_frame(self, buffer);
        self.waited += start.elapsed();
        frame
    }

    /// Buffers one frame.
    pub fn write_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let start = Instant::now();
        let result = write_frame(self, frame);
        self.waited += start.elapsed();
        result
    }

    /// Sends what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let result = self.writer.flush();
        self.waited += start.elapsed();
        result
    }

    /// Sends a last frame, and listens for a moment so that the peer gets it.
    pub fn close_with(mut self, frame: &[u8]) {
        // A peer that has stopped reading gets no second full wait.
        let _ = self.reader.get_ref().limit(GLANCE, LINGER);
        let sent = self.write_frame(frame).and_then(|()| self.flush());
        if sent.is_err() || self.reader.get_ref().end().is_err() {
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

impl embedded_io::ErrorType for Line {
    type Error = io::Error;
}

impl embedded_io::Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
}

impl embedded_io::Write for Line {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(buffer)?;
        self.sent += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
