//! The extension: one call turns the trees' leaves into 512 rows. SoftSpokenOT's small-field VOLE
//! (Roy, CRYPTO 2022, figure 7), whose columns carry the words of a code;
//! `docs/design.md#oblivious-transfer`.
//!
//! With r_x the 512 bits of leaf x, the receiver forms u = sum of all r_x and, for each bit j,
//! v_j = sum of the r_x where x has bit j, and sends u + the bits of its words in this tree. The
//! sender lacks the leaf at delta; with u' and v'_j its sums over the others,
//! v'_j + delta_j (u' + correction) is q_j = v_j + delta_j word: a row of q is a row of v, plus the
//! tree's part of delta where the word has a one.

use super::ggm::bit_reversed;
use super::{CALL, Code, Hash, Key, LANE, Lane, Plane, ReceiverTrees, Row, RowUse, SenderTrees};
use super::{Direction, mask, mask_eq, xor};
use crate::Error;
use crate::random::BLOCK_WORDS;
use zeroize::Zeroizing;

/// A column of a call, bit i for row i: both lanes.
type Column = [u32; BLOCK_WORDS];

const SMALL: Error = Error::Internal("extension with too little scratch");

/// Words of scratch of an extension's receiver: its columns.
pub const fn receiver_words(direction: Direction) -> usize {
    direction.columns() * BLOCK_WORDS
}

/// Words of scratch of an extension's sender: its columns, and the leaves of a tree.
pub const fn sender_words(direction: Direction, k_s: u32) -> usize {
    receiver_words(direction) + (4 << k_s)
}

/// The columns of one tree.
fn of_tree(columns: &mut [u32], tree: usize, k_s: u32) -> Result<&mut [Column], Error> {
    let columns = columns.as_chunks_mut().0;
    columns
        .chunks_exact_mut(k_s as usize)
        .nth(tree)
        .ok_or(SMALL)
}

/// Sums over a tree's leaves: of all, and for each bit j of an index of those that have it, which is
/// column j. Leaves come in the order of their indices with the bits reversed, so four that follow each
/// other differ in the two highest bits alone. They are added together, and their sum where a lower bit
/// says so: half as many additions as one leaf after the other takes.
struct Sums {
    all: Zeroizing<Column>,
    /// Those that wait for the rest of their four.
    four: Zeroizing<[Column; 4]>,
    waiting: usize,
}

impl Sums {
    fn new() -> Self {
        Self {
            all: Zeroizing::new([0; BLOCK_WORDS]),
            four: Zeroizing::new([[0; BLOCK_WORDS]; 4]),
            waiting: 0,
        }
    }

    /// Adds the next leaf's bits; `x` is its index.
    #[inline(always)]
    fn add(&mut self, columns: &mut [Column], x: usize, bits: Column) {
        self.four[self.waiting] = bits;
        self.waiting += 1;
        // A tree of two leaves has no four.
        if self.waiting == 1 << columns.len().min(2) {
            self.add_four(columns, x);
            self.waiting = 0;
        }
    }

    fn add_four(&mut self, columns: &mut [Column], x: usize) {
        let mut none = [0; BLOCK_WORDS];
        let (columns, second, highest) = match columns {
            [columns @ .., second, highest] => (columns, second, highest),
            [highest] => (&mut [][..], &mut none, highest),
            [] => return,
        };
        let [a, b, c, d] = &mut *self.four;
        for i in 0..BLOCK_WORDS {
            let (with_highest, with_second) = (b[i] ^ d[i], c[i] ^ d[i]);
            highest[i] ^= with_highest;
            second[i] ^= with_second;
            a[i] ^= c[i] ^ with_highest;
            self.all[i] ^= a[i];
        }
        for (j, column) in columns.iter_mut().enumerate() {
            if x >> j & 1 == 1 {
                column
                    .iter_mut()
                    .zip(&*a)
                    .for_each(|(sum, four)| *sum ^= four);
            }
        }
    }
}

/// Zeros where a lane's code does not cover the tree.
fn leave_out(columns: &mut [Column], codes: [Code; 2], tree: usize, k_s: u32) {
    for (half, code) in codes.into_iter().enumerate() {
        if !code.covers(tree, k_s) {
            for column in columns.iter_mut() {
                column.as_chunks_mut::<{ LANE / 32 }>().0[half].fill(0);
            }
        }
    }
}

