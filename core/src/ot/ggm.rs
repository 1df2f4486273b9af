//! GGM trees: one secret expands to 2^k_s leaves; the other party knows all leaves but one. There is no
//! root: it would make the two nodes of the first level and nothing else, so these are drawn.
//! Goldreich, Goldwasser, Micali (1986); Roy, CRYPTO 2022, section 5.1;
//! `docs/design.md#oblivious-transfer`.
//!
//! Node p of level l (p < 2^l) has its left child at p and its right child at p + 2^l of level
//! l + 1, so bit l of a leaf's index says which way its path went.

use super::{Direction, Hash, Key, Row, check_depth, mask, mask_eq, select, xor};
use crate::Error;
use crate::random::{Seed, SessionId};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The most levels of a tree.
const MAX_DEPTH: usize = 8;

/// The indices of the nodes of level `depth` (at least 1), in the order of their bits reversed.
pub(super) fn bit_reversed(depth: u32) -> impl Iterator<Item = usize> {
    (0..1u32 << depth).map(move |i| (i.reverse_bits() >> (32 - depth)) as usize)
}

/// Hands out the nodes of level `depth` (at least 1) of a tree, each with its index, [`bit_reversed`], and
/// keeps no more than one node a level. Constant-time.
fn walk(
    hash: &Hash,
    tree: usize,
    seed: &[[u32; 4]; 2],
    depth: u32,
    mut take: impl FnMut(usize, &Key),
) {
    // The left node of the first level, and from there on the right siblings, by level, of the path to
    // the node at hand.
    let mut siblings = Zeroizing::new([[0; 4]; MAX_DEPTH + 1]);
    [siblings[0], siblings[1]] = hash.first_level(seed, tree);
    for (i, index) in (0u32..).zip(bit_reversed(depth)) {
        let mut level = depth - i.trailing_zeros().min(depth);
        let mut node = Zeroizing::new(siblings[level as usize]);
        level = level.max(1);
        while level < depth {
            let position = 1 << level | (index & ((1 << level) - 1));
            let [left, right] = hash.children(&node, tree, position);
            level += 1;
            siblings[level as usize] = right;
            *node = left;
        }
        take(index, &node);
    }
}

/// Expands a tree without the path to leaf `delta`, from the sums of each level's children on the
/// side away from that path. The path's own nodes come out as zero. Constant-time: the same 2^k_s
/// steps for every delta.
fn expand_punctured(hash: &Hash, tree: usize, sums: &[Key], delta: u32, nodes: &mut [Key]) {
    nodes[..2].fill([0; 4]);
    for (level, sum) in sums.iter().enumerate() {
        let width = 1 << level;
        let path = delta & (width as u32 - 1);
        let side = 1 ^ (delta >> level & 1);
        let right_side = mask(side);
        let mut missing = *sum;
        // The first level follows from nothing.
        let parents = if level == 0 { 0 } else { width };
        for p in 0..parents {
            let known = !mask_eq(p as u32, path);
            let [mut left, mut right] = hash.children(&nodes[p], tree, width + p);
            for w in 0..4 {
                left[w] &= known;
                right[w] &= known;
                missing[w] ^= select(right_side, left[w], right[w]);
            }
            [nodes[p], nodes[p + width]] = [left, right];
        }
        let sibling = path | side << level;
        for (x, node) in nodes[..2 * width].iter_mut().enumerate() {
            let here = mask_eq(x as u32, sibling);
            for w in 0..4 {
                node[w] ^= here & missing[w];
            }
        }
    }
}

/// The extension receiver's trees: it knows all leaves. The first level of a tree is made again from the
/// seed whenever it is expanded.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ReceiverTrees {
    seed: [[u32; 4]; 2],
    #[zeroize(skip)]
    log_k_s: u32,
    #[zeroize(skip)]
    pub(super) hash: Hash,
}

impl ReceiverTrees {
    /// Trees of a seed that serves nothing else. `k_s` is 1, 2, 4 or 8.
    pub fn new(
        direction: Direction,
        k_s: u32,
        session: &SessionId,
        seed: &Seed,
    ) -> Result<Self, Error> {
        let mut trees = Self::empty();
        trees.plant(direction, k_s, session, seed)?;
        Ok(trees)
    }

