//! The server's half of one activation. `docs/design.md#relu`.

use zeroize::{Zeroize, ZeroizeOnDrop};

use alloc::vec::Vec;

use super::{Block, Digit, MAX_TABLE_BYTES, ReluParams, negate_if, residue};
use crate::Error;
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::ot::{mask, select};

/// The bits that the server draws for one activation.
#[derive(Clone, Copy, Zeroize)]
pub struct Secrets {
    /// tau, which hides its highest bit.
    pub tau: u32,
    /// d_s, its share of \[u >= 0\].
    pub sign: u32,
    /// 8 bits count: what hides the carries, then the keys of the entries.
    pub chain: u32,
}

/// What the server keeps of an activation; erased when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Prepared {
    secrets: Secrets,
    /// Its share of tau T.
    wrap: u32,
    /// Its shares of d_s A_0 and d_s A_1. After the answer the first is its part of the new share.
    products: [u32; 2],
    /// Both pads of the bit's row.
    bit: [u32; 2],
    /// Pads and keys of every entry.
    tables: [u8; MAX_TABLE_BYTES],
}

impl Secrets {
    /// What hides the carry into a digit.
    fn carry_in(&self, digit: &Digit) -> u32 {
        match digit.place.checked_sub(1) {
            Some(before) => self.chain >> before & 1,
            None => 0,
        }
    }

    /// What hides the carry that a digit's entries hold.
    fn carry_out(&self, digit: &Digit) -> u32 {
        self.chain >> digit.place & 1
    }

    /// What hides a digit's entries for a hidden carry, beside their pads.
    fn key_in(&self, digit: &Digit, carry: u32) -> u32 {
        match digit.place {
            0 => 0,
            _ => self.chain >> (digit.hidden + carry * digit.entry) & ((1 << digit.entry) - 1),
        }
    }

    /// The keys that a digit's entries hold for both hidden carries: they hide the next digit's entries.
    fn keys_out(&self, digit: &Digit) -> [u32; 2] {
        let bits = digit.entry - 1;
        [0, bits].map(|shift| self.chain >> (digit.keys + shift) & ((1 << bits) - 1))
    }
}

impl Prepared {
    /// The pads mod t that the hashes of the two reverse rows give, in which it chose tau and d_s.
    pub fn pads(tau: &Block, product: &Block) -> [u32; 3] {
        [residue(tau, 0), residue(product, 0), residue(product, 1)]
    }

    /// Takes these pads, and the client's three residues.
    pub fn new(secrets: Secrets, pads: [u32; 3], residues: [u32; 3]) -> Self {
        let choices = [secrets.tau, secrets.sign, secrets.sign];
        let [wrap, zero, one] = core::array::from_fn(|i| {
            let masked = mask(choices[i]) & residues[i];
            T_MOD.add(pads[i], masked)
        });
        Self {
            secrets,
            wrap,
            products: [zero, one],
            bit: [0; 2],
            tables: [0; MAX_TABLE_BYTES],
        }
    }

    /// Takes the hash of a digit's row for one of the digit's values.
    pub fn digit(&mut self, digit: &Digit, value: usize, block: &Block) {
        for carry in 0..digit.carries {
            let key = self.secrets.key_in(digit, carry as u32);
            let pad = digit.pad(block, carry as u32) ^ key;
            add_entry(&mut self.tables, digit, (value, carry), pad);
        }
    }

    /// Takes both hashes of the bit's row.
    pub fn bit(&mut self, blocks: &[Block; 2]) {
        self.bit = blocks.each_ref().map(|block| residue(block, 0));
    }

    /// Answers for its share b, taken mod 2^k; `out` has [`ReluParams::answer_bytes`].
    pub fn answer(&mut self, params: &ReluParams, share: u16, out: &mut [u8]) {
        let Secrets { tau, sign, .. } = self.secrets;
        let top = params.top(share);
        for digit in params.digits() {
            let (own, hidden) = (digit.value(share), self.secrets.carry_in(&digit));
            let [zero, one] = self.secrets.keys_out(&digit);
            for carry in 0..digit.carries {
                let own = own + (carry as u32 ^ hidden);
                for value in 0..1 << digit.width {
                    let carries = (value as u32 + own) >> digit.width & 1;
                    let plain = if digit.entry == 1 {
                        1 ^ top ^ carries ^ sign
                    } else {
                        let next = carries ^ self.secrets.carry_out(&digit);
                        next | select(mask(next), zero, one) << 1
                    };
                    add_entry(&mut self.tables, &digit, (value, carry), plain);
                }
            }
        }
        let g = top ^ tau;
        let signed = T_MOD.add(params.signed(share), negate_if(g, self.wrap));
        let [zero, one] = self.products;
        let product = select(mask(g), zero, one);
        let f = T_MOD.sub(
            T_MOD.sub(negate_if(sign, signed), T_MOD.add(product, product)),
            T_MOD.sub(self.bit[1], self.bit[0]),
        );
        self.products[0] = T_MOD.add(product, mask(sign) & signed);

        let (tables, last) = out.split_at_mut(params.table_bytes());
        tables.copy_from_slice(&self.tables[..tables.len()]);
        last.copy_from_slice(&(g | f << 1).to_le_bytes()[..3]);
    }

