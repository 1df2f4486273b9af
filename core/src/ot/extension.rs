//! The extension: one call turns the trees' leaves into 512 correlated oblivious transfers.
//! SoftSpokenOT's small-field VOLE (Roy, CRYPTO 2022, figure 7) with repetition code;
//! `docs/design.md#oblivious-transfer`.
//!
//! With r_x the 512 bits of leaf x, the receiver forms u = sum of all r_x and, for each bit j,
//! v_j = sum of the r_x where x has bit j, and sends u + choices. The sender lacks the leaf at
//! delta; with u' and v'_j its sums over the others, v'_j + delta_j (u' + correction) is
//! q_j = v_j + delta_j choices: a row of q is a row of v, plus delta where the choice is one.

use super::{CALL, COLUMNS, Hash, Key, ReceiverTrees, SenderTrees, mask, mask_eq};
use crate::Error;
use crate::random::BLOCK_WORDS;
use zeroize::Zeroizing;

/// What the receiver sends for each tree in each call: bit i belongs to transfer i.
pub type Correction = [u32; BLOCK_WORDS];

/// The 128 columns of a call, bit i of a column for transfer i; after the transposition, word g of
/// row i is at `[32 g + i mod 32][i / 32]`.
type Columns = [[u32; BLOCK_WORDS]; COLUMNS];

/// Words of scratch of an extension: 2048 for the columns, then four a leaf.
pub const fn scratch_words(k_s: u32) -> usize {
    COLUMNS * BLOCK_WORDS + (4 << k_s)
}

fn split(scratch: &mut [u32], k_s: u32) -> Result<(&mut Columns, &mut [Key]), Error> {
    const SMALL: Error = Error::Internal("extension with too little scratch");
    let (columns, nodes) = scratch
        .split_at_mut_checked(COLUMNS * BLOCK_WORDS)
        .ok_or(SMALL)?;
    let columns = columns.as_chunks_mut().0.try_into().map_err(|_| SMALL)?;
    let nodes = nodes.as_chunks_mut().0.get_mut(..1 << k_s).ok_or(SMALL)?;
    Ok((columns, nodes))
}

/// Adds a leaf's bits to the sum of all, and to the columns that its index selects (public).
#[inline(always)]
fn add_leaf(all: &mut Correction, columns: &mut [Correction], x: usize, bits: &Correction) {
    for (sum, b) in all.iter_mut().zip(bits) {
        *sum ^= b;
    }
    for (j, column) in columns.iter_mut().enumerate() {
        if x >> j & 1 == 1 {
            for (sum, b) in column.iter_mut().zip(bits) {
                *sum ^= b;
            }
        }
    }
}

impl ReceiverTrees {
    /// Extends with 512 choice bits: hands out one correction a tree, in order, and gives the
    /// rows v. A call number must be used once in a session, and be below 2^55. `scratch` has
    /// [`scratch_words`]. Constant-time in the choices.
    pub fn extend<'a>(
        &self,
        call: u64,
        choices: &Correction,
        scratch: &'a mut [u32],
        mut emit: impl FnMut(usize, &Correction),
    ) -> Result<ReceiverRows<'a>, Error> {
        let k_s = self.k_s();
        let (columns, nodes) = split(scratch, k_s)?;
        for (tree, columns) in columns.chunks_exact_mut(k_s as usize).enumerate() {
            self.expand(tree, nodes);
            let mut sum = *choices;
            columns.fill([0; BLOCK_WORDS]);
            for (x, leaf) in nodes.iter().enumerate() {
                let bits = self.hash.leaf(leaf, call, tree << k_s | x);
                add_leaf(&mut sum, columns, x, &bits);
            }
            emit(tree, &sum);
        }
        transpose(columns);
        Ok(ReceiverRows {
            rows: Rows { columns, call },
            hash: self.hash,
        })
    }
}

