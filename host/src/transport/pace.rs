//! A connection slowed down to a link's rate and delay, for measurements on one machine.
//!
//! What a side writes is paced by a token bucket and delivered after half a round trip; each side
//! shapes what it sends, so that both directions are shaped if both sides are told to.
//! `core/docs/design.md#baselines` measures on such links.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::link::LinkSpeed;
use super::socket::{Socket, is_pause};

/// Bytes that wait for the line before a writer has to, as in a socket's buffer.
const BUFFER: f64 = 262_144.0;
/// Time on the line of what is delivered at once, where that is not too few or too many bytes. After
/// a pause so much goes out at full speed: it is the token bucket's depth too.
const GRAIN: Duration = Duration::from_millis(1);
const GRAINS: (usize, usize) = (64, 1 << 16);
/// What a sleep takes longer than asked for, by Linux's default.
const SLACK: Duration = Duration::from_micros(50);
/// How long a side that has closed waits for a peer that takes nothing.
const LINGER: Duration = Duration::from_secs(1);

/// A link's rate and delay in one direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// Bytes a second.
    rate: f64,
    /// From the line's one end to the other.
    delay: Duration,
}

impl Pace {
    /// Half of a link's round trip is spent in each direction.
    pub fn new(link: &LinkSpeed) -> Self {
        Self {
            rate: link.bits_per_second / 8.0,
            delay: Duration::from_secs_f64(link.round_trip_seconds() / 2.0),
        }
    }

    fn time(&self, bytes: f64) -> Duration {
        Duration::try_from_secs_f64(bytes / self.rate).unwrap_or(Duration::MAX)
    }

    fn grain(&self) -> usize {
        let bytes = self.rate * GRAIN.as_secs_f64();
        (bytes as usize).clamp(GRAINS.0, GRAINS.1)
    }
}

/// Makes what is written to a connection take as long as on a link of that pace.
pub fn shape(socket: Box<dyn Socket>, pace: Pace) -> io::Result<Box<dyn Socket>> {
    let out = socket.duplicate()?;
    let (send, receive) = channel();
    let state = Arc::new(State::default());
    let thread = {
        let state = state.clone();
        thread::Builder::new().spawn(move || deliver(out, &receive, &state))?
    };
    Ok(Box::new(Shaped {
        inner: socket,
        outgoing: Arc::new(Outgoing {
            pace,
            state,
            send: Some(send),
            thread: Some(thread),
        }),
    }))
}

/// What travels.
enum Parcel {
    Bytes(Instant, Vec<u8>),
    /// Nothing more will come.
    End(Instant),
}

/// What writers and the delivering thread share.
#[derive(Default)]
struct State {
    queue: Mutex<Queue>,
    moved: Condvar,
    /// No handle is left that could write.
    closing: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// Bytes written and not delivered.
    waiting: usize,
    /// When the line will have taken all that was written.
    free: Option<Instant>,
    /// Why nothing can be delivered any more.
    failed: Option<ErrorKind>,
    write_limit: Duration,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A poisoned lock has a consistent queue: every change is one assignment.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writing end, of all handles to a connection.
struct Outgoing {
    pace: Pace,
    state: Arc<State>,
    /// There until the last handle goes.
    send: Option<Sender<Parcel>>,
    thread: Option<JoinHandle<()>>,
}

impl Outgoing {
    /// Puts a piece on the line, and says when it arrives. A bucket of tokens that fill up at the
    /// line's rate is kept as the time at which the line is free.
    fn depart(&self, queue: &mut Queue, bytes: usize) -> Instant {
        let now = Instant::now();
        let earliest = now
            .checked_sub(self.pace.time(self.pace.grain() as f64))
            .unwrap_or(now);
        let start = queue.free.map_or(earliest, |free| free.max(earliest));
        let free = start
            .checked_add(self.pace.time(bytes as f64))
            .unwrap_or(start);
        queue.free = Some(free);
        free.max(now) + self.pace.delay
    }

