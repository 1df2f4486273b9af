//! Responses under a mask of the whole phase (`core/docs/design.md#masked-responses`): parameters,
//! uploads as words, the error of a convolution's shares, and that a response is uniform to the client
//! whatever was sent; each with what would break it.

use num_bigint::BigUint;
use proptest::prelude::*;
use stria_core::arith::field::{T, T_MOD};
use stria_core::rlwe::masked::{MaskBits, encrypt_words, from_words};
use stria_core::rlwe::ring::masked::{MASK_BITS, Q, fraction, from_word};
use stria_core::rlwe::ring::{Masked2048, Masked4096, MaskedRing};
use stria_core::rlwe::{
    Ciphertext, Expansion, Factor, Randomness, Response, Ring, add_errors, zero_poly,
};
use stria_tests::ring::{Parties, is_prime, random_poly, seed_of};
use stria_tests::stats::{CHI_SQUARE_LIMIT, chi_square, deviation};
use stria_tests::values;

use super::parameters::{assert_roots, largest_bits, product};

const PRODUCT: u128 = Q[0] as u128 * Q[1] as u128;

#[test]
fn moduli_are_primes_that_split_and_secure() {
    for q in Q {
        assert!(is_prime(q) && q % 8192 == 1 && q != T, "{q}");
        assert_eq!(Masked2048::BITS[0], u32::BITS - q.leading_zeros());
    }
    assert_eq!(Masked2048::BITS[0], Masked2048::BITS[1]);
    // That of responses is that of the messages.
    assert_eq!(Masked2048::MODULI[Masked2048::RESPONSE_MODULUS].value(), T);
    assert_roots::<Masked2048>(None);
    assert_roots::<Masked4096>(None);
    let q = product(&Q);
    assert!(BigUint::from(1u64 << 49) < q && q.bits() == 50);
    for n in [Masked2048::N, Masked4096::N] {
        assert!(q.bits() <= largest_bits(n));
    }
}

fn residues(c: u128) -> [u32; 2] {
    [0, 1].map(|limb| (c % u128::from(Q[limb])) as u32)
}

proptest! {
    #[test]
    fn fractions_are_those_of_integers(c in 0..PRODUCT, word: u32, edge in 0u128..3) {
        for c in [c, edge, PRODUCT - 1 - edge] {
            let exact = (c << 64) / PRODUCT;
            let got = fraction(residues(c));
            let off = (exact as u64).wrapping_sub(got) as i64;
            prop_assert!(off.abs() < 1 << 24, "{off}");
        }
        for word in [word, 0, u32::MAX] {
            let nearest = (u128::from(word) * PRODUCT + (1 << 31)) >> 32;
            prop_assert_eq!(from_word(word), residues(nearest));
        }
    }

    #[test]
    fn what_is_decrypted_is_the_nearest(c0 in 0u32..1 << MASK_BITS, c1_s in 0..T) {
        // t (c0 / 2^18 + c1 s / t)
        let exact = ((u64::from(c0) * u64::from(T)) << 1 >> MASK_BITS).div_ceil(2);
        let exact = (exact + u64::from(c1_s)) % u64::from(T);
        prop_assert_eq!(u64::from(Masked2048::decrypt_coefficient(c0, c1_s)), exact);
    }
}

/// c0 of a ciphertext as it is sent; c1 follows from `seed_of(6, number)`.
fn words<R: MaskedRing>(parties: &Parties<R>, message: &R::Poly, number: u64) -> Box<R::Poly> {
    let mut message = Box::new(*message);
    add_errors(&mut *message, &seed_of(7, number));
    let mut scratch = Box::new([*zero_poly::<R>(), *zero_poly::<R>()]);
    let public = (&seed_of(6, number), Expansion::Ciphertext);
    encrypt_words(&parties.secret, &message, public, &mut scratch);
    Box::new(scratch[0])
}

/// A ciphertext as the server receives it.
fn upload<R: MaskedRing>(parties: &Parties<R>, message: &R::Poly, number: u64) -> Ciphertext<R> {
    from_words::<R>(&words(parties, message, number), &seed_of(6, number))
}

