//! Windows of both parties, with base transfers done by hand.

use super::*;
use crate::Error;
use crate::arith::field::{T, T_MOD};
use crate::network::layer::Activation::{Linear, Logits, Relu};
use crate::ot::ggm_tests::pair;
use crate::ot::{FORWARD, REVERSE, ReceiverTrees, Row, SenderTrees};
use crate::protocol::frame::{Frame, MAX_FRAME};
use crate::protocol::greeting::LayersHash;
use crate::protocol::steps::Room;
use crate::random::{Seed, SessionId, Stream};
use crate::relu::Digits;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec::Vec;

const SESSION: SessionId = SessionId([3; 32]);
const LAYERS: LayersHash = LayersHash([2; 32]);
const SEAL: Seed = Seed([10; 32]);

/// Room for windows of `N` chunks, or for all where `N` is 0.
struct Memory<const N: u16>(Vec<Chunk>);

impl<const N: u16> Store for Memory<N> {
    const ROOM: Room = match N {
        0 => Room::Whole,
        chunks => Room::Chunks(chunks),
    };
    type Residues = [[[u32; 3]; CHUNK]; 8];
    fn chunk(&mut self, index: usize) -> Option<&mut Chunk> {
        self.0.get_mut(index)
    }
    fn shape(&self, index: usize) -> Option<ChunkShape> {
        self.0.get(index).map(|chunk| chunk.shape)
    }
    fn push(&mut self, shape: ChunkShape) -> Result<(), Error> {
        assert!(N == 0 || self.0.len() < N.into());
        self.0.push(Chunk::EMPTY);
        self.0.last_mut().unwrap().shape = shape;
        Ok(())
    }
    fn clear(&mut self) {
        self.0.clear();
    }
}

/// Windows of one session, and what they sent.
struct Session<const N: u16> {
    forward: (ReceiverTrees, Box<SenderTrees<FORWARD>>),
    reverse: (ReceiverTrees, Box<SenderTrees<REVERSE>>),
    store: Memory<N>,
    residues: Box<[[[u32; 3]; CHUNK]; 8]>,
    client: ClientWindow,
    replies: ClientAnswers,
    server: ServerWindow,
    answers: ServerAnswers,
    relu: ReluParams,
    k_s: u32,
    stream: Stream,
    frames: Vec<(bool, Vec<u8>)>,
    inferences: u64,
    scratch: Box<[u32; SCRATCH_WORDS]>,
}

/// The new shares that a window replaced, and logits.
struct Taken<'a>(&'a mut Stream, &'a mut Vec<u32>);

impl Outputs for Taken<'_> {
    fn share(&mut self) -> Result<u32, Error> {
        self.1.push(self.0.next_u32() % T);
        Ok(*self.1.last().unwrap())
    }
    fn logit(&mut self, value: u32) -> Result<(), Error> {
        self.1.push(value);
        Ok(())
    }
}

/// Outputs of a layer: shares of both sides before what follows.
type Layer<'a> = (Activation, &'a [u32], &'a [u32]);

impl<const N: u16> Session<N> {
    fn new(h: u32, k: u32, k_s: u32, seed: u8) -> Self {
        let relu = ReluParams::new(Digits::of(h).unwrap(), k).unwrap();
        let mut stream = Stream::new(&Seed([seed; 32]), [0; 3]);
        let mut delta = || -> Row { core::array::from_fn(|_| stream.next_u32()) };
        let (forward, reverse) = (
            pair(k_s, &SESSION, seed, &delta()),
            pair(k_s, &SESSION, !seed, &delta()),
        );
        let mut client = ClientWindow::empty();
        client.begin_session::<Memory<N>>(relu, k_s);
        let room = Memory::<N>::ROOM;
        Self {
            forward,
            reverse,
            store: Memory(Vec::new()),
            residues: Box::new(Residues::EMPTY),
            client,
            replies: ClientAnswers::empty(),
            server: ServerWindow::new(relu, k_s, room, Seed([seed ^ 1; 32])),
            answers: ServerAnswers::new(relu, k_s, room),
            relu,
            k_s,
            stream,
            frames: Vec::new(),
            inferences: 0,
            scratch: Box::new([0; SCRATCH_WORDS]),
        }
    }

