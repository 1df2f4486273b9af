//! The two-party ReLU: from shares of u modulo 2^k to shares of max(0, u) modulo t, in one round trip
//! once the client's share is known. `docs/design.md#relu`.
//!
//! With shares a (client) and b (server), u = a + b mod 2^k, read as a signed number:
//!
//! | step | client: [`Record`] | server: [`Prepared`] | as soon as |
//! |---|---|---|---|
//! | 1 | [`Record::products`]: three residues | [`Prepared::new`] | a is known |
//! | 2 | [`Record::digit`], [`Record::bit`]: pads of its choices | [`Prepared::digit`], [`Prepared::bit`]: all pads | a is known |
//! | 3 | | [`Prepared::answer`]: masked table, g, f | b is known |
//! | 4 | [`Record::answer`]: e, out | [`Prepared::finish`]: its new share | |
//!
//! The comparison is a chain of table lookups, one a digit of the client's share, each of which gives
//! the masked carry and what unmasks the next table's entry; the last one gives a share of
//! \[u >= 0\]. Everything here runs in constant time in shares, bits, pads and randomness.

mod client;
#[cfg(feature = "server")]
mod server;

pub use client::{Record, packed_records};
#[cfg(feature = "server")]
pub use server::{Prepared, Secrets, packed_prepared};

use crate::Error;
use crate::arith::field::{T_BITS, T_MOD};
use crate::ot::{Code, mask, select};
use crate::random::BLOCK_WORDS;

/// A row's hash.
type Block = [u32; BLOCK_WORDS];

/// The most digits of a comparison.
pub const MAX_DIGITS: usize = 3;
/// The most bytes of a table: that of one digit of seven bits.
pub const MAX_TABLE_BYTES: usize = 16;
/// The bits of a digit; fewer would not fill a byte of its table.
const WIDTHS: core::ops::RangeInclusive<u8> = 3..=7;

/// How the bits of a comparison, but the highest, are taken: low digits first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digits {
    widths: [u8; MAX_DIGITS],
    count: usize,
}

impl Digits {
    /// Digits of so many bits each: one to three of 3 to 7 bits, whose tables have 16 bytes at most.
    pub fn new(widths: &[u8]) -> Option<Self> {
        let mut digits = Self {
            widths: [0; MAX_DIGITS],
            count: widths.len(),
        };
        digits
            .widths
            .get_mut(..widths.len())?
            .copy_from_slice(widths);
        let fit = !widths.is_empty() && widths.iter().all(|width| WIDTHS.contains(width));
        let tables = || {
            ReluParams {
                digits,
                k: digits.h(),
            }
            .table_bytes()
        };
        (fit && tables() <= MAX_TABLE_BYTES).then_some(digits)
    }

    /// Those that cost the least for a comparison of `h` bits, 5 to 12: few bytes, few hashes.
    pub fn of(h: u32) -> Option<Self> {
        Self::new(match h {
            5 => &[4],
            6 => &[5],
            7 => &[3, 3],
            8 => &[3, 4],
            9 => &[4, 4],
            10 => &[3, 3, 3],
            11 => &[3, 3, 4],
            12 => &[4, 3, 4],
            _ => return None,
        })
    }

    /// h: their bits, and the highest.
    fn h(&self) -> u32 {
        1 + self.widths.iter().copied().map(u32::from).sum::<u32>()
    }
}

/// Bits of the shares (k) and of the comparison (h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReluParams {
    digits: Digits,
    k: u32,
}

/// A digit of a comparison, and its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digit {
    /// Its place, 0 for the lowest.
    pub place: usize,
    /// Its bits.
    pub width: u32,
    /// Bits of a share below it.
    shift: u32,
    /// Bits of an entry: the masked carry or the result, and the key of the next entry.
    entry: u32,
    /// Carries that may come from below: one for the lowest digit, two for the others.
    carries: usize,
    /// Bits of the pads of the digits before it, for one value of each.
    pads: u32,
    /// Bytes of the tables before its own.
    table: usize,
    /// Bits of the server's secrets before the keys that this digit's entries hold.
    keys: u32,
    /// The same before the keys that hide its entries, where there is a digit before it.
    hidden: u32,
}

impl Digit {
    /// The digit's value in a share.
    fn value(&self, share: u16) -> u32 {
        u32::from(share) >> self.shift & ((1 << self.width) - 1)
    }