/// What an upload's rounding adds to the noise: at most half a word, 2^17, and a little.
#[test]
fn uploads_lose_their_lower_bits_alone() {
    let parties = Parties::<Masked2048>::new(3);
    let message = random_poly(5);
    let (opened, noise) = parties.open(&upload(&parties, &message, 1));
    assert!(opened == message);
    let largest = noise.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    assert!(largest < 2f64.powi(17) * 1.02 + 21.0, "{largest}");
    let sigma = deviation(&noise);
    let expected = 2f64.powi(18) / 12f64.sqrt();
    assert!((sigma / expected - 1.0).abs() < 0.06, "{sigma}");
}

/// A map of 15 x 15 for each of so many tickets as fill a ciphertext, with a column of zeros between
/// rows and a row of them between maps.
const SIDE: usize = 15;
const ROW: usize = 16;
const BLOCK: usize = ROW * ROW;

/// Coefficients that hold a pixel.
fn pixels(n: usize) -> impl Iterator<Item = usize> {
    (0..n).filter(|i| i % BLOCK / ROW < SIDE && i % ROW < SIDE)
}

/// A 3 x 3 convolution over `channels` ciphertexts: shares of both parties, and the sums of the
/// messages themselves. All modulo t.
fn convolve<R: MaskedRing>(seed: u64, channels: usize) -> Vec<(u32, u32, u32)> {
    let parties = Parties::<R>::new(seed);
    let mut sum = Ciphertext::<R>::zero();
    let mut expected = vec![0; R::N];
    for channel in 0..channels as u64 {
        let (random, mut message) = (
            random_poly::<R::Poly>(seed << 8 | channel),
            zero_poly::<R>(),
        );
        for i in pixels(R::N) {
            (*message).as_mut()[i] = (*random).as_ref()[i];
        }
        let taps = values(seed << 8 | channel, 9, 127);
        let mut kernel = zero_poly::<R>();
        for (tap, &weight) in taps.iter().enumerate() {
            let (row, col) = (tap / 3, tap % 3);
            // The output's pixel at p reads p + offset: X^-offset.
            let offset = (row as i32 - 1) * ROW as i32 + col as i32 - 1;
            let (place, factor) = match offset {
                ..=0 => (-offset as usize, weight),
                _ => (R::N - offset as usize, -weight),
            };
            (*kernel).as_mut()[place] = T_MOD.residue(factor);
            for i in pixels(R::N) {
                let from = usize::try_from(i as i32 + offset).ok();
                let x = from.and_then(|from| (*message).as_ref().get(from).copied());
                let product = T_MOD.mul(x.unwrap_or(0), T_MOD.residue(weight));
                expected[i] = T_MOD.add(expected[i], product);
            }
        }
        let input = upload(&parties, &message, seed << 8 | channel);
        sum.multiply_add(&Factor::<R>::lift(&kernel), &input);
    }
    let random = Randomness::new(seed_of(9, seed));
    let (response, mask) = sum.rerandomise(&parties.public, &random).cover(&random);
    let client = parties.decrypt(&response, &stria_core::protocol::transfer::Dense(R::N));
    let shares = pixels(R::N).map(|i| ((*client).as_ref()[i], mask.share(i), expected[i]));
    shares.collect()
}

/// The error of the sum of both shares, in units of y: its deviation is that of the analysis, and after
/// the truncation that follows a layer few activations are off by one, and none by more.
fn error_is_small<R: MaskedRing>(seed: u64, expected: f64) {
    let shares = convolve::<R>(seed, 8);
    let errors: Vec<_> = shares
        .iter()
        .map(|&(client, server, y)| T_MOD.centered(T_MOD.sub(T_MOD.add(client, server), y)))
        .collect();
    let sigma = deviation(&errors.iter().map(|&e| f64::from(e)).collect::<Vec<_>>());
    println!("N = {}: sigma {sigma:.1} units", R::N);
    assert!((sigma / expected - 1.0).abs() < 0.1, "{sigma}");
    let mean = errors.iter().map(|&e| f64::from(e)).sum::<f64>() / errors.len() as f64;
    assert!(
        mean.abs() < 8.0 * expected / (errors.len() as f64).sqrt(),
        "{mean}"
    );
    assert!(errors.iter().all(|e| f64::from(e.abs()) < 6.0 * expected));
    // A pre-activation of 19 bits, with the error, less its lower 8 bits: shared mod 2^20.
    let ys = values(seed, errors.len(), 1 << 18);
    let mut counts = [0; 4];
    for (i, (&error, &y)) in errors.iter().zip(&ys).enumerate() {
        let r = (shares[i].0 as i32) & 0xF_FFFF;
        let (a, b) = ((y + error).wrapping_sub(r) & 0xF_FFFF, r);
        let sum = ((a >> 8) + (b >> 8)) & 0xFFF;
        let difference = (sum - (y >> 8)) & 0xFFF;
        let difference = if difference < 0x800 {
            difference
        } else {
            difference - 0x1000
        };
        assert!((-2..=1).contains(&difference), "{difference}");
        counts[(difference + 2) as usize] += 1;
    }
    let rare = f64::from(counts[0] + counts[3]) / errors.len() as f64;
    println!("differences -2 to 1: {counts:?}");
    assert!(rare < 0.01, "{rare}");
}