impl ReceiverTrees {
    /// The part of one tree in call `call`: fills its columns in `scratch` ([`receiver_words`]) and
    /// hands out a correction for each lane whose code covers the tree, with the lane's number.
    /// After all trees, in any order, [`transpose`] ends the call. A call number must be used once
    /// in a session, and be below 2^55. Constant-time in the choices.
    pub fn extend(
        &self,
        call: u64,
        tree: usize,
        lanes: [&Lane; 2],
        scratch: &mut [u32],
        mut emit: impl FnMut(usize, &Plane),
    ) -> Result<(), Error> {
        let k_s = self.k_s();
        let columns = of_tree(scratch, tree, k_s)?;
        columns.fill([0; BLOCK_WORDS]);
        let codes = lanes.map(Lane::code);
        if !codes.iter().any(|code| code.covers(tree, k_s)) {
            return Ok(());
        }
        let mut sums = Sums::new();
        self.leaves(tree, |x, leaf| {
            let bits = self.hash.leaf(leaf, call, tree << k_s | x);
            sums.add(columns, x, bits);
        });
        leave_out(columns, codes, tree, k_s);
        let sums = sums.all.as_chunks().0.iter();
        for (half, (sum, lane)) in sums.zip(lanes).enumerate() {
            if lane.code().covers(tree, k_s) {
                emit(half, &xor(sum, &lane.column(tree, k_s)));
            }
        }
        Ok(())
    }

    /// The rows v, once all trees were extended into `scratch` and it was [`transpose`]d.
    pub fn rows<'a>(&self, call: u64, scratch: &'a [u32]) -> Result<ReceiverRows<'a>, Error> {
        Ok(ReceiverRows(Rows::new(scratch, self.hash, call)?))
    }
}

impl<const COLUMNS: usize> SenderTrees<COLUMNS> {
    /// Takes the corrections of one tree of a call into the columns in `scratch`
    /// ([`sender_words`]); those of lanes whose code does not cover the tree do not count. After
    /// all trees, in any order, [`transpose`] ends the call. Constant-time in delta.
    pub fn absorb(
        &self,
        call: u64,
        tree: usize,
        codes: [Code; 2],
        corrections: &[Plane; 2],
        scratch: &mut [u32],
    ) -> Result<(), Error> {
        let k_s = self.k_s();
        let (columns, nodes) = scratch
            .split_at_mut_checked(receiver_words(self.direction()))
            .ok_or(SMALL)?;
        let columns = of_tree(columns, tree, k_s)?;
        columns.fill([0; BLOCK_WORDS]);
        if !codes.iter().any(|code| code.covers(tree, k_s)) {
            return Ok(());
        }
        let nodes: &mut [Key] = nodes.as_chunks_mut().0.get_mut(..1 << k_s).ok_or(SMALL)?;
        self.expand(tree, nodes);
        let missing = self.missing_leaf(tree);
        let mut sums = Sums::new();
        for x in bit_reversed(k_s) {
            let known = !mask_eq(x as u32, missing);
            let bits = (self.hash).leaf(&nodes[x], call, tree << k_s | x);
            sums.add(columns, x, bits.map(|b| b & known));
        }
        for (j, column) in columns.iter_mut().enumerate() {
            let bit = mask(missing >> j);
            let sum = sums.all.iter().zip(corrections.as_flattened());
            for (q, (s, correction)) in column.iter_mut().zip(sum) {
                *q ^= bit & (s ^ correction);
            }
        }
        leave_out(columns, codes, tree, k_s);
        Ok(())
    }

    /// The rows q, once the corrections of all trees were absorbed into `scratch` and it was
    /// [`transpose`]d.
    pub fn rows<'a>(&self, call: u64, scratch: &'a [u32]) -> Result<SenderRows<'a>, Error> {
        Ok(SenderRows {
            rows: Rows::new(scratch, self.hash, call)?,
            delta: Zeroizing::new(self.delta),
            k_s: self.k_s(),
        })
    }
}

/// Transposed columns: word g of row i is at `[32 g + i mod 32][i / 32]`.
struct Rows<'a> {
    columns: &'a [Column],
    hash: Hash,
    call: u64,
}

impl<'a> Rows<'a> {
    fn new(scratch: &'a [u32], hash: Hash, call: u64) -> Result<Self, Error> {
        let columns = scratch.as_chunks().0.get(..hash.direction.columns());
        let columns = columns.ok_or(SMALL)?;
        Ok(Self {
            columns,
            hash,
            call,
        })
    }

