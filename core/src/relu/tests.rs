use super::*;
use crate::arith::field::T;
use crate::ot::{Direction, Key, SenderTrees, scratch_words};
use crate::ot::{correlated_pads_receiver, correlated_pads_sender};
use crate::random::{Seed, SessionId};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::vec;
use std::vec::Vec;

const SESSION: SessionId = SessionId([3; 32]);

/// Both parties, with reverse transfers in stock.
struct Parties {
    params: ReluParams,
    client: ReceiverTrees,
    server: SenderTrees,
    reverse: (ReceiverTrees, SenderTrees),
    stream: Stream,
    call: u64,
    reverse_call: u64,
    stock: Vec<(u8, u32, [u32; 2])>,
    wire: Sha256,
}

fn pair(direction: Direction, k_s: u32, seed: u8, delta: &Key) -> (ReceiverTrees, SenderTrees) {
    let receiver = ReceiverTrees::new(direction, k_s, &SESSION, &Seed([seed; 32])).unwrap();
    let keys = core::array::from_fn(|c| {
        let choice = SenderTrees::base_choice(delta, c) as usize;
        receiver.base_message(c, &mut [0; 1024]).unwrap()[choice]
    });
    let sender = SenderTrees::new(direction, k_s, &SESSION, delta, &keys).unwrap();
    (receiver, sender)
}

/// What went over the wire and what came out, for one chunk.
#[derive(Clone)]
struct Chunk {
    tables: Vec<u8>,
    replies: Vec<(u8, u32)>,
    entries: Vec<[u32; 4]>,
    client: Vec<u32>,
    server: Vec<u32>,
}

impl Parties {
    fn new(h: u32, k: u32, k_s: u32, seed: u64) -> Self {
        let mut stream = Stream::new(&Seed([8; 32]), [seed as u32, (seed >> 32) as u32, 0]);
        let mut delta = || core::array::from_fn(|_| stream.next_u32());
        let (client, server) = pair(Direction::Forward, k_s, seed as u8, &delta());
        let reverse = pair(Direction::Reverse, k_s, !seed as u8, &delta());
        Self {
            params: ReluParams::new(h, k).unwrap(),
            client,
            server,
            reverse,
            stream,
            call: 0,
            reverse_call: 0,
            stock: Vec::new(),
            wire: Sha256::new(),
        }
    }

    fn take_reverse(&mut self, len: usize) -> Vec<(u8, u32, [u32; 2])> {
        while self.stock.len() < len {
            let choices = core::array::from_fn(|_| self.stream.next_u32());
            let (mut one, mut two) = (vec![0; CALL], vec![[0; 2]; CALL]);
            let one: &mut [u32; CALL] = one.as_mut_slice().try_into().unwrap();
            let two: &mut [[u32; 2]; CALL] = two.as_mut_slice().try_into().unwrap();
            let (receiver, sender) = &self.reverse;
            let words = scratch_words(sender.k_s());
            let (mut left, mut right) = (vec![0; words], vec![0; words]);
            let call = self.reverse_call;
            correlated_pads_receiver(receiver, call, &choices, &mut left, one, |tree, c| {
                self.wire.update(c.map(u32::to_le_bytes).concat());
                sender.absorb(call, tree, c, &mut right).unwrap();
            })
            .unwrap();
            correlated_pads_sender(sender, call, &mut right, two).unwrap();
            self.reverse_call += 1;
            self.stock.extend(
                (0..CALL).map(|i| ((choices[i / 32] >> (i % 32) & 1) as u8, one[i], two[i])),
            );
        }
        self.stock.drain(..len).collect()
    }

