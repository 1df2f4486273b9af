//! Both parties with ideal transfers: hashes are drawn, and the client gets those of its choices.

use super::*;
use crate::arith::field::{ACC_BITS, T};
use crate::ot::{CALL, Code};
use crate::random::{Seed, Stream};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// One activation: what went over the wire and what came out.
#[derive(Clone, Debug)]
struct Run {
    residues: [u32; 3],
    answer: Vec<u8>,
    reply: (u32, u32),
    /// z, from both parties' new shares.
    z: u32,
    server: u32,
    /// What each party makes of it with what it knows: by the place of [`Once`].
    seen: [u32; 6],
}

/// What belongs to one activation alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Once {
    /// Hides the server's highest bit: the client sees g.
    Tau,
    /// d_s, hides the sign: the client sees d_c.
    Sign,
    /// sigma, hides the carry of the first digit: the client sees it hidden.
    Sigma,
    /// kappa, the keys of the next entries: the client sees one.
    Kappa,
    /// Hides d_c: the server sees e, and knows d_s.
    Beta,
    /// r', hides the result: the server sees its new share.
    Replacement,
}

impl Run {
    /// g and f.
    fn last(&self) -> (u32, u32) {
        let bytes = self.answer.last_chunk::<3>().unwrap();
        let last = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
        (last & 1, last >> 1)
    }
}

struct Parties {
    params: ReluParams,
    stream: Stream,
    /// What is wrongly the same in all activations.
    reused: Option<Once>,
}

impl Parties {
    fn new(widths: &[u8], k: u32, seed: u64) -> Self {
        let nonce = [seed as u32, (seed >> 32) as u32, 0];
        Self {
            params: ReluParams::new(Digits::new(widths).unwrap(), k).unwrap(),
            stream: Stream::new(&Seed([8; 32]), nonce),
            reused: None,
        }
    }

    fn block(&mut self) -> Block {
        core::array::from_fn(|_| self.stream.next_u32())
    }

    fn bit(&mut self) -> u32 {
        self.stream.next_u32() & 1
    }

    /// Runs an activation with shares of 16 bits; `tamper` may change the server's answer.
    fn run(&mut self, a: u16, b: u16, tamper: impl FnOnce(&mut [u8])) -> Run {
        let params = self.params;
        let mut client = Record::EMPTY;
        client.begin(a);
        let mut secrets = Secrets {
            tau: self.bit(),
            sign: self.bit(),
            chain: self.stream.next_u32(),
        };
        // Hidden carries have the two lowest bits, the keys the others.
        match self.reused {
            Some(Once::Tau) => secrets.tau = 1,
            Some(Once::Sign) => secrets.sign = 1,
            Some(Once::Sigma) => secrets.chain |= 0b11,
            Some(Once::Kappa) => secrets.chain |= !0b11,
            Some(Once::Beta | Once::Replacement) | None => {}
        }
        let [tau, product] = [(); 2].map(|()| [self.block(), self.block()]);
        let residues = client.products(&params, &tau, &product);
        assert!(residues.iter().all(|x| *x < T));
        let chosen = [tau[secrets.tau as usize], product[secrets.sign as usize]];
        let pads = Prepared::pads(&chosen[0], &chosen[1]);
        let mut server = Prepared::new(secrets, pads, residues);
        let mut first_pad = 0;
        for digit in params.digits() {
            for value in 0..1 << digit.width {
                let block = self.block();
                server.digit(&digit, value, &block);
                if value as u32 == client.choice(&digit) {
                    client.digit(&digit, &block);
                    if digit.place == 0 {
                        first_pad = digit.pad(&block, 0);
                    }
                }
            }
        }
        let (mut beta, blocks) = (self.bit(), [self.block(), self.block()]);
        if self.reused == Some(Once::Beta) {
            beta = 1;
        }
        server.bit(&blocks);
        client.bit(beta, &blocks[beta as usize]);

        let mut answer = vec![0xAA; params.answer_bytes()];
        server.answer(&params, b, &mut answer);
        let sent = answer.clone();
        tamper(&mut answer);
        let mut replacement = self.stream.next_u32() % T;
        if self.reused == Some(Once::Replacement) {
            replacement = 5;
        }
        client.answer(&params, &answer, replacement).unwrap();
        let reply = client.reply();
        assert!(reply.0 < 2 && reply.1 < T);
        let share = server.finish(reply);
        let first = params.digits().next().unwrap();
        let index = first.value(a) as usize;
        let planes = sent[first.table..].chunks_exact(first.plane());
        let bits = planes.take(first.entry as usize).enumerate();
        let bits = bits.map(|(b, plane)| (u32::from(plane[index / 8]) >> (index % 8) & 1) << b);
        let entry = bits.sum::<u32>() ^ first_pad;
        let g = u32::from(sent[sent.len() - 3]) & 1;
        Run {
            seen: [
                g,
                reply.0 ^ beta,
                entry & 1,
                entry >> 1 & 1,
                reply.0 ^ secrets.sign,
                u32::from(share < T / 2),
            ],
            residues,
            answer: sent,
            reply,
            z: T_MOD.add(share, replacement),
            server: share,
        }
    }

