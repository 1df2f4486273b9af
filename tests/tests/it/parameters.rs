//! The fixed parameters, recomputed: primes, roots, the security bound and the noise margins of
//! `core/docs/design.md#parameters`, `#noise` and `#circuit-privacy`.

use num_bigint::BigUint;
use stria_core::arith::field::{ACC_BITS, T, T_BITS};
use stria_core::arith::transform::Ntt;
use stria_core::random::sample::error;
use stria_core::rlwe::ring::ring4096::*;
use stria_core::rlwe::{ExactRing, Ring, Ring4096, Ring8192, zero_poly};
use stria_tests::ring::{is_prime, power};

const DROPPED_BITS: u32 = Ring4096::DROPPED_BITS;
const FLOOD_BITS: u32 = Ring4096::FLOOD_BITS;

fn log2(x: &BigUint) -> f64 {
    // The leading 64 bits are exact enough.
    let shift = x.bits().saturating_sub(64);
    let leading: u64 = (x >> shift).try_into().unwrap();
    (leading as f64).log2() + shift as f64
}

pub fn product(primes: &[u32]) -> BigUint {
    primes.iter().map(|&q| BigUint::from(q)).product()
}

fn q() -> BigUint {
    product(&Q)
}

#[test]
fn moduli_are_primes_that_split() {
    assert_eq!(N, 1 << LOG_N);
    for (q, bits) in Q.into_iter().zip(Q_BITS) {
        assert!(is_prime(q) && q % (2 * N as u32) == 1, "{q}");
        assert_eq!(bits, u32::BITS - q.leading_zeros());
        assert!(Q.iter().filter(|&&other| other == q).count() == 1 && q != T);
    }
    // 1 modulo 2^20: field to ring. 1 modulo 2N follows: it splits at every depth.
    assert!(is_prime(T) && T % (1 << ACC_BITS) == 1 && 1 << ACC_BITS >= 2 * N);
    assert_eq!(T_BITS, u32::BITS - T.leading_zeros());
}

/// The transforms' roots have order 2N: X goes to powers of one, and its N-th power to -1.
pub fn assert_roots<R: Ring>(t: Option<&Ntt<R::Poly>>) {
    for ntt in R::NTT.iter().copied().chain(t) {
        let (mut x, q) = (zero_poly::<R>(), ntt.modulus().value());
        (*x).as_mut()[1] = 1;
        ntt.forward(&mut x, R::LOG_N);
        let mut values = (*x).as_ref().to_vec();
        // 2N is a power of two: its proper divisors all divide N.
        let is_root = |&x: &u32| power(x.into(), R::N as u32, q) == u128::from(q) - 1;
        assert!(values.iter().all(is_root));
        values.sort_unstable();
        assert!(values.windows(2).all(|pair| pair[0] != pair[1]));
    }
}

#[test]
fn roots_have_order_2n() {
    assert_roots::<Ring4096>(Some(Ring4096::T_NTT));
    assert_roots::<Ring8192>(Some(Ring8192::T_NTT));
}

/// "Security Guidelines for Implementing Homomorphic Encryption" (2024): the largest log2 q for
/// 128-bit classical security with a ternary secret and an error of sigma 3.19.
const GUIDELINES_128_TERNARY_CLASSICAL: [(usize, u64); 6] = [
    (1024, 26),
    (2048, 53),
    (4096, 106),
    (8192, 214),
    (16384, 430),
    (32768, 868),
];

/// The guidelines' largest log2 q for this N.
pub fn largest_bits(n: usize) -> u64 {
    let mut rows = GUIDELINES_128_TERNARY_CLASSICAL.iter();
    rows.find(|row| row.0 == n).unwrap().1
}