    /// Runs a chunk; `tamper` may change what the server sends.
    fn run_with(
        &mut self,
        a: &[u16],
        b: &[u16],
        mut tamper: impl FnMut(&ClientChunk, usize, &mut [u8], Option<&mut [u32; 4]>),
    ) -> Chunk {
        let params = self.params;
        let reverse = self.take_reverse(a.len());
        let random = core::array::from_fn(|_| self.stream.next_u32());
        let words = scratch_words(self.client.k_s());
        let (mut left, mut right) = (vec![0; words], vec![0; words]);
        let call = self.call;
        self.call += 1;
        let mut client = ClientChunk::begin(
            params,
            &self.client,
            call,
            &random,
            a,
            &mut left,
            |tree, c| {
                self.wire.update(c.map(u32::to_le_bytes).concat());
                self.server.absorb(call, tree, c, &mut right).unwrap();
            },
        )
        .unwrap();
        let rows = self.server.rows(call, &mut right).unwrap();
        let bits: Vec<u8> = reverse.iter().map(|r| r.0).collect();
        let bytes = params.table_bytes();
        let mut tables = vec![0xAA; bytes * a.len()];
        let server =
            ServerChunk::begin(params, &rows, b, &bits, &mut self.stream, &mut tables).unwrap();
        let mut chunk = Chunk {
            tables: tables.clone(),
            replies: Vec::new(),
            entries: Vec::new(),
            client: Vec::new(),
            server: Vec::new(),
        };
        for (i, (_, pad, pads)) in reverse.iter().enumerate() {
            let table = &mut tables[i * bytes..][..bytes];
            tamper(&client, i, table, None);
            client.read_table(i, table);
            let (derandomise, tau) = client.reply(i, *pads);
            assert!(derandomise < 4 && tau < T);
            chunk.replies.push((derandomise, tau));
            let (mut entries, z_s) = server.answer(i, derandomise, tau, *pad);
            assert!(entries.iter().all(|e| *e < T) && z_s < T);
            chunk.entries.push(entries);
            tamper(&client, i, table, Some(&mut entries));
            chunk.client.push(client.finish(i, entries));
            chunk.server.push(z_s);
            self.wire.update(derandomise.to_le_bytes());
            for word in [&[tau][..], &entries].concat() {
                self.wire.update(word.to_le_bytes());
            }
        }
        self.wire.update(&tables);
        chunk
    }

    /// z of chunks of any length, through chunks that are as large as possible.
    fn relu(&mut self, a: &[u16], b: &[u16]) -> Vec<u32> {
        let size = self.params.chunk();
        let mut z = Vec::new();
        for (a, b) in a.chunks(size).zip(b.chunks(size)) {
            let chunk = self.run_with(a, b, |_, _, _, _| ());
            z.extend(
                chunk
                    .client
                    .iter()
                    .zip(&chunk.server)
                    .map(|(c, s)| T_MOD.add(*c, *s)),
            );
        }
        z
    }

    /// Random shares of u.
    fn share(&mut self, u: &[i32]) -> (Vec<u16>, Vec<u16>) {
        let ring = (1 << self.params.k) - 1;
        u.iter()
            .map(|u| {
                let a = self.stream.next_u32() & ring;
                (a as u16, ((*u as u32).wrapping_sub(a) & ring) as u16)
            })
            .unzip()
    }
}

fn signed(a: u16, b: u16, k: u32) -> i32 {
    (i32::from(a) + i32::from(b)) << (32 - k) >> (32 - k)
}

#[test]
fn relu_is_exact_when_all_bits_are_compared() {
    for (k, k_s) in [(8, 1), (9, 2), (10, 4), (11, 2), (12, 4), (12, 8)] {
        let mut parties = Parties::new(k, k, k_s, u64::from(k));
        let ring = (1 << k) - 1;
        let (a, b): (Vec<u16>, Vec<u16>) = (0..1000)
            .map(|_| {
                let w = parties.stream.next_u32();
                ((w & ring) as u16, (w >> 16 & ring) as u16)
            })
            .unzip();
        for (i, z) in parties.relu(&a, &b).into_iter().enumerate() {
            assert_eq!(
                z,
                signed(a[i], b[i], k).max(0) as u32,
                "{} + {}",
                a[i],
                b[i]
            );
        }
    }
}

#[test]
fn every_pair_of_shares_at_eight_bits() {
    // All values of b against a few of a, the edges among them.
    let mut parties = Parties::new(8, 8, 2, 77);
    for a in [0u16, 1, 127, 128, 129, 200, 255] {
        let b: Vec<u16> = (0..256).collect();
        let z = parties.relu(&[a; 256], &b);
        for (b, z) in b.iter().zip(z) {
            assert_eq!(z, signed(a, *b, 8).max(0) as u32, "{a} + {b}");
        }
    }
}

