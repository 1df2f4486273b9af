//! Encryption, switching and decryption against the big-integer model.

use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stria_core::arith::field::T;
use stria_core::network::layer::{Kernel, Layer};
use stria_core::packing::segment::SegmentLayout;
use stria_core::protocol::frame::{Frame, HEADER, MAX_FRAME};
use stria_core::protocol::transfer::{
    Dense, PIECE, ReceiveResponse, Returned, SendResponse, response_bytes,
};
use stria_core::random::Seed;
use stria_core::rlwe::ring::ring4096::{LOG_N, N, Poly, Q, Q_BITS, Q_NTT};
use stria_core::rlwe::{
    ExactRing, Expansion, Randomness, Response, Ring, Ring4096, expand_public, respond,
};
use stria_tests::layers::layer;
use stria_tests::model::{self, ALL, Wide};
use stria_tests::ring::{Parties as AnyParties, crt, public, random_poly};
use stria_tests::stats::deviation;

type Parties = AnyParties<Ring4096>;

const C0_BOUND: u32 = Ring4096::C0_BOUND;
const DROPPED_BITS: u32 = Ring4096::DROPPED_BITS;

fn message(seed: u8) -> Box<Poly> {
    let mut message = random_poly::<Poly>(seed.into());
    // The ends of the range and of what rounds down.
    message[..4].copy_from_slice(&[0, T - 1, T / 2, T / 2 + 1]);
    message
}

#[test]
fn ciphertexts_are_those_of_the_model() {
    let parties = Parties::new(1);
    let key = model::key(&parties.secret);
    let weight = key.iter().filter(|s| **s != 0).count();
    assert!(weight.abs_diff(N * 2 / 3) < 200, "weight {weight}");
    let message = message(2);
    let ciphertext = Wide::new(&parties.encrypt(&message, 3));
    let zero = Box::new([0; N]);
    let public_key = Wide {
        c0: crt::<Ring4096>(&parties.b),
        c1: public::<Ring4096>(&parties.a, Expansion::PublicKey),
    };
    for (wide, message) in [(ciphertext, message), (public_key, zero)] {
        let noise = wide.noise(&key, &message);
        assert!(noise.iter().all(|e| e.abs() <= 21));
        let noise: Vec<f64> = noise.iter().map(|&e| e as f64).collect();
        // Five standard errors about sqrt(21/2).
        assert!((deviation(&noise) - 3.24).abs() < 0.18);
    }
}

#[test]
fn public_polynomials_follow_from_seed_and_purpose() {
    use Expansion::{Ciphertext, PublicKey};
    for (limb, q) in Q.into_iter().enumerate() {
        let expand = |seed: u8, expansion| -> Vec<u32> {
            expand_public::<Ring4096>(&Seed([seed; 32]), expansion, limb).collect()
        };
        let base = expand(1, Ciphertext);
        assert_eq!(base.len(), N);
        assert!(base.iter().all(|&x| x < q));
        assert_eq!(base, expand(1, Ciphertext));
        for other in [expand(2, Ciphertext), expand(1, PublicKey)] {
            let equal = base.iter().zip(&other).filter(|(x, y)| x == y).count();
            assert!(equal <= 2, "{equal} equal residues");
        }
    }
    let parties = Parties::new(1);
    let ciphertexts = [5, 5, 6].map(|seed| parties.encrypt(&message(2), seed));
    let [one, same, other] = ciphertexts.each_ref().map(|c| c.halves());
    assert!(one[1] == same[1]);
    assert!(one[1] != other[1]);
    assert!(one[0] != other[0]);
}

/// round(t phase / q0) mod t, and its distance in 1/2^20 from where it would round otherwise.
fn rounded(phase: u32) -> (u32, u64) {
    let scaled = u64::from(T) * u64::from(phase);
    let q0 = u64::from(Q[0]);
    let quotient = (2 * scaled + q0) / (2 * q0);
    let fraction = (2 * scaled + q0) % (2 * q0);
    let edge = fraction.min(2 * q0 - fraction);
    ((quotient % u64::from(T)) as u32, (edge << 20) / (2 * q0))
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::with_cases(20_000)
    })]

    #[test]
    fn decryption_is_the_exact_rounding(c0 in 0..C0_BOUND, c1_s in 0..Q[0]) {
        let phase = (u64::from(c0) << DROPPED_BITS) + u64::from(c1_s);
        let (expected, edge) = rounded((phase % u64::from(Q[0])) as u32);
        // The multiplication that replaces the division may move the edge by 2^-9.
        prop_assume!(edge > 1 << 11);
        prop_assert_eq!(Ring4096::decrypt_coefficient(c0, c1_s), expected);
    }

    #[test]
    fn any_noise_within_the_margin_decrypts(m in 0..T, noise in -145i64..=145) {
        let q0 = BigInt::from(Q[0]);
        let ideal: BigInt = (q0 * m * 2u32 + T) / (2 * T);
        let ideal: i64 = ideal.try_into().unwrap();
        let phase = (ideal + noise).rem_euclid(Q[0].into()) as u32;
        prop_assert_eq!(Ring4096::decrypt_coefficient(0, phase), m);
    }

    #[test]
    fn dropped_bits_are_rounded(c0 in 0..Q[0]) {
        let dropped = Ring4096::drop_bits(c0);
        prop_assert!(dropped < C0_BOUND);
        prop_assert!((-7..=8).contains(&((i64::from(dropped) << DROPPED_BITS) - i64::from(c0))));
    }
}

