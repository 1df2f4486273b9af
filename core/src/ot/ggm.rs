//! GGM trees: a root expands to 2^k_s leaves; the other party knows all leaves but one.
//! Goldreich, Goldwasser, Micali (1986); Roy, CRYPTO 2022, section 5.1;
//! `docs/design.md#oblivious-transfer`.
//!
//! A tree is expanded in place. Node p of level l (p < 2^l) has its left child at p and its right
//! child at p + 2^l of level l + 1, so bit l of a leaf's index says which way its path went.

use super::{COLUMNS, Direction, Domain, Hash, Key, mask, mask_eq, xor};
use crate::Error;
use crate::random::{Seed, SessionId, Stream};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// log2 of k_s: every tree has 2^k_s leaves, and there are 128 / k_s trees.
fn check_depth(k_s: u32) -> Result<u32, Error> {
    match k_s {
        1 | 2 | 4 | 8 => Ok(k_s.trailing_zeros()),
        _ => Err(Error::Negotiation {
            what: "k_s",
            value: k_s,
        }),
    }
}

/// Expands the first `levels` levels under a root into `nodes[..2^levels]`. Constant-time.
fn expand(hash: &Hash, tree: usize, root: &Key, levels: u32, nodes: &mut [Key]) {
    nodes[0] = *root;
    for level in 0..levels {
        let width = 1 << level;
        for p in 0..width {
            [nodes[p], nodes[p + width]] = hash.children(&nodes[p], tree, width + p);
        }
    }
}

