//! Oblivious transfers: 512 correlated ones a call, out of 128 base transfers.
//! SoftSpokenOT with the repetition code, semi-honest (Roy, CRYPTO 2022, figures 7 and 8);
//! `docs/design.md#oblivious-transfer`.
//!
//! Two directions run in a session, by the same code with the roles swapped:
//!
//! | [`Direction`] | extension receiver: [`ReceiverTrees`] | extension sender: [`SenderTrees`] |
//! |---|---|---|
//! | `Forward` | client | server |
//! | `Reverse` | server | client |
//!
//! **Columns, trees and levels.** Column c = i k_s + l (c < 128) is bit l of tree i, in every
//! place where it occurs: the c-th base transfer gives level l of tree i, bit c of delta (bit
//! c mod 32 of word c / 32) is bit l of the leaf that tree i is punctured at, and column c of an
//! extension sums the leaves whose index has bit l. Level 0 is next to the root and decides
//! bit 0, the lowest, of the leaf's index.
//!
//! **Assumption.** ChaCha8 is used as a correlation-robust hash: its blocks under keys that differ
//! by delta (in either half, or in both) look independent to whoever does not know delta.
//!
//! Everything here runs in constant time: no branch, index or division depends on delta, on a
//! choice or on a key. Scratch memory holds secrets after a call; its owner erases it.

mod extension;
mod ggm;
mod transfer;

pub use extension::{Correction, ReceiverRows, SenderRows, scratch_words};
pub use ggm::{ReceiverTrees, SenderTrees};
pub use transfer::{correlated_pads_receiver, correlated_pads_sender};

use crate::arith::field::T_MOD;
use crate::random::{self, BLOCK_WORDS, SessionId};
use core::hint::black_box;

/// Base transfers, columns of an extension, and bits of delta: the security parameter.
pub const COLUMNS: usize = 128;
/// Oblivious transfers that one extension call makes: the bits of a ChaCha block.
pub const CALL: usize = 32 * BLOCK_WORDS;

/// A 128-bit secret: node of a tree, base transfer message, or row of an extension.
pub type Key = [u32; 4];

/// Which party receives; part of every tweak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Direction {
    /// The client is the extension receiver.
    Forward = 0,
    /// The server is the extension receiver.
    Reverse = 1,
}

/// What a ChaCha block is for: the low byte of the nonce's first word, above it the direction.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Domain {
    /// Both children of a tree's node; the nonce goes on with tree and node.
    Node = 1,
    /// A leaf's 512 bits of one call; the nonce goes on with the call, the counter is the leaf.
    Leaf = 2,
    /// Bits of a lookup's table; the nonce goes on with the OT index.
    Lookup = 3,
    /// Pad of an entry of a 1-out-of-4 transfer, keyed by two rows; the first word also holds
    /// the entry, and the nonce goes on with the first row's OT index.
    Quad = 4,
    /// Pad of a correlated transfer modulo t; the nonce goes on with the OT index.
    Correlated = 5,
    /// Roots of the trees, from the receiver's seed.
    Root = 6,
    /// What a base transfer's message is confirmed by; the nonce goes on with its index.
    Confirm = 7,
}

/// The hash functions of one direction of one session.
#[derive(Clone, Copy)]
struct Hash {
    session_half: [u32; 4],
    direction: Direction,
}

impl Hash {
    /// Of no session.
    const fn empty() -> Self {
        Self {
            session_half: [0; 4],
            direction: Direction::Forward,
        }
    }

    fn new(direction: Direction, session: &SessionId) -> Self {
        Self {
            session_half: session.half_key(),
            direction,
        }
    }

    fn tag(&self, domain: Domain) -> u32 {
        domain as u32 | (self.direction as u32) << 8
    }

    fn nonce(&self, domain: Domain, index: u64) -> [u32; 3] {
        [self.tag(domain), (index >> 32) as u32, index as u32]
    }

    /// Left and right child of a node, whose `position` is 2^level + index.
    fn children(&self, node: &Key, tree: usize, position: usize) -> [Key; 2] {
        let nonce = [self.tag(Domain::Node), tree as u32, position as u32];
        let b = random::block([node, &self.session_half], nonce, 0);
        [[b[0], b[1], b[2], b[3]], [b[4], b[5], b[6], b[7]]]
    }

    /// 512 pseudo-random bits of a leaf, whose `position` counts over all trees.
    fn leaf(&self, leaf: &Key, call: u64, position: usize) -> [u32; BLOCK_WORDS] {
        let nonce = self.nonce(Domain::Leaf, call);
        random::block([leaf, &self.session_half], nonce, position as u32)
    }

    /// Bits 512 n to 512 n + 511 of a lookup's key; n may be secret.
    fn lookup(&self, row: &Key, ot: u64, n: u32) -> [u32; BLOCK_WORDS] {
        let nonce = self.nonce(Domain::Lookup, ot);
        random::block([row, &self.session_half], nonce, n)
    }

    /// The pad, a residue mod t, of one entry of a 1-out-of-4 transfer; the entry may be secret.
    /// Both rows key it, so that the four pads have no linear relation.
    fn quad(&self, rows: [&Key; 2], ot: u64, entry: u32) -> u32 {
        let mut nonce = self.nonce(Domain::Quad, ot);
        nonce[0] |= entry << 16;
        let b = random::block(rows, nonce, 0);
        T_MOD.reduce_96([b[0], b[1], b[2]])
    }

    /// The pad, a residue mod t, of a correlated transfer.
    fn correlated(&self, row: &Key, ot: u64) -> u32 {
        let nonce = self.nonce(Domain::Correlated, ot);
        let b = random::block([row, &self.session_half], nonce, 0);
        T_MOD.reduce_96([b[0], b[1], b[2]])
    }
}

/// 64 bits by which both sides can tell that they have the same message of base transfer `index`.
/// The message itself has 128, so its hash tells nothing to whoever does not know it.
pub fn confirmation(key: &Key, direction: Direction, session: &SessionId, index: usize) -> [u8; 8] {
    let hash = Hash::new(direction, session);
    let nonce = hash.nonce(Domain::Confirm, index as u64);
    let b = random::block([key, &hash.session_half], nonce, 0);
    (u64::from(b[0]) | u64::from(b[1]) << 32).to_le_bytes()
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
fn xor(a: &Key, b: &Key) -> Key {
    core::array::from_fn(|i| a[i] ^ b[i])
}