impl SenderTrees {
    /// Takes the correction of one tree of a call into the columns in `scratch`
    /// ([`scratch_words`]); after all trees, in any order, [`Self::rows`] ends the call.
    /// Constant-time in delta.
    pub fn absorb(
        &self,
        call: u64,
        tree: usize,
        correction: &Correction,
        scratch: &mut [u32],
    ) -> Result<(), Error> {
        let k_s = self.k_s();
        let (columns, nodes) = split(scratch, k_s)?;
        let columns = columns
            .chunks_exact_mut(k_s as usize)
            .nth(tree)
            .ok_or(Error::Internal("correction for a tree that does not exist"))?;
        self.expand(tree, nodes);
        let missing = self.missing_leaf(tree);
        let mut sum = Zeroizing::new(*correction);
        columns.fill([0; BLOCK_WORDS]);
        for (x, leaf) in nodes.iter().enumerate() {
            let known = !mask_eq(x as u32, missing);
            let bits = self
                .hash
                .leaf(leaf, call, tree << k_s | x)
                .map(|b| b & known);
            add_leaf(&mut sum, columns, x, &bits);
        }
        for (j, column) in columns.iter_mut().enumerate() {
            let bit = mask(missing >> j);
            for (q, s) in column.iter_mut().zip(sum.iter()) {
                *q ^= bit & s;
            }
        }
        Ok(())
    }

    /// The rows q, once the corrections of all trees were absorbed into `scratch` (of which the
    /// first 2048 words are used). Must be called once for a call: it transposes in place.
    pub fn rows<'a>(&self, call: u64, scratch: &'a mut [u32]) -> Result<SenderRows<'a>, Error> {
        let (columns, _) = scratch
            .as_chunks_mut()
            .0
            .split_first_chunk_mut()
            .ok_or(Error::Internal("extension with too little scratch"))?;
        transpose(columns);
        Ok(SenderRows {
            rows: Rows { columns, call },
            hash: self.hash,
            delta: Zeroizing::new(self.delta),
        })
    }

    /// Absorbs the corrections of all trees, in order, and gives the rows.
    pub fn extend<'a>(
        &self,
        call: u64,
        corrections: &[Correction],
        scratch: &'a mut [u32],
    ) -> Result<SenderRows<'a>, Error> {
        if corrections.len() != self.count() {
            return Err(Error::Internal("extension needs one correction a tree"));
        }
        for (tree, correction) in corrections.iter().enumerate() {
            self.absorb(call, tree, correction, scratch)?;
        }
        self.rows(call, scratch)
    }
}

/// The receiver's rows v of one call, in the caller's scratch.
pub struct ReceiverRows<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) hash: Hash,
}

/// The sender's rows q of one call, in the caller's scratch, with delta.
pub struct SenderRows<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) hash: Hash,
    pub(super) delta: Zeroizing<Key>,
}

/// Transposed columns.
pub(super) struct Rows<'a> {
    columns: &'a Columns,
    call: u64,
}

impl Rows<'_> {
    /// Row i, i < 512: word g holds columns 32 g to 32 g + 31.
    pub(super) fn get(&self, i: usize) -> Key {
        core::array::from_fn(|g| self.columns[32 * g + i % 32][i / 32])
    }

    /// The session-wide index of transfer i: the tweak of its hashes.
    pub(super) fn index(&self, i: usize) -> u64 {
        debug_assert!(i < CALL && self.call < 1 << 55);
        self.call << 9 | i as u64
    }
}

/// Transposes every block of 32 columns by 32 transfers in place.
fn transpose(columns: &mut Columns) {
    for group in columns.chunks_exact_mut(32) {
        for word in 0..BLOCK_WORDS {
            let mut block = Zeroizing::new([0u32; 32]);
            for (b, column) in block.iter_mut().zip(group.iter()) {
                *b = column[word];
            }
            transpose_32(&mut block);
            for (b, column) in block.iter().zip(group.iter_mut()) {
                column[word] = *b;
            }
        }
    }
}