    fn relu(&mut self, a: u16, b: u16) -> u32 {
        self.run(a, b, |_| ()).z
    }

    /// Random shares of u.
    fn share(&mut self, u: i32) -> (u16, u16) {
        let ring = (1 << self.params.k) - 1;
        let a = self.stream.next_u32() & ring;
        (a as u16, ((u as u32).wrapping_sub(a) & ring) as u16)
    }
}

fn signed(a: u16, b: u16, k: u32) -> i32 {
    (i32::from(a) + i32::from(b)) << (32 - k) >> (32 - k)
}

#[test]
fn relu_is_exact_when_all_bits_are_compared() {
    let cases: [(&[u8], u32); 7] = [
        (&[7], 8),
        (&[3, 4], 8),
        (&[4, 4], 9),
        (&[3, 3, 3], 10),
        (&[3, 3, 4], 11),
        (&[4, 3, 4], 12),
        (&[5, 3], 9),
    ];
    for (widths, k) in cases {
        let mut parties = Parties::new(widths, k, u64::from(k));
        for _ in 0..1000 {
            let w = parties.stream.next_u32();
            let (a, b) = (w as u16, (w >> 16) as u16);
            let expected = signed(a, b, k).max(0) as u32;
            assert_eq!(parties.relu(a, b), expected, "{a} + {b}, {widths:?}");
        }
    }
}

#[test]
fn every_pair_of_shares_at_eight_bits() {
    // All values of b against a few of a, the edges among them.
    for widths in [&[7][..], &[3, 4], &[4, 3]] {
        let mut parties = Parties::new(widths, 8, 77);
        for a in [0u16, 1, 7, 8, 127, 128, 129, 200, 255] {
            for b in 0..256 {
                let expected = signed(a, b, 8).max(0) as u32;
                assert_eq!(parties.relu(a, b), expected, "{a} + {b}, {widths:?}");
            }
        }
    }
}

#[test]
fn a_short_comparison_loses_only_small_positives() {
    for (h, k) in [(5, 8), (6, 12), (7, 9), (8, 12), (8, 9), (10, 12)] {
        let digits = Digits::of(h).unwrap();
        let widths = &digits.widths[..digits.count];
        let mut parties = Parties::new(widths, k, u64::from(100 + h));
        let (top, gap) = (1i32 << (k - 1), 1i32 << (k - h));
        // Lower down a negative can come out as the largest positive.
        let lowest = gap - top;
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
            lowest,
            lowest + 1,
        ];
        let edges = edges.into_iter().filter(|u| (lowest..top).contains(u));
        let mut values: Vec<i32> = edges.cycle().take(2000).collect();
        let range = (2 * top - gap) as u32;
        values.extend((0..2000).map(|_| lowest + (parties.stream.next_u32() % range) as i32));
        let mut lost = 0;
        for u in values {
            let (a, b) = parties.share(u);
            let z = parties.relu(a, b);
            if u > 0 && u < gap {
                assert!(z == 0 || z == u as u32, "{u} gave {z}");
                lost += usize::from(z == 0);
            } else {
                assert_eq!(z, u.max(0) as u32, "{u}");
            }
        }
        // For a gap of 2 the only such value is 1, to which no carry can come from below.
        assert_eq!(lost > 0, gap > 2);
    }
}

#[test]
fn the_least_value_is_exact_with_all_bits() {
    let mut parties = Parties::new(&[4, 3, 4], 12, 5);
    for u in [-2048, -2047, 2047, 0, -1, 1].into_iter().cycle().take(600) {
        let (a, b) = parties.share(u);
        assert_eq!(parties.relu(a, b), u.max(0) as u32);
    }
}

