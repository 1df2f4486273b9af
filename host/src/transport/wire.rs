//! A serial line between two Unix sockets, with the speed and the faults of a real one: for
//! simulations and tests.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::socket::is_pause;
use super::unix::{UnixSocket, dial};

const GLANCE: Duration = Duration::from_millis(20);
/// How long plugging in or pulling out may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a line does to bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quality {
    /// Bits a second, ten of them a byte; as fast as it goes if 0.
    pub baud: u32,
    /// Bytes of a million that get lost.
    pub loss: u32,
    /// Bytes of a million that become others.
    pub noise: u32,
}

/// The line. Dropping it pulls it out.
pub struct Wire {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    listen: PathBuf,
    server: PathBuf,
    quality: Quality,
    plugged: AtomicBool,
    /// Whether the device can connect.
    open: AtomicBool,
    ended: AtomicBool,
    /// Up: from the device to the server; down.
    bytes: [AtomicU64; 2],
    /// What comes next in each direction although nobody has sent it.
    garbage: [Mutex<Vec<u8>>; 2],
}

impl State {
    fn is_up(&self) -> bool {
        self.plugged.load(Ordering::Relaxed) && !self.ended.load(Ordering::Relaxed)
    }
}

impl Wire {
    /// A line from a socket at `device`, where the device's emulator connects, to the socket
    /// `server`. It is plugged in.
    pub fn new(device: &Path, server: &Path, quality: Quality) -> io::Result<Self> {
        let state = Arc::new(State {
            listen: device.into(),
            server: server.into(),
            quality,
            plugged: AtomicBool::new(true),
            open: AtomicBool::new(true),
            ended: AtomicBool::new(false),
            bytes: Default::default(),
            garbage: Default::default(),
        });
        let socket = UnixSocket::bind(device)?;
        let held = state.clone();
        let thread = thread::Builder::new().spawn(move || held.run(socket))?;
        Ok(Self {
            state,
            thread: Some(thread),
        })
    }

    /// Pulls it out, or plugs it in again. What is under way is lost.
    pub fn plug(&self, plugged: bool) {
        self.state.plugged.store(plugged, Ordering::Relaxed);
        let deadline = Instant::now() + PATIENCE;
        while self.state.open.load(Ordering::Relaxed) != plugged && Instant::now() < deadline {
            thread::sleep(GLANCE / 4);
        }
    }

    /// Bytes that came from the device, and from the server.
    pub fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|way| self.state.bytes[way].load(Ordering::Relaxed))
    }

    /// Puts garbage in front of what comes next, each way.
    pub fn disturb(&self, garbage: &[u8]) {
        for way in &self.state.garbage {
            way.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(garbage);
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the line is at its end all the same.
            let _ = thread.join();
        }
    }
}

impl State {
    fn run(&self, socket: UnixSocket) {
        let mut socket = Some(socket);
        while !self.ended.load(Ordering::Relaxed) {
            if !self.is_up() {
                // Nobody can connect to a line that is not there.
                socket = None;
            } else if socket.is_none() {
                socket = UnixSocket::bind(&self.listen).ok();
            }
            self.open.store(socket.is_some(), Ordering::Relaxed);
            let device = socket.as_ref().and_then(|socket| {
                socket.listener.set_nonblocking(true).ok()?;
                socket.listener.accept().ok()
            });
            match device {
                // A server that is not there is a line that ends nowhere: the device tries again.
                Some((device, _)) => drop(self.join(device)),
                None => thread::sleep(GLANCE),
            }
        }
    }

    /// Moves bytes both ways until an end goes away or the line is pulled.
    fn join(&self, device: UnixStream) -> io::Result<()> {
        let server = dial(&self.server, PATIENCE)?;
        for stream in [&device, &server] {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(GLANCE))?;
        }
        let (device, server) = (&device, &server);
        thread::scope(|scope| {
            scope.spawn(|| self.forward(0, device, server));
            self.forward(1, server, device);
        });
        Ok(())
    }

    fn forward(&self, way: usize, mut from: &UnixStream, mut to: &UnixStream) {
        let mut rng = ChaCha20Rng::seed_from_u64(way as u64);
        let mut buffer = [0; 256];
        let mut free = Instant::now();
        while self.is_up() {
            let mut garbage = self.garbage[way]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let mut bytes = std::mem::take(&mut *garbage);
            drop(garbage);
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    self.bytes[way].fetch_add(count as u64, Ordering::Relaxed);
                    let arrived = buffer[..count].iter().copied();
                    bytes.extend(arrived.filter_map(|byte| self.suffer(byte, &mut rng)));
                    free = free.max(Instant::now()) + self.time(count);
                    thread::sleep(free.saturating_duration_since(Instant::now()));
                }
                Err(error) if is_pause(&error) => {}
                Err(_) => break,
            }
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // Ends the other direction too; an end that has gone needs no telling.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    fn time(&self, bytes: usize) -> Duration {
        match self.quality.baud {
            0 => Duration::ZERO,
            baud => Duration::from_secs_f64(10.0 * bytes as f64 / f64::from(baud)),
        }
    }

    /// What becomes of a byte.
    fn suffer(&self, byte: u8, rng: &mut ChaCha20Rng) -> Option<u8> {
        let Quality { loss, noise, .. } = self.quality;
        if loss + noise == 0 {
            return Some(byte);
        }
        let fate = rng.next_u32() % 1_000_000;
        let other = byte ^ (rng.next_u32() as u8).max(1);
        match fate {
            _ if fate < loss => None,
            _ if fate < loss + noise => Some(other),
            _ => Some(byte),
        }
    }
}