#[test]
fn shares_of_a_convolution_are_off_by_a_few_units() {
    for seed in 1..4 {
        error_is_small::<Masked2048>(seed, 13.4);
        error_is_small::<Masked4096>(seed, 17.1);
    }
}

/// What a response's mask is, and what would not do.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Covered {
    /// Fresh bits for every coefficient.
    Well,
    Not,
    /// One bit less.
    Short,
    /// The upper bits alone.
    High,
    /// But for one coefficient.
    ButOne,
    /// The same bits again.
    Again,
}

/// A coefficient that is left out.
const LEFT_OUT: usize = 77;

impl Covered {
    fn mask<R: MaskedRing>(self, seed: u64) -> MaskBits<R> {
        let seed = if self == Self::Again { 1 } else { seed };
        let random: Box<R::Poly> = random_poly(seed);
        let mut bits = zero_poly::<R>();
        for i in 0..R::N {
            let all = (*random).as_ref()[i] & ((1 << MASK_BITS) - 1);
            (*bits).as_mut()[i] = match self {
                Self::Not => 0,
                Self::ButOne if i == LEFT_OUT => 0,
                Self::Short => all >> 1,
                Self::High => all & !15,
                _ => all,
            };
        }
        MaskBits::of(bits)
    }
}

/// The phases that a client sees in the responses to an upload of its choice, over many responses, at a
/// coefficient: in units of 2^-18, modulo 1. `upload` are the words that it sends; `weight` is what the
/// server multiplies with.
fn seen<R: MaskedRing>(
    parties: &Parties<R>,
    words: &R::Poly,
    weight: i32,
    covered: Covered,
    count: u64,
) -> Vec<Vec<u32>> {
    let input = from_words::<R>(words, &seed_of(6, 1));
    let mut kernel = zero_poly::<R>();
    (*kernel).as_mut()[0] = T_MOD.residue(weight);
    let factor = Factor::<R>::lift(&kernel);
    let response = |number: u64| {
        let mut sum = Ciphertext::<R>::zero();
        sum.multiply_add(&factor, &input);
        let random = Randomness::new(seed_of(9, number));
        let sum = sum.rerandomise(&parties.public, &random);
        let covered = match covered {
            Covered::Well => sum.cover(&random).0,
            _ => sum.cover_with(&covered.mask(number)),
        };
        phases(parties, &covered)
    };
    (0..count).map(response).collect()
}

fn phases<R: MaskedRing>(parties: &Parties<R>, response: &Response<R>) -> Vec<u32> {
    let c1_s = parties.multiply_key(response.c1());
    let terms = response.c0().as_ref().iter().zip((*c1_s).as_ref());
    let phase = |(&c0, &c1_s): (&u32, &u32)| {
        let part = (u64::from(c1_s) << MASK_BITS) / u64::from(T);
        (c0 + part as u32) & ((1 << MASK_BITS) - 1)
    };
    terms.map(phase).collect()
}

/// Whether phases are uniform, in their upper and in their lower bits.
fn uniform(phases: impl Iterator<Item = u32> + Clone) -> bool {
    let low = phases.clone().map(|phase| phase & 15);
    chi_square(phases, 1 << MASK_BITS) < CHI_SQUARE_LIMIT && chi_square(low, 16) < CHI_SQUARE_LIMIT
}

