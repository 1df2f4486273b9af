//! Whole sessions of random small networks, of which up to three frames are damaged on their way.
//!
//! libFuzzer would run two of them a second, so this is a plain random harness: each session follows
//! from its number.

use rand_core::Rng;
use stria_tests::damage::{DAMAGES, FROM_CLIENT, FROM_SERVER, damaged};
use stria_tests::frames::{failure, raw_frame};
use stria_tests::layers::layer;
use stria_tests::rng;
use stria_tests::two_party::{Image, Pair, Plain};

use crate::prelude::*;

/// What became of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing was damaged, and the result is right.
    Right,
    /// A party refused something.
    Refused,
    /// Both wait for the other: a driver's time-out ends that.
    Stalled,
    /// Damage made other valid values of valid values, which only the channel can tell.
    Changed,
}

/// Runs the session of that number. Panics where a party does, where a result comes although damage
/// had to be noticed, and where a result without damage is wrong.
pub fn run(number: u64) -> Outcome {
    let mut random = Random(rng(number));
    let (plain, packing) = random.network();
    match packing {
        Packing::Slot => Session::<Chunks<1>, Slots, _>::new(&plain, packing, random).run(&plain),
        _ if random.below(2) == 0 => {
            Session::<Chunks<1>, Segments, _>::new(&plain, packing, random).run(&plain)
        }
        _ => Session::<Whole, Segments, _>::new(&plain, packing, random).run(&plain),
    }
}

/// Choices of one session.
struct Random<R>(R);

impl<R: Rng> Random<R> {
    fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }

    fn network(&mut self) -> (Plain, Packing) {
        // Seldom what takes long.
        let packing = match self.below(200) {
            0 => Packing::Slot,
            1..50 => Packing::Coefficient,
            _ => Packing::Segment,
        };
        let plain = match self.below(40) {
            _ if packing == Packing::Slot => Plain::tiny(),
            0 => Plain::small(),
            1..10 => Plain::tiny(),
            _ => loop {
                let middle = self.layer();
                let fits = [middle, middle.dense()]
                    .iter()
                    .all(|layer| SegmentLayout::new(layer).is_ok());
                if fits {
                    break Plain::around(middle, self.0.next_u64() >> 1);
                }
            },
        };
        (plain, packing)
    }

    /// A layer that may or may not be possible, with few values.
    fn layer(&mut self) -> Layer {
        let side = 1 + self.below(9) as u16;
        let groups = self.of(&[1, 2, 3, 4, 8]);
        let [inputs, outputs] = [(); 2].map(|()| groups * (1 + self.below(3) as u16));
        let kernel = match self.below(4) {
            0 => Kernel::Cross,
            _ => Kernel::Square(1 + self.below(5) as u8),
        };
        Layer {
            stride: 1 + self.below(3) as u8,
            padding: self.below(3) as u8,
            groups,
            tile: self.of(&[0, 0, 1, 2, 5]),
            repeat: self.of(&[1, 2, 4]),
            shuffle: self.of(&[1, groups]),
            pool: self.of(&[Pool::None, Pool::None, Pool::Map, Pool::Window(2)]),
            ..layer(inputs, side, outputs, kernel)
        }
    }

    /// The frames that are damaged: whose, of which kind, how many of that kind come before.
    fn plan(&mut self) -> Vec<(bool, Kind, usize)> {
        let count = self.below(4);
        let mut one = || {
            let up = self.below(2) == 0;
            let kind = if up {
                self.of(&FROM_CLIENT)
            } else {
                self.of(&FROM_SERVER)
            };
            let most = 1 << self.below(8);
            (up, kind, self.below(most) as usize)
        };
        (0..count).map(|_| one()).collect()
    }
}

/// A session, what damages it, and what has been done.
struct Session<M: Memory, L: ClientLinear, R> {
    pair: Pair<M, L>,
    image: Image,
    h: u8,
    random: Random<R>,
    plan: Vec<(bool, Kind, usize)>,
    /// Frames so far, by side and kind.
    seen: [[usize; 256]; 2],
    /// Frames that did not arrive as they were sent.
    damaged: usize,
    /// A party must notice, if nothing else makes up for it (a frame that comes twice stands for one
    /// that was dropped), and how it was damaged.
    noticeable: Option<String>,
}