    /// Row i of a lane.
    fn get(&self, lane: usize, i: usize) -> Row {
        let i = lane * LANE + i;
        let mut row = [0; 8];
        for (word, columns) in row.iter_mut().zip(self.columns.chunks_exact(32)) {
            *word = columns[i % 32][i / 32];
        }
        row
    }

    /// 512 pseudo-random bits of row i of a lane, with something added. Every row of the session
    /// has a number of its own, which is the tweak of its hash.
    fn hash(&self, (lane, i): (usize, usize), usage: RowUse, add: &Row) -> [u32; BLOCK_WORDS] {
        debug_assert!(lane < 2 && i < LANE && self.call < 1 << 55);
        let index = self.call * CALL as u64 + (lane * LANE + i) as u64;
        let row = Zeroizing::new(xor(&self.get(lane, i), add));
        self.hash.row(&row, usage, index)
    }
}

/// The receiver's rows v of one call, in the caller's scratch.
pub struct ReceiverRows<'a>(Rows<'a>);

impl ReceiverRows<'_> {
    /// 512 pseudo-random bits of row `i` of a lane: the sender's for the word that was chosen.
    pub fn hash(&self, lane: usize, i: usize, usage: RowUse) -> [u32; BLOCK_WORDS] {
        self.0.hash((lane, i), usage, &[0; 8])
    }
}

/// The sender's rows q of one call, in the caller's scratch, with delta.
pub struct SenderRows<'a> {
    rows: Rows<'a>,
    delta: Zeroizing<Row>,
    k_s: u32,
}

impl SenderRows<'_> {
    /// What a code's word of `value` adds to a row: delta in the trees where it has a one.
    pub fn word(&self, code: Code, value: usize) -> Zeroizing<Row> {
        let mut row = self.delta.clone();
        for column in 0..32 * row.len() {
            if !code.has(value, column / self.k_s as usize, self.k_s) {
                row[column / 32] &= !(1 << (column % 32));
            }
        }
        row
    }

    /// 512 pseudo-random bits of row `i` of a lane, for the choice whose [`Self::word`] this is.
    pub fn hash(&self, lane: usize, i: usize, usage: RowUse, word: &Row) -> [u32; BLOCK_WORDS] {
        self.rows.hash((lane, i), usage, word)
    }

    /// The same for both choices of a bit, of which `one` is the second one's word.
    pub fn hashes(&self, lane: usize, i: usize, usage: RowUse, one: &Row) -> [Column; 2] {
        [&[0; 8], one].map(|word| self.hash(lane, i, usage, word))
    }
}

/// Ends a call, once: transposes every block of 32 columns by 32 rows in place, so that rows can be read.
/// Where a lane's code covers no tree of a block there are zeros.
pub fn transpose(
    direction: Direction,
    codes: [Code; 2],
    k_s: u32,
    scratch: &mut [u32],
) -> Result<(), Error> {
    let columns: &mut [Column] = scratch.as_chunks_mut().0;
    let columns = columns.get_mut(..direction.columns()).ok_or(SMALL)?;
    for (block, columns) in columns.as_chunks_mut().0.iter_mut().enumerate() {
        let trees = (32 * block..32 * (block + 1)).step_by(k_s as usize);
        for (lane, code) in codes.into_iter().enumerate() {
            if trees
                .clone()
                .any(|column| code.covers(column / k_s as usize, k_s))
            {
                for word in 0..LANE / 32 {
                    transpose_32(columns, lane * LANE / 32 + word);
                }
            }
        }
    }
    Ok(())
}

/// Transposes the 32 x 32 bits in one word of 32 columns by halving (Warren, Hacker's Delight, section
/// 7-3): bit c of row r becomes bit r of row c. As many rows at a time as registers hold.
fn transpose_32(columns: &mut [Column; 32], word: usize) {
    // Halves of 16, 8 and 4 rows: those whose distance is a multiple of 4.
    for first in 0..4 {
        let mut rows: [u32; 8] = core::array::from_fn(|i| columns[first + 4 * i][word]);
        for i in 0..4 {
            exchange(&mut rows, i, i + 4, 16, 0x0000_FFFF);
        }
        for i in [0, 1, 4, 5] {
            exchange(&mut rows, i, i + 2, 8, 0x00FF_00FF);
        }
        for i in [0, 2, 4, 6] {
            exchange(&mut rows, i, i + 1, 4, 0x0F0F_0F0F);
        }
        for (i, row) in rows.into_iter().enumerate() {
            columns[first + 4 * i][word] = row;
        }
    }
    // Halves of 2 rows and of one: four neighbours.
    for columns in columns.as_chunks_mut::<4>().0 {
        let mut rows = columns.each_ref().map(|column| column[word]);
        exchange(&mut rows, 0, 2, 2, 0x3333_3333);
        exchange(&mut rows, 1, 3, 2, 0x3333_3333);
        exchange(&mut rows, 0, 1, 1, 0x5555_5555);
        exchange(&mut rows, 2, 3, 1, 0x5555_5555);
        for (column, row) in columns.iter_mut().zip(rows) {
            column[word] = row;
        }
    }
}

