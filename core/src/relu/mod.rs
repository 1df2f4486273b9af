//! The two-party ReLU: from shares of u modulo 2^k to shares of max(0, u) modulo t.
//! `docs/design.md#relu`. The comparison is one table lookup; the product with its bit takes one
//! 1-out-of-4 transfer and one correlated transfer in the other direction.
//!
//! With shares a (client) and b (server), u = a + b mod 2^k, read as a signed number:
//!
//! | step | client | server |
//! |---|---|---|
//! | 1 | [`ClientChunk::begin`]: corrections of one forward extension | [`ServerChunk::begin`]: masked tables |
//! | 2 | [`ClientChunk::read_table`]: its share d_c of d = \[u >= 0\] | holds the share d_s |
//! | 3 | [`ClientChunk::reply`]: derandomisation bits, tau | [`ServerChunk::answer`]: four masked entries |
//! | 4 | [`ClientChunk::finish`]: z_c | z_s, with z_c + z_s = d u mod t |
//!
//! Two reverse pads an activation are the client's, one (for the choice d_s) the server's.
//! Everything here runs in constant time in shares, bits, pads and randomness.

use crate::Error;
use crate::arith::field::T_MOD;
use crate::ot::{CALL, Correction, ReceiverTrees, SenderRows, mask, mask_eq, select};
use crate::random::Stream;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The most activations of a chunk: 512 / 9, at h = 8.
pub const MAX_CHUNK: usize = CALL / 9;
/// The most bytes of a table: 2^11 bits, at h = 12.
pub const MAX_TABLE_BYTES: usize = 256;

/// Bits of the shares (k) and of the comparison (h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReluParams {
    h: u32,
    k: u32,
}

impl ReluParams {
    /// Of no session.
    pub(crate) const NONE: Self = Self { h: 0, k: 0 };

    /// 8 <= h <= k <= 12. With h = k the comparison is exact; with h < k, u in (0, 2^(k-h)) may
    /// become 0, and u in \[-2^(k-1), -2^(k-1) + 2^(k-h)) may be taken for positive.
    pub fn new(h: u32, k: u32) -> Result<Self, Error> {
        match (h, k) {
            (_, ..8 | 13..) => Err(Error::Negotiation {
                what: "k",
                value: k,
            }),
            _ if h < 8 || h > k => Err(Error::Negotiation {
                what: "h",
                value: h,
            }),
            _ => Ok(Self { h, k }),
        }
    }

    /// h: the most significant bits of each share that the comparison takes.
    pub fn h(&self) -> u32 {
        self.h
    }

    /// k: bits of a share.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// Activations of a full chunk: one forward extension gives h + 1 transfers to each.
    pub fn chunk(&self) -> usize {
        CALL / (self.h as usize + 1)
    }

    /// Bytes of one activation's table, 2^(h-1) bits.
    pub fn table_bytes(&self) -> usize {
        1 << (self.h - 4)
    }

    /// Bits of a lookup. Bit l of the lookup of activation i is transfer l chunk() + i.
    fn lookup_bits(&self) -> usize {
        self.h as usize - 1
    }

    /// The two transfers under the 1-out-of-4 transfer of activation i: after those of all lookups.
    fn quad_transfers(&self, i: usize) -> [usize; 2] {
        let first = self.lookup_bits() * self.chunk() + i;
        [first, first + self.chunk()]
    }

    /// The bits of a share that choose its table entry: the h most significant but the highest.
    fn entry(&self, share: u16) -> u32 {
        u32::from(share) >> (self.k - self.h) & ((1 << (self.h - 1)) - 1)
    }

    /// The highest bit of a share.
    fn top(&self, share: u16) -> u32 {
        u32::from(share) >> (self.k - 1) & 1
    }
}

/// Each share reduced mod 2^k into an array that is zero behind them.
fn take_shares(params: ReluParams, shares: &[u16]) -> Result<[u16; MAX_CHUNK], Error> {
    if shares.len() > params.chunk() {
        return Err(Error::Internal("chunk with too many activations"));
    }
    let mut taken = [0; MAX_CHUNK];
    for (to, from) in taken.iter_mut().zip(shares) {
        *to = from & ((1 << params.k) - 1);
    }
    Ok(taken)
}

