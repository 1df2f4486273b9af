//! The automorphisms X -> X^g of the ring: rotations of slots, and the swap of their two rows.
//! Gentry, Halevi, Smart, "Fully homomorphic encryption with polylog overhead" (2012), section 2.
//!
//! The units modulo 2N are the powers of 3 and their negatives. Slot j of row 0 is the value at
//! psi^(3^j), slot j of row 1 that at psi^(-3^j), so X -> X^(3^r) moves every row r slots to the
//! left, and X -> X^-1 swaps the rows.

use crate::packing::slot::params::{LOG_N, N};

/// Slots of a row.
pub const ROW: usize = N / 2;

/// The exponent g of an automorphism: odd, below 2N. They compose by multiplication.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Element(u16);

impl Element {
    /// No move.
    pub const IDENTITY: Self = Self(1);
    /// Swaps the two rows.
    pub const SWAP: Self = Self(2 * N as u16 - 1);

    /// The automorphism of an exponent, if there is one.
    pub const fn new(g: u16) -> Option<Self> {
        if g % 2 == 1 && (g as usize) < 2 * N {
            Some(Self(g))
        } else {
            None
        }
    }

    /// Moves each row by `steps` slots to the left (to the right where negative), cyclically: slot
    /// j then holds what slot j + steps held.
    pub const fn rotation(steps: i32) -> Self {
        let (mut result, mut square) = (1u32, 3u32);
        let mut steps = steps.rem_euclid(ROW as i32);
        while steps > 0 {
            if steps & 1 == 1 {
                result = result * square % (2 * N as u32);
            }
            square = square * square % (2 * N as u32);
            steps >>= 1;
        }
        Self(result as u16)
    }

    /// g.
    pub const fn value(self) -> u32 {
        self.0 as u32
    }

    /// One move after another.
    pub const fn then(self, next: Self) -> Self {
        Self((self.value() * next.value() % (2 * N as u32)) as u16)
    }

    /// The move back.
    pub const fn inverse(self) -> Self {
        // The group's order is N: g^(N-1) g = 1.
        let (mut result, mut square, mut exponent) = (1, self.value(), N - 1);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result * square % (2 * N as u32);
            }
            square = square * square % (2 * N as u32);
            exponent >>= 1;
        }
        Self(result as u16)
    }

    /// For every index i of the NTT domain, the index whose value moves to i.
    pub fn sources(self) -> impl Iterator<Item = u16> {
        (0..N).map(move |i| position(exponent(i) * self.value() % (2 * N as u32)))
    }

    /// Where the automorphism takes X^i: the power of X, below N, and whether its sign turns.
    pub const fn monomial(self, i: usize) -> (usize, bool) {
        let power = i * self.value() as usize % (2 * N);
        (power % N, power >= N)
    }
}

/// The NTT domain's index i holds the value at psi to this power.
const fn exponent(i: usize) -> u32 {
    2 * ((i as u32).reverse_bits() >> (32 - LOG_N)) + 1
}

/// The inverse of [`exponent`].
const fn position(exponent: u32) -> u16 {
    ((exponent / 2).reverse_bits() >> (32 - LOG_N)) as u16
}

/// The NTT domain's index of every slot: row 0, then row 1.
pub(crate) static POSITIONS: [u16; N] = {
    let mut positions = [0; N];
    let (mut power, mut j) = (1, 0);
    while j < ROW {
        positions[j] = position(power);
        positions[ROW + j] = position(2 * N as u32 - power);
        power = power * 3 % (2 * N as u32);
        j += 1;
    }
    positions
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn elements_are_the_group_of_units() {
        let rotations = (0..ROW as i32).map(Element::rotation);
        let all: BTreeSet<_> = rotations
            .flat_map(|g| [g, g.then(Element::SWAP)])
            .inspect(|g| assert_eq!(g.then(g.inverse()), Element::IDENTITY))
            .collect();
        assert_eq!(all.len(), N);
        assert!(all.iter().all(|g| g.value() % 2 == 1));
        assert_eq!(Element::rotation(-5), Element::rotation(5).inverse());
        assert_eq!(Element::rotation(ROW as i32), Element::IDENTITY);
    }

    #[test]
    fn every_slot_has_a_position_of_its_own() {
        let positions: BTreeSet<_> = POSITIONS.iter().collect();
        assert_eq!(positions.len(), N);
        assert!((0..N).all(|i| usize::from(position(exponent(i))) == i));
    }
}