#[test]
fn a_short_comparison_loses_only_small_positives() {
    for (h, k) in [(8, 12), (8, 9), (10, 12)] {
        let mut parties = Parties::new(h, k, 2, u64::from(100 + h));
        let (top, gap) = (1i32 << (k - 1), 1i32 << (k - h));
        let edges = [
            0,
            1,
            2,
            gap - 1,
            gap,
            gap + 1,
            top - 2,
            top - 1,
            -1,
            -2,
            -gap,
            -gap - 1,
        ];
        // Lower down a negative can come out as the largest positive.
        let lowest = [gap - top, gap - top + 1];
        let mut u: Vec<i32> = edges
            .iter()
            .chain(&lowest)
            .copied()
            .cycle()
            .take(3000)
            .collect();
        u.extend(
            (0..3000)
                .map(|_| gap - top + (parties.stream.next_u32() % (2 * top - gap) as u32) as i32),
        );
        let (a, b) = parties.share(&u);
        let mut lost = 0;
        for (u, z) in u.iter().zip(parties.relu(&a, &b)) {
            if *u > 0 && *u < gap {
                assert!(z == 0 || z == *u as u32, "{u} gave {z}");
                lost += usize::from(z == 0);
            } else {
                assert_eq!(z, (*u).max(0) as u32, "{u}");
            }
        }
        // For a gap of 2 the only such value is 1, to which no carry can come from below.
        assert_eq!(lost > 0, gap > 2);
    }
}

#[test]
fn the_least_value_is_exact_with_all_bits() {
    let mut parties = Parties::new(12, 12, 4, 5);
    let u: Vec<i32> = [-2048, -2047, 2047, 0, -1, 1]
        .into_iter()
        .cycle()
        .take(600)
        .collect();
    let (a, b) = parties.share(&u);
    let expected: Vec<u32> = u.iter().map(|u| (*u).max(0) as u32).collect();
    assert_eq!(parties.relu(&a, &b), expected);
}

#[test]
fn the_client_sees_nothing_but_its_entries() {
    let mut runs = Vec::new();
    for tampered in [false, true] {
        let mut parties = Parties::new(8, 12, 4, 11);
        let params = parties.params;
        let u: Vec<i32> = (0..56).map(|i| 60 * (i - 28)).collect();
        let (a, b) = parties.share(&u);
        runs.push(parties.run_with(&a, &b, |client, i, table, entries| {
            if !tampered {
                return;
            }
            match entries {
                None => {
                    let kept = params.entry(client.shares[i]) as usize;
                    let bit = table[kept / 8] >> (kept % 8) & 1;
                    table.iter_mut().for_each(|b| *b = 0x5A ^ !*b);
                    table[kept / 8] &= !(1 << (kept % 8));
                    table[kept / 8] |= bit << (kept % 8);
                }
                Some(entries) => {
                    for (e, entry) in entries.iter_mut().enumerate() {
                        if e as u32 != client.choice(i) {
                            *entry = T_MOD.add(*entry, 12345);
                        }
                    }
                }
            }
        }));
    }
    let [plain, tampered] = [&runs[0], &runs[1]];
    assert_eq!(plain.client, tampered.client);
    assert_eq!(plain.replies, tampered.replies);
}

#[test]
fn messages_and_shares_look_the_same_for_every_input() {
    // Everything that is sent, and each share alone, is close to uniform, whatever u is.
    for u in [-2000, 0, 1500] {
        let mut parties = Parties::new(8, 12, 2, 21);
        let (mut ones, mut sums) = (0u64, [0u64; 5]);
        let (count, half) = (40 * 56, u64::from(T) / 2);
        let mut choices = [0u32; 4];
        for _ in 0..40 {
            let (a, b) = parties.share(&[u; 56]);
            let chunk = parties.run_with(&a, &b, |_, _, _, _| ());
            ones += chunk
                .tables
                .iter()
                .map(|b| u64::from(b.count_ones()))
                .sum::<u64>();
            for (i, (derandomise, tau)) in chunk.replies.iter().enumerate() {
                choices[usize::from(*derandomise)] += 1;
                let e = chunk.entries[i];
                let seen = [*tau, e[0], e[3], chunk.client[i], chunk.server[i]];
                sums.iter_mut()
                    .zip(seen)
                    .for_each(|(sum, x)| *sum += u64::from(x));
            }
        }
        let bits = count * 128;
        assert!(ones.abs_diff(bits / 2).pow(2) < 10 * bits);
        // Six standard deviations of a mean of uniforms.
        let bound = (6.0 * f64::from(T) / (12.0 * count as f64).sqrt()) as u64;
        for sum in sums {
            assert!((sum / count).abs_diff(half) < bound);
        }
        for c in choices {
            assert!(u64::from(c).abs_diff(count / 4) < 150);
        }
    }
}

