//! The server's side of the line: a session at a time over a local socket.

use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use stria_core::protocol::frame::{MAX_FRAME, read_frame, write_frame};
use stria_core::protocol::network::Network;
use stria_core::protocol::server::{Budget, Server};
use stria_host::net::{SessionError, entropy};

/// How long a firmware may stay silent.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Where the machine connects to.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    stopped: AtomicBool,
}

impl Listener {
    /// Listens on a new socket.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: UnixListener::bind(path)?,
            path: path.into(),
            stopped: AtomicBool::new(false),
        })
    }

    /// Ends the server once its session has ended.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts; if it is gone already, there is nobody to wake.
        let _ = UnixStream::connect(&self.path);
    }
}

/// The session that ended well, or the last.
#[derive(Default)]
pub struct Served {
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// Seconds in which the server was at work.
    pub seconds_at_work: f64,
    /// Why the sessions before this one ended.
    pub errors: Vec<String>,
}

/// A connection with buffers and counts.
struct Line {
    reader: BufReader<UnixStream>,
    writer: BufWriter<UnixStream>,
    received: u64,
    sent: u64,
}

impl embedded_io::ErrorType for Line {
    type Error = io::Error;
}

impl embedded_io::Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.received += count as u64;
        Ok(count)
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

/// Serves one session after the other until told to stop. `cut` pulls the line out of the first
/// after so many frames.
pub fn serve(
    listener: &Listener,
    network: &Arc<Network>,
    mut cut: Option<u64>,
    bar: &ProgressBar,
) -> Served {
    let mut served = Served::default();
    loop {
        let Ok((stream, _)) = listener.socket.accept() else {
            return served;
        };
        if listener.stopped.load(Ordering::Relaxed) {
            return served;
        }
        bar.reset();
        let errors = std::mem::take(&mut served.errors);
        let again = !errors.is_empty();
        served = Served {
            errors,
            ..Served::default()
        };
        if let Err(error) = session(stream, network, cut.take(), again, bar, &mut served) {
            served.errors.push(error.to_string());
        }
    }
}

fn session(
    stream: UnixStream,
    network: &Arc<Network>,
    cut: Option<u64>,
    garbage: bool,
    bar: &ProgressBar,
    served: &mut Served,
) -> Result<(), SessionError> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = Line {
        writer: BufWriter::new(stream.try_clone()?),
        reader: BufReader::new(stream),
        received: 0,
        sent: 0,
    };
    if garbage {
        line.writer.write_all(&[0xA5; 3000])?;
        line.writer.flush()?;
    }
    let mut rng = entropy::session_rng("server")?;
    let mut server = Server::new(network.clone(), Budget::new(1), &mut rng);
    let mut buffer = [0; MAX_FRAME];
    let mut frames = 0;
    loop {
        let start = Instant::now();
        while let Some(len) = server.poll(&mut buffer)? {
            write_frame(&mut line, &buffer[..len])?;
        }
        served.seconds_at_work += start.elapsed().as_secs_f64();
        embedded_io::Write::flush(&mut line)?;
        (served.bytes_up, served.bytes_down) = (line.received, line.sent);
        if server.is_closed() {
            return Ok(());
        }
        let frame = read_frame(&mut line, &mut buffer)?;
        frames += 1;
        if cut == Some(frames) {
            return Err(SessionError::Closed);
        }
        let start = Instant::now();
        server.handle(frame)?;
        served.seconds_at_work += start.elapsed().as_secs_f64();
        let layers = &server.counters().layers;
        bar.set_position(layers.iter().map(|layer| layer.activations as u64).sum());
    }
}