#[test]
fn dropped_bits_at_the_ends() {
    assert_eq!(Ring4096::drop_bits(0), 0);
    assert_eq!(Ring4096::drop_bits(Q[0] - 1), C0_BOUND - 1);
    assert_eq!(C0_BOUND >> (Ring4096::C0_BITS - 1), 1);
    // The largest stands for zero, or for a little less than q0.
    assert!((C0_BOUND - 1) << DROPPED_BITS < Q[0] + 8);
}

/// A response to an encryption of `message(4)`, and what it was made from.
fn response(parties: &Parties) -> (Response<Ring4096>, Wide, Box<Poly>, Seed) {
    let ciphertext = parties.encrypt(&message(4), 7);
    let wide = Wide::new(&ciphertext);
    let seed = Seed([8; 32]);
    let random = Randomness::new(seed.clone());
    let mask = random.mask();
    let response = respond(ciphertext, &parties.public, &mask, &random);
    (response, wide, mask, seed)
}

#[test]
fn a_switched_response_is_the_models_and_decrypts() {
    let parties = Parties::new(3);
    let (response, wide, mask, seed) = response(&parties);
    let b = crt::<Ring4096>(&parties.b);
    let a = public::<Ring4096>(&parties.a, Expansion::PublicKey);
    let [c0, c1] = wide.prepare([&b, &a], &mask, &seed, ALL).switch();
    assert!(*response.c0() == c0, "c0 differs");
    assert!(*response.c1() == c1, "c1 differs");

    // The phase at q0 by the schoolbook, against the client's transforms.
    let phase = parties.multiply_key(response.c1());
    let mut coefficients = *response.c1();
    Q_NTT[0].inverse(&mut coefficients, LOG_N);
    let numbers: Vec<u128> = coefficients.iter().map(|&x| x.into()).collect();
    let products = model::multiply(&numbers, &model::key(&parties.secret));
    for i in 0..N {
        let product = model::centered(products[i]).rem_euclid(Q[0].into());
        assert_eq!(i128::from(phase[i]), product);
        let decrypted = Ring4096::decrypt_coefficient(response.c0()[i], phase[i]);
        let sum = (u64::from(response.c0()[i]) << DROPPED_BITS) + u64::from(phase[i]);
        assert_eq!(decrypted, rounded((sum % u64::from(Q[0])) as u32).0);
        assert_eq!(decrypted, (message(4)[i] + mask[i]) % T);
    }
}

/// Sends a response and decrypts it: (message, frames, bytes of payload).
fn transfer(parties: &Parties, returned: &impl Returned) -> (Box<Poly>, usize, usize) {
    let (response, ..) = response(parties);
    let (mut send, mut receive) = (
        SendResponse::new(&response, returned),
        ReceiveResponse::default(),
    );
    // What was there before must not come through.
    let (mut poly, mut scratch) = (Box::new([7; N]), Box::new([[9; N]]));
    let (mut buffer, mut frames, mut bytes, mut last) = ([0; MAX_FRAME], 0, 0, false);
    while let Some(len) = send.poll(&mut buffer) {
        assert!(!last, "the client stopped early");
        let frame = Frame::new_checked(&buffer[..len]).unwrap();
        (frames, bytes) = (frames + 1, bytes + len - HEADER);
        last = receive
            .handle(frame, returned, &parties.secret, &mut poly, &mut scratch)
            .unwrap();
    }
    assert!(last, "the client waits for more");
    assert_eq!(
        bytes + frames * HEADER,
        response_bytes::<Ring4096>(returned)
    );
    (poly, frames, bytes)
}

#[test]
fn sparse_responses_carry_their_useful_coefficients_only() {
    let parties = Parties::new(3);
    let mask = Randomness::<Ring4096>::new(Seed([8; 32])).mask();
    let expected = |i: usize| (message(4)[i] + mask[i]) % T;
    let (whole, frames, bytes) = transfer(&parties, &Dense(N));
    assert!((0..N).all(|i| whole[i] == expected(i)));
    assert_eq!(frames, 2 * N / PIECE);
    assert_eq!(bytes, N * (Q_BITS[0] + Ring4096::C0_BITS) as usize / 8);

    let square = Kernel::Square;
    let layers = [
        // 4 segments of 13 x 13; one coefficient a segment; a last frame that is not full.
        Layer {
            groups: 4,
            ..layer(8, 15, 8, square(3))
        },
        Layer {
            repeat: 16,
            ..layer(256, 1, 10, square(1))
        },
        layer(1, 9, 1, square(2)),
    ];
    for layer in layers {
        let layout = SegmentLayout::new(&layer).unwrap();
        let (sparse, frames, bytes) = transfer(&parties, &layout);
        let useful: Vec<usize> = (0..layout.count()).map(|i| layout.coefficient(i)).collect();
        assert!(useful.len() < N && useful.is_sorted());
        for i in 0..N {
            let sent = useful.binary_search(&i).is_ok();
            assert_eq!(sparse[i], if sent { expected(i) } else { 0 });
        }
        assert_eq!(frames, N / PIECE + useful.len().div_ceil(PIECE));
        assert_eq!(bytes, Ring4096::response_bytes(layout.count()));
    }
}