#[test]
fn refuses_what_does_not_fit() {
    for (h, k) in [
        (7, 12),
        (13, 12),
        (9, 8),
        (8, 7),
        (8, 13),
        (0, 0),
        (u32::MAX, 12),
    ] {
        assert!(matches!(
            ReluParams::new(h, k),
            Err(Error::Negotiation { .. })
        ));
    }
    for (h, chunk) in [(8, 56), (9, 51), (10, 46), (11, 42), (12, 39)] {
        assert_eq!(ReluParams::new(h, 12).unwrap().chunk(), chunk);
    }
    let mut p = Parties::new(12, 12, 4, 1);
    let words = scratch_words(4);
    let mut scratch = vec![0; words];
    let mut begin = |len: usize, words: usize| {
        let shares = vec![0; len];
        let scratch = &mut scratch[..words];
        ClientChunk::begin(p.params, &p.client, 0, &[0; 4], &shares, scratch, |_, _| ()).err()
    };
    assert_eq!(begin(39, words), None);
    assert_eq!(begin(0, words), None);
    assert!(begin(40, words).is_some());
    assert!(begin(39, words - 1).is_some());
    let mut scratch = vec![0; words];
    let rows = p.server.rows(0, &mut scratch).unwrap();
    let mut begin = |len: usize, bits: usize, bytes: usize| {
        let (shares, bits, mut tables) = (vec![0; len], vec![0; bits], vec![0; bytes]);
        ServerChunk::begin(p.params, &rows, &shares, &bits, &mut p.stream, &mut tables).err()
    };
    assert_eq!(begin(39, 39, 39 * 256), None);
    assert!(begin(40, 40, 40 * 256).is_some());
    assert!(begin(39, 38, 39 * 256).is_some());
    assert!(begin(39, 39, 39 * 256 - 1).is_some());
}

#[test]
fn the_states_are_small() {
    assert!(size_of::<ClientChunk>() <= 1024);
    assert!(size_of::<ServerChunk>() <= 2048);
}

/// A change of this digest is a change of the wire format.
#[test]
fn wire_bytes_are_those_recorded() {
    let mut parties = Parties::new(8, 12, 4, 4);
    let u: Vec<i32> = (0..600).map(|i| 6 * (i - 300)).collect();
    let (a, b) = parties.share(&u);
    parties.relu(&a, &b);
    let digest: [u8; 32] = parties.wire.finalize().into();
    assert_eq!(digest[..8], [61, 82, 41, 23, 209, 106, 252, 84]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_shares_any_size(
        h in 8u32..=12, more in 0u32..=4, log_k in 0u32..3, seed: u64,
        pairs in prop::collection::vec((any::<u16>(), any::<u16>()), 1..130),
    ) {
        let k = (h + more).min(12);
        let mut parties = Parties::new(h, k, 1 << log_k, seed);
        // Shares of 16 bits: the bits above k are ignored.
        let (a, b): (Vec<u16>, Vec<u16>) = pairs.iter().copied().unzip();
        for (i, z) in parties.relu(&a, &b).into_iter().enumerate() {
            let u = signed(a[i], b[i], k);
            let gap = 1 << (k - h);
            let ring = (1 << k) - 1;
            let sum = ((a[i] & ring) >> (k - h)) + ((b[i] & ring) >> (k - h));
            let d = sum >> (h - 1) & 1 == 0;
            if !(0..gap).contains(&u) && u >= gap - (1 << (k - 1)) {
                prop_assert_eq!(d, u >= 0);
            }
            if u >= 0 {
                prop_assert_eq!(z, if d { u as u32 } else { 0 });
            } else if !d {
                prop_assert_eq!(z, 0);
            }
        }
    }
}
