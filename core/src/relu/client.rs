//! The client's half of one activation. `docs/design.md#relu`.

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Block, Digit, ReluParams, negate_if, residue};
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::error::Error;
use crate::ot::{mask, mask_eq, select};

/// What the client keeps of an activation: 16 bytes, from its share a on to its reply. Of an output
/// without ReLU it keeps a residue instead.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Record {
    /// The replies c\[d\]\[g\] without what f adds and what replaces the share, for (d, g) of (0, 0),
    /// (0, 1) and (1, 0); the fourth follows from the sum of all, 2 a'' + T. After the answer the
    /// first one is the reply.
    replies: [u32; 3],
    /// a, mod 2^k.
    share: u16,
    /// Pads of all digits, for both carries; beta in the highest bit. After the answer e.
    pads: u16,
}

const BETA: u32 = 15;

impl Record {
    /// Of no activation.
    pub const EMPTY: Self = Self {
        replies: [0; 3],
        share: 0,
        pads: 0,
    };

    /// Begins with the client's share, which counts mod 2^k.
    pub fn begin(&mut self, share: u16) {
        self.share = share;
        self.pads = 0;
    }

    /// Keeps a residue mod t, of an output that no ReLU follows.
    pub fn keep(&mut self, residue: u32) {
        self.replies[0] = residue;
    }

    /// The residue that it keeps.
    pub fn kept(&self) -> u32 {
        self.replies[0]
    }

    /// The digit's value in its share: its choice in the digit's row.
    pub fn choice(&self, digit: &Digit) -> u32 {
        digit.value(self.share)
    }

    /// Takes both hashes of the two reverse rows, in which the server chose tau and d_s, and gives
    /// three residues mod t, with which the server gets shares of tau T and of d_s A_0 and d_s A_1.
    pub fn products(
        &mut self,
        params: &ReluParams,
        tau: &[Block; 2],
        product: &[Block; 2],
    ) -> [u32; 3] {
        let wrap = params.wrap(self.share);
        let pads = tau.each_ref().map(|block| residue(block, 0));
        let own = T_MOD.neg(pads[0]);
        let signed = params.signed(self.share);
        let values = [
            T_MOD.add(signed, own),
            T_MOD.sub(T_MOD.add(signed, wrap), own),
        ];
        let mut residues = [T_MOD.add(T_MOD.sub(pads[0], pads[1]), wrap), 0, 0];
        for (g, value) in values.into_iter().enumerate() {
            let pads = product.each_ref().map(|block| residue(block, g));
            self.replies[g] = T_MOD.neg(pads[0]);
            residues[1 + g] = T_MOD.add(T_MOD.sub(pads[0], pads[1]), value);
        }
        self.replies[2] = T_MOD.sub(values[0], self.replies[0]);
        residues
    }

    /// Takes the hash of a digit's row, which has the pads of its value for both carries.
    pub fn digit(&mut self, digit: &Digit, block: &Block) {
        let bits = digit.entry * digit.carries as u32;
        self.pads |= ((block[0] & ((1 << bits) - 1)) << digit.pads) as u16;
    }

    /// Takes the hash of the row in which it chose beta.
    pub fn bit(&mut self, beta: u32, block: &Block) {
        self.pads |= ((beta & 1) << BETA) as u16;
        let own = negate_if(beta, residue(block, 0));
        let [zero, one, two] = &mut self.replies;
        *zero = T_MOD.add(*zero, own);
        *one = T_MOD.add(*one, own);
        *two = T_MOD.sub(*two, own);
    }