    /// Its new share, a residue mod t, from the client's reply.
    pub fn finish(&self, (e, out): (u32, u32)) -> u32 {
        let [zero, one] = self.bit;
        let own = select(mask(e), T_MOD.neg(zero), one);
        T_MOD.add(T_MOD.add(self.products[0], own), out)
    }
}

/// Bits of [`Secrets::chain`] that count: two masks, and the keys of three digits.
const CHAIN: u32 = 8;
/// Bits of an activation's secrets, and its residues.
const SECRETS: u32 = CHAIN + 2;
const RESIDUES: usize = 5;

/// Bytes of so many activations that wait for their answers, packed.
pub fn packed_prepared(params: &ReluParams, count: usize) -> usize {
    packed_len(count, SECRETS) + packed_len(RESIDUES * count, T_BITS) + count * params.table_bytes()
}

impl ReluParams {
    /// Packs what is prepared of activations, part by part: [`packed_prepared`] bytes.
    pub fn pack_prepared(&self, prepared: &[Prepared], out: &mut [u8]) -> usize {
        let secrets = prepared.iter().map(|Prepared { secrets, .. }| {
            let chain = secrets.chain & ((1 << CHAIN) - 1);
            (secrets.tau & 1) | (secrets.sign & 1) << 1 | chain << 2
        });
        let mut len = pack(out, SECRETS, secrets);
        let residues = prepared.iter().flat_map(|prepared| {
            let ([zero, one], [low, high]) = (prepared.products, prepared.bit);
            [prepared.wrap, zero, one, low, high]
        });
        len += pack(&mut out[len..], T_BITS, residues);
        for prepared in prepared {
            let tables = &prepared.tables[..self.table_bytes()];
            out[len..][..tables.len()].copy_from_slice(tables);
            len += tables.len();
        }
        len
    }

    /// Takes what [`Self::pack_prepared`] packed of so many activations.
    pub fn unpack_prepared(&self, bytes: &[u8], count: usize) -> Result<Vec<Prepared>, Error> {
        let malformed = Error::Malformed("prepared activations");
        let (secrets, rest) = bytes
            .split_at_checked(packed_len(count, SECRETS))
            .ok_or(malformed)?;
        let (residues, tables) = rest
            .split_at_checked(packed_len(RESIDUES * count, T_BITS))
            .ok_or(malformed)?;
        if tables.len() != count * self.table_bytes() {
            return Err(malformed);
        }
        // Of known length, so that no copy of a secret stays behind.
        let mut prepared = Vec::with_capacity(count);
        unpack(0, secrets, SECRETS, 1 << SECRETS, count, |_, x| {
            prepared.push(Prepared {
                secrets: Secrets {
                    tau: x & 1,
                    sign: x >> 1 & 1,
                    chain: x >> 2,
                },
                wrap: 0,
                products: [0; 2],
                bit: [0; 2],
                tables: [0; MAX_TABLE_BYTES],
            });
        })?;
        unpack(0, residues, T_BITS, T, RESIDUES * count, |i, x| {
            let prepared = &mut prepared[i / RESIDUES];
            match i % RESIDUES {
                0 => prepared.wrap = x,
                part @ (1 | 2) => prepared.products[part - 1] = x,
                part => prepared.bit[part - 3] = x,
            }
        })?;
        let tables = tables.chunks_exact(self.table_bytes());
        for (prepared, tables) in prepared.iter_mut().zip(tables) {
            prepared.tables[..tables.len()].copy_from_slice(tables);
        }
        Ok(prepared)
    }
}

/// Adds bits to a digit's entry for a value and a hidden carry. An entry's bits are in planes of their
/// own.
fn add_entry(
    tables: &mut [u8; MAX_TABLE_BYTES],
    digit: &Digit,
    (value, carry): (usize, usize),
    entry: u32,
) {
    let index = value | carry << digit.width;
    let planes = tables[digit.table..].chunks_exact_mut(digit.plane());
    for (b, plane) in planes.take(digit.entry as usize).enumerate() {
        plane[index / 8] ^= ((entry >> b & 1) << (index % 8)) as u8;
    }
}