impl<M: Memory, L: ClientLinear, R: Rng> Session<M, L, R> {
    fn new(plain: &Plain, packing: Packing, mut random: Random<R>) -> Self {
        let settings = Settings {
            k_s: random.of(&[1, 2, 4, 8]),
            h: 5 + random.below(8) as u8,
            labels: random.below(2) == 0,
        };
        let memory = random.of(&[0, usize::MAX]);
        let seeds = [random.0.next_u64(), random.0.next_u64()];
        Self {
            pair: Pair::new(plain.packed(packing, memory), settings, seeds),
            image: Image::of_side(plain.layers[0].0.in_side.into(), random.0.next_u64() >> 1),
            h: settings.h,
            plan: random.plan(),
            random,
            seen: [[0; 256]; 2],
            damaged: 0,
            noticeable: None,
        }
    }

    fn run(mut self, plain: &Plain) -> Outcome {
        // The set-up, and an inference.
        for inference in [false, true] {
            if inference && self.pair.client.start().is_err() {
                return Outcome::Stalled;
            }
            if let Err((server, error)) = self.exchange() {
                assert_of_peer(&error);
                self.end(server, &error);
                assert!(self.damaged > 0, "an honest session ends with {error}");
                return Outcome::Refused;
            }
        }
        let done = self.pair.client.is_ready() && self.image.logits.len() == 5;
        if !done {
            assert!(self.damaged > 0, "an honest session stalls");
            return Outcome::Stalled;
        }
        if let (Some(how), 1) = (&self.noticeable, self.damaged) {
            panic!("a result, although {how}");
        }
        if self.damaged > 0 {
            return Outcome::Changed;
        }
        let tensors = self.pair.open(plain, &self.image);
        plain.assert_exact(&tensors, &self.image.logits, self.h);
        self.plan.clear();
        self.pair.client.finish().expect("it is ready");
        self.exchange().expect("a goodbye");
        assert!(self.pair.client.is_closed() && self.pair.server.is_closed());
        Outcome::Right
    }

    /// Exchanges frames until nobody has more to say, or a side (true for the server) fails.
    fn exchange(&mut self) -> Result<(), (bool, Error)> {
        let mut buffer = [0; MAX_FRAME];
        loop {
            let mut quiet = true;
            while let Some(length) = self
                .pair
                .client
                .poll(&mut self.image, &mut buffer)
                .map_err(|e| (false, e))?
            {
                quiet = false;
                for bytes in self.deliver(true, &buffer[..length]) {
                    let taken =
                        Frame::new_checked(&bytes).and_then(|frame| self.pair.server.handle(frame));
                    taken.map_err(|error| (true, error))?;
                }
            }
            while let Some(length) = self.pair.server.poll(&mut buffer).map_err(|e| (true, e))? {
                quiet = false;
                for bytes in self.deliver(false, &buffer[..length]) {
                    let taken = Frame::new_checked(&bytes)
                        .and_then(|frame| self.pair.client.handle(&mut self.image, frame));
                    taken.map_err(|error| (false, error))?;
                }
            }
            if quiet {
                return Ok(());
            }
        }
    }

    /// The frames that arrive for one that was sent.
    fn deliver(&mut self, up: bool, frame: &[u8]) -> Vec<Vec<u8>> {
        let of_kind = &mut self.seen[usize::from(up)][usize::from(frame[0])];
        let nth = *of_kind;
        *of_kind += 1;
        let planned = self
            .plan
            .iter()
            .find(|plan| (plan.0, plan.1 as u8, plan.2) == (up, frame[0], nth));
        let Some(&(_, kind, _)) = planned else {
            return vec![frame.to_vec()];
        };
        let (frames, must, how) = self.damage(up, frame, kind, nth);
        if frames.len() == 1 && frames[0] == frame {
            return frames;
        }
        self.damaged += 1;
        if must {
            self.noticeable = Some(format!("{kind:?} {nth} {how}"));
        }
        frames
    }