    /// Takes the server's answer, of [`ReluParams::answer_bytes`], and keeps the reply: e, and the
    /// residue mod t that is sent, where `replacement` takes the place of the new share.
    pub fn answer(
        &mut self,
        params: &ReluParams,
        bytes: &[u8],
        replacement: u32,
    ) -> Result<(), Error> {
        let (tables, last) = bytes
            .split_last_chunk::<3>()
            .filter(|_| bytes.len() == params.answer_bytes())
            .ok_or(Error::Internal("answer of another length"))?;
        let last = u32::from_le_bytes([last[0], last[1], last[2], 0]);
        let (g, f) = (last & 1, last >> 1);
        if f >= T {
            return Err(Error::ResidueTooLarge {
                residue: f,
                modulus: T,
            });
        }
        const { assert!(1 + T_BITS == 24) };

        let (mut carry, mut key) = (0, 0);
        for digit in params.digits() {
            let index = digit.value(self.share) | carry << digit.width;
            let mut entry = 0;
            let planes = tables[digit.table..].chunks_exact(digit.plane());
            for (b, plane) in planes.take(digit.entry as usize).enumerate() {
                entry |= bit_at(plane, index) << b;
            }
            let pads = u32::from(self.pads) >> digit.pads;
            let pad = pads >> (mask(carry) & digit.entry) & ((1 << digit.entry) - 1);
            entry ^= pad ^ key;
            (carry, key) = (entry & 1, entry >> 1);
        }

        let positive = carry ^ params.top(self.share);
        let [zero, one, two] = self.replies;
        let signed = params.signed(self.share);
        let sum = T_MOD.add(T_MOD.add(signed, signed), params.wrap(self.share));
        let three = T_MOD.sub(T_MOD.sub(sum, zero), T_MOD.add(one, two));
        let chosen = select(
            mask(positive),
            select(mask(g), zero, one),
            select(mask(g), two, three),
        );
        let reply = T_MOD.add(chosen, mask(positive) & f);
        self.replies[0] = T_MOD.sub(reply, replacement);
        self.pads = (positive as u16 ^ self.pads >> BETA) & 1;
        Ok(())
    }

    /// The reply to the answer: e, and a residue mod t.
    pub fn reply(&self) -> (u32, u32) {
        (self.pads.into(), self.replies[0])
    }
}

/// Bits of every part of a record that waits for its answer: replies, share, pads and beta.
fn parts(params: &ReluParams) -> [u32; 3] {
    [T_BITS, params.k, params.pad_bits() + 1]
}

/// Bytes of so many records that wait for their answers, packed.
pub fn packed_records(params: &ReluParams, count: usize) -> usize {
    let [replies, share, pads] = parts(params);
    packed_len(3 * count, replies) + packed_len(count, share) + packed_len(count, pads)
}

impl ReluParams {
    /// Packs records that wait for their answers, part by part: [`packed_records`] bytes.
    pub fn pack_records(&self, records: &[Record], out: &mut [u8]) -> usize {
        let [reply, share, pads] = parts(self);
        let beta = pads - 1;
        let replies = records.iter().flat_map(|record| record.replies);
        let mut len = pack(out, reply, replies);
        let shares = records.iter().map(|record| record.share);
        let wrapped = shares.map(|a| u32::from(a) & ((1 << self.k) - 1));
        len += pack(&mut out[len..], share, wrapped);
        let all = records.iter().map(|record| u32::from(record.pads));
        let all = all.map(|pads| pads & ((1 << beta) - 1) | (pads >> BETA) << beta);
        len + pack(&mut out[len..], pads, all)
    }

    /// Takes records as [`Self::pack_records`] packs them; `kind` names the frame in an error.
    pub fn unpack_records(
        &self,
        kind: u8,
        bytes: &[u8],
        records: &mut [Record],
    ) -> Result<(), Error> {
        let count = records.len();
        let [reply, share, pads] = parts(self);
        let beta = pads - 1;
        let lens = [packed_len(3 * count, reply), packed_len(count, share)];
        let split = || {
            let (replies, rest) = bytes.split_at_checked(lens[0])?;
            let (shares, pads) = rest.split_at_checked(lens[1])?;
            Some((replies, shares, pads))
        };
        let (replies, shares, all) = split().ok_or(Error::FrameLength {
            kind,
            expected: packed_records(self, count),
            got: bytes.len(),
        })?;
        unpack(kind, replies, reply, T, 3 * count, |i, x| {
            records[i / 3].replies[i % 3] = x;
        })?;
        unpack(kind, shares, share, 1 << share, count, |i, x| {
            records[i].share = x as u16;
        })?;
        unpack(kind, all, pads, 1 << pads, count, |i, x| {
            records[i].pads = (x & ((1 << beta) - 1) | (x >> beta) << BETA) as u16;
        })
    }
}

/// Bit `index` of a plane. Constant-time in the index.
fn bit_at(plane: &[u8], index: u32) -> u32 {
    let mut byte = 0;
    for (n, b) in plane.iter().enumerate() {
        byte |= u32::from(*b) & mask_eq(n as u32, index >> 3);
    }
    byte >> (index & 7) & 1
}
