//! A simulated serial line with two links on it, in virtual time: the same seed, the same run.

use chacha20::ChaCha20Rng;
use rand_core::Rng;
use stria_core::link::{Link, LinkError, State, Timing};

use crate::rng;

/// What a line does to packets, each in chances per 1000 packets.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// All of it, a part or one byte does not arrive: truncated packets, packets that run together.
    pub loss: u32,
    /// A few bits flip, or noise of up to 20 bytes comes in between.
    pub corruption: u32,
    /// It arrives twice.
    pub duplication: u32,
    /// It, or a part of it, arrives after what was sent later.
    pub reordering: u32,
}

impl Faults {
    /// All of them, equally often.
    pub fn all(per_mille: u32) -> Self {
        Self {
            loss: per_mille,
            corruption: per_mille,
            duplication: per_mille,
            reordering: per_mille,
        }
    }
}

/// Bytes that arrive together, at a time in microseconds.
struct Piece {
    at: u64,
    bytes: Vec<u8>,
}

/// One direction of a line.
pub struct Wire {
    /// Bits a second, ten a byte.
    pub baud: u64,
    /// Microseconds from one end to the other.
    pub latency: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Nothing arrives any more.
    pub cut: bool,
    /// Bytes that were sent.
    pub sent: u64,
    free_at: u64,
    pieces: Vec<Piece>,
    rng: ChaCha20Rng,
}

impl Wire {
    /// A UART at 115200 baud.
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self {
            baud: 115_200,
            latency: 1_000,
            faults,
            cut: false,
            sent: 0,
            free_at: 0,
            pieces: Vec::new(),
            rng: rng(seed),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u64::from(self.rng.next_u32()) * bound as u64) >> 32) as usize
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille as usize
    }

    /// Takes bytes if the transmitter is idle.
    pub fn write(&mut self, now: u64, bytes: &[u8]) -> usize {
        if !self.is_free(now) || bytes.is_empty() {
            return 0;
        }
        self.sent += bytes.len() as u64;
        let per_byte = 10_000_000 / self.baud;
        self.free_at = now + per_byte * bytes.len() as u64;
        if self.cut {
            return bytes.len();
        }
        let faults = self.faults;
        let mut packet = bytes.to_vec();
        if self.happens(faults.loss) {
            let start = self.below(packet.len());
            let rest = packet.len() - start;
            match self.below(3) {
                0 => packet.clear(),
                1 => drop(packet.drain(start..start + 1 + self.below(rest))),
                _ => drop(packet.remove(start)),
            }
        }
        if self.happens(faults.corruption) && !packet.is_empty() {
            let at = self.below(packet.len());
            if self.below(2) == 0 {
                for _ in 0..=self.below(3) {
                    let at = self.below(packet.len());
                    packet[at] ^= 1 << self.below(8);
                }
            } else {
                let mut noise = vec![0; 1 + self.below(20)];
                self.rng.fill_bytes(&mut noise);
                packet.splice(at..at, noise);
            }
        }
        let copies = 1 + usize::from(self.happens(faults.duplication));
        let held = per_byte * bytes.len() as u64 * 5 / 2;
        for _ in 0..copies {
            let late = self.happens(faults.reordering);
            let all_of_it = self.below(2) == 0;
            let mut rest = &packet[..];
            let mut at = now + self.latency;
            while !rest.is_empty() {
                let len = 1 + self.below(rest.len().min(64));
                let (piece, later) = rest.split_at(len);
                rest = later;
                at += per_byte * len as u64;
                let delay = late && (all_of_it || rest.is_empty());
                self.pieces.push(Piece {
                    at: at + if delay { held } else { 0 },
                    bytes: piece.to_vec(),
                });
            }
        }
        self.pieces.sort_by_key(|piece| piece.at);
        bytes.len()
    }

    /// What has arrived.
    pub fn read(&mut self, now: u64) -> Vec<u8> {
        let count = self.pieces.partition_point(|piece| piece.at <= now);
        self.pieces
            .drain(..count)
            .flat_map(|piece| piece.bytes)
            .collect()
    }

    /// As [`Wire::read`], what fits.
    pub fn read_into(&mut self, now: u64, buffer: &mut [u8]) -> usize {
        let bytes = self.read(now);
        let (fits, rest) = bytes.split_at(bytes.len().min(buffer.len()));
        buffer[..fits.len()].copy_from_slice(fits);
        if !rest.is_empty() {
            self.inject(now, rest);
        }
        fits.len()
    }

    /// The transmitter is idle.
    pub fn is_free(&self, now: u64) -> bool {
        now >= self.free_at
    }

    /// Bytes that no link has sent arrive now.
    pub fn inject(&mut self, now: u64, bytes: &[u8]) {
        let bytes = bytes.to_vec();
        self.pieces.insert(0, Piece { at: now, bytes });
    }

    /// When something changes next.
    pub fn next_event(&self, now: u64) -> Option<u64> {
        let arrival = self.pieces.first().map(|piece| piece.at);
        let free = (self.free_at > now).then_some(self.free_at);
        arrival.into_iter().chain(free).min()
    }
}