    fn send(&self, parcel: Parcel) -> io::Result<()> {
        let sent = self
            .send
            .as_ref()
            .is_some_and(|send| send.send(parcel).is_ok());
        sent.then_some(()).ok_or(ErrorKind::BrokenPipe.into())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        // As much as the line holds by its length comes on top of the buffer.
        let room = (BUFFER + self.pace.rate * self.pace.delay.as_secs_f64()) as usize;
        let mut queue = self.state.lock();
        if queue.waiting >= room && queue.failed.is_none() {
            let limit = queue.write_limit;
            let full = |queue: &mut Queue| queue.waiting >= room && queue.failed.is_none();
            let waited = self.state.moved.wait_timeout_while(queue, limit, full);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match queue.failed {
            Some(kind) => return Err(kind.into()),
            None if queue.waiting >= room => return Err(ErrorKind::WouldBlock.into()),
            None => {}
        }
        let piece = &bytes[..bytes.len().min(self.pace.grain())];
        let arrival = self.depart(&mut queue, piece.len());
        queue.waiting += piece.len();
        self.send(Parcel::Bytes(arrival, piece.to_vec()))?;
        Ok(piece.len())
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // What was written still arrives.
        self.state.closing.store(true, Ordering::Relaxed);
        self.send = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Hands over what has arrived, until nothing more will come or the connection fails.
fn deliver(mut out: Box<dyn Socket>, parcels: &Receiver<Parcel>, state: &State) {
    let result = parcels.iter().try_for_each(|parcel| match parcel {
        Parcel::Bytes(arrival, bytes) => {
            sleep_until(arrival);
            write_all(&mut *out, &bytes, state)?;
            state.lock().waiting -= bytes.len();
            state.moved.notify_all();
            Ok(())
        }
        Parcel::End(arrival) => {
            sleep_until(arrival);
            out.end()
        }
    });
    if let Err(error) = result {
        state.lock().failed = Some(error.kind());
        state.moved.notify_all();
    }
}

fn sleep_until(instant: Instant) {
    let left = instant.saturating_duration_since(Instant::now());
    if left > SLACK {
        thread::sleep(left - SLACK);
    }
}

fn write_all(out: &mut dyn Socket, mut bytes: &[u8], state: &State) -> io::Result<()> {
    let mut patience: Option<Instant> = None;
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                patience = None;
            }
            Err(error) if is_pause(&error) => {
                let closing = state.closing.load(Ordering::Relaxed);
                let since = *patience.get_or_insert_with(Instant::now);
                if closing && since.elapsed() > LINGER {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

/// A handle to a shaped connection.
struct Shaped {
    inner: Box<dyn Socket>,
    outgoing: Arc<Outgoing>,
}

impl Read for Shaped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl Write for Shaped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket for Shaped {
    fn duplicate(&self) -> io::Result<Box<dyn Socket>> {
        Ok(Box::new(Self {
            inner: self.inner.duplicate()?,
            outgoing: self.outgoing.clone(),
        }))
    }
    fn limit(&self, read: Duration, write: Duration) -> io::Result<()> {
        self.outgoing.state.lock().write_limit = write;
        self.inner.limit(read, write)
    }
    fn end(&self) -> io::Result<()> {
        let arrival = self.outgoing.depart(&mut self.outgoing.state.lock(), 0);
        self.outgoing.send(Parcel::End(arrival))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};

    fn link(bits_per_second: f64, round_trip_ms: f64) -> LinkSpeed {
        LinkSpeed {
            name: "test".into(),
            bits_per_second,
            round_trip_ms,
        }
    }

    fn pair(link: &LinkSpeed) -> (Box<dyn Socket>, Box<dyn Socket>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let shaped = [near, far].map(|socket| {
            let socket = shape(Box::new(socket), Pace::new(link)).unwrap();
            let wait = Duration::from_secs(20);
            socket.limit(wait, wait).unwrap();
            socket
        });
        let [near, far] = shaped;
        (near, far)
    }

    fn receive(socket: &mut dyn Socket, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        socket.read_exact(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn an_answer_takes_a_round_trip() {
        let (mut near, mut far) = pair(&link(1e9, 60.0));
        let start = Instant::now();
        near.write_all(b"ping").unwrap();
        assert_eq!(receive(&mut *far, 4), b"ping");
        assert!(start.elapsed() >= Duration::from_millis(29));
        far.write_all(b"pong").unwrap();
        assert_eq!(receive(&mut *near, 4), b"pong");
        // Never early; late only as far as the machine is busy.
        assert!(start.elapsed() >= Duration::from_millis(59));
    }

    #[test]
    fn bytes_go_at_the_links_rate_and_in_order() {
        // 1 MB/s: 200 kB take 0.2 s but for the first millisecond's.
        let (mut near, mut far) = pair(&link(8e6, 1.0));
        let sent: Vec<u8> = (0..200_000u32).map(|i| (i ^ (i >> 8)) as u8).collect();
        let expected = sent.clone();
        let start = Instant::now();
        let writer = thread::spawn(move || {
            near.write_all(&sent).unwrap();
            near
        });
        assert_eq!(receive(&mut *far, expected.len()), expected);
        let least = (expected.len() - 1000) as f64 / 1e6;
        assert!(
            start.elapsed().as_secs_f64() >= least,
            "{:?}",
            start.elapsed()
        );
        drop(writer.join().unwrap());
    }

    #[test]
    fn a_writer_waits_when_the_line_is_full() {
        let (mut near, _far) = pair(&link(8e3, 0.0));
        near.limit(Duration::from_millis(10), Duration::from_millis(10))
            .unwrap();
        let chunk = [0; 4096];
        let mut sent = 0;
        let error = loop {
            match near.write(&chunk) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert!(is_pause(&error));
        assert!((sent as f64) < BUFFER + 4096.0, "{sent}");
        // Its hundreds of seconds of backlog are not waited for by this test.
        std::mem::forget(near);
    }

    #[test]
    fn what_was_written_arrives_though_the_writer_is_gone() {
        let (mut near, mut far) = pair(&link(1e6, 100.0));
        near.write_all(b"goodbye").unwrap();
        drop(near);
        assert_eq!(receive(&mut *far, 7), b"goodbye");
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn an_end_comes_after_the_bytes() {
        let (mut near, mut far) = pair(&link(1e6, 20.0));
        near.write_all(&[7; 3000]).unwrap();
        near.end().unwrap();
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all, [7; 3000]);
        // The other direction is still open.
        far.write_all(b"yes").unwrap();
        assert_eq!(receive(&mut *near, 3), b"yes");
    }

    #[test]
    fn a_peer_that_left_is_an_error() {
        let (mut near, far) = pair(&link(1e9, 0.1));
        drop(far);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if near.write_all(&[0; 1000]).is_err() {
                break;
            }
            assert!(Instant::now() < deadline, "nobody noticed");
            thread::sleep(Duration::from_millis(5));
        }
    }
}