/// Expands a tree without the path to leaf `delta`, from the sums of each level's children on the
/// side away from that path. The path's own nodes come out as zero. Constant-time: the same 2^k_s
/// steps for every delta.
fn expand_punctured(hash: &Hash, tree: usize, sums: &[Key], delta: u32, nodes: &mut [Key]) {
    nodes[0] = [0; 4];
    for (level, sum) in sums.iter().enumerate() {
        let width = 1 << level;
        let path = delta & (width as u32 - 1);
        let side = 1 ^ (delta >> level & 1);
        let right_side = mask(side);
        let mut missing = *sum;
        for p in 0..width {
            let known = !mask_eq(p as u32, path);
            let [mut left, mut right] = hash.children(&nodes[p], tree, width + p);
            for w in 0..4 {
                left[w] &= known;
                right[w] &= known;
                missing[w] ^= super::select(right_side, left[w], right[w]);
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

/// The extension receiver's trees: it knows all leaves.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ReceiverTrees {
    roots: [Key; COLUMNS],
    #[zeroize(skip)]
    log_k_s: u32,
    #[zeroize(skip)]
    pub(super) hash: Hash,
}

impl ReceiverTrees {
    /// Trees with roots drawn from a seed that serves nothing else. `k_s` is 1, 2, 4 or 8.
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

    /// No trees.
    pub(crate) const fn empty() -> Self {
        Self {
            roots: [[0; 4]; COLUMNS],
            log_k_s: 0,
            hash: Hash::empty(),
        }
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
        let mut stream = Stream::new(seed, self.hash.nonce(Domain::Root, 0));
        let count = self.count();
        for root in &mut self.roots[..count] {
            *root = core::array::from_fn(|_| stream.next_u32());
        }
        Ok(())
    }

    /// k_s: columns a tree, log2 of its leaves.
    pub fn k_s(&self) -> u32 {
        1 << self.log_k_s
    }

    /// Number of trees, 128 / k_s: corrections a call.
    pub fn count(&self) -> usize {
        COLUMNS >> self.log_k_s
    }

    /// The direction that these trees serve.
    pub fn direction(&self) -> Direction {
        self.hash.direction
    }

    /// Expands a tree to its 2^k_s leaves.
    pub(super) fn expand(&self, tree: usize, nodes: &mut [Key]) {
        expand(&self.hash, tree, &self.roots[tree], self.k_s(), nodes);
    }

    /// The two messages of base transfer `index`: the sum of the left, and of the right children
    /// of its level. The first 4 * 2^k_s words of `scratch` are used. Constant-time.
    pub fn base_message(&self, index: usize, scratch: &mut [u32]) -> Result<[Key; 2], Error> {
        let (tree, level) = (index >> self.log_k_s, index as u32 & (self.k_s() - 1));
        let nodes = scratch
            .as_chunks_mut()
            .0
            .get_mut(..2 << level)
            .filter(|_| index < COLUMNS)
            .ok_or(Error::Internal("base transfer with too little scratch"))?;
        expand(&self.hash, tree, &self.roots[tree], level + 1, nodes);
        let (left, right) = nodes.split_at(1 << level);
        Ok([left, right].map(|side| side.iter().fold([0; 4], |sum, node| xor(&sum, node))))
    }
}

/// The extension sender's trees: delta, and what expands to all leaves but those at delta.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SenderTrees {
    pub(super) delta: Key,
    sums: [Key; COLUMNS],
    #[zeroize(skip)]
    log_k_s: u32,
    #[zeroize(skip)]
    pub(super) hash: Hash,
}

impl SenderTrees {
    /// Trees from the messages that the base transfers gave for [`Self::base_choice`].
    /// `k_s` is 1, 2, 4 or 8.
    pub fn new(
        direction: Direction,
        k_s: u32,
        session: &SessionId,
        delta: &Key,
        keys: &[Key; COLUMNS],
    ) -> Result<Self, Error> {
        let mut trees = Self::empty();
        trees.delta = *delta;
        trees.plant(direction, k_s, session, |sums| {
            sums.copy_from_slice(keys);
            Ok(())
        })?;
        Ok(trees)
    }

    /// No trees.
    pub(crate) const fn empty() -> Self {
        Self {
            delta: [0; 4],
            sums: [[0; 4]; COLUMNS],
            log_k_s: 0,
            hash: Hash::empty(),
        }
    }

    /// Chooses delta, before the base transfers.
    pub(crate) fn choose(&mut self, delta: Key) {
        self.delta = delta;
    }

    /// Takes the messages that the base transfers gave, in place: `keys` writes all 128.
    pub(crate) fn plant(
        &mut self,
        direction: Direction,
        k_s: u32,
        session: &SessionId,
        keys: impl FnOnce(&mut [Key; COLUMNS]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.log_k_s = check_depth(k_s)?;
        self.hash = Hash::new(direction, session);
        keys(&mut self.sums)
    }

    /// Delta, one bit a column.
    pub(crate) fn delta(&self) -> &Key {
        &self.delta
    }

    /// The choice bit of base transfer `index` (below 128): the side away from delta's path.
    /// Constant-time.
    pub fn base_choice(delta: &Key, index: usize) -> u32 {
        1 ^ (delta[index / 32] >> (index % 32) & 1)
    }

    /// k_s: columns a tree, log2 of its leaves.
    pub fn k_s(&self) -> u32 {
        1 << self.log_k_s
    }

    /// Number of trees, 128 / k_s: corrections a call.
    pub fn count(&self) -> usize {
        COLUMNS >> self.log_k_s
    }

    /// The direction that these trees serve.
    pub fn direction(&self) -> Direction {
        self.hash.direction
    }

    /// The choice bit of base transfer `index` (below 128). Constant-time.
    pub fn choice(&self, index: usize) -> u32 {
        Self::base_choice(&self.delta, index)
    }

    /// The message that base transfer `index` (below 128) gave.
    pub fn base_key(&self, index: usize) -> Key {
        self.sums[index]
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
    use super::*;
    use proptest::prelude::*;

    /// Both parties' trees, with the base transfers done by hand.
    pub(crate) fn pair(
        direction: Direction,
        k_s: u32,
        session: &SessionId,
        seed: u8,
        delta: &Key,
    ) -> (ReceiverTrees, SenderTrees) {
        let receiver = ReceiverTrees::new(direction, k_s, session, &Seed([seed; 32])).unwrap();
        let mut scratch = [0; 1024];
        let keys = core::array::from_fn(|c| {
            let choice = SenderTrees::base_choice(delta, c) as usize;
            receiver.base_message(c, &mut scratch).unwrap()[choice]
        });
        let sender = SenderTrees::new(direction, k_s, session, delta, &keys).unwrap();
        (receiver, sender)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_punctured_tree_is_the_full_one_without_delta(
            log_k in 0u32..4, delta: Key, seed: u8, id: [u8; 32], reverse: bool,
        ) {
            let k_s = 1 << log_k;
            let direction = if reverse { Direction::Reverse } else { Direction::Forward };
            let (receiver, sender) = pair(direction, k_s, &SessionId(id), seed, &delta);
            let (mut full, mut punctured) = ([[1; 4]; 256], [[2; 4]; 256]);
            for tree in 0..receiver.count() {
                receiver.expand(tree, &mut full);
                sender.expand(tree, &mut punctured);
                let mut missing = 0;
                for l in 0..k_s as usize {
                    let column = tree * k_s as usize + l;
                    missing |= (delta[column / 32] >> (column % 32) & 1) << l;
                }
                for x in 0..1 << k_s {
                    if x == missing as usize {
                        prop_assert_eq!(punctured[x], [0; 4]);
                        prop_assert_ne!(full[x], [0; 4]);
                    } else {
                        prop_assert_eq!(punctured[x], full[x]);
                    }
                }
            }
        }
    }

    #[test]
    fn base_messages_are_sums_of_leaves_at_the_last_level_and_nothing_repeats() {
        let session = SessionId([7; 32]);
        let trees = ReceiverTrees::new(Direction::Forward, 4, &session, &Seed([1; 32])).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        let (mut nodes, mut scratch) = ([[0; 4]; 16], [0; 64]);
        for tree in 0..32 {
            trees.expand(tree, &mut nodes);
            assert!(nodes.iter().all(|leaf| seen.insert(*leaf)));
            let [left, right] = trees.base_message(4 * tree + 3, &mut scratch).unwrap();
            assert_eq!(left, nodes[..8].iter().fold([0; 4], |s, n| xor(&s, n)));
            assert_eq!(right, nodes[8..].iter().fold([0; 4], |s, n| xor(&s, n)));
        }
    }

    #[test]
    fn refuses_other_depths_and_small_scratch() {
        let (session, seed) = (SessionId([7; 32]), Seed([1; 32]));
        for k_s in [0, 3, 5, 7, 9, 16, u32::MAX] {
            let trees = ReceiverTrees::new(Direction::Forward, k_s, &session, &seed);
            assert_eq!(
                trees.err(),
                Some(Error::Negotiation {
                    what: "k_s",
                    value: k_s
                })
            );
        }
        let trees = ReceiverTrees::new(Direction::Forward, 4, &session, &seed).unwrap();
        assert!(trees.base_message(3, &mut [0; 63]).is_err());
        assert!(trees.base_message(3, &mut [0; 64]).is_ok());
        assert!(trees.base_message(128, &mut [0; 64]).is_err());
    }
}