/// An upload of the client's choice: each coefficient a multiple of 2^-9 of q.
fn chosen<R: MaskedRing>(parties: &Parties<R>) -> Box<R::Poly> {
    let mut words = words(parties, &zero_poly::<R>(), 1);
    for (i, word) in (*words).as_mut().iter_mut().enumerate() {
        *word = word.wrapping_add((i as u32 % 7) << 23);
    }
    words
}

fn tells_nothing<R: MaskedRing>() {
    let parties = Parties::<R>::new(11);
    let words = chosen(&parties);
    let count = 1024;
    for weight in [3, -90] {
        let views = seen(&parties, &words, weight, Covered::Well, 8);
        for view in &views {
            assert!(uniform(view.iter().copied()), "{weight}");
        }
        // Of two responses to the same upload nothing stays the same.
        let differences = views[0].iter().zip(&views[1]);
        let differences = differences.map(|(a, b)| a.wrapping_sub(*b) & ((1 << MASK_BITS) - 1));
        assert!(uniform(differences));
        // The same coefficients over many responses.
        let views = seen(&parties, &words, weight, Covered::Well, count);
        for coefficient in [0, 1, LEFT_OUT, R::N - 1] {
            let at = views.iter().map(|view| view[coefficient]);
            assert!(uniform(at), "{coefficient}");
        }
    }
    // What would tell: the phase shows the weight's products with the upload.
    let bare = seen(&parties, &words, 3, Covered::Not, 2);
    assert!(!uniform(bare[0].iter().copied()));
    let products = |view: &[u32], weight: i32| {
        let near = view.iter().enumerate().filter(|&(i, &phase)| {
            let expected = ((i as i32 % 7) * weight) << (MASK_BITS - 9);
            let off = (phase as i32 - expected) & ((1 << MASK_BITS) - 1);
            !(200..(1 << MASK_BITS) - 200).contains(&off)
        });
        near.count()
    };
    assert!(products(&bare[0], 3) > R::N * 9 / 10 && products(&bare[0], 4) < R::N / 4);
    let well = seen(&parties, &words, 3, Covered::Well, 1);
    assert!(products(&well[0], 3) < R::N / 100);
    let short = seen(&parties, &words, 3, Covered::Short, 1);
    assert!(!uniform(short[0].iter().copied()));
    let high = seen(&parties, &words, 3, Covered::High, 1);
    assert!(!uniform(high[0].iter().copied()));
    let again = seen(&parties, &words, 3, Covered::Again, 2);
    let differences = again[0].iter().zip(&again[1]);
    assert!(!uniform(
        differences.map(|(a, b)| { a.wrapping_sub(*b) & ((1 << MASK_BITS) - 1) })
    ));
    let but_one = seen(&parties, &words, 3, Covered::ButOne, count);
    let at = |coefficient: usize| but_one.iter().map(move |view| view[coefficient]);
    assert!(uniform(at(LEFT_OUT + 1)) && !uniform(at(LEFT_OUT)));
}

#[test]
fn a_masked_response_tells_nothing_of_the_weights() {
    tells_nothing::<Masked2048>();
}

/// c1 is a sample of its own, of every response another one: also that of a sum that is zero, whose own
/// c1 is.
#[test]
fn a_masked_response_is_rerandomised() {
    let parties = Parties::<Masked2048>::new(12);
    let c1 = |number| {
        let random = Randomness::new(seed_of(9, number));
        let sum = Ciphertext::<Masked2048>::zero();
        let (response, _) = sum.rerandomise(&parties.public, &random).cover(&random);
        let mut c1 = Box::new(*response.c1());
        Masked2048::NTT[Masked2048::RESPONSE_MODULUS].inverse(&mut c1, Masked2048::LOG_N);
        c1
    };
    let (one, two, again) = (c1(1), c1(2), c1(1));
    assert!(one == again);
    let differences = one.iter().zip(&*two).map(|(&x, &y)| T_MOD.sub(x, y));
    assert!(chi_square(differences, T) < CHI_SQUARE_LIMIT);
    assert!(chi_square(*one, T) < CHI_SQUARE_LIMIT);
}
