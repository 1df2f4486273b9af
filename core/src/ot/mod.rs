//! Oblivious transfers: 512 rows a call, out of base transfers. SoftSpokenOT with codes, semi-honest
//! (Roy, CRYPTO 2022, section 5); `docs/design.md#oblivious-transfer`.
//!
//! Two directions run in a session, by the same code with the roles swapped:
//!
//! | [`Direction`] | extension receiver: [`ReceiverTrees`] | extension sender: [`SenderTrees`] | columns |
//! |---|---|---|---|
//! | `Forward` | client | server | 256 |
//! | `Reverse` | server | client | 128 |
//!
//! **Columns, trees and levels.** Column c = i k_s + l is bit l of tree i, in every place where it
//! occurs: the c-th base transfer gives level l of tree i, bit c of delta (bit c mod 32 of word
//! c / 32) is bit l of the leaf that tree i is punctured at, and column c of an extension sums the
//! leaves whose index has bit l. Level 0 is the first and decides bit 0, the lowest, of the
//! leaf's index.
//!
//! **Rows.** In each of 512 rows the receiver chooses a word of a [`Code`], one bit a tree. It gets
//! the row v, the sender the row q = v + word * delta: where the word has a one, the tree's k_s bits
//! of delta are added. Hashes of q + word * delta are the sender's messages for all words; the
//! receiver has the one of its own word.
//!
//! **Assumption.** ChaCha with 12 rounds is used as a correlation-robust hash: for a uniform delta its
//! blocks under v + word * delta, for all words but zero, look independent to whoever knows v and
//! not delta.
//!
//! Everything here runs in constant time: no branch, index or division depends on delta, on a
//! choice or on a key. Scratch memory holds secrets after a call; its owner erases it.

mod code;
mod extension;
mod ggm;

pub use code::{Code, LANE, Lane, Plane};
pub use extension::{ReceiverRows, SenderRows, receiver_words, sender_words, transpose};
#[cfg(test)]
pub(crate) use ggm::tests as ggm_tests;
pub use ggm::{ReceiverTrees, SenderTrees};

use crate::Error;
use crate::random::{self, BLOCK_WORDS, SessionId};
use core::hint::black_box;

/// Rows that one extension call makes: the bits of a ChaCha block.
pub const CALL: usize = 32 * BLOCK_WORDS;
/// Columns of the forward direction.
pub const FORWARD: usize = 256;
/// Columns of the reverse direction: the security parameter.
pub const REVERSE: usize = 128;

/// A 128-bit secret: node of a tree, or message of a base transfer.
pub type Key = [u32; 4];
/// A row of an extension, or delta, one bit a column; the reverse direction fills the first half.
pub type Row = [u32; 8];

/// Which party receives; part of every tweak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Direction {
    /// The client is the extension receiver.
    Forward = 0,
    /// The server is the extension receiver.
    Reverse = 1,
}

impl Direction {
    /// Columns of an extension, which are base transfers, bits of a row, and bits of delta.
    pub const fn columns(self) -> usize {
        match self {
            Self::Forward => FORWARD,
            Self::Reverse => REVERSE,
        }
    }
}

/// What a row's hash is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum RowUse {
    /// Pads of a digit's table.
    Digit = 3,
    /// Both pads of a bit.
    Bit = 4,
    /// Pads of a product.
    Product = 5,
    /// Key of a base transfer of the other direction.
    Base = 8,
}

/// What a ChaCha block is for: the low byte of the nonce's first word, above it the direction.
/// [`RowUse`] has the numbers between.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Domain {
    /// Both children of a tree's node; the nonce goes on with tree and node.
    Node = 1,
    /// A leaf's 512 bits of one call; the nonce goes on with the call, the counter is the leaf.
    Leaf = 2,
    /// The first level of a tree, from the receiver's seed; the nonce goes on with the tree.
    First = 6,
    /// What a base transfer's message is confirmed by; the nonce goes on with its index.
    Confirm = 7,
}

/// The hash functions of one direction of one session.
#[derive(Clone, Copy)]
struct Hash {
    session: [u32; 8],
    direction: Direction,
}

impl Hash {
    /// Of no session.
    const fn empty() -> Self {
        Self {
            session: [0; 8],
            direction: Direction::Forward,
        }
    }