/// The client's reply does not depend on the entries that it cannot unmask.
#[test]
fn the_client_sees_nothing_but_its_entries() {
    for (seed, a) in (0..40u16).enumerate() {
        let a = a * 101;
        let run = |tampered: bool| {
            let mut parties = Parties::new(&[3, 4], 12, seed as u64);
            let params = parties.params;
            let digits: Vec<Digit> = params.digits().collect();
            parties.run(a, 77, |answer| {
                if !tampered {
                    return;
                }
                for digit in digits {
                    for index in 0..digit.carries << digit.width {
                        if index as u32 % (1 << digit.width) == digit.value(a) {
                            continue;
                        }
                        let planes = answer[digit.table..].chunks_exact_mut(digit.plane());
                        for plane in planes.take(digit.entry as usize) {
                            plane[index / 8] ^= 1 << (index % 8);
                        }
                    }
                }
            })
        };
        let [plain, tampered] = [run(false), run(true)];
        assert_eq!(plain.reply, tampered.reply);
    }
}

/// Deviations of counts from equal shares, in standard deviations, the largest.
fn uneven(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let mean = total as f64 / counts.len() as f64;
    let deviations = counts
        .iter()
        .map(|&c| (c as f64 - mean).abs() / mean.sqrt());
    deviations.fold(0.0, f64::max)
}

/// Sixteen counts of residues by their size, and of bits.
struct Histogram([[u64; 16]; 6], [[u64; 2]; 2 + 48]);

impl Histogram {
    const EMPTY: Self = Self([[0; 16]; 6], [[0; 2]; 50]);

    fn add(&mut self, run: &Run) {
        let (g, f) = run.last();
        let [x, y, z] = run.residues;
        let (e, out) = run.reply;
        for (counts, x) in self.0.iter_mut().zip([x, y, z, f, out, run.server]) {
            counts[(u64::from(x) * 16 / u64::from(T)) as usize] += 1;
        }
        let table = (0..48).map(|i| u32::from(run.answer[i / 8]) >> (i % 8) & 1);
        for (counts, bit) in self.1.iter_mut().zip([g, e].into_iter().chain(table)) {
            counts[bit as usize] += 1;
        }
    }

    fn worst(&self) -> f64 {
        let residues = self.0.iter().map(|counts| uneven(counts));
        let bits = self.1.iter().map(|counts| uneven(counts));
        residues.chain(bits).fold(0.0, f64::max)
    }
}

#[test]
fn messages_and_shares_look_the_same_for_every_input() {
    for u in [-2000, 0, 1999] {
        let mut parties = Parties::new(&[3, 4], 12, 21);
        let mut seen = Histogram::EMPTY;
        for _ in 0..4000 {
            let (a, b) = parties.share(u);
            seen.add(&parties.run(a, b, |_| ()));
        }
        assert!(seen.worst() < 5.0, "u = {u}: {}", seen.worst());
    }
    // For shares that stay the same the messages are uniform as well: the negative control is a
    // server whose bits are not fresh.
    let fixed = |fresh: bool| {
        let mut seen = Histogram::EMPTY;
        for seed in 0..2000 {
            let mut parties = Parties::new(&[3, 4], 12, if fresh { seed } else { 0 });
            seen.add(&parties.run(1234, 777, |_| ()));
        }
        seen.worst()
    };
    assert!(fixed(true) < 5.0);
    assert!(fixed(false) > 20.0);
}

/// With shares that stay the same, each party sees every secret's bit as often as not, as long as what
/// hides it is fresh. One that is used again shows, and nothing else does.
#[test]
fn what_is_used_twice_shows() {
    const ALL: [Once; 6] = [
        Once::Tau,
        Once::Sign,
        Once::Sigma,
        Once::Kappa,
        Once::Beta,
        Once::Replacement,
    ];
    for reused in ALL.map(Some).into_iter().chain([None]) {
        let mut parties = Parties::new(&[3, 4], 12, 77);
        parties.reused = reused;
        let mut counts = [[0; 2]; 6];
        for _ in 0..2000 {
            let run = parties.run(1234, 777, |_| ());
            for (counts, bit) in counts.iter_mut().zip(run.seen) {
                counts[bit as usize] += 1;
            }
        }
        for (once, counts) in ALL.into_iter().zip(counts) {
            let told = uneven(&counts);
            let expected = reused == Some(once);
            assert!(
                if expected { told > 20.0 } else { told < 5.0 },
                "{once:?}, {reused:?} reused: {told}"
            );
        }
    }
}

