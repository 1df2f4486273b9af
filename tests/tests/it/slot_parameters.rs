//! The parameters of slot packing, recomputed: primes, roots, the security bound, and the noise
//! margins that `stria_core::rlwe::ring::ring8192` states.

use num_bigint::BigUint;
use stria_core::arith::field::{ACC_BITS, T};
use stria_core::rlwe::ring::ring8192::*;
use stria_core::rlwe::{ExactRing, Ring, Ring8192};
use stria_tests::ring::is_prime;

use super::parameters::{largest_bits, product};

const DROPPED_BITS: u32 = Ring8192::DROPPED_BITS;
const FLOOD_BITS: u32 = Ring8192::FLOOD_BITS;
const RESPONSE_BITS: u32 = Ring8192::C1_BITS;

#[test]
fn moduli_are_the_largest_primes_below_2_30_that_split() {
    assert_eq!((N, KEY_LIMBS, SPECIAL), (1 << LOG_N, LIMBS + 1, LIMBS));
    let step = 2 * N as u32;
    let mut largest: Vec<u32> = (1..1 << 16)
        .map(|i| (1 << 30) - i * step + 1)
        .filter(|&q| is_prime(q))
        .take(KEY_LIMBS)
        .collect();
    // The special prime is the largest of them: that is the least noise.
    largest.rotate_left(1);
    assert_eq!(largest, Q);
    assert!(Q.iter().all(|q| u32::BITS - q.leading_zeros() == Q_BITS));
    // Slots: t is 1 modulo 2N. Lifts take a centred residue of one prime to any other.
    assert!(T % step == 1 && 1 << ACC_BITS >= step);
    assert!(Q.iter().all(|q| Q[SPECIAL] / 2 < *q));
}

#[test]
fn modulus_is_within_the_security_guidelines() {
    // `parameters.rs` has the guidelines' table, and checks the error's deviation.
    let all = product(&Q);
    assert!(all.bits() <= largest_bits(N) && largest_bits(N) == 214);
    assert_eq!(all.bits(), 150);
    assert_eq!(product(&Q[..LIMBS]).bits(), 120);
}

#[test]
fn sizes_on_the_wire() {
    assert_eq!(Ring8192::upload_bytes(), 122_880 + 32);
    assert_eq!(Ring8192::response_bytes(N), 59_392);
    assert_eq!(GALOIS_KEY_BYTES, 614_400 + 32);
}

/// Largest noise of a key switch: four centred digits times errors over p, and the rounding.
fn worst_key_switch() -> u64 {
    (LIMBS * N * 21 / 2 + N) as u64
}

#[test]
fn flood_and_layer_noise_leave_the_message_intact() {
    let q = product(&Q[..LIMBS]);
    let margin = &q / (2 * T);
    let flood = BigUint::from(4u32) << FLOOD_BITS;
    // All errors at their ends, every coefficient of every weight polynomial t/2, the inputs rotated
    // for every diagonal before and the outputs after; then the encryption of zero.
    let layer = |terms: u64, diagonals: u64| {
        let input = 22 + (diagonals + 1) * worst_key_switch();
        BigUint::from(terms * N as u64) * (T / 2) * input
            + BigUint::from(diagonals * worst_key_switch())
    };
    let zero = BigUint::from((2 * N as u32 + 1) * 21);
    for (terms, diagonals) in [(1, 1), (576, 128), (8192 * 49, 4096)] {
        assert!(&flood + layer(terms, diagonals) + &zero + 1u32 < margin);
    }
    // What the flood hides: 2^20 below it for 2048 channels and nine taps even in the worst case.
    assert!((layer(2048 * 9, 1) + zero) << 20 < BigUint::from(1u32) << FLOOD_BITS);
}

#[test]
fn statistical_distance_of_responses() {
    // core/docs/protocol.md: noise of rms 2^b under four uniforms of half-width 2^78 on 2^20
    // coefficients is told with at most 2^(b - 69.2).
    let rms = |terms: f64| {
        let digits: f64 = Q[..LIMBS]
            .iter()
            .map(|&q| f64::from(q).powi(2) / 12.0)
            .sum();
        let switched = digits * N as f64 * 10.5 / f64::from(Q[SPECIAL]).powi(2);
        let input = (10.5 + switched + (N as f64 * 2.0 / 3.0 + 1.0) / 12.0).sqrt();
        (input * (N as f64 / 12.0).sqrt() * f64::from(T) * terms.sqrt()).log2()
    };
    let distance = |terms: f64| rms(terms) - (69.2 + f64::from(FLOOD_BITS) - 78.0);
    assert!((rms(1.0) - 34.9).abs() < 0.1, "{}", rms(1.0));
    assert!(
        (distance(2048.0 * 9.0) + 40.2).abs() < 0.1,
        "{}",
        distance(2048.0 * 9.0)
    );
    assert!(distance(64.0 * 9.0) < -42.6);
}

/// Probability that a coefficient of a response rounds to another message.
#[test]
fn responses_fail_with_negligible_probability() {
    let rounding = ((N as f64 * 2.0 / 3.0 + 1.0) / 12.0).sqrt();
    let flood = 2f64.powi(FLOOD_BITS as i32 + RESPONSE_BITS as i32) / 2f64.powi(120);
    let margin = 2f64.powi(RESPONSE_BITS as i32 - 1) / f64::from(T);
    assert!((margin - 292.57).abs() < 0.01);
    // Even with flood and dropped bits at their ends, the rounding (5461 uniforms) has 10.4 sigma.
    let left = margin - 4.0 * flood - 2f64.powi(DROPPED_BITS as i32 - 1);
    assert!(left / rounding > 10.3, "{}", left / rounding);
    // One 31-bit prime would leave 6.9 for the rounding alone.
    assert!(2f64.powi(30) / f64::from(T) / rounding < 6.9);
}