/// A link of any size.
pub trait End {
    /// See [`Link::state`].
    fn state(&self) -> State;
    /// See [`Link::id`].
    fn id(&self) -> u32;
    /// See [`Link::open`].
    fn open(&mut self, now: u64, id: u32);
    /// See [`Link::listen`].
    fn listen(&mut self, now: u64);
    /// See [`Link::close`].
    fn close(&mut self);
    /// See [`Link::send`].
    fn send(&mut self, bytes: &[u8]) -> usize;
    /// See [`Link::flush`].
    fn flush(&mut self);
    /// See [`Link::has_arrived`].
    fn has_arrived(&self) -> bool;
    /// See [`Link::recv`].
    fn recv(&mut self, out: &mut [u8]) -> usize;
    /// See [`Link::receive`].
    fn receive(&mut self, now: u64, bytes: &[u8]);
    /// See [`Link::poll_transmit`].
    fn transmit(&mut self, now: u64) -> Option<Vec<u8>>;
    /// See [`Link::next_deadline`].
    fn next_deadline(&self) -> Option<u64>;
}

impl<const MTU: usize, const WINDOW: usize> End for Link<MTU, WINDOW> {
    fn state(&self) -> State {
        self.state()
    }
    fn id(&self) -> u32 {
        self.id()
    }
    fn open(&mut self, now: u64, id: u32) {
        self.open(now, id);
    }
    fn listen(&mut self, now: u64) {
        self.listen(now);
    }
    fn close(&mut self) {
        self.close();
    }
    fn send(&mut self, bytes: &[u8]) -> usize {
        self.send(bytes)
    }
    fn flush(&mut self) {
        self.flush();
    }
    fn has_arrived(&self) -> bool {
        self.has_arrived()
    }
    fn recv(&mut self, out: &mut [u8]) -> usize {
        self.recv(out)
    }
    fn receive(&mut self, now: u64, bytes: &[u8]) {
        self.receive(now, bytes);
    }
    fn transmit(&mut self, now: u64) -> Option<Vec<u8>> {
        let mut out = [0; MTU];
        let len = self.poll_transmit(now, &mut out)?;
        Some(out[..len].to_vec())
    }
    fn next_deadline(&self) -> Option<u64> {
        self.next_deadline()
    }
}

/// A closed link in a box.
pub fn end<const MTU: usize, const WINDOW: usize>(timing: Timing) -> Box<dyn End> {
    Box::new(Link::<MTU, WINDOW>::new(timing))
}

/// Two ends and the wires from each to the other. End 0 is the client.
pub struct Net {
    /// The ends.
    pub ends: [Box<dyn End>; 2],
    /// The wire from each end.
    pub wires: [Wire; 2],
    /// Microseconds.
    pub now: u64,
}

impl Net {
    /// Two closed ends on a line with faults both ways.
    pub fn new(ends: [Box<dyn End>; 2], faults: Faults, seed: u64) -> Self {
        Self {
            ends,
            wires: [Wire::new(faults, seed), Wire::new(faults, !seed)],
            now: 0,
        }
    }

    /// Virtual time in milliseconds.
    pub fn millis(&self) -> u64 {
        self.now / 1000
    }

    /// Both ends take what has arrived.
    pub fn receive(&mut self) {
        let now = self.millis();
        for i in 0..2 {
            let bytes = self.wires[i].read(self.now);
            self.ends[1 - i].receive(now, &bytes);
        }
    }

    /// Both ends send what they want to; then time passes until something happens.
    pub fn transmit_and_wait(&mut self) {
        let now = self.millis();
        let mut next = u64::MAX;
        for (end, wire) in self.ends.iter_mut().zip(&mut self.wires) {
            if wire.is_free(self.now)
                && let Some(packet) = end.transmit(now)
            {
                wire.write(self.now, &packet);
            }
            let deadline = end.next_deadline().map(|ms| ms * 1000);
            let event = wire.next_event(self.now).into_iter().chain(deadline).min();
            next = next.min(event.unwrap_or(u64::MAX));
        }
        // Where nothing is to be expected, a second passes.
        let next = if next == u64::MAX { 1_000_000 } else { next };
        self.now = next.max(self.now + 1);
    }

    /// Lets time pass until `done`; false if that takes more than a virtual day.
    pub fn run(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        while self.now < 86_400_000_000 {
            self.receive();
            if done(self) {
                return true;
            }
            self.transmit_and_wait();
        }
        false
    }

    /// Both ends have the connection named `id`.
    pub fn is_open(&self, id: u32) -> bool {
        let open = |end: &dyn End| end.state() == State::Open && end.id() == id;
        self.ends.iter().all(|end| open(end.as_ref()))
    }

    /// Opens a connection named `id` and waits until both ends have it.
    pub fn connect(&mut self, id: u32) {
        let now = self.millis();
        self.ends[1].listen(now);
        self.ends[0].open(now, id);
        assert!(self.run(|net| net.is_open(id)));
    }

    /// Sends `bytes` from one end to the other; gives the milliseconds that it took.
    pub fn transfer(&mut self, from: usize, bytes: &[u8]) -> u64 {
        let start = self.now;
        let (mut sent, mut got) = (0, Vec::<u8>::new());
        let mut buffer = [0; 997];
        let done = self.run(|net| {
            sent += net.ends[from].send(&bytes[sent..]);
            if sent == bytes.len() {
                net.ends[from].flush();
            }
            loop {
                match net.ends[1 - from].recv(&mut buffer) {
                    0 => break got.len() == bytes.len(),
                    count => got.extend(&buffer[..count]),
                }
            }
        });
        assert!(done && got == bytes);
        (self.now - start) / 1000
    }

    /// Waits until both ends have failed.
    pub fn failures(&mut self) -> [LinkError; 2] {
        let failure = |state| match state {
            State::Failed(error) => Some(error),
            _ => None,
        };
        let mut found = [None; 2];
        assert!(self.run(|net| {
            found = [0, 1].map(|i| failure(net.ends[i].state()));
            found.iter().all(Option::is_some)
        }));
        found.map(Option::unwrap)
    }
}
