//! What correlated transfers are hashed into: table lookups, 1-out-of-4 and correlated pads.
//! `docs/design.md#oblivious-transfer`; the lookup is 1-out-of-n transfer as in Naor and Pinkas
//! (STOC 1999).
//!
//! The sender's row q gives it two keys, q for the choice 0 and q + delta for the choice 1; the
//! receiver's row v is the key of its choice. Each transfer i < 512 serves one purpose, once.

use super::{CALL, Correction, Key, ReceiverRows, ReceiverTrees, SenderRows, SenderTrees};
use super::{mask_eq, xor};
use crate::Error;
use crate::random::BLOCK_WORDS;

/// For the word `w` of a table: the bits whose index has bit `l`.
fn index_bits(l: usize, w: usize) -> u32 {
    const IN_WORD: [u32; 5] = [
        0xAAAA_AAAA,
        0xCCCC_CCCC,
        0xF0F0_F0F0,
        0xFF00_FF00,
        0xFFFF_0000,
    ];
    match IN_WORD.get(l) {
        Some(bits) => *bits,
        None => 0u32.wrapping_sub((w >> (l - 5) & 1) as u32),
    }
}

impl ReceiverRows<'_> {
    /// The bit that masks entry `v` of a table of 2^bits entries, the choice of transfer
    /// `first + l stride` being bit l of v. Constant-time in v.
    pub fn lookup(&self, first: usize, stride: usize, bits: usize, v: u32) -> u32 {
        let mut mixed = [0; BLOCK_WORDS];
        // A small table does not reach all words of a block.
        let words = &mut mixed[..(1 << bits >> 5).min(BLOCK_WORDS)];
        for l in 0..bits {
            let ot = first + l * stride;
            let (row, index) = (self.rows.get(ot), self.rows.index(ot));
            let key = self.hash.lookup(&row, index, v >> 9);
            for (mixed, word) in words.iter_mut().zip(&key) {
                *mixed ^= word;
            }
        }
        let mut chosen = 0;
        for (w, mixed) in words.iter().enumerate() {
            chosen |= mixed & mask_eq(w as u32, v >> 5 & 15);
        }
        chosen >> (v & 31) & 1
    }
}

impl SenderRows<'_> {
    /// Adds to every entry v of a table of 2^bits single bits the mask that a receiver of choice
    /// v knows: the sum over l of bit v of the key that bit l of v selects. The table has
    /// 2^bits / 32 words (a power of two), entry v being bit v mod 32 of word v / 32.
    pub fn lookup(&self, first: usize, stride: usize, table: &mut [u32]) {
        debug_assert!(table.len().is_power_of_two());
        for l in 0..5 + table.len().trailing_zeros() as usize {
            let ot = first + l * stride;
            let (q, index) = (self.rows.get(ot), self.rows.index(ot));
            let q_delta = xor(&q, &self.delta);
            for (n, words) in table.chunks_mut(16).enumerate() {
                let zero = self.hash.lookup(&q, index, n as u32);
                let one = self.hash.lookup(&q_delta, index, n as u32);
                for (w, word) in words.iter_mut().enumerate() {
                    let chosen = index_bits(l, 16 * n + w);
                    *word ^= (zero[w] & !chosen) | (one[w] & chosen);
                }
            }
        }
    }
}

impl ReceiverRows<'_> {
    /// The pad mod t of the entry that the choices of transfers `ots` select, `entry` being these
    /// choices: the first's plus twice the second's. Constant-time in the entry.
    pub fn quad(&self, ots: [usize; 2], entry: u32) -> u32 {
        let rows = ots.map(|ot| self.rows.get(ot));
        self.hash
            .quad([&rows[0], &rows[1]], self.rows.index(ots[0]), entry)
    }
}

impl SenderRows<'_> {
    /// The pads mod t of all four entries of the transfers `ots`.
    pub fn quad(&self, ots: [usize; 2]) -> [u32; 4] {
        let index = self.rows.index(ots[0]);
        let keys: [[Key; 2]; 2] = ots.map(|ot| {
            let q = self.rows.get(ot);
            [q, xor(&q, &self.delta)]
        });
        core::array::from_fn(|e| {
            let rows = [&keys[0][e & 1], &keys[1][e >> 1]];
            self.hash.quad(rows, index, e as u32)
        })
    }
}

