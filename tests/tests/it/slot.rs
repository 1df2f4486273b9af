//! Slot packing: keys, rotations and responses on real ciphertexts, with their noise against the
//! analysis in `stria_core::rlwe::ring::ring8192`.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stria_core::arith::field::{T, T_MOD};
use stria_core::protocol::transfer::Dense;
use stria_core::rlwe::galois::{Element, Hoisted, ROW, rotate};
use stria_core::rlwe::ring::ring8192::{
    GALOIS_KEY_BYTES, KEY_LIMBS, LIMBS, N, Poly, Q, Q_BITS, Q_NTT,
};
use stria_core::rlwe::{
    ExactRing, Factor, Operations, Randomness, Response, Ring, Ring8192, Rotation, respond,
};
use stria_tests::ring::{Parties as AnyParties, decode, encode, q, random_poly, scaled, seed_of};
use stria_tests::stats::deviation;

type Ciphertext = stria_core::rlwe::Ciphertext<Ring8192>;
type Parties = AnyParties<Ring8192>;

const DROPPED_BITS: u32 = Ring8192::DROPPED_BITS;

fn random_slots(seed: u64) -> Box<Poly> {
    random_poly(seed)
}

/// The slots of a ciphertext, and the noise of its coefficients.
fn open(parties: &Parties, ciphertext: &Ciphertext) -> (Box<Poly>, Vec<f64>) {
    let (message, noise) = parties.open(ciphertext);
    (decode(&message), noise)
}

/// The slots of a response.
fn decrypt(parties: &Parties, response: &Response<Ring8192>) -> Box<Poly> {
    decode(&parties.decrypt(response, &Dense(N)))
}

fn largest(noise: &[f64]) -> f64 {
    noise.iter().fold(0.0, |max, e| max.max(e.abs()))
}

/// Slots after an automorphism, by its definition.
fn rotated(slots: &Poly, steps: i32, swap: bool) -> Box<Poly> {
    Box::new(std::array::from_fn(|i| {
        let row = (i / ROW) ^ usize::from(swap);
        let column = ((i % ROW) as i32 + steps).rem_euclid(ROW as i32);
        slots[row * ROW + column as usize]
    }))
}

fn element(steps: i32, swap: bool) -> Element {
    let rotation = Element::rotation(steps);
    if swap {
        rotation.then(Element::SWAP)
    } else {
        rotation
    }
}

/// Deviation of what one key switch adds, by the analysis.
fn key_switch_deviation() -> f64 {
    let special = f64::from(Q[LIMBS]);
    let digits: f64 = Q[..LIMBS]
        .iter()
        .map(|&q| f64::from(q).powi(2) / 12.0)
        .sum();
    let switched = digits * N as f64 * 10.5 / special.powi(2);
    let rounding = (N as f64 * 2.0 / 3.0 + 1.0) / 12.0;
    (switched + rounding).sqrt()
}

#[test]
fn fresh_ciphertexts_hold_their_slots_under_the_error_alone() {
    let parties = Parties::new(1);
    let mut slots = random_slots(1);
    slots[..4].copy_from_slice(&[0, T - 1, T / 2, T / 2 + 1]);
    let (opened, noise) = open(&parties, &parties.encrypt(&encode(&slots), 1));
    assert!(opened == slots);
    assert!(largest(&noise) <= 21.0);
    assert!((deviation(&noise) - 3.24).abs() < 0.13);
}

#[test]
fn a_galois_key_has_the_announced_size() {
    let parties = Parties::new(2);
    let (b, seed) = parties.galois_wire(Element::rotation(1));
    let residues: Vec<u32> = b.concat();
    assert!(residues.iter().all(|x| x >> Q_BITS == 0));
    let mut bytes = vec![0; residues.len() * 4];
    let packed = stria_core::arith::bits::pack(&mut bytes, Q_BITS, residues.iter().copied());
    assert_eq!(packed + seed.0.len(), GALOIS_KEY_BYTES);
    assert_eq!(residues.len(), LIMBS * KEY_LIMBS * N);
}