    fn new(direction: Direction, session: &SessionId) -> Self {
        Self {
            session: session.words(),
            direction,
        }
    }

    fn nonce(&self, domain: u32, index: u64) -> [u32; 3] {
        let tag = domain | (self.direction as u32) << 8;
        [tag, (index >> 32) as u32, index as u32]
    }

    /// A block keyed by a 128-bit secret, and half of the session's name.
    fn keyed(&self, key: &Key, nonce: [u32; 3], counter: u32) -> [u32; BLOCK_WORDS] {
        random::block([key, &self.session.as_chunks().0[0]], nonce, counter)
    }

    /// Both nodes of the first level of a tree.
    fn first_level(&self, seed: &[[u32; 4]; 2], tree: usize) -> [Key; 2] {
        let nonce = self.nonce(Domain::First as u32, tree as u64);
        two_keys(&random::block(seed.each_ref(), nonce, 0))
    }

    /// Left and right child of a node, whose `position` is 2^level + index.
    fn children(&self, node: &Key, tree: usize, position: usize) -> [Key; 2] {
        let index = (tree as u64) << 32 | position as u64;
        two_keys(&self.keyed(node, self.nonce(Domain::Node as u32, index), 0))
    }

    /// 512 pseudo-random bits of a leaf, whose `position` counts over all trees.
    fn leaf(&self, leaf: &Key, call: u64, position: usize) -> [u32; BLOCK_WORDS] {
        self.keyed(leaf, self.nonce(Domain::Leaf as u32, call), position as u32)
    }

    /// 512 pseudo-random bits of row `index` of the session, for one use.
    fn row(&self, row: &Row, usage: RowUse, index: u64) -> [u32; BLOCK_WORDS] {
        let key: Row = xor(row, &self.session);
        let [k0, k1, k2, k3, k4, k5, k6, k7] = key;
        let halves = [&[k0, k1, k2, k3], &[k4, k5, k6, k7]];
        random::hash_block(halves, self.nonce(usage as u32, index))
    }
}

/// The first and the second 128 bits of a block.
fn two_keys(b: &[u32; BLOCK_WORDS]) -> [Key; 2] {
    [[b[0], b[1], b[2], b[3]], [b[4], b[5], b[6], b[7]]]
}

/// The first 128 bits of a block.
pub(crate) fn first_key(block: &[u32; BLOCK_WORDS]) -> Key {
    [block[0], block[1], block[2], block[3]]
}

/// 64 bits by which both sides can tell that they have the same message of base transfer `index`.
/// The message itself has 128, so its hash tells nothing to whoever does not know it.
pub fn confirmation(key: &Key, direction: Direction, session: &SessionId, index: usize) -> [u8; 8] {
    let hash = Hash::new(direction, session);
    let nonce = hash.nonce(Domain::Confirm as u32, index as u64);
    let b = hash.keyed(key, nonce, 0);
    (u64::from(b[0]) | u64::from(b[1]) << 32).to_le_bytes()
}

/// log2 of k_s: every tree has 2^k_s leaves.
fn check_depth(k_s: u32) -> Result<u32, Error> {
    match k_s {
        1 | 2 | 4 | 8 => Ok(k_s.trailing_zeros()),
        _ => Err(Error::Negotiation {
            what: "k_s",
            value: k_s,
        }),
    }
}

/// All ones if the low bit of `bit` is set, else zero. Constant-time: the compiler is kept from
/// turning the use of the mask into a branch.
#[inline(always)]
pub(crate) fn mask(bit: u32) -> u32 {
    black_box(0u32.wrapping_sub(bit & 1))
}

/// All ones if x = y, else zero. Constant-time.
#[inline(always)]
pub(crate) fn mask_eq(x: u32, y: u32) -> u32 {
    let d = x ^ y;
    black_box(((d | d.wrapping_neg()) >> 31).wrapping_sub(1))
}

/// `a` where the mask is zero, `b` where it is one. Constant-time.
#[inline(always)]
pub(crate) fn select(mask: u32, a: u32, b: u32) -> u32 {
    a ^ (mask & (a ^ b))
}

#[inline(always)]
pub(crate) fn xor<const WORDS: usize>(a: &[u32; WORDS], b: &[u32; WORDS]) -> [u32; WORDS] {
    core::array::from_fn(|i| a[i] ^ b[i])
}