/// The receiver of 512 correlated transfers modulo t: one pad for each choice bit, and one
/// correction a tree to send. Scratch and call number as in [`ReceiverTrees::extend`].
pub fn correlated_pads_receiver(
    trees: &ReceiverTrees,
    call: u64,
    choices: &Correction,
    scratch: &mut [u32],
    out: &mut [u32; CALL],
    emit: impl FnMut(usize, &Correction),
) -> Result<(), Error> {
    let v = trees.extend(call, choices, scratch, emit)?;
    for (i, pad) in out.iter_mut().enumerate() {
        *pad = v.hash.correlated(&v.rows.get(i), v.rows.index(i));
    }
    Ok(())
}

/// The sender of 512 correlated transfers modulo t: both pads of each, once the corrections of
/// all trees were absorbed into `scratch` ([`SenderTrees::absorb`]).
pub fn correlated_pads_sender(
    trees: &SenderTrees,
    call: u64,
    scratch: &mut [u32],
    out: &mut [[u32; 2]; CALL],
) -> Result<(), Error> {
    let q = trees.rows(call, scratch)?;
    for (i, pads) in out.iter_mut().enumerate() {
        let (row, index) = (q.rows.get(i), q.rows.index(i));
        *pads = [row, xor(&row, &q.delta)].map(|key| q.hash.correlated(&key, index));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ggm::tests::pair;
    use super::super::{Direction, Hash, scratch_words};
    use super::*;
    use crate::arith::field::T;
    use crate::random::{Seed, SessionId, Stream};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    const SESSION: SessionId = SessionId([3; 32]);

    /// Runs both sides of one call.
    fn both(
        choices: &Correction,
        delta: &Key,
        call: u64,
        f: impl FnOnce(&ReceiverRows, &SenderRows),
    ) {
        let (receiver, sender) = pair(Direction::Forward, 2, &SESSION, 1, delta);
        let mut scratch = [
            std::vec![0; scratch_words(2)],
            std::vec![0; scratch_words(2)],
        ];
        let [left, right] = &mut scratch;
        let mut wire = Vec::new();
        let v = receiver
            .extend(call, choices, left, |_, c| wire.push(*c))
            .unwrap();
        let q = sender.extend(call, &wire, right).unwrap();
        f(&v, &q);
    }

    #[test]
    fn every_entry_of_every_table_size_can_be_looked_up() {
        let mut stream = Stream::new(&Seed([1; 32]), [0; 3]);
        let mut random = || stream.next_u32();
        for bits in 7..=11 {
            let per_call = CALL / bits;
            let delta = [random(), random(), random(), random()];
            let entries: Vec<u32> = (0..1 << bits).collect();
            for (call, some) in entries.chunks(per_call).enumerate() {
                let mut choices = [0; 16];
                for (i, v) in some.iter().enumerate() {
                    for l in 0..bits {
                        let ot = l * per_call + i;
                        choices[ot / 32] |= (v >> l & 1) << (ot % 32);
                    }
                }
                both(&choices, &delta, call as u64, |receiver, sender| {
                    for (i, v) in some.iter().enumerate() {
                        let table: Vec<u32> = (0..(1 << bits) / 32).map(|_| random()).collect();
                        let mut sent = table.clone();
                        sender.lookup(i, per_call, &mut sent);
                        let bit = |t: &[u32], e: u32| t[(e / 32) as usize] >> (e % 32) & 1;
                        let pad = receiver.lookup(i, per_call, bits, *v);
                        assert_eq!(bit(&sent, *v) ^ pad, bit(&table, *v));
                        // With the keys that the receiver has, other entries stay hidden: about
                        // half of what they would unmask to is wrong.
                        let wrong = (0..1 << bits)
                            .filter(|e| {
                                let guess = receiver.lookup(i, per_call, bits, *e);
                                bit(&sent, *e) ^ guess != bit(&table, *e)
                            })
                            .count();
                        let half = 1i64 << (bits - 1);
                        assert!((wrong as i64 - half).pow(2) < 64 << bits, "{wrong}");
                    }
                });
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn pads_match_at_the_choice_only(delta: Key, choices: Correction, call in 0u64..1 << 55) {
            prop_assume!(delta != [0; 4]);
            let choice = |i: usize| choices[i / 32] >> (i % 32) & 1;
            both(&choices, &delta, call, |receiver, sender| {
                let (mut seen, mut coincidences) = (BTreeSet::new(), 0);
                for i in 0..CALL / 2 {
                    let ots = [i, i + CALL / 2];
                    let chosen = choice(ots[0]) | choice(ots[1]) << 1;
                    let pads = sender.quad(ots);
                    assert!(pads.iter().all(|p| *p < T));
                    for e in 0..4 {
                        // The pad of another entry needs another key: naming it is not enough.
                        let same = pads[e as usize] == receiver.quad(ots, e);
                        assert!(same || e != chosen);
                        coincidences += usize::from(same && e != chosen);
                    }
                    seen.extend(pads);
                }
                // 23-bit values collide now and then.
                assert!(coincidences < 4 && seen.len() > 4 * CALL / 2 - 8);
            });
        }

        #[test]
        fn correlated_pads_match_at_the_choice_only(
            delta: Key, choices: Correction, call in 0u64..1 << 55,
        ) {
            prop_assume!(delta != [0; 4]);
            let (receiver, sender) = pair(Direction::Reverse, 4, &SESSION, 1, &delta);
            let mut scratch = [0; scratch_words(4)];
            let (mut one, mut two) = ([0; CALL], [[0; 2]; CALL]);
            let mut wire = Vec::new();
            correlated_pads_receiver(
                &receiver, call, &choices, &mut scratch, &mut one, |_, c| wire.push(*c),
            ).unwrap();
            for (tree, c) in wire.iter().enumerate() {
                sender.absorb(call, tree, c, &mut scratch).unwrap();
            }
            correlated_pads_sender(&sender, call, &mut scratch, &mut two).unwrap();
            let mut coincidences = 0;
            for i in 0..CALL {
                let choice = (choices[i / 32] >> (i % 32) & 1) as usize;
                prop_assert!(two[i][0] < T && two[i][1] < T);
                prop_assert_eq!(one[i], two[i][choice]);
                coincidences += usize::from(one[i] == two[i][1 - choice]);
            }
            prop_assert!(coincidences < 4);
        }
    }

    #[test]
    fn one_row_gives_other_pads_for_other_uses() {
        let row = [1, 2, 3, 4];
        let mut blocks = BTreeSet::new();
        let mut pads = BTreeSet::new();
        let mut count = 0;
        for session in [SESSION, SessionId([4; 32])] {
            for direction in [Direction::Forward, Direction::Reverse] {
                let hash = Hash::new(direction, &session);
                for index in [0, 1, 511, 512, 1 << 32, 1 << 40] {
                    count += 1;
                    blocks.insert(hash.lookup(&row, index, 0)[..8].to_vec());
                    blocks.insert(hash.lookup(&row, index, 1)[..8].to_vec());
                    blocks.insert(hash.leaf(&row, index, 0)[..8].to_vec());
                    blocks.insert(hash.leaf(&row, index, 1)[..8].to_vec());
                    blocks.insert(hash.children(&row, index as usize, 1).concat());
                    pads.insert(hash.correlated(&row, index));
                }
            }
        }
        // Trees are numbered below 2^32, so the two largest indices name tree 0 again.
        assert_eq!(blocks.len(), 5 * count - 2 * 4);
        assert_eq!(pads.len(), count);

        let mut quads = BTreeSet::new();
        for direction in [Direction::Forward, Direction::Reverse] {
            let hash = Hash::new(direction, &SESSION);
            for index in [0, 1, 1 << 32] {
                for entry in 0..4 {
                    quads.insert(hash.quad([&row, &row], index, entry));
                }
            }
        }
        assert_eq!(quads.len(), 2 * 3 * 4);
    }
}