/// The noise of a key switch is that of the analysis, and an output's rotation adds it likewise.
#[test]
fn rotations_add_the_noise_of_the_analysis() {
    let parties = Parties::new(3);
    let slots = random_slots(2);
    let fresh = parties.encrypt(&encode(&slots), 1);
    let expected = (key_switch_deviation().powi(2) + 10.5).sqrt();
    assert!((expected - 170.6).abs() < 0.5, "{expected}");
    let worst = (LIMBS * N) as f64 * 21.0 / 2.0 + (N + 1) as f64 / 2.0 + 21.0;
    assert!((worst.log2() - 18.4).abs() < 0.1, "{}", worst.log2());
    let mut operations = Operations::default();
    let hoisted = Hoisted::new(&fresh, &mut operations);
    let cases = [(1, false), (-33, false), (0, true), (2048, true)];
    for (steps, swap) in cases {
        let key = parties.galois_key(element(steps, swap));
        let result = hoisted.rotate(&key, Rotation::Internal, &mut operations);
        let (opened, noise) = open(&parties, &result);
        assert!(opened == rotated(&slots, steps, swap), "{steps} {swap}");
        let sigma = deviation(&noise);
        assert!((sigma / expected - 1.0).abs() < 0.06, "{sigma} {expected}");
        assert!(largest(&noise) < 6.0 * expected);
        println!("rotation by {steps}, {swap}: sigma 2^{:.2}", sigma.log2());
    }
    let counted = Operations {
        internal_rotations: 4,
        key_switches: 4,
        decompositions: 1,
        ..Operations::default()
    };
    assert_eq!(operations, counted);
}

fn equal(a: &Ciphertext, b: &Ciphertext) -> bool {
    a.halves() == b.halves()
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::with_cases(6)
    })]

    #[test]
    fn rotations_are_homomorphic_and_hoisting_changes_nothing(
        seed: u32, steps in -5000i32..5000, swap: bool, then in 0i32..ROW as i32,
    ) {
        let parties = Parties::new(seed.into());
        let slots = random_slots(seed.into());
        let fresh = parties.encrypt(&encode(&slots), 1);
        let keys = [element(steps, swap), element(then, false)].map(|g| parties.galois_key(g));
        let mut operations = Operations::default();
        let hoisted = Hoisted::new(&fresh, &mut operations);
        let [first, second] = keys.each_ref().map(|key| hoisted.rotate(key, Rotation::External, &mut operations));
        // The digits of a rotated ciphertext are the rotated digits.
        let alone = rotate(&fresh, &keys[1], Rotation::External, &mut operations);
        prop_assert!(equal(&second, &alone));
        let both = rotate(&first, &keys[1], Rotation::External, &mut operations);
        prop_assert!(open(&parties, &first).0 == rotated(&slots, steps, swap));
        prop_assert!(open(&parties, &both).0 == rotated(&slots, steps + then, swap));
        prop_assert_eq!((operations.external_rotations, operations.decompositions), (4, 3));
    }

    #[test]
    fn products_and_sums_are_exact_and_within_the_noise(seed: u32) {
        let parties = Parties::new(seed.into());
        let mut sum = Ciphertext::zero();
        let mut expected = vec![0; N];
        let terms = 8;
        for i in 0..terms {
            let (x, w) = (random_slots(i), random_slots(100 + i));
            let rotation = parties.galois_key(Element::rotation(1));
            let fresh = parties.encrypt(&encode(&x), i);
            let input = rotate(&fresh, &rotation, Rotation::Internal, &mut Operations::default());
            sum.multiply_add(&Factor::<Ring8192>::lift(&encode(&w)), &input);
            let x = rotated(&x, 1, false);
            for (e, (&x, &w)) in expected.iter_mut().zip(x.iter().zip(w.iter())) {
                *e = T_MOD.add(*e, T_MOD.mul(x, w));
            }
        }
        let (opened, noise) = open(&parties, &sum);
        prop_assert!(opened[..] == expected[..]);
        let growth = (N as f64 / 12.0).sqrt() * f64::from(T) * (terms as f64).sqrt();
        let bound = (key_switch_deviation().powi(2) + 10.5).sqrt() * growth;
        let sigma = deviation(&noise);
        prop_assert!((sigma / bound - 1.0).abs() < 0.1, "{} {}", sigma, bound);
        println!("{terms} products: sigma 2^{:.2}, largest 2^{:.2}", sigma.log2(), largest(&noise).log2());
    }

    #[test]
    fn responses_decrypt_to_result_plus_mask(seed: u32) {
        let parties = Parties::new(seed.into());
        let slots = random_slots(seed.into());
        let random = Randomness::new(seed_of(9, seed.into()));
        let mask = random.mask();
        let ciphertext = parties.encrypt(&encode(&slots), 1);
        let response = respond(ciphertext, &parties.public, &encode(&mask), &random);
        let opened = decrypt(&parties, &response);
        prop_assert!((0..N).all(|i| opened[i] == T_MOD.add(slots[i], mask[i])));
    }

    #[test]
    fn decryption_is_the_exact_rounding(c0 in 0u32..1 << 26, c1_s: u32) {
        let phase = u128::from((c0 << DROPPED_BITS).wrapping_add(c1_s));
        let rounded = (phase * u128::from(T) + (1 << 31)) >> 32;
        prop_assert_eq!(u128::from(Ring8192::decrypt_coefficient(c0, c1_s)), rounded % u128::from(T));
        prop_assert_eq!(Ring8192::drop_bits(c1_s), ((u64::from(c1_s) + 32) >> 6) as u32 & ((1 << 26) - 1));
    }
}