/// Exchanges bits of row `j` that `low` selects with those of row `i` that are `half` higher.
#[inline(always)]
fn exchange<const ROWS: usize>(rows: &mut [u32; ROWS], i: usize, j: usize, half: u32, low: u32) {
    let swap = (rows[i] >> half ^ rows[j]) & low;
    rows[i] ^= swap << half;
    rows[j] ^= swap;
}

#[cfg(test)]
mod tests {
    use super::super::ggm::tests::pair;
    use super::super::{FORWARD, REVERSE};
    use super::*;
    use crate::random::SessionId;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::collections::BTreeSet;
    use std::vec;
    use std::vec::Vec;

    /// Both sides of a call: corrections by tree, then `check` gets both sides' rows.
    fn call<const COLUMNS: usize>(
        (receiver, sender): &(ReceiverTrees, Box<SenderTrees<COLUMNS>>),
        call: u64,
        lanes: [&Lane; 2],
        check: impl FnOnce(&ReceiverRows<'_>, &SenderRows<'_>),
    ) -> Vec<[Option<Plane>; 2]> {
        let k_s = receiver.k_s();
        let direction = receiver.direction();
        let mut left = vec![0xAAAA_AAAA; receiver_words(direction)];
        let mut wire = Vec::new();
        for tree in 0..receiver.count() {
            let mut corrections = [None; 2];
            let emit = |half: usize, c: &Plane| corrections[half] = Some(*c);
            receiver.extend(call, tree, lanes, &mut left, emit).unwrap();
            wire.push(corrections);
        }
        let mut right = vec![0x5555_5555; sender_words(direction, k_s)];
        let codes = lanes.map(Lane::code);
        // Trees may come in any order.
        for (tree, corrections) in wire.iter().enumerate().rev() {
            for (code, correction) in codes.iter().zip(corrections) {
                assert_eq!(code.covers(tree, k_s), correction.is_some());
            }
            let corrections = corrections.map(Option::unwrap_or_default);
            sender
                .absorb(call, tree, codes, &corrections, &mut right)
                .unwrap();
        }
        for scratch in [&mut left, &mut right] {
            transpose(direction, codes, k_s, scratch).unwrap();
        }
        let v = receiver.rows(call, &left).unwrap();
        let q = sender.rows(call, &right).unwrap();
        check(&v, &q);
        wire
    }