/// The client's state of one chunk, about half a KiB. For every activation below the number it
/// began with, the three steps are taken once each, in order; the activations' order is free.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ClientChunk {
    #[zeroize(skip)]
    params: ReluParams,
    #[zeroize(skip)]
    len: usize,
    shares: [u16; MAX_CHUNK],
    /// The lookup's pad, then d_c.
    bits: [u8; MAX_CHUNK],
    /// Choices of the two transfers under the 1-out-of-4 one.
    random: [u8; MAX_CHUNK],
    /// The pad of the 1-out-of-4 transfer, then what is added to the entry that was chosen.
    residues: [u32; MAX_CHUNK],
}

impl ClientChunk {
    /// Runs forward extension `call` for shares a, taken mod 2^k: hands out one correction a
    /// tree, in order. `random` is 128 fresh bits; `scratch` has [`crate::ot::scratch_words`].
    pub fn begin(
        params: ReluParams,
        trees: &ReceiverTrees,
        call: u64,
        random: &[u32; 4],
        shares: &[u16],
        scratch: &mut [u32],
        emit: impl FnMut(usize, &Correction),
    ) -> Result<Self, Error> {
        let mut chunk = Self {
            params,
            len: shares.len(),
            shares: take_shares(params, shares)?,
            bits: [0; MAX_CHUNK],
            random: core::array::from_fn(|i| {
                let bit = |word: usize| (random[word + i / 32] >> (i % 32) & 1) as u8;
                bit(0) | bit(2) << 1
            }),
            residues: [0; MAX_CHUNK],
        };
        let mut choices = Zeroizing::new([0; CALL / 32]);
        let mut choose = |ot: usize, bit: u32| choices[ot / 32] |= (bit & 1) << (ot % 32);
        for i in 0..chunk.len {
            let entry = params.entry(chunk.shares[i]);
            for l in 0..params.lookup_bits() {
                choose(l * params.chunk() + i, entry >> l);
            }
            let [first, second] = params.quad_transfers(i);
            choose(first, chunk.random[i].into());
            choose(second, (chunk.random[i] >> 1).into());
        }
        let rows = trees.extend(call, &choices, scratch, emit)?;
        for i in 0..chunk.len {
            let entry = params.entry(chunk.shares[i]);
            let pad = rows.lookup(i, params.chunk(), params.lookup_bits(), entry);
            chunk.bits[i] = pad as u8;
            chunk.residues[i] = rows.quad(params.quad_transfers(i), chunk.random[i].into());
        }
        Ok(chunk)
    }

    /// Number of activations.
    pub fn activations(&self) -> usize {
        self.len
    }

    /// Reads activation i's bit from its table of `table_bytes()` bytes.
    pub fn read_table(&mut self, i: usize, table: &[u8]) {
        debug_assert!(i < self.len && table.len() == self.params.table_bytes());
        let entry = self.params.entry(self.shares[i]);
        let mut byte = 0;
        for (n, b) in table.iter().enumerate() {
            byte |= u32::from(*b) & mask_eq(n as u32, entry >> 3);
        }
        let bit = byte >> (entry & 7) ^ self.params.top(self.shares[i]);
        self.bits[i] ^= (bit & 1) as u8;
    }

    /// Which of the four entries the client chooses: d_c + 2 top(a).
    fn choice(&self, i: usize) -> u32 {
        u32::from(self.bits[i]) | self.params.top(self.shares[i]) << 1
    }

    /// Activation i's two derandomisation bits and tau, a residue mod t, from the two pads of its
    /// reverse transfer.
    pub fn reply(&mut self, i: usize, pads: [u32; 2]) -> (u8, u32) {
        debug_assert!(i < self.len);
        let a = u32::from(self.shares[i]);
        let positive = mask(self.bits[i].into());
        let alpha = select(positive, a, T_MOD.neg(a));
        let tau = T_MOD.add(T_MOD.sub(pads[0], pads[1]), alpha);
        // z_c = entry - its pad + d_c a - p_0.
        let known = T_MOD.sub(positive & a, pads[0]);
        self.residues[i] = T_MOD.sub(known, self.residues[i]);
        (self.choice(i) as u8 ^ self.random[i], tau)
    }

    /// The client's share z_c mod t, from the four entries, residues mod t.
    pub fn finish(&self, i: usize, entries: [u32; 4]) -> u32 {
        debug_assert!(i < self.len);
        let mut chosen = 0;
        for (e, entry) in entries.iter().enumerate() {
            chosen |= entry & mask_eq(e as u32, self.choice(i));
        }
        T_MOD.add(chosen, self.residues[i])
    }
}

