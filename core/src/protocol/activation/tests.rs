//! Windows of both parties, with base transfers done by hand.

use super::*;
use crate::arith::field::{T, T_MOD};
use crate::ot::ggm_tests::pair;
use crate::ot::{FORWARD, REVERSE, ReceiverTrees, Row, SenderTrees};
use crate::protocol::frame::{Frame, MAX_FRAME};
use crate::random::{Seed, SessionId, Stream};
use crate::relu::Digits;
use proptest::prelude::*;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

const SESSION: SessionId = SessionId([3; 32]);

/// Windows of one session, and what they sent.
struct Session<const CHUNKS: usize> {
    forward: (ReceiverTrees, Box<SenderTrees<FORWARD>>),
    reverse: (ReceiverTrees, Box<SenderTrees<REVERSE>>),
    client: Box<ClientWindow<CHUNKS>>,
    server: ServerWindow,
    relu: ReluParams,
    stream: Stream,
    frames: Vec<(bool, Vec<u8>)>,
}

impl<const CHUNKS: usize> Session<CHUNKS> {
    fn new(h: u32, k: u32, k_s: u32, seed: u8) -> Self {
        let relu = ReluParams::new(Digits::of(h).unwrap(), k).unwrap();
        let mut stream = Stream::new(&Seed([seed; 32]), [0; 3]);
        let mut delta = || -> Row { core::array::from_fn(|_| stream.next_u32()) };
        let (forward, reverse) = (
            pair(k_s, &SESSION, seed, &delta()),
            pair(k_s, &SESSION, !seed, &delta()),
        );
        let mut client = Box::new(ClientWindow::empty());
        client.begin_session(relu, k_s);
        Self {
            forward,
            reverse,
            client,
            server: ServerWindow::new(relu, k_s, Seed([seed ^ 1; 32])),
            relu,
            stream,
            frames: Vec::new(),
        }
    }

    /// One window: z of every activation.
    fn relu(&mut self, a: &[u16], b: &[u16]) -> Vec<u32> {
        let mut scratch = vec![0; SCRATCH_WORDS];
        let mut context = ClientContext {
            receiver: &self.forward.0,
            sender: &self.reverse.1,
            choices: &Seed([9; 32]),
            scratch: scratch.first_chunk_mut().unwrap(),
        };
        a.iter().for_each(|&a| self.client.gather(a).unwrap());
        self.client.start();
        let shares = b.iter().copied();
        self.server.start(shares, &self.reverse.0).unwrap();
        let (mut replaced, mut out) = (Vec::new(), [0; MAX_FRAME]);
        loop {
            if let Some(len) = self.server.poll(&mut out) {
                self.frames.push((false, out[..len].to_vec()));
                let frame = Frame::new_checked(&out[..len]).unwrap();
                let share = || {
                    replaced.push(self.stream.next_u32() % T);
                    Ok(*replaced.last().unwrap())
                };
                self.client.handle(frame, &mut context, share).unwrap();
            } else if let Some(len) = self.client.poll(&mut context, &mut out).unwrap() {
                self.frames.push((true, out[..len].to_vec()));
                let frame = Frame::new_checked(&out[..len]).unwrap();
                self.server.handle(frame, &self.forward.1).unwrap();
            } else {
                break;
            }
        }
        assert!(self.client.idle() && self.server.idle());
        let shares = self.server.outputs().iter().zip(replaced);
        shares.map(|(x, y)| T_MOD.add(*x, y)).collect()
    }

    fn random(&mut self, count: usize) -> [Vec<u16>; 2] {
        [(); 2].map(|()| (0..count).map(|_| self.stream.next_u32() as u16).collect())
    }
}

fn expected(a: u16, b: u16, k: u32) -> u32 {
    ((i32::from(a) + i32::from(b)) << (32 - k) >> (32 - k)).max(0) as u32
}

#[test]
fn windows_of_every_length_are_right() {
    let mut session = Session::<2>::new(12, 12, 4, 5);
    for count in [1, 7, 8, 64, 65, 255, 256, 257, 511, 512, 3] {
        let [a, b] = session.random(count);
        let z = session.relu(&a, &b);
        assert_eq!(z.len(), count);
        for (i, z) in z.into_iter().enumerate() {
            assert_eq!(z, expected(a[i], b[i], 12), "activation {i} of {count}");
        }
    }
    assert!(session.client.capacity() == 512 && session.client.gather(0).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn every_parameter_gives_a_relu(h in 8u32..=12, log_k in 0u32..4, seed: u8, count in 1usize..300) {
        let mut session = Session::<2>::new(h, h, 1 << log_k, seed);
        let [a, b] = session.random(count);
        for (i, z) in session.relu(&a, &b).into_iter().enumerate() {
            prop_assert_eq!(z, expected(a[i], b[i], h));
        }
    }
}

#[test]
fn traffic_counts_what_windows_send() {
    for (h, k_s) in [(5, 8), (8, 4), (8, 1), (12, 2)] {
        let mut session = Session::<2>::new(h, 12, k_s, 7);
        for count in [1, 256, 300, 512] {
            session.frames.clear();
            let [a, b] = session.random(count);
            session.relu(&a, &b);
            let mut counted = Vec::new();
            WindowTraffic::new(session.relu, k_s).window(count, |sender, kind, bytes| {
                let client = sender == crate::protocol::steps::Sender::Client;
                counted.push((client, kind as u8, bytes));
            });
            let sent = session.frames.iter();
            let sent: Vec<_> = sent
                .map(|(up, frame)| (*up, frame[0], frame.len()))
                .collect();
            assert_eq!(sent, counted);
        }
    }
}
