//! SIMD encoding: between N slots (residues mod t) and the plaintext polynomial that carries them.
//! Smart and Vercauteren, "Fully homomorphic SIMD operations" (2011); DESIGN section 4, depth 13.
//!
//! Slots 0..N/2 are row 0, the others row 1. Products and sums of polynomials are slot by slot, and
//! automorphisms move slots ([`crate::packing::slot::galois`]).

use crate::packing::slot::galois::POSITIONS;
use crate::packing::slot::params::{LOG_N, Poly, T_NTT};

/// Slots to the plaintext polynomial, coefficient domain.
pub fn encode(slots: &Poly, out: &mut Poly) {
    for (&value, &position) in slots.iter().zip(&POSITIONS) {
        out[usize::from(position)] = value;
    }
    T_NTT.inverse(out, LOG_N);
}

/// The plaintext polynomial (coefficient domain; overwritten) to its slots.
pub fn decode(polynomial: &mut Poly, slots: &mut Poly) {
    T_NTT.forward(polynomial, LOG_N);
    for (value, &position) in slots.iter_mut().zip(&POSITIONS) {
        *value = polynomial[usize::from(position)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packing::slot::galois::{Element, ROW};
    use crate::packing::slot::params::N;
    use crate::params::T_MOD;
    use crate::random::sample::residue_t;
    use crate::random::{Seed, Stream};
    use alloc::boxed::Box;
    use proptest::prelude::*;

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
        let (slots, t) = (slots(1), crate::params::T);
        let polynomial = encoded(&slots);
        let psi = crate::params::primitive_root(t, N);
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
