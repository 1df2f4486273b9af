//! Whole sessions through the drivers: over lines that split and end anywhere, over lines that lie,
//! and both parties in one thread.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::Poll;

use embassy_futures::{block_on, join::join};
use embedded_io::{ErrorType, Read, Write};
use proptest::prelude::*;
use stria_core::{DriveError, MAX_FRAME, drive, drive_async};
use stria_tests::replay::Recording;
use stria_tests::two_party::{Image, Pair, Plain, SmallPair, settings};

fn pair() -> SmallPair {
    Pair::new(Plain::tiny().network(), settings(4, 8), [11, 12])
}

/// One direction of a line in memory.
#[derive(Default)]
struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    all: RefCell<Vec<u8>>,
}

/// An end of such a line: where it reads, and where it writes.
struct End<'a>(&'a Pipe, &'a Pipe);

impl ErrorType for End<'_> {
    type Error = Infallible;
}

impl embedded_io_async::Read for End<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|context| {
            let mut bytes = self.0.bytes.borrow_mut();
            if bytes.is_empty() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(bytes.read(buffer).map_err(|error| match error {}))
        })
        .await
    }
}

impl embedded_io_async::Write for End<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.1.bytes.borrow_mut().extend(bytes);
        self.1.all.borrow_mut().extend(bytes);
        Ok(bytes.len())
    }
    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[test]
fn both_parties_run_in_one_thread_and_say_what_they_always_say() {
    let recording = Recording::tiny();
    for room in [MAX_FRAME, 1 << 16] {
        let mut pair = pair();
        let mut image = Image::random(5);
        let (up, down) = (Pipe::default(), Pipe::default());
        let client = async {
            let (mut line, mut buffer) = (End(&down, &up), vec![0; room]);
            let mut session = (&mut *pair.client, &mut image);
            drive_async(&mut session, &mut line, &mut buffer, &mut ()).await?;
            session.0.start()?;
            drive_async(&mut session, &mut line, &mut buffer, &mut ()).await?;
            session.0.finish()?;
            drive_async(&mut session, &mut line, &mut buffer, &mut ()).await
        };
        let server = async {
            let (mut line, mut buffer) = (End(&up, &down), vec![0; room]);
            drive_async(&mut pair.server, &mut line, &mut buffer, &mut ()).await
        };
        assert_eq!(block_on(join(client, server)), (Ok(()), Ok(())));
        assert_eq!(image.logits.len(), 5);
        assert!(pair.client.is_closed() && pair.server.is_closed());
        assert!(*up.all.borrow() == recording.up.concat());
        assert!(*down.all.borrow() == recording.down.concat());
    }
}

/// A peer that says what it was going to, whatever it hears.
struct Tape {
    bytes: Vec<u8>,
    at: usize,
    /// The most bytes of a call.
    chunk: usize,
    written: Vec<u8>,
}

impl Tape {
    fn new(bytes: Vec<u8>, chunk: usize) -> Self {
        Self {
            bytes,
            at: 0,
            chunk,
            written: Vec::new(),
        }
    }
}

impl ErrorType for Tape {
    type Error = Infallible;
}

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let len = buffer.len().min(self.chunk);
        let count = (&self.bytes[self.at..]).read(&mut buffer[..len]);
        let count = count.map_err(|error| match error {})?;
        self.at += count;
        Ok(count)
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let count = bytes.len().min(self.chunk);
        self.written.extend(&bytes[..count]);
        Ok(count)
    }
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Outcome = Result<(), DriveError<Infallible>>;

fn client_with(tape: &mut Tape) -> Outcome {
    let mut pair = pair();
    let mut image = Image::random(5);
    let mut buffer = [0; MAX_FRAME];
    let mut session = (&mut *pair.client, &mut image);
    let mut run = || {
        drive(&mut session, tape, &mut buffer, &mut ())?;
        session.0.start()?;
        drive(&mut session, tape, &mut buffer, &mut ())?;
        session.0.finish()?;
        drive(&mut session, tape, &mut buffer, &mut ())
    };
    let result = run();
    assert!(pair.client.is_closed());
    result
}

fn server_with(tape: &mut Tape) -> Outcome {
    let mut server = pair().server;
    let result = drive(&mut server, tape, &mut [0; 5000], &mut ());
    assert!(server.is_closed());
    result
}

type Side = fn(&mut Tape) -> Outcome;

/// The recorded words of the peer of either side, and the side.
fn sides() -> [(Vec<u8>, Side); 2] {
    let recording = Recording::tiny();
    [
        (recording.down.concat(), client_with),
        (recording.up.concat(), server_with),
    ]
}

#[test]
fn a_line_may_split_frames_anywhere() {
    let [up, down] = [
        Recording::tiny().up.concat(),
        Recording::tiny().down.concat(),
    ];
    for chunk in [1, 2, 1000] {
        for ((bytes, side), said) in sides().into_iter().zip([&up, &down]) {
            let mut tape = Tape::new(bytes, chunk);
            assert_eq!(side(&mut tape), Ok(()));
            assert!(tape.written == *said);
        }
    }
}

#[test]
fn a_line_may_end_anywhere() {
    for (bytes, side) in sides() {
        let places = (0..12).chain((1..10).map(|i| i * bytes.len() / 10));
        for len in places.chain(bytes.len() - 3..bytes.len()) {
            let mut tape = Tape::new(bytes[..len].to_vec(), usize::MAX);
            assert_eq!(side(&mut tape), Err(DriveError::Closed), "{len}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A changed byte is another share, or an error; it is neither a panic nor the end of time.
    #[test]
    fn a_line_may_lie(side in 0..2usize, place: prop::sample::Index, flip in 1..=255u8, len in 0..99usize) {
        let (mut bytes, side) = sides()[side].clone();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        // Some lose bytes, too.
        bytes.drain(place..bytes.len().min(place + len / 2));
        let mut tape = Tape::new(bytes, usize::MAX);
        if let Err(DriveError::Protocol(_)) = side(&mut tape) {
            let told = &tape.written[tape.written.len() - 4..];
            prop_assert_eq!(&told[..3], &[20, 1, 0]);
        }
    }
}