/// What the client can unmask of the chain: the hidden carry and the entry of its digits, for the
/// carry that it has. With one pad for both carries it would see the server's digit.
#[test]
fn both_carries_have_pads_of_their_own() {
    let params = Parties::new(&[3, 4], 12, 0).params;
    let second = params.digits().nth(1).unwrap();
    let mut block = [0; 16];
    block[0] = 0b10;
    assert_ne!(second.pad(&block, 0), second.pad(&block, 1));
    for widths in [&[7][..], &[3, 4], &[4, 3, 4]] {
        let params = Parties::new(widths, 12, 0).params;
        // The pads of an entry do not overlap, and all fit into a word of the hash.
        for digit in params.digits() {
            let bits = |carry| {
                let set = (0..32).filter(|bit| {
                    let mut block = [0; 16];
                    block[0] = 1 << bit;
                    digit.pad(&block, carry) != 0
                });
                set.collect::<Vec<u32>>()
            };
            let all: Vec<u32> = (0..digit.carries as u32).flat_map(bits).collect();
            let expected: Vec<u32> = (0..digit.entry * digit.carries as u32).collect();
            assert_eq!(all, expected);
        }
    }
}

#[test]
fn sizes_are_those_of_the_design() {
    for (h, widths, table) in [
        (5, &[4][..], 2),
        (6, &[5], 4),
        (7, &[3, 3], 4),
        (8, &[3, 4], 6),
        (9, &[4, 4], 8),
        (10, &[3, 3, 3], 9),
        (11, &[3, 3, 4], 11),
        (12, &[4, 3, 4], 14),
    ] {
        let digits = Digits::of(h).unwrap();
        assert_eq!(Digits::new(widths), Some(digits));
        let params = ReluParams::new(digits, 12).unwrap();
        assert_eq!((params.h(), params.k()), (h, 12));
        assert_eq!(params.table_bytes(), table);
        assert_eq!(params.answer_bytes(), table + 3);
        assert!(
            params
                .digits()
                .all(|digit| digit.width <= Code::max_width(8))
        );
    }
    let plain = ReluParams::new(Digits::new(&[7]).unwrap(), 8).unwrap();
    assert_eq!(plain.table_bytes(), MAX_TABLE_BYTES);
    assert!(size_of::<Record>() <= 16);
    assert_eq!(CALL, 512);
    assert_eq!(ACC_BITS, 20);
}

#[test]
fn refuses_what_does_not_fit() {
    for widths in [&[][..], &[2], &[8], &[3, 4, 3, 3], &[3, 0], &[5, 6]] {
        assert_eq!(Digits::new(widths), None);
    }
    for h in [0, 4, 13, u32::MAX] {
        assert_eq!(Digits::of(h), None);
    }
    for (h, k) in [(12, 11), (9, 8), (8, 7), (8, 13)] {
        let digits = Digits::of(h).unwrap();
        assert!(matches!(
            ReluParams::new(digits, k),
            Err(Error::Negotiation { .. })
        ));
    }
    let params = Parties::new(&[3, 4], 12, 0).params;
    let mut record = Record::EMPTY;
    let mut answer = [0; 9];
    assert_eq!(record.answer(&params, &answer, 0), Ok(()));
    assert!(record.answer(&params, &answer[..8], 0).is_err());
    answer[6..].fill(0xff);
    assert!(matches!(
        record.answer(&params, &answer, 0),
        Err(Error::ResidueTooLarge { .. })
    ));
}

proptest! {
    #[test]
    fn any_shares_any_size(
        which in 0usize..12, more in 0u32..=4, seed: u64,
        pairs in prop::collection::vec((any::<u16>(), any::<u16>()), 1..130),
    ) {
        let widths: [&[u8]; 12] = [
            &[3], &[4], &[5], &[6], &[7], &[3, 3], &[4, 3], &[3, 5], &[5, 4], &[3, 3, 3],
            &[3, 4, 4], &[4, 3, 4],
        ];
        let widths = widths[which];
        let h = Digits::new(widths).unwrap().h();
        let k = (h + more).clamp(8, 12);
        let mut parties = Parties::new(widths, k, seed);
        // Shares of 16 bits: the bits above k are ignored.
        for (a, b) in pairs {
            let z = parties.relu(a, b);
            let u = signed(a, b, k);
            let gap = 1 << (k - h);
            let ring = (1 << k) - 1;
            let sum = ((a & ring) >> (k - h)) + ((b & ring) >> (k - h));
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
