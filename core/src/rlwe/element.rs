//! The automorphisms X -> X^g of the ring: rotations of slots, and the swap of their two rows.
//! Gentry, Halevi, Smart, "Fully homomorphic encryption with polylog overhead" (2012), section 2.
//!
//! The units modulo 2N are the powers of 3 and their negatives. Slot j of row 0 is the value at
//! psi^(3^j), slot j of row 1 that at psi^(-3^j), so X -> X^(3^r) moves every row r slots to the
//! left, and X -> X^-1 swaps the rows.

use crate::rlwe::ring::ring8192::{LOG_N, N};

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
        Self(3).power(steps.rem_euclid(ROW as i32) as u32)
    }

    /// The same move so many times.
    const fn power(self, mut times: u32) -> Self {
        let (mut result, mut square) = (Self(1), self);
        while times > 0 {
            if times & 1 == 1 {
                result = result.then(square);
            }
            square = square.then(square);
            times >>= 1;
        }
        result
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
        self.power(N as u32 - 1)
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
static POSITIONS: [u16; N] = {
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

/// Where a slot's value stands in the NTT domain.
pub fn slot_index(slot: usize) -> usize {
    POSITIONS[slot].into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arith::field::T_MOD;
    use crate::random::sample::residue_t;
    use crate::random::{Seed, Stream};
    use crate::rlwe::ring::ring8192::{Poly, T_NTT};
    use alloc::boxed::Box;
    use proptest::prelude::*;
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

    fn encode(slots: &Poly, out: &mut Poly) {
        for (slot, &x) in slots.iter().enumerate() {
            out[slot_index(slot)] = x;
        }
        T_NTT.inverse(out, LOG_N);
    }

    fn decode(polynomial: &mut Poly, slots: &mut Poly) {
        T_NTT.forward(polynomial, LOG_N);
        for (slot, x) in slots.iter_mut().enumerate() {
            *x = polynomial[slot_index(slot)];
        }
    }

    fn slots(seed: u8) -> Box<Poly> {
        let mut stream = Stream::new(&Seed([seed; 32]), [0; 3]);
        Box::new(core::array::from_fn(|_| residue_t(&mut stream)))
    }

    fn encoded(slots: &Poly) -> Box<Poly> {
        let mut out = Box::new([0; N]);
        encode(slots, &mut out);
        out
    }

    /// sum over i of p_i x^i, by Horner's rule.
    fn evaluate(polynomial: &Poly, x: u32) -> u32 {
        let step = |sum, &p| T_MOD.add(T_MOD.mul(sum, x), p);
        polynomial.iter().rev().fold(0, step)
    }

    #[test]
    fn slots_are_values_at_powers_of_a_root() {
        let (slots, t) = (slots(1), crate::arith::field::T);
        let polynomial = encoded(&slots);
        let psi = crate::arith::transform::primitive_root(t, N);
        for j in [0, 1, 2, 77, ROW - 1] {
            let g = Element::rotation(j as i32).value();
            let x = crate::arith::modulus::Modulus::pow_const(psi, g, t);
            assert_eq!(evaluate(&polynomial, x), slots[j]);
            let inverse = crate::arith::modulus::Modulus::inverse_const(x, t);
            assert_eq!(evaluate(&polynomial, inverse), slots[ROW + j]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn decoding_inverts_and_products_are_slot_by_slot(seed: u8) {
            let (a, b) = (slots(seed), slots(!seed));
            let (mut x, mut y, mut out) = (encoded(&a), encoded(&b), Box::new([0; N]));
            decode(&mut x.clone(), &mut out);
            prop_assert!(out == a);
            for p in [&mut x, &mut y] {
                T_NTT.forward(p, LOG_N);
            }
            T_NTT.multiply(&mut x, &y);
            T_NTT.inverse(&mut x, LOG_N);
            decode(&mut x, &mut out);
            prop_assert!((0..N).all(|i| out[i] == T_MOD.mul(a[i], b[i])));
        }

        #[test]
        fn automorphisms_rotate_slots(seed: u8, steps in -5000i32..5000, swap: bool) {
            let original = slots(seed);
            let polynomial = encoded(&original);
            let mut element = Element::rotation(steps);
            if swap {
                element = element.then(Element::SWAP);
            }
            let expected: Box<Poly> = Box::new(core::array::from_fn(|i| {
                let row = (i / ROW) ^ usize::from(swap);
                let column = (i as i32 % ROW as i32 + steps).rem_euclid(ROW as i32);
                original[row * ROW + column as usize]
            }));
            // Coefficient by coefficient.
            let mut moved = Box::new([0; N]);
            for (i, &x) in polynomial.iter().enumerate() {
                let (power, negative) = element.monomial(i);
                moved[power] = if negative { T_MOD.neg(x) } else { x };
            }
            prop_assert!(moved == encoded(&expected));
            // As a permutation of the NTT domain.
            let mut transformed = polynomial.clone();
            T_NTT.forward(&mut transformed, LOG_N);
            let mut permuted = Box::new([0; N]);
            for (x, source) in permuted.iter_mut().zip(element.sources()) {
                *x = transformed[usize::from(source)];
            }
            T_NTT.inverse(&mut permuted, LOG_N);
            prop_assert!(permuted == moved);
        }
    }
}