#[test]
fn modulus_is_within_the_security_guidelines() {
    assert!(q().bits() <= largest_bits(N));
    assert!((log2(&q()) - 105.979).abs() < 0.001);
    // The centred binomial's sigma is sqrt(21/2).
    let mut stream = stria_core::random::Stream::new(&stria_core::random::Seed([1; 32]), [0; 3]);
    let errors: Vec<f64> = (0..1 << 18).map(|_| error(&mut stream).into()).collect();
    let deviation = stria_tests::stats::deviation(&errors);
    assert!((deviation - 10.5f64.sqrt()).abs() < 0.02 && deviation > 3.19);
}

/// Noise of a returned ciphertext in units of 1/q0, its parts by their variances.
struct Returned {
    /// c1's rounding times the secret (variance 2/3 a coefficient), and c0's rounding.
    rounding: f64,
    /// The dropped bits: uniform on -7..=8.
    dropped: f64,
    /// Half-width of one of the flood's four uniforms.
    flood: f64,
}

fn returned() -> Returned {
    let rescale: f64 = Q[1..].iter().map(|&q| f64::from(q)).product();
    let units = f64::from(1 << DROPPED_BITS);
    Returned {
        rounding: (N as f64 * 2.0 / 3.0 + 1.0) / 12.0,
        dropped: (units * units - 1.0) / 12.0,
        flood: 2f64.powi(FLOOD_BITS as i32) / rescale,
    }
}

#[test]
fn returned_noise_stays_within_its_margin() {
    let Returned {
        rounding,
        dropped,
        flood,
    } = returned();
    let sigma = (rounding + dropped + flood * flood * 4.0 / 3.0).sqrt();
    let margin = f64::from(Q[0]) / f64::from(2 * T);
    assert!((sigma - 18.35).abs() < 0.01, "{sigma}");
    assert!((margin - 146.28).abs() < 0.01, "{margin}");
    // 7.97 sigma; but flood and dropped bits are bounded, so that the tail is that of more than
    // eight. Sum over both, the rounding (2731 uniforms) being normal.
    let steps = 2000;
    let mut failure = 0.0;
    for step in 0..steps {
        let x = 4.0 * (f64::from(step) + 0.5) / f64::from(steps);
        // Density of the sum of four uniforms on [0, 1).
        let density: f64 = [(0.0, 1.0), (1.0, -4.0), (2.0, 6.0), (3.0, -4.0)]
            .map(|(k, binomial)| binomial * f64::max(x - k, 0.0).powi(3) / 6.0)
            .iter()
            .sum();
        for bits in -7..=8 {
            let offset = flood * (2.0 * x - 4.0) + f64::from(bits);
            let outside = [margin - offset, margin + offset]
                .map(|distance| normal_tail(distance / rounding.sqrt()));
            failure += density * 4.0 / f64::from(steps) / 16.0 * (outside[0] + outside[1]);
        }
    }
    assert!(failure < 2.0 * normal_tail(8.0), "{failure:e}");
    assert!((6e-17..8e-17).contains(&failure), "{failure:e}");
}

/// The probability that a normal variable exceeds x > 2: a bound that is a few percent above it.
fn normal_tail(x: f64) -> f64 {
    assert!(x > 2.0);
    (-x * x / 2.0).exp() / (x * std::f64::consts::TAU.sqrt())
}

#[test]
fn flood_and_layer_noise_leave_the_message_intact() {
    let margin = q() / (2 * T);
    let flood = BigUint::from(4u32) << FLOOD_BITS;
    // Worst case: every coefficient of every weight polynomial t/2, all errors at their ends,
    // with the rounding of the client's and of the server's part of the message; then the
    // encryption of zero.
    let layer = |inputs: u64| BigUint::from(inputs * N as u64) * (T / 2) * 22u32;
    let zero = BigUint::from((2 * N as u32 + 1) * 21);
    for inputs in [1, 8, 64, 1 << 17] {
        assert!(&flood + layer(inputs) + &zero + 1u32 < margin);
    }
    assert!(flood.clone() * 5u32 > margin, "the flood could be larger");
    // What the flood hides: 2^33 below it for 64 dense ciphertexts even in the worst case.
    assert!((layer(64) + zero) << 33 < BigUint::from(1u32) << FLOOD_BITS);
}
