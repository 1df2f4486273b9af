//! The drivers on a scripted line. Every case runs through both of them.

use std::collections::VecDeque;
use std::vec::Vec;

use embedded_io::{ErrorKind, ErrorType};

use super::*;
use crate::error::PeerError;
use crate::protocol::frame::{write as write_kind, write_reason};

/// A party of frames without meaning: `Ok` many of its own, `Err` many of the peer's.
#[derive(Clone, Debug, PartialEq)]
struct Script(VecDeque<Result<usize, usize>>);

const PAYLOAD: usize = 100;
const LEN: usize = HEADER + PAYLOAD;

fn frame(out: &mut FrameBuf) -> usize {
    write_kind(out, Kind::Label, |payload| {
        payload[..PAYLOAD].fill(7);
        PAYLOAD
    })
}

impl Script {
    fn new(turns: &[Result<usize, usize>]) -> Self {
        Self(turns.iter().copied().collect())
    }
}

impl Party for Script {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let Some(Ok(left)) = self.0.front_mut() else {
            return Ok(None);
        };
        *left -= 1;
        if *left == 0 {
            self.0.pop_front();
        }
        Ok(Some(frame(out)))
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        frame.expect_array::<PAYLOAD>(Kind::Label)?;
        let Some(Err(left)) = self.0.front_mut() else {
            return Err(frame.unexpected());
        };
        *left -= 1;
        if *left == 0 {
            self.0.pop_front();
        }
        Ok(())
    }
    fn rests(&self) -> bool {
        self.0.is_empty()
    }
    fn close(&mut self) {
        self.0 = [Ok(1), Err(1), Ok(13)].into();
    }
}

/// What a closed script looks like.
fn closed() -> Script {
    Script::new(&[Ok(1), Err(1), Ok(13)])
}

/// A line with what the peer says, and what becomes of writes.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    input: VecDeque<u8>,
    /// The most bytes of a call.
    chunk: usize,
    /// Lengths of writes that worked, and what they wrote.
    writes: Vec<usize>,
    output: Vec<u8>,
    flushes: usize,
    /// Writes that work, and what the others give.
    good: usize,
    bad: Result<usize, ErrorKind>,
}

impl Line {
    fn new(input: &[u8]) -> Self {
        Self {
            input: input.iter().copied().collect(),
            chunk: usize::MAX,
            writes: Vec::new(),
            output: Vec::new(),
            flushes: 0,
            good: usize::MAX,
            bad: Ok(0),
        }
    }
}

impl ErrorType for Line {
    type Error = ErrorKind;
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let count = buffer.len().min(self.chunk).min(self.input.len());
        for (to, from) in buffer.iter_mut().zip(self.input.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        if self.writes.len() == self.good {
            return self.bad;
        }
        let count = bytes.len().min(self.chunk);
        self.output.extend_from_slice(&bytes[..count]);
        self.writes.push(count);
        Ok(count)
    }
    fn flush(&mut self) -> Result<(), ErrorKind> {
        self.flushes += 1;
        Ok(())
    }
}

/// Counts what it sees.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    sent: usize,
    received: usize,
    waits: usize,
}

impl<P, IO> Observer<P, IO> for Seen {
    fn sent(&mut self, _frame: Frame<'_>) {
        self.sent += 1;
    }
    fn received(&mut self, _frame: Frame<'_>) {
        self.received += 1;
    }
    fn waits(&mut self, _party: &P, _io: &mut IO) {
        self.waits += 1;
    }
}

type End = (Script, Line, Seen, Result<(), DriveError<ErrorKind>>);

fn run(turns: &[Result<usize, usize>], line: Line, room: usize) -> End {
    let mut end = (Script::new(turns), line, Seen::default(), Ok(()));
    #[cfg(feature = "async")]
    let mut other = end.clone();
    let mut buffer = std::vec![0; room];
    end.3 = drive(&mut end.0, &mut end.1, &mut buffer, &mut end.2);
    #[cfg(feature = "async")]
    {
        let (party, line, seen, result) = &mut other;
        let driver = drive_async(party, line, &mut buffer, seen);
        *result = embassy_futures::block_on(driver);
        assert_eq!(end, other);
    }
    end
}

#[cfg(feature = "async")]
mod nonblocking {
    use super::{ErrorKind, Line};

    impl embedded_io_async::Read for Line {
        async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
            embedded_io::Read::read(self, buffer)
        }
    }

    impl embedded_io_async::Write for Line {
        async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
            embedded_io::Write::write(self, bytes)
        }
        async fn flush(&mut self) -> Result<(), ErrorKind> {
            embedded_io::Write::flush(self)
        }
    }
}

fn frames(count: usize) -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME];
    let len = frame(&mut buffer);
    buffer[..len].repeat(count)
}

fn failure(reason: PeerError) -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME];
    let len = write_reason(&mut buffer, reason);
    buffer[..len].to_vec()
}

const TURNS: [Result<usize, usize>; 3] = [Ok(30), Err(3), Ok(2)];