    /// As [`Self::new`], in place.
    pub(crate) fn plant(
        &mut self,
        direction: Direction,
        k_s: u32,
        session: &SessionId,
        seed: &Seed,
    ) -> Result<(), Error> {
        self.log_k_s = check_depth(k_s)?;
        self.hash = Hash::new(direction, session);
        seed.write_halves(&mut self.seed);
        Ok(())
    }

    /// No trees.
    pub(crate) const fn empty() -> Self {
        Self {
            seed: [[0; 4]; 2],
            log_k_s: 0,
            hash: Hash::empty(),
        }
    }

    /// k_s: columns a tree, log2 of its leaves.
    pub fn k_s(&self) -> u32 {
        1 << self.log_k_s
    }

    /// Number of trees.
    pub fn count(&self) -> usize {
        self.direction().columns() >> self.log_k_s
    }

    /// The direction that these trees serve.
    pub fn direction(&self) -> Direction {
        self.hash.direction
    }

    /// Hands out a tree's 2^k_s leaves, each with its index, [`bit_reversed`].
    pub(super) fn leaves(&self, tree: usize, take: impl FnMut(usize, &Key)) {
        walk(&self.hash, tree, &self.seed, self.k_s(), take);
    }

    /// The two messages of base transfer `index`: the sum of the left, and of the right children
    /// of its level. Constant-time.
    pub fn base_message(&self, index: usize) -> [Key; 2] {
        let (tree, level) = (index >> self.log_k_s, index as u32 & (self.k_s() - 1));
        let mut sums = [[0; 4]; 2];
        walk(&self.hash, tree, &self.seed, level + 1, |p, node| {
            let side = &mut sums[p >> level];
            *side = xor(side, node);
        });
        sums
    }
}

/// The extension sender's trees: delta, and what expands to all leaves but those at delta. There are
/// as many sums as base transfers in the direction.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SenderTrees<const COLUMNS: usize> {
    pub(super) delta: Row,
    sums: [Key; COLUMNS],
    #[zeroize(skip)]
    log_k_s: u32,
    #[zeroize(skip)]
    pub(super) hash: Hash,
}

impl<const COLUMNS: usize> SenderTrees<COLUMNS> {
    const DIRECTION: Direction = {
        assert!(COLUMNS == super::FORWARD || COLUMNS == super::REVERSE);
        match COLUMNS {
            super::REVERSE => Direction::Reverse,
            _ => Direction::Forward,
        }
    };

    /// No trees.
    pub const fn empty() -> Self {
        Self {
            delta: [0; 8],
            sums: [[0; 4]; COLUMNS],
            log_k_s: 0,
            hash: Hash::empty(),
        }
    }

    /// Chooses delta, before the base transfers. `k_s` is 1, 2, 4 or 8.
    pub fn choose(
        &mut self,
        k_s: u32,
        session: &SessionId,
        mut random: impl FnMut() -> u32,
    ) -> Result<(), Error> {
        self.log_k_s = check_depth(k_s)?;
        self.hash = Hash::new(Self::DIRECTION, session);
        self.delta[..COLUMNS / 32].fill_with(&mut random);
        Ok(())
    }

    /// The choice bit of base transfer `index`: the side away from delta's path. Constant-time.
    pub fn base_choice(&self, index: usize) -> u32 {
        1 ^ (self.delta[index / 32] >> (index % 32) & 1)
    }

    /// Takes the message that base transfer `index` gave.
    pub fn plant(&mut self, index: usize, message: &Key) {
        self.sums[index] = *message;
    }

    /// k_s: columns a tree, log2 of its leaves.
    pub fn k_s(&self) -> u32 {
        1 << self.log_k_s
    }

    /// Number of trees.
    pub fn count(&self) -> usize {
        COLUMNS >> self.log_k_s
    }

    /// The direction that these trees serve.
    pub fn direction(&self) -> Direction {
        Self::DIRECTION
    }

    /// The leaf that a tree is punctured at. 32 is a multiple of k_s: no word boundary is crossed.
    pub(super) fn missing_leaf(&self, tree: usize) -> u32 {
        let column = tree << self.log_k_s;
        self.delta[column / 32] >> (column % 32) & ((1 << self.k_s()) - 1)
    }

