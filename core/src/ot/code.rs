//! Which words a row can choose. A row has one bit a tree, n trees; a word of the first-order
//! Reed-Muller code RM(1, log2 n) differs from every other one in n / 2 trees at least, and each tree
//! hides it behind k_s bits of delta: n k_s / 2 = 128 bits in all.
//! `docs/design.md#codes`.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Rows of half a call: they choose from one code.
pub const LANE: usize = 256;
/// A bit of each row of a lane.
pub type Plane = [u32; LANE / 32];
/// The most bits of a choice.
const MAX_WIDTH: usize = 7;

/// The code that a lane's rows choose from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// The rows are not used.
    Unused,
    /// A bit: zeros or ones in the first 128 / k_s trees, of which the reverse direction has no
    /// more.
    Bit,
    /// A digit of so many bits, in the forward direction. In tree p its word has the parity of the
    /// digit's first log2 n bits and p, and above it a bit that the whole word has.
    Digit(u32),
}

impl Code {
    /// The most bits of a digit: one more than the forward direction has trees, in log2.
    pub const fn max_width(k_s: u32) -> u32 {
        if linear(k_s) + 1 < MAX_WIDTH as u32 {
            linear(k_s) + 1
        } else {
            MAX_WIDTH as u32
        }
    }

    /// Whether some word of the code has a one in a tree. The others are left out of its rows.
    pub fn covers(self, tree: usize, k_s: u32) -> bool {
        match self {
            Self::Unused => false,
            Self::Bit => tree < 128 / k_s as usize,
            Self::Digit(width) => tree & ((1 << width) - 1) != 0 || width > linear(k_s),
        }
    }

    /// Whether the word of `value` has a one in a tree; both are public.
    pub fn has(self, value: usize, tree: usize, k_s: u32) -> bool {
        match self {
            Self::Digit(_) => {
                let below = value & tree & ((1 << linear(k_s)) - 1);
                (below.count_ones() as usize + (value >> linear(k_s))) % 2 == 1
            }
            _ => value & 1 == 1 && self.covers(tree, k_s),
        }
    }
}

/// log2 of the number of trees in the forward direction.
const fn linear(k_s: u32) -> u32 {
    8 - k_s.trailing_zeros()
}

/// A receiver's choices in half a call; erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Lane {
    #[zeroize(skip)]
    code: Code,
    /// Bit i of every choice.
    planes: [Plane; MAX_WIDTH],
}

impl Lane {
    /// Rows that are not used.
    pub const UNUSED: Self = Self {
        code: Code::Unused,
        planes: [[0; LANE / 32]; MAX_WIDTH],
    };

    /// Takes the choices of the first rows, at most 256; the others choose zero.
    pub fn choose(&mut self, code: Code, choices: impl IntoIterator<Item = u32>) {
        self.leave();
        self.code = code;
        for (i, choice) in choices.into_iter().enumerate().take(LANE) {
            for (j, plane) in self.planes.iter_mut().enumerate() {
                plane[i / 32] |= (choice >> j & 1) << (i % 32);
            }
        }
    }

    /// Takes one bit a row.
    pub fn choose_bits(&mut self, plane: &Plane) {
        self.leave();
        self.code = Code::Bit;
        self.planes[0] = *plane;
    }

    /// The lowest bit of row `i`'s choice.
    pub fn bit(&self, i: usize) -> u32 {
        self.planes[0][i / 32] >> (i % 32) & 1
    }

    /// Erases the choices: the rows are not used.
    #[inline(never)]
    pub fn leave(&mut self) {
        self.code = Code::Unused;
        self.planes.zeroize();
    }

    /// What its rows choose from.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The bits that the words of all rows have in a tree that the code covers. Constant-time in
    /// the choices.
    pub(super) fn column(&self, tree: usize, k_s: u32) -> Plane {
        let mut column = [0; LANE / 32];
        for (j, plane) in self.planes.iter().enumerate() {
            if self.code.has(1 << j, tree, k_s) {
                column.iter_mut().zip(plane).for_each(|(x, p)| *x ^= p);
            }
        }
        column
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn word(code: Code, value: usize, k_s: u32) -> Vec<bool> {
        let trees = 256 / k_s as usize;
        (0..trees).map(|tree| code.has(value, tree, k_s)).collect()
    }

    #[test]
    fn words_differ_behind_128_bits_of_delta_and_only_where_the_code_covers() {
        for k_s in [1, 2, 4, 8] {
            for width in 1..=Code::max_width(k_s) {
                let code = Code::Digit(width);
                let words: Vec<_> = (0..1 << width).map(|v| word(code, v, k_s)).collect();
                for (v, a) in words.iter().enumerate() {
                    for b in &words[..v] {
                        let differ = a.iter().zip(b).filter(|(x, y)| x != y).count();
                        assert!(differ * k_s as usize >= 128, "k_s {k_s}, width {width}");
                    }
                }
                for tree in 0..256 / k_s as usize {
                    let used = words.iter().any(|word| word[tree]);
                    assert_eq!(used, code.covers(tree, k_s));
                }
            }
            let [zeros, ones] = [0, 1].map(|v| word(Code::Bit, v, k_s));
            assert!(zeros.iter().all(|bit| !bit));
            assert_eq!(ones.iter().filter(|bit| **bit).count() * k_s as usize, 128);
        }
        assert_eq!([1, 2, 4, 8].map(Code::max_width), [7, 7, 7, 6]);
    }

    #[test]
    fn a_column_has_the_bits_of_the_words() {
        for k_s in [1, 2, 4, 8] {
            for width in 1..=Code::max_width(k_s) {
                let code = Code::Digit(width);
                let choices: Vec<u32> = (0..256).map(|i| i * 37 % (1 << width)).collect();
                let mut lane = Lane::UNUSED;
                lane.choose(code, choices.iter().copied());
                for tree in 0..256 / k_s as usize {
                    let column = lane.column(tree, k_s);
                    for (i, &v) in choices.iter().enumerate() {
                        let bit = column[i / 32] >> (i % 32) & 1 == 1;
                        assert_eq!(bit, code.has(v as usize, tree, k_s));
                    }
                }
            }
        }
    }
}