#[test]
fn a_turn_is_written_at_once_if_there_is_room_and_else_frame_by_frame() {
    for (room, writes) in [
        (MAX_FRAME, std::vec![LEN; 32]),
        (31 * LEN + MAX_FRAME, std::vec![30 * LEN, 2 * LEN]),
        // Frames are written together until another one might not fit.
        (
            9 * LEN + MAX_FRAME,
            std::vec![10 * LEN, 10 * LEN, 10 * LEN, 2 * LEN],
        ),
    ] {
        let (script, line, seen, result) = run(&TURNS, Line::new(&frames(3)), room);
        assert_eq!((result, script.rests()), (Ok(()), true));
        assert_eq!(line.writes, writes);
        assert_eq!(line.output, frames(32));
        assert_eq!((seen.sent, seen.received, seen.waits), (32, 3, 3));
        assert!(line.flushes >= 2);
    }
}

#[test]
fn a_line_that_moves_few_bytes_at_a_time_carries_the_same() {
    for chunk in [1, 2, 5, 102, 103, 104] {
        let mut line = Line::new(&frames(3));
        line.chunk = chunk;
        let (script, line, _, result) = run(&TURNS, line, 4 * MAX_FRAME);
        assert_eq!((result, script.rests()), (Ok(()), true));
        assert_eq!(line.output, frames(32));
    }
}

#[test]
fn a_line_that_ends_at_any_byte_closes_the_party() {
    for len in 0..3 * LEN {
        let line = Line::new(&frames(3)[..len]);
        let (script, line, _, result) = run(&TURNS, line, MAX_FRAME);
        assert_eq!((result, script), (Err(DriveError::Closed), closed()));
        assert_eq!(line.output, frames(30), "nobody is there to be told");
    }
}

#[test]
fn a_line_that_fails_at_any_write_closes_the_party() {
    for good in 0..32 {
        for (bad, error) in [
            (Ok(0), DriveError::Closed),
            (Err(ErrorKind::Other), DriveError::Io(ErrorKind::Other)),
            (
                Err(ErrorKind::BrokenPipe),
                DriveError::Io(ErrorKind::BrokenPipe),
            ),
        ] {
            let mut line = Line::new(&frames(3));
            (line.good, line.bad) = (good, bad);
            let (script, line, _, result) = run(&TURNS, line, MAX_FRAME);
            assert_eq!((result, script), (Err(error), closed()));
            assert_eq!(line.output, frames(good));
        }
    }
}

#[test]
fn the_word_of_a_peer_that_hung_up_is_the_error() {
    let busy = Err(DriveError::Protocol(Error::Peer(PeerError::Busy)));
    for good in 0..30 {
        let mut line = Line::new(&failure(PeerError::Busy));
        (line.good, line.bad) = (good, Err(ErrorKind::ConnectionReset));
        let (script, line, seen, result) = run(&TURNS, line, MAX_FRAME);
        assert_eq!((result, script), (busy, closed()));
        assert_eq!((seen.received, seen.waits), (1, 1));
        assert!(line.input.is_empty());
        // A line that is slow, or broken on this side, gives nothing to read.
        let mut line = Line::new(&failure(PeerError::Busy));
        (line.good, line.bad) = (good, Err(ErrorKind::TimedOut));
        let (.., line, _, result) = run(&TURNS, line, MAX_FRAME);
        assert_eq!(result, Err(DriveError::Io(ErrorKind::TimedOut)));
        assert!(!line.input.is_empty());
    }
}

#[test]
fn a_peers_failure_is_not_told_back() {
    let line = Line::new(&[frames(1), failure(PeerError::Closing)].concat());
    let (script, line, _, result) = run(&TURNS, line, MAX_FRAME);
    let closing = DriveError::Protocol(Error::Peer(PeerError::Closing));
    assert_eq!((result, script), (Err(closing), closed()));
    assert_eq!(line.output, frames(30));
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told() {
    let hello = [1, 0, 0].as_slice();
    let unknown = [99, 0, 0].as_slice();
    let long = [3, 1, 4].as_slice();
    for bad in [hello, unknown, long] {
        let line = Line::new(&[&frames(2), bad].concat());
        let (script, line, _, result) = run(&TURNS, line, MAX_FRAME);
        assert!(matches!(result, Err(DriveError::Protocol(_))), "{result:?}");
        assert_eq!(script, closed());
        let told = [frames(30), failure(PeerError::Protocol)].concat();
        assert_eq!(line.output, told);
    }
}

#[test]
fn a_buffer_without_room_for_a_frame_is_an_error() {
    for room in [0, 3, MAX_FRAME - 1] {
        let (script, line, _, result) = run(&TURNS, Line::new(&frames(3)), room);
        assert!(matches!(result, Err(DriveError::Protocol(Error::Usage(_)))));
        assert_eq!((script, line.output), (closed(), Vec::new()));
    }
}

#[test]
fn two_parties_in_one_thread_take_turns() {
    let mut client = Script::new(&TURNS);
    let mut server = Script::new(&[Err(30), Ok(3), Err(2)]);
    let mut buffer = [0; MAX_FRAME];
    assert_eq!(loopback(&mut client, &mut server, &mut buffer), Ok(()));
    assert!(client.rests() && server.rests());
    let mut deaf = Script::new(&[Err(30), Ok(3)]);
    let mut client = Script::new(&TURNS);
    let result = loopback(&mut client, &mut deaf, &mut buffer);
    assert!(matches!(result, Err(Error::UnexpectedFrame { .. })));
}