    /// What arrives in place of a frame, whether that must be noticed, and what was done.
    fn damage(
        &mut self,
        up: bool,
        frame: &[u8],
        kind: Kind,
        nth: usize,
    ) -> (Vec<Vec<u8>>, bool, String) {
        let payload = &frame[HEADER..];
        let mut changed = frame.to_vec();
        let how = match self.random.below(10) {
            0..3 => {
                let damage = self.random.of(&DAMAGES);
                if let Some((bytes, _)) = damaged(frame, kind, nth, damage) {
                    return (vec![bytes], true, format!("was damaged: {damage:?}"));
                }
                return (vec![changed], false, String::new());
            }
            3 => return (vec![], true, "was dropped".into()),
            4 => return (vec![changed.clone(), changed], true, "came twice".into()),
            5 if !payload.is_empty() => {
                for _ in 0..=self.random.below(3) {
                    let at = HEADER + self.random.below(payload.len() as u32) as usize;
                    changed[at] ^= 1 << self.random.below(8);
                }
                "has other bits"
            }
            6 => {
                let length = self.random.below(MAX_PAYLOAD as u32 + 2) as usize;
                let other = self.random.below(24) as u8;
                changed = raw_frame(other, &vec![0; length]);
                self.random.0.fill_bytes(&mut changed[HEADER..]);
                let must = other != kind as u8;
                return (vec![changed], must, "is another frame".into());
            }
            7 => {
                let length = self.random.below(MAX_FRAME as u32) as usize;
                changed.resize(length, 0);
                self.random.0.fill_bytes(&mut changed);
                let must = Frame::new_checked(&changed).is_err();
                return (vec![changed], must, "is random bytes".into());
            }
            8 => {
                self.random.0.fill_bytes(&mut changed[HEADER..]);
                "has random content"
            }
            _ => {
                let fill = self.random.of(&[0, 1, 0x7f]);
                changed[HEADER..].fill(fill);
                "has the same byte everywhere"
            }
        };
        let must = must_notice(up, (frame, &changed), kind, nth, how);
        (vec![changed], must, how.into())
    }

    /// After an error the failing side is closed; the other is told, and then is too.
    fn end(&mut self, server: bool, error: &Error) {
        let mut buffer = [0; MAX_FRAME];
        let length = write_failure(&mut buffer, error);
        let fail = Frame::new_checked(&buffer[..length]).expect("a frame");
        let frame = failure(PeerError::Other);
        let again = Frame::new_checked(&frame).expect("a frame");
        let Pair {
            client,
            server: other,
            ..
        } = &mut self.pair;
        for frame in [fail, again] {
            // A side that gets no frame at all is closed by its driver.
            assert!(other.handle(frame).is_err());
            assert!(client.handle(&mut self.image, frame).is_err());
        }
        assert!(
            client.is_closed() && other.is_closed(),
            "server {server}: {error}"
        );
        assert_eq!(client.poll(&mut self.image, &mut buffer), Ok(None));
        assert_eq!(other.poll(&mut buffer), Ok(None));
    }
}

/// Asserts that an error says what the peer did.
pub(crate) fn assert_of_peer(error: &Error) {
    let own = matches!(error, Error::Usage(_) | Error::Internal(_));
    assert!(!own, "the peer's bytes make a party say: {error}");
}

/// Whether other content of a frame must be noticed before there is a result.
fn must_notice(
    up: bool,
    (frame, changed): (&[u8], &[u8]),
    kind: Kind,
    nth: usize,
    how: &str,
) -> bool {
    if frame == changed {
        return false;
    }
    match kind {
        // The session's name follows from what they say.
        Kind::Hello => {
            let read = |bytes: &[u8]| read_greeting::<Hello>(&bytes[HEADER..]).ok();
            read(frame) != read(changed)
        }
        Kind::Welcome | Kind::Layer | Kind::Records => true,
        // Of the base transfers: public key and choices.
        Kind::Seed => nth < 2,
        // The client's are not confirmed, and of the server's half is not looked at.
        Kind::BaseMessages => !up && how != "has other bits",
        _ => false,
    }
}