    fn code(width: u32, k_s: u32) -> Code {
        match width {
            0 => Code::Unused,
            8 => Code::Bit,
            _ => Code::Digit(width.min(Code::max_width(k_s))),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn transposes(block: [u32; 32]) {
            let mut columns = block.map(|word| [word; BLOCK_WORDS]);
            transpose_32(&mut columns, 3);
            for (r, row) in block.iter().enumerate() {
                for (c, column) in columns.iter().enumerate() {
                    prop_assert_eq!(column[3] >> r & 1, row >> c & 1);
                }
                prop_assert_eq!((columns[r][2], columns[r][4]), (*row, *row));
            }
        }

        #[test]
        fn rows_differ_by_the_word_that_was_chosen(
            log_k in 0u32..4, delta: Row, seed: u8, id: [u8; 32], number in 0u64..1 << 55,
            widths in prop::array::uniform2(0u32..=8),
            choices in prop::collection::vec(any::<u8>(), 512), reverse: bool,
        ) {
            let k_s = 1 << log_k;
            let codes = widths.map(|width| match reverse {
                true => code(width & 8, k_s),
                false => code(width, k_s),
            });
            let choice = |lane: usize, i: usize| match codes[lane] {
                Code::Unused => 0,
                Code::Bit => usize::from(choices[256 * lane + i] & 1),
                Code::Digit(width) => usize::from(choices[256 * lane + i]) & ((1 << width) - 1),
            };
            let mut lanes = [Lane::UNUSED, Lane::UNUSED];
            for (number, lane) in lanes.iter_mut().enumerate() {
                lane.choose(codes[number], (0..LANE).map(|i| choice(number, i) as u32));
            }
            let check = |v: &ReceiverRows<'_>, q: &SenderRows<'_>| {
                for (lane, code) in codes.into_iter().enumerate() {
                    for i in 0..LANE {
                        let word = q.word(code, choice(lane, i));
                        let expected = xor(&v.0.get(lane, i), &word);
                        assert_eq!(q.rows.get(lane, i), expected);
                        assert_eq!(
                            v.hash(lane, i, RowUse::Digit),
                            q.hash(lane, i, RowUse::Digit, &word)
                        );
                    }
                }
            };
            let session = SessionId(id);
            let lanes = lanes.each_ref();
            if reverse {
                call(&pair::<REVERSE>(k_s, &session, seed, &delta), number, lanes, check);
            } else {
                call(&pair::<FORWARD>(k_s, &session, seed, &delta), number, lanes, check);
            }
        }
    }

    #[test]
    fn every_word_of_a_row_gives_another_hash() {
        let delta = core::array::from_fn(|i| 0x9E37_79B9u32.wrapping_mul(i as u32 + 1));
        let trees = pair::<FORWARD>(4, &SessionId([1; 32]), 9, &delta);
        let mut lanes = [Lane::UNUSED, Lane::UNUSED];
        lanes[0].choose(Code::Digit(7), [0]);
        lanes[1].choose(Code::Bit, [0]);
        call(&trees, 3, lanes.each_ref(), |v, q| {
            let hash = |lane, i, code, value| {
                let word = q.word(code, value);
                q.hash(lane, i, RowUse::Digit, &word)
            };
            let mut seen = BTreeSet::new();
            for i in 0..LANE {
                assert!((0..128).all(|x| seen.insert(hash(0, i, Code::Digit(7), x))));
                assert!((0..2).all(|x| seen.insert(hash(1, i, Code::Bit, x))));
                assert!(seen.insert(v.hash(0, i, RowUse::Bit)));
            }
        });
    }

    #[test]
    fn calls_directions_and_sessions_share_nothing() {
        let mut seen = BTreeSet::new();
        let mut lane = Lane::UNUSED;
        lane.choose_bits(&[0; 8]);
        let mut note = |wire: Vec<[Option<Plane>; 2]>, count| {
            let corrections: Vec<_> = wire.into_iter().flatten().flatten().collect();
            assert_eq!(corrections.len(), count);
            assert!(corrections.into_iter().all(|c| seen.insert(c)));
        };
        for id in [1, 2] {
            let session = SessionId([id; 32]);
            let (forward, reverse) = (
                pair::<FORWARD>(2, &session, 9, &[5; 8]),
                pair::<REVERSE>(2, &session, 9, &[5; 8]),
            );
            for number in [0, 1, 1 << 32] {
                note(call(&forward, number, [&lane; 2], |_, _| ()), 2 * 64);
                note(call(&reverse, number, [&lane; 2], |_, _| ()), 2 * 64);
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let (receiver, sender) = pair::<FORWARD>(4, &SessionId([1; 32]), 9, &[5; 8]);
        let mut lane = Lane::UNUSED;
        lane.choose_bits(&[0; 8]);
        let words = receiver_words(Direction::Forward);
        let mut scratch = vec![0; sender_words(Direction::Forward, 4)];
        let mut extend =
            |tree, words| receiver.extend(0, tree, [&lane; 2], &mut scratch[..words], |_, _| ());
        assert!(extend(63, words).is_ok());
        assert!(extend(63, words - 1).is_err());
        assert!(extend(64, words).is_err());
        let codes = [Code::Bit, Code::Digit(4)];
        let mut absorb =
            |tree, words| sender.absorb(0, tree, codes, &[[0; 8]; 2], &mut scratch[..words]);
        assert!(absorb(63, words + 64).is_ok());
        assert!(absorb(63, words + 63).is_err());
        assert!(absorb(64, words + 64).is_err());
        assert!(transpose(Direction::Forward, codes, 4, &mut scratch[..words - 1]).is_err());
        assert!(transpose(Direction::Forward, codes, 4, &mut scratch).is_ok());
        assert!(receiver.rows(0, &scratch[..words - 1]).is_err());
        assert!(sender.rows(0, &scratch[..words - 1]).is_err());
        assert!(sender.rows(0, &scratch).is_ok());
    }
}