/// c1 s modulo 2^32 by its definition.
#[test]
fn the_key_is_multiplied_modulo_a_power_of_two() {
    let parties = Parties::new(4);
    let c1: Vec<u32> = random_slots(5)
        .iter()
        .zip(random_slots(6).iter())
        .map(|(&x, &y)| x.wrapping_mul(y | 1))
        .collect();
    let mut signs = Box::new([0; N]);
    parties.secret.load_ntt(0, &mut signs);
    Q_NTT[0].inverse(&mut signs, 13);
    let mut expected = vec![0u32; N];
    for (j, &s) in signs.iter().enumerate().filter(|(_, s)| **s != 0) {
        for (i, &x) in c1.iter().enumerate() {
            let product = if (s == 1) == (i + j < N) {
                x
            } else {
                x.wrapping_neg()
            };
            expected[(i + j) % N] = expected[(i + j) % N].wrapping_add(product);
        }
    }
    let c1: Box<Poly> = c1.try_into().unwrap();
    assert!(parties.multiply_key(&c1)[..] == expected[..]);
}

/// Noise of the whole response at the modulus 2^32, its flood on its way, and what the flood hides.
#[test]
fn responses_have_the_noise_of_the_analysis() {
    let parties = Parties::new(5);
    let slots = random_slots(7);
    let random = Randomness::new(seed_of(9, 9));
    let (mask, message) = (Box::new([0; N]), encode(&slots));
    let ciphertext = parties.encrypt(&message, 1);
    let response = respond(ciphertext, &parties.public, &mask, &random);
    let phase = parties.multiply_key(response.c1());
    let noise: Vec<f64> = (0..N)
        .map(|i| {
            let phase = (response.c0()[i] << DROPPED_BITS).wrapping_add(phase[i]);
            let ideal = ((u64::from(message[i]) << 32) + u64::from(T / 2)) / u64::from(T);
            f64::from(phase.wrapping_sub(ideal as u32) as i32)
        })
        .collect();
    let rounding = (N as f64 * 2.0 / 3.0 + 1.0) / 12.0;
    let flood = 2f64.powi(Ring8192::FLOOD_BITS as i32 + 32) / q::<Ring8192>() as f64;
    let dropped = (4f64.powi(DROPPED_BITS as i32) - 1.0) / 12.0;
    let expected = (rounding + flood * flood * 4.0 / 3.0 + dropped).sqrt();
    assert!((expected - 29.7).abs() < 0.1, "{expected}");
    let margin = 2f64.powi(31) / f64::from(T);
    assert!(margin / expected > 9.8);
    let sigma = deviation(&noise);
    println!(
        "response: sigma {sigma:.2}, largest {}, margin {margin:.1}",
        largest(&noise)
    );
    // Without the flood it would be 28.2, five standard errors less.
    assert!((sigma / expected - 1.0).abs() < 0.025, "{sigma} {expected}");
    let step = q::<Ring8192>() / u128::from(T);
    assert_eq!(scaled::<Ring8192>(T - 1) / step, u128::from(T - 1));
}

/// Products with weights that are all zero are not seen, and two responses to the same have nothing in
/// common.
#[test]
fn responses_to_nothing_are_random() {
    let parties = Parties::new(6);
    let [(first, mask), (second, _)] = [1, 2].map(|number| {
        let random = Randomness::new(seed_of(9, number));
        let mask = random.mask();
        let response = respond(Ciphertext::zero(), &parties.public, &mask, &random);
        (response, mask)
    });
    for (x, y) in [(first.c1(), second.c1()), (first.c0(), second.c0())] {
        let equal = x.iter().zip(y.iter()).filter(|(x, y)| x == y).count();
        assert!(equal <= 3, "{equal} equal coefficients");
    }
    let half = f64::from(u32::MAX) / 2.0;
    let c1: Vec<f64> = first.c1().iter().map(|&x| f64::from(x) - half).collect();
    // A uniform's deviation, with four standard errors.
    let uniform = 2.0 * half / 12f64.sqrt();
    assert!((deviation(&c1) / uniform - 1.0).abs() < 0.03);
    assert!(decrypt(&parties, &first) == decode(&mask));
}