    /// Bytes of one bit of all its entries.
    fn plane(&self) -> usize {
        self.carries << (self.width - 3)
    }

    /// The pad of the entry for a carry, in a row's hash: each carry has bits of its own.
    fn pad(&self, block: &Block, carry: u32) -> u32 {
        block[0] >> (carry * self.entry) & ((1 << self.entry) - 1)
    }
}

impl ReluParams {
    /// Of no session.
    pub(crate) const NONE: Self = Self {
        digits: Digits {
            widths: [0; MAX_DIGITS],
            count: 0,
        },
        k: 0,
    };

    /// h <= k, 8 <= k <= 12. With h = k the comparison is exact; with h < k, u in (0, 2^(k-h)) may
    /// become 0, and u in \[-2^(k-1), -2^(k-1) + 2^(k-h)) may be taken for positive.
    pub fn new(digits: Digits, k: u32) -> Result<Self, Error> {
        let refuse = |what, value| Err(Error::Negotiation { what, value });
        match digits.h() {
            _ if !(8..=12).contains(&k) => refuse("k", k),
            h if h > k => refuse("h", h),
            _ => Ok(Self { digits, k }),
        }
    }

    /// Refuses a digit that has more values than the code of `k_s` has words.
    pub(crate) fn check_codes(&self, k_s: u32) -> Result<(), Error> {
        let most = Code::max_width(k_s);
        match self.digits().find(|digit| digit.width > most) {
            None => Ok(()),
            Some(_) => Err(Error::Negotiation {
                what: "k_s",
                value: k_s,
            }),
        }
    }

    /// h: the most significant bits of each share that the comparison takes.
    pub fn h(&self) -> u32 {
        self.digits.h()
    }

    /// k: bits of a share.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// The digits, low ones first.
    pub fn digits(&self) -> impl DoubleEndedIterator<Item = Digit> + use<> {
        let Self { digits, k } = *self;
        let count = digits.count;
        let (mut shift, mut pads, mut table) = (k - digits.h(), 0, 0);
        // The masks of two carries come first.
        let (mut keys, mut hidden) = (2, 2);
        let all: [Option<Digit>; MAX_DIGITS] = core::array::from_fn(|place| {
            let width = u32::from(digits.widths[place]);
            let left = count.checked_sub(place + 1)? as u32;
            let digit = Digit {
                place,
                width,
                shift,
                entry: left + 1,
                carries: if place == 0 { 1 } else { 2 },
                pads,
                table,
                keys,
                hidden,
            };
            shift += width;
            pads += digit.entry * digit.carries as u32;
            table += digit.entry as usize * digit.plane();
            hidden = keys;
            keys += 2 * left;
            Some(digit)
        });
        all.into_iter().flatten()
    }

    /// Bytes of one activation's tables.
    pub fn table_bytes(&self) -> usize {
        let tables = self.digits();
        tables
            .map(|digit| digit.entry as usize * digit.plane())
            .sum()
    }

    /// Bits of the pads of all digits, for one value of each.
    fn pad_bits(&self) -> u32 {
        let digits = self.digits();
        digits.map(|digit| digit.entry * digit.carries as u32).sum()
    }

    /// Bytes of one activation's answer: its tables, and one bit and a residue.
    pub fn answer_bytes(&self) -> usize {
        self.table_bytes() + (1 + T_BITS as usize) / 8
    }

    /// The highest bit of a share.
    fn top(&self, share: u16) -> u32 {
        u32::from(share) >> (self.k - 1) & 1
    }

    /// 2^k for a share whose highest bit is set, else 0.
    fn wrap(&self, share: u16) -> u32 {
        self.top(share) << self.k
    }

    /// A share without its highest bit's weight twice: as a signed number, mod t.
    fn signed(&self, share: u16) -> u32 {
        let share = share & ((1 << self.k) - 1);
        T_MOD.sub(share.into(), self.wrap(share))
    }
}

/// Residue number `n` of a row's hash, from 96 bits.
fn residue(block: &Block, n: usize) -> u32 {
    T_MOD.reduce_96([block[3 * n], block[3 * n + 1], block[3 * n + 2]])
}

/// x, or -x mod t where the bit is one.
fn negate_if(bit: u32, x: u32) -> u32 {
    select(mask(bit), x, T_MOD.neg(x))
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests;