    /// Prepares and answers some layers; gives what follows of each output, or what the server got of
    /// it where nothing does.
    fn run(&mut self, layers: &[Layer<'_>]) -> Vec<Vec<u32>> {
        self.inferences += 1;
        self.client.begin(self.inferences, 0, &mut self.store);
        let mut chunks: Vec<Vec<Answerable>> = layers.iter().map(|_| Vec::new()).collect();
        let capacity = Memory::<N>::ROOM.capacity();
        for (layer, &(activation, own, _)) in layers.iter().enumerate() {
            let layer = layer as u16;
            for window in own.chunks(capacity.min(own.len())) {
                for &share in window {
                    (self.client)
                        .gather((layer, activation), share, &mut self.store)
                        .unwrap();
                    self.server.gather(layer, activation);
                }
                if N > 0 {
                    self.prepare(&mut chunks);
                }
            }
        }
        if N == 0 {
            self.prepare(&mut chunks);
        }

        (self.replies).begin::<Memory<N>>(self.relu, self.k_s, self.inferences);
        let mut results = Vec::new();
        for (layer, (&(activation, own, shares), mut chunks)) in
            layers.iter().zip(chunks).enumerate()
        {
            let mut result = Vec::new();
            if activation == Linear {
                self.replies.pass(own.len());
                let reshares = chunks.iter().flat_map(|chunk| chunk.reshares.iter());
                result.extend(reshares);
            } else {
                let mut first = 0;
                for window in shares.chunks(capacity.min(own.len())) {
                    result.extend(self.answer(
                        (layer as u16, activation),
                        window,
                        &mut chunks,
                        first,
                    ));
                    first += window.len().div_ceil(CHUNK);
                }
            }
            results.push(result);
        }
        results
    }

    /// Prepares a window.
    fn prepare(&mut self, chunks: &mut [Vec<Answerable>]) {
        self.client.start(&self.store);
        self.server.start();
        assert_eq!(self.client.idle(), self.server.idle());
        let mut transfers = ClientTransfers {
            receiver: &self.forward.0,
            sender: &self.reverse.1,
            choices: &Seed([9; 32]),
            residues: &mut *self.residues,
            scratch: &mut self.scratch,
        };
        let mut context = ClientContext {
            store: &mut self.store,
            session: &SESSION,
            layers: &LAYERS,
            seal: &SEAL,
        };
        let mut out = [0; MAX_FRAME];
        loop {
            if let Some(len) = self.server.poll(&self.reverse.0, &mut out).unwrap() {
                self.frames.push((false, out[..len].to_vec()));
                let frame = Frame::new_checked(&out[..len]).unwrap();
                let handled = self.client.handle(frame, context.store, &mut transfers);
                handled.unwrap();
            } else if let Some(len) =
                (self.client.poll(&mut context, &mut transfers, &mut out)).unwrap()
            {
                self.frames.push((true, out[..len].to_vec()));
                let frame = Frame::new_checked(&out[..len]).unwrap();
                self.server.handle(frame, &self.forward.1).unwrap();
            } else {
                break;
            }
        }
        assert!(self.client.idle() && self.server.idle());
        assert!(
            self.residues
                .as_flattened()
                .as_flattened()
                .iter()
                .all(|&x| x == 0)
        );
        for (layer, chunk) in self.server.finish(&self.forward.1).unwrap() {
            chunks[layer].push(chunk);
        }
    }

    /// Answers a window.
    fn answer(
        &mut self,
        (layer, activation): (u16, Activation),
        shares: &[u32],
        chunks: &mut [Answerable],
        first: usize,
    ) -> Vec<u32> {
        (self.replies)
            .start((layer, activation), shares.len(), &mut self.store)
            .unwrap();
        self.answers.start(chunks, first, shares, 0).unwrap();
        let mut context = ClientContext {
            store: &mut self.store,
            session: &SESSION,
            layers: &LAYERS,
            seal: &SEAL,
        };
        let (mut taken, mut out) = (Vec::new(), [0; MAX_FRAME]);
        loop {
            if let Some(len) = self.answers.poll(chunks, &mut out) {
                self.frames.push((false, out[..len].to_vec()));
                let frame = Frame::new_checked(&out[..len]).unwrap();
                let outputs = Taken(&mut self.stream, &mut taken);
                self.replies.handle(frame, &mut context, outputs).unwrap();
            } else if let Some(len) = self.replies.poll(&mut context, &mut out).unwrap() {
                self.frames.push((true, out[..len].to_vec()));
                let frame = Frame::new_checked(&out[..len]).unwrap();
                self.answers.handle(frame, chunks).unwrap();
            } else {
                break;
            }
        }
        assert!(self.replies.idle() && self.answers.idle());
        if activation == Logits {
            return taken;
        }
        let shares = self.answers.outputs().iter().zip(taken);
        shares.map(|(x, y)| T_MOD.add(*x, y)).collect()
    }

    fn relu(&mut self, a: &[u32], b: &[u32]) -> Vec<u32> {
        self.run(&[(Relu, a, b)]).pop().unwrap()
    }

    fn random(&mut self, count: usize) -> [Vec<u32>; 2] {
        // The server's share is taken mod 2^20, the client's is below 2^16.
        [(); 2].map(|()| {
            (0..count)
                .map(|_| self.stream.next_u32() % (1 << 16))
                .collect()
        })
    }
}

fn expected(a: u32, b: u32, k: u32) -> u32 {
    (((a + b) as i32) << (32 - k) >> (32 - k)).max(0) as u32
}

fn lengths<const N: u16>() {
    let mut session = Session::<N>::new(12, 12, 4, 5);
    for count in [1, 7, 8, 64, 65, 255, 256, 257, 511, 512, 3] {
        let [a, b] = session.random(count);
        let z = session.relu(&a, &b);
        assert_eq!(z.len(), count);
        for (i, z) in z.into_iter().enumerate() {
            assert_eq!(z, expected(a[i], b[i], 12), "activation {i} of {count}");
        }
    }
}

#[test]
fn windows_of_every_length_are_right() {
    lengths::<0>();
    lengths::<1>();
    lengths::<2>();
}

/// Layers of all kinds, in one window and in many.
fn kinds<const N: u16>() -> Session<N> {
    let mut session = Session::<N>::new(8, 8, 8, 6);
    let [a, b] = session.random(600);
    for _ in 0..2 {
        let layers: [Layer<'_>; 5] = [
            (Relu, &a[..300], &b[..300]),
            (Linear, &a[300..560], &b[300..560]),
            (Relu, &a[560..561], &b[560..561]),
            (Linear, &a[561..563], &b[561..563]),
            (Logits, &a[563..], &b[563..]),
        ];
        let results = session.run(&layers);
        for ((activation, own, shares), result) in layers.into_iter().zip(results) {
            assert_eq!(result.len(), own.len());
            for ((&a, &b), z) in own.iter().zip(shares).zip(result) {
                let right = match activation {
                    Relu => expected(a, b, 8),
                    Linear => a,
                    Logits => a + b,
                };
                assert_eq!(z, right, "{activation:?}");
            }
        }
    }
    session
}

#[test]
fn layers_of_all_kinds_share_windows() {
    let turns = |frames: &[(bool, Vec<u8>)]| {
        let sides = frames.iter().map(|frame| frame.0);
        sides.collect::<Vec<_>>().chunk_by(|a, b| a == b).count()
    };
    let whole = kinds::<0>();
    // Two to prepare all, two a ReLU layer, and the logits; the server's last word of one inference and
    // its first of the next are one turn here.
    assert_eq!(turns(&whole.frames), 2 * (2 + 2 * 2 + 1) - 1);
    let sealed = |frames: &[(bool, Vec<u8>)], up| {
        let records = frames
            .iter()
            .filter(|frame| frame.1[0] == Kind::Records as u8);
        let records = records.filter(|frame| frame.0 == up);
        records.map(|frame| frame.1.clone()).collect::<Vec<_>>()
    };
    assert!(sealed(&whole.frames, true).is_empty());
    for frames in [kinds::<1>().frames, kinds::<3>().frames] {
        let stored = sealed(&frames, true);
        assert_eq!(stored, sealed(&frames, false));
        // 300 ReLUs in five frames, one in another, 37 logits in one.
        assert_eq!(stored.len(), 2 * (5 + 1 + 1));
        assert_eq!(stored[0].len(), 3 + 64 * (3 * 23 + 8 + 5) / 8 + 16);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_parameter_gives_a_relu(h in 8u32..=12, log_k in 0u32..4, seed: u8, count in 1usize..300) {
        let mut session = Session::<0>::new(h, h, 1 << log_k, seed);
        let [a, b] = session.random(count);
        for (i, z) in session.relu(&a, &b).into_iter().enumerate() {
            prop_assert_eq!(z, expected(a[i], b[i], h));
        }
        let mut session = Session::<1>::new(h, h, 1 << log_k, seed);
        for (i, z) in session.relu(&a, &b).into_iter().enumerate() {
            prop_assert_eq!(z, expected(a[i], b[i], h));
        }
    }
}

fn counted<const N: u16>(h: u32, k_s: u32) {
    let mut session = Session::<N>::new(h, 12, k_s, 7);
    for (activation, count) in [
        (Relu, 1),
        (Relu, 256),
        (Relu, 300),
        (Linear, 300),
        (Logits, 70),
    ] {
        session.frames.clear();
        let [a, b] = session.random(count);
        session.run(&[(activation, &a, &b)]);
        let mut counted = Vec::new();
        let traffic = WindowTraffic::new(session.relu, k_s, Memory::<N>::ROOM);
        for phase in [Phase::Prepare, Phase::Answer] {
            if phase == Phase::Answer && activation == Linear {
                continue;
            }
            let capacity = Memory::<N>::ROOM.capacity().min(count);
            for first in (0..count).step_by(capacity) {
                let len = capacity.min(count - first);
                let chunks: Vec<_> = ChunkShape::split(0, activation, len).collect();
                traffic.window(phase, &chunks, |_, sender, kind, bytes| {
                    counted.push((sender == Sender::Client, kind as u8, bytes));
                });
            }
        }
        let sent = session.frames.iter();
        let sent: Vec<_> = sent
            .map(|(up, frame)| (*up, frame[0], frame.len()))
            .collect();
        assert_eq!(sent, counted);
    }
}

#[test]
fn traffic_counts_what_windows_send() {
    for (h, k_s) in [(5, 8), (8, 4), (8, 1), (12, 2)] {
        counted::<0>(h, k_s);
        counted::<1>(h, k_s);
        counted::<2>(h, k_s);
    }
}