/// The server's state of one chunk, about 1.3 KiB.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct ServerChunk {
    #[zeroize(skip)]
    params: ReluParams,
    #[zeroize(skip)]
    len: usize,
    shares: [u16; MAX_CHUNK],
    /// d_s.
    bits: [u8; MAX_CHUNK],
    /// The server's share of the 1-out-of-4 transfer.
    masks: [u32; MAX_CHUNK],
    pads: [[u32; 4]; MAX_CHUNK],
}

impl ServerChunk {
    /// Makes the tables of the activations with shares b (taken mod 2^k) from the rows of the
    /// chunk's forward extension. `bits` holds d_s, 0 or 1, each the choice of the activation's
    /// reverse transfer; `random` gives the masks, 96 bits each; `tables` gets `table_bytes()`
    /// for each activation, entry v being bit v mod 8 of byte v / 8.
    pub fn begin(
        params: ReluParams,
        rows: &SenderRows,
        shares: &[u16],
        bits: &[u8],
        random: &mut Stream,
        tables: &mut [u8],
    ) -> Result<Self, Error> {
        let mut chunk = Self {
            params,
            len: shares.len(),
            shares: take_shares(params, shares)?,
            bits: [0; MAX_CHUNK],
            masks: [0; MAX_CHUNK],
            pads: [[0; 4]; MAX_CHUNK],
        };
        if bits.len() != chunk.len || tables.len() != chunk.len * params.table_bytes() {
            return Err(Error::Internal("chunk whose bits or tables do not fit"));
        }
        for (i, bytes) in tables.chunks_exact_mut(params.table_bytes()).enumerate() {
            chunk.bits[i] = bits[i] & 1;
            chunk.masks[i] = T_MOD.reduce_96(core::array::from_fn(|_| random.next_u32()));
            chunk.pads[i] = rows.quad(params.quad_transfers(i));
            let mut words = [0; MAX_TABLE_BYTES / 4];
            let table = &mut words[..params.table_bytes() / 4];
            chunk.comparison(i, table);
            rows.lookup(i, params.chunk(), table);
            for (to, from) in bytes.chunks_exact_mut(4).zip(table) {
                to.copy_from_slice(&from.to_le_bytes());
            }
        }
        Ok(chunk)
    }

    /// The table of activation i before its masks: entry v is d for a client's share whose entry
    /// bits are v and whose top bit is 0, plus d_s.
    ///
    /// The h top bits of the sum have the highest bit top(b) for v + b' < 2^(h-1), its opposite
    /// from there on, where b' = entry(b): a step in the table, at 2^(h-1) - b'.
    fn comparison(&self, i: usize, table: &mut [u32]) {
        let share = self.shares[i];
        let below = mask(1 ^ self.params.top(share) ^ u32::from(self.bits[i]));
        let step = (1i32 << (self.params.h - 1)) - self.params.entry(share) as i32;
        for (w, word) in table.iter_mut().enumerate() {
            // The step's place in this word, clamped to 0..=32.
            let place = step - 32 * w as i32;
            let place = place & !(place >> 31);
            let place = 32 + ((place - 32) & ((place - 32) >> 31));
            *word = below ^ (u64::MAX << place) as u32;
        }
    }

    /// Number of activations.
    pub fn activations(&self) -> usize {
        self.len
    }

    /// Activation i's four entries and the server's share z_s, residues mod t, from the client's
    /// derandomisation bits (below 4) and tau (below t), and the pad of the reverse transfer at
    /// the choice d_s.
    pub fn answer(&self, i: usize, derandomise: u8, tau: u32, pad: u32) -> ([u32; 4], u32) {
        debug_assert!(i < self.len);
        let (share, bit) = (self.shares[i], u32::from(self.bits[i]));
        let top = self.params.top(share);
        let entries = core::array::from_fn(|e| {
            let (client_bit, client_top) = (e as u32 & 1, e as u32 >> 1);
            let wrapped = i32::from(share) - (((top | client_top) as i32) << self.params.k);
            let value = mask(client_bit ^ bit) & T_MOD.residue(wrapped);
            // The pads are named by the client's random choices, which the bits turn into its own.
            let padded = T_MOD.add(value, self.pads[i][e ^ usize::from(derandomise & 3)]);
            T_MOD.sub(padded, self.masks[i])
        });
        let correlated = T_MOD.add(pad, mask(bit) & tau);
        (entries, T_MOD.add(self.masks[i], correlated))
    }
}

#[cfg(test)]
mod tests;