/// Transposes a 32 x 32 bit matrix, bit c of word r being its element (r, c), by halving
/// (Warren, Hacker's Delight, section 7-3).
fn transpose_32(a: &mut [u32; 32]) {
    let (mut half, mut low) = (16, 0x0000_FFFFu32);
    while half > 0 {
        let mut r = 0;
        while r < 32 {
            let swap = (a[r] >> half ^ a[r + half]) & low;
            a[r] ^= swap << half;
            a[r + half] ^= swap;
            // The next row whose bit `half` is clear.
            r = (r + half + 1) & !half;
        }
        half >>= 1;
        low ^= low << half;
    }
}

#[cfg(test)]
mod tests {
    use super::super::ggm::tests::pair;
    use super::super::{Direction, xor};
    use super::*;
    use crate::random::SessionId;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn transposes(block: [u32; 32]) {
            let mut t = block;
            transpose_32(&mut t);
            for (r, row) in block.iter().enumerate() {
                for (c, column) in t.iter().enumerate() {
                    prop_assert_eq!(column >> r & 1, row >> c & 1);
                }
            }
        }

        #[test]
        fn rows_differ_by_delta_where_the_choice_is_one(
            log_k in 0u32..4, delta: Key, choices: Correction, seed: u8, id: [u8; 32],
            call in 0u64..1 << 55, reverse: bool,
        ) {
            let k_s = 1 << log_k;
            let direction = if reverse { Direction::Reverse } else { Direction::Forward };
            let (receiver, sender) = pair(direction, k_s, &SessionId(id), seed, &delta);
            let mut wire = Vec::new();
            let mut scratch = std::vec![0xAAAA_AAAA; scratch_words(k_s)];
            let v = receiver
                .extend(call, &choices, &mut scratch, |tree, c| {
                    assert_eq!(tree, wire.len());
                    wire.push(*c);
                })
                .unwrap();
            prop_assert_eq!(wire.len(), receiver.count());
            // Trees may come in any order.
            let mut other = std::vec![0x5555_5555; scratch_words(k_s)];
            for (tree, c) in wire.iter().enumerate().rev() {
                sender.absorb(call, tree, c, &mut other).unwrap();
            }
            let q = sender.rows(call, &mut other).unwrap();
            for i in 0..CALL {
                let chosen = 0u32.wrapping_sub(choices[i / 32] >> (i % 32) & 1);
                let expected = xor(&v.rows.get(i), &delta.map(|w| w & chosen));
                prop_assert_eq!(q.rows.get(i), expected);
            }
        }
    }

    #[test]
    fn calls_directions_and_sessions_share_nothing() {
        let mut seen = std::collections::BTreeSet::new();
        let mut scratch = std::vec![0; scratch_words(2)];
        for id in [1, 2] {
            for direction in [Direction::Forward, Direction::Reverse] {
                let (receiver, _) = pair(direction, 2, &SessionId([id; 32]), 9, &[5; 4]);
                for call in [0, 1, 1 << 32] {
                    let mut corrections = Vec::new();
                    receiver
                        .extend(call, &[0; 16], &mut scratch, |_, c| corrections.push(*c))
                        .unwrap();
                    for c in corrections {
                        assert!(seen.insert(c));
                    }
                }
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let (receiver, sender) = pair(Direction::Forward, 4, &SessionId([1; 32]), 9, &[5; 4]);
        let mut scratch = [0; scratch_words(4)];
        let short = scratch_words(4) - 1;
        let result = receiver.extend(0, &[0; 16], &mut scratch[..short], |_, _| ());
        assert!(result.is_err());
        assert!(
            sender
                .absorb(0, 0, &[0; 16], &mut scratch[..short])
                .is_err()
        );
        assert!(sender.absorb(0, 32, &[0; 16], &mut scratch).is_err());
        assert!(sender.absorb(0, 31, &[0; 16], &mut scratch).is_ok());
        assert!(sender.rows(0, &mut scratch[..2047]).is_err());
        assert!(sender.extend(0, &[[0; 16]; 31], &mut scratch).is_err());
    }
}