    /// Expands a tree to its 2^k_s leaves; the missing one is zero.
    pub(super) fn expand(&self, tree: usize, nodes: &mut [Key]) {
        let column = tree << self.log_k_s;
        let sums = &self.sums[column..column + self.k_s() as usize];
        expand_punctured(&self.hash, tree, sums, self.missing_leaf(tree), nodes);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{FORWARD, REVERSE};
    use super::*;
    use proptest::prelude::*;
    use std::boxed::Box;

    /// Both parties' trees, with the base transfers done by hand.
    pub(crate) fn pair<const COLUMNS: usize>(
        k_s: u32,
        session: &SessionId,
        seed: u8,
        delta: &Row,
    ) -> (ReceiverTrees, Box<SenderTrees<COLUMNS>>) {
        let direction = SenderTrees::<COLUMNS>::DIRECTION;
        let receiver = ReceiverTrees::new(direction, k_s, session, &Seed([seed; 32])).unwrap();
        let mut sender = Box::new(SenderTrees::empty());
        let mut words = delta.iter();
        sender
            .choose(k_s, session, || *words.next().unwrap())
            .unwrap();
        for c in 0..COLUMNS {
            let choice = sender.base_choice(c) as usize;
            sender.plant(c, &receiver.base_message(c)[choice]);
        }
        (receiver, sender)
    }

    fn punctured<const COLUMNS: usize>(k_s: u32, delta: &Row, seed: u8, id: [u8; 32]) {
        let (receiver, sender) = pair::<COLUMNS>(k_s, &SessionId(id), seed, delta);
        assert_eq!(receiver.count(), sender.count());
        let (mut full, mut punctured) = ([[0; 4]; 256], [[2; 4]; 256]);
        for tree in 0..receiver.count() {
            let mut seen = 0;
            receiver.leaves(tree, |x, leaf| {
                full[x] = *leaf;
                seen += 1;
            });
            assert_eq!(seen, 1 << k_s);
            sender.expand(tree, &mut punctured);
            let mut missing = 0;
            for l in 0..k_s as usize {
                let column = tree * k_s as usize + l;
                missing |= (delta[column / 32] >> (column % 32) & 1) << l;
            }
            for x in 0..1 << k_s {
                if x == missing as usize {
                    assert_eq!(punctured[x], [0; 4]);
                    assert_ne!(full[x], [0; 4]);
                } else {
                    assert_eq!(punctured[x], full[x]);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn a_punctured_tree_is_the_full_one_without_delta(
            log_k in 0u32..4, delta: Row, seed: u8, id: [u8; 32], reverse: bool,
        ) {
            if reverse {
                punctured::<REVERSE>(1 << log_k, &delta, seed, id);
            } else {
                punctured::<FORWARD>(1 << log_k, &delta, seed, id);
            }
        }
    }

    #[test]
    fn base_messages_are_sums_of_leaves_at_the_last_level_and_nothing_repeats() {
        let session = SessionId([7; 32]);
        let trees = ReceiverTrees::new(Direction::Forward, 4, &session, &Seed([1; 32])).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for tree in 0..64 {
            let mut sums = [[0; 4]; 2];
            trees.leaves(tree, |x, leaf| {
                assert!(seen.insert(*leaf));
                sums[x / 8] = xor(&sums[x / 8], leaf);
            });
            assert_eq!(trees.base_message(4 * tree + 3), sums);
        }
    }

    #[test]
    fn refuses_other_depths() {
        let (session, seed) = (SessionId([7; 32]), Seed([1; 32]));
        for k_s in [0, 3, 5, 7, 9, 16, u32::MAX] {
            let refused = Some(Error::Negotiation {
                what: "k_s",
                value: k_s,
            });
            let trees = ReceiverTrees::new(Direction::Forward, k_s, &session, &seed);
            assert_eq!(trees.err(), refused);
            let mut sender = SenderTrees::<REVERSE>::empty();
            assert_eq!(sender.choose(k_s, &session, || 0).err(), refused);
        }
    }
}
