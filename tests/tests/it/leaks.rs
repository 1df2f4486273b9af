//! What the server sends back tells the client its share and nothing else
//! (`core/docs/design.md#circuit-privacy`). Every statistic is also run with the step left out that
//! it watches, and must see that. What holds for all packings alike is in `packing_leaks.rs`.

use std::collections::BTreeSet;

use num_bigint::BigUint;
use stria_core::Error;
use stria_core::arith::bits::pack;
use stria_core::arith::field::{T, T_BITS, T_MOD};
use stria_core::network::layer::{Kernel, Layer};
use stria_core::ot::{Direction, REVERSE, ReceiverTrees, SenderTrees};
use stria_core::packing::segment::{SegmentLayout, SegmentWeights};
use stria_core::packing::{Layout, OutputCursor, Places, Weights};
use stria_core::protocol::base::{
    Residues, SLOTS, encode_choices, frames, read_messages, slot_key_chosen, write_messages,
};
use stria_core::protocol::frame::{Frame, HEADER, Kind, MAX_FRAME};
use stria_core::protocol::transfer::Dense;
use stria_core::random::{Seed, SessionId};
use stria_core::rlwe::ring::ring4096::{LOG_N, N, Poly, Q, Q_MOD, Q_NTT, T_NTT};
use stria_core::rlwe::{ExactRing, Expansion, Operations, Randomness, Ring, Ring4096, respond};
use stria_tests::layers::layer;
use stria_tests::model::{self, ALL, Steps, Wide};
use stria_tests::ring::{Parties as AnyParties, crt, public};
use stria_tests::stats::{CHI_SQUARE_LIMIT, KS_LIMIT, chi_square, deviation, kolmogorov_smirnov};
use stria_tests::two_party::{Image, Pair, Plain, SmallPair, settings};
use stria_tests::values;

type Parties = AnyParties<Ring4096>;
type Ciphertext = stria_core::rlwe::Ciphertext<Ring4096>;

const DROPPED_BITS: u32 = Ring4096::DROPPED_BITS;

/// The mask that a response's seed gives.
fn uniform_mask(seed: &Seed) -> Box<Poly> {
    Randomness::<Ring4096>::new(seed.clone()).mask()
}

/// Weights that leave different noise: the encoding spreads every single weight over the whole
/// range, so that their number tells more than their size.
#[derive(Clone, Copy, Debug)]
enum Filling {
    Zero,
    One,
    Large,
}

const FILLINGS: [Filling; 3] = [Filling::Zero, Filling::One, Filling::Large];

impl Filling {
    fn weights(self, count: usize) -> Vec<i32> {
        match self {
            Filling::Zero => vec![0; count],
            Filling::One => (0..count).map(|i| i32::from(i == 0)).collect(),
            Filling::Large => values(9, count, 1 << 22),
        }
    }
}

/// One layer, its keys and its input ciphertexts.
struct Scene {
    parties: Parties,
    layer: Layer,
    layout: SegmentLayout,
    inputs: Vec<Ciphertext>,
    key: Vec<i128>,
    public: [Vec<u128>; 2],
}

/// What the client learns of one response, and what only its key and the model show.
struct View {
    /// c0 at q0 and c1, coefficient domain.
    ciphertext: [Vec<u32>; 2],
    /// The decrypted residues mod t of all coefficients.
    message: Box<Poly>,
    /// Noise of the phase before the switch, in units of 2^78.
    wide: Vec<f64>,
    /// Noise of the returned phase, in units of 1/q0.
    returned: Vec<f64>,
}

impl Scene {
    fn new() -> Self {
        let parties = Parties::new(7);
        // Maps that leave coefficients and segments unused.
        let layer = Layer {
            groups: 4,
            ..layer(24, 20, 12, Kernel::Square(3))
        };
        let layout = SegmentLayout::new(&layer).unwrap();
        let input = values(1, 24 * 20 * 20, 2000);
        let inputs: Vec<_> = (0..layout.inputs())
            .map(|i| {
                let mut message: Box<Poly> = Box::new([0; N]);
                layout.pack(i, &mut message, |channel, row, col| {
                    T_MOD.residue(input[(channel * 20 + row) * 20 + col])
                });
                layout.encode(&mut message);
                parties.encrypt(&message, i as u64)
            })
            .collect();
        assert!(inputs.len() >= 2);
        Self {
            key: model::key(&parties.secret),
            public: [
                crt::<Ring4096>(&parties.b),
                public::<Ring4096>(&parties.a, Expansion::PublicKey),
            ],
            parties,
            layer,
            layout,
            inputs,
        }
    }

    /// The layer's first output, before anything hides it.
    fn result(&self, filling: Filling) -> Ciphertext {
        let weights = filling.weights(12 * 6 * 9);
        let weights = SegmentWeights::new(&self.layer, &self.layout, weights, |_| true);
        let first = |o, sum| (o == 0).then_some(sum);
        let outputs = weights.apply(&self.inputs, &(), &mut Operations::default(), first);
        outputs.unwrap().remove(0).unwrap()
    }

    /// What the client sees of the layer's first output. With all steps this is the response of
    /// [`respond`]; a step left out is left out of the model.
    fn view(&self, weights: Filling, steps: Steps, mask: &Poly, seed: u8) -> View {
        let seed = Seed([seed; 32]);
        let result = Wide::new(&self.result(weights));
        let mut message: Box<Poly> = Box::new([0; N]);
        for (m, phase) in message.iter_mut().zip(result.phase(&self.key)) {
            let nearest = (BigUint::from(phase) * T + model::q() / 2) / model::q();
            *m = (nearest % T).try_into().unwrap();
        }
        if steps.mask {
            let masked = message.iter_mut().zip(mask);
            masked.for_each(|(m, &mask)| *m = T_MOD.add(*m, mask));
        }

        let [b, a] = &self.public;
        let ciphertext = result.prepare([b, a], mask, &seed, steps);
        let noise = ciphertext.noise(&self.key, &message).into_iter();
        let wide = noise.map(|e| e as f64 / 2f64.powi(78)).collect();
        let [c0, c1] = ciphertext.switch();
        if steps.zero && steps.mask && steps.flood {
            let key = &self.parties.public;
            let random = Randomness::new(seed);
            let real = respond(self.result(weights), key, mask, &random);
            assert!(
                *real.c0() == c0 && *real.c1() == c1,
                "the model is not what the server does"
            );
        }

        let phase = self.parties.multiply_key(&c1);
        let mut decrypted: Box<Poly> = Box::new([0; N]);
        let mut returned = Vec::new();
        for i in 0..N {
            decrypted[i] = Ring4096::decrypt_coefficient(c0[i], phase[i]);
            assert_eq!(decrypted[i], message[i], "noise beyond the margin");
            let sum = Q_MOD[0].add(Q_MOD[0].reduce_once(c0[i] << DROPPED_BITS), phase[i]);
            let ideal = f64::from(Q[0]) * f64::from(message[i]) / f64::from(T);
            let noise = f64::from(sum) - ideal;
            let q0 = f64::from(Q[0]);
            returned.push(noise - q0 * (noise / q0).round());
        }
        let mut c1_coefficients = c1;
        Q_NTT[0].inverse(&mut c1_coefficients, LOG_N);
        let c0 = c0.map(|x| Q_MOD[0].reduce_once(x << DROPPED_BITS));
        View {
            ciphertext: [c0.into(), c1_coefficients.into()],
            message: decrypted,
            wide,
            returned,
        }
    }

    /// Views of two responses with masks and seeds of their own, one after the other.
    fn noise(&self, weights: Filling, steps: Steps, seed: u8) -> [Vec<f64>; 2] {
        let views = [seed, seed + 1].map(|seed| {
            let mask = uniform_mask(&Seed([seed; 32]));
            self.view(weights, steps, &mask, seed)
        });
        let [one, two] = views;
        [
            [one.wide, two.wide].concat(),
            [one.returned, two.returned].concat(),
        ]
    }
}

#[test]
fn noise_does_not_depend_on_the_weights() {
    let scene = Scene::new();
    let noise = [0, 1, 2].map(|i| scene.noise(FILLINGS[i], ALL, 2 * i as u8 + 10));
    for [wide, returned] in &noise {
        // Four uniforms on [-1, 1); the variances of `parameters.rs`.
        assert!((deviation(wide) - 1.1547).abs() < 0.03);
        assert!(
            (deviation(returned) - 18.35).abs() < 0.5,
            "{}",
            deviation(returned)
        );
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        for level in [0, 1] {
            let distance = kolmogorov_smirnov(&noise[a][level], &noise[b][level]);
            assert!(
                distance < KS_LIMIT,
                "weights {a} and {b}, level {level}: {distance}"
            );
        }
    }

    // Without the flood the same comparison tells all weights apart, and its absence shows in
    // what comes back, too.
    let steps = Steps {
        flood: false,
        ..ALL
    };
    let noise = [0, 1, 2].map(|i| scene.noise(FILLINGS[i], steps, 2 * i as u8 + 20));
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let distance = kolmogorov_smirnov(&noise[a][0], &noise[b][0]);
        assert!(distance > 5.0 * KS_LIMIT, "weights {a} and {b}: {distance}");
    }
    assert!(noise.iter().all(|[_, returned]| deviation(returned) < 16.5));
}

#[test]
fn ciphertexts_are_fresh_however_often_a_layer_runs() {
    let scene = Scene::new();
    let mask = uniform_mask(&Seed([1; 32]));
    let differences = |weights, steps| {
        let [one, two] = [2, 3].map(|seed| scene.view(weights, steps, &mask, seed));
        [0, 1].map(|i| -> Vec<u32> {
            let pairs = one.ciphertext[i].iter().zip(&two.ciphertext[i]);
            pairs.map(|(&x, &y)| Q_MOD[0].sub(x, y)).collect()
        })
    };
    for weights in FILLINGS {
        // The same inputs, the same mask: both halves differ by uniform polynomials.
        for half in differences(weights, ALL) {
            assert!(chi_square(half, Q[0]) < CHI_SQUARE_LIMIT, "{weights:?}");
        }
        // Without the encryption of zero c1 is a function of the weights, and c0 differs by noise.
        let [c0, c1] = differences(weights, Steps { zero: false, ..ALL });
        assert!(c1.iter().all(|&x| x == 0));
        assert!(c0.iter().all(|&x| Q_MOD[0].centered(x).abs() < 100));
        assert!(chi_square(c1, Q[0]) > 100.0 * CHI_SQUARE_LIMIT);
        assert!(chi_square(c0, Q[0]) > 100.0 * CHI_SQUARE_LIMIT);
    }
}

#[test]
fn the_clients_share_is_uniform_wherever_it_looks() {
    let scene = Scene::new();
    let mut outputs = BTreeSet::new();
    let mut cursor = OutputCursor::start();
    while let Some(output) = cursor.next(&scene.layout) {
        if output.ciphertext == 0 {
            outputs.insert(output.coefficient);
        }
    }
    assert!((500..N - 500).contains(&outputs.len()));
    // Statistics of valid outputs, of garbage, and of all coefficients as they come.
    let statistics = |weights, steps, seed| {
        let mask = uniform_mask(&Seed([seed; 32]));
        let view = scene.view(weights, steps, &mask, seed);
        let mut segments = view.message.clone();
        scene.layout.decode(&mut segments);
        let (valid, garbage): (Vec<_>, Vec<_>) = (0..N).partition(|i| outputs.contains(i));
        [
            chi_square(valid.iter().map(|&i| segments[i]), T),
            chi_square(garbage.iter().map(|&i| segments[i]), T),
            chi_square(view.message.iter().copied(), T),
        ]
    };
    for (seed, weights) in FILLINGS.into_iter().enumerate() {
        for chi in statistics(weights, ALL, 30 + seed as u8) {
            assert!(chi < CHI_SQUARE_LIMIT, "{weights:?}: {chi}");
        }
    }
    // Without the mask few weights show, valid or garbage.
    for weights in [Filling::Zero, Filling::One] {
        let [valid, garbage, _] = statistics(weights, Steps { mask: false, ..ALL }, 40);
        assert!(valid > 10.0 * CHI_SQUARE_LIMIT && garbage > 10.0 * CHI_SQUARE_LIMIT);
    }
}

/// Trees of the reverse direction whose sender has chosen.
fn reverse_trees(session: &SessionId) -> (ReceiverTrees, Box<SenderTrees<REVERSE>>) {
    let seed = Seed([7; 32]);
    let server = ReceiverTrees::new(Direction::Reverse, 4, session, &seed).unwrap();
    let mut client = Box::new(SenderTrees::empty());
    let mut words = values(3, 4, 1 << 29).into_iter();
    let word = || words.next().unwrap() as u32;
    client.choose(4, session, word).unwrap();
    (server, client)
}

#[test]
fn a_base_transfer_gives_the_chosen_key_and_nothing_else() {
    let parties = Parties::new(5);
    let session = SessionId([6; 32]);
    let (server, mut client) = reverse_trees(&session);
    let residues = Residues::new(&Seed([8; 32]));
    let mut plaintext: Box<Poly> = Box::new([0; N]);
    // What a client gets for what it encrypted.
    let answer = |plaintext: &Poly, seed: u8| {
        let choices = parties.encrypt(plaintext, seed.into());
        let response = residues.respond(&choices, &parties.public, Seed([seed; 32]));
        let mut slots = parties.decrypt(&response, &Dense(N));
        T_NTT.forward(&mut slots, LOG_N);
        slots
    };
    encode_choices(&client, &mut plaintext);
    let slots = answer(&plaintext, 9);
    // Uniform residues where it chose, and elsewhere.
    assert!(chi_square(slots[..SLOTS].iter().copied(), T) < CHI_SQUARE_LIMIT);
    assert!(chi_square(slots[SLOTS..].iter().copied(), T) < CHI_SQUARE_LIMIT);
    for index in 0..REVERSE {
        let (own, both) = (
            slot_key_chosen(&session, index, &slots),
            residues.keys(&session, index),
        );
        let choice = client.base_choice(index) as usize;
        assert!(own == both[choice] && own != both[1 - choice]);
    }
    // Its messages are then those of the trees.
    let mut out = [0; MAX_FRAME];
    for frame in 0..frames(Direction::Reverse) {
        let keys = |index| residues.keys(&session, index);
        let len = write_messages(&server, &session, frame, keys, &mut out);
        let message = Frame::new_checked(&out[..len]).unwrap();
        let key = |index| slot_key_chosen(&session, index, &slots);
        read_messages(message, frame, &mut client, &session, key).unwrap();
        // With the key of the other choice they are not.
        let other = |index: usize| {
            let choice = client_choice(&client, index);
            residues.keys(&session, index)[1 - choice]
        };
        let refused = read_messages(
            message,
            frame,
            &mut reverse_trees(&session).1,
            &session,
            other,
        );
        assert_eq!(refused, Err(Error::BaseTransferMismatch));
    }

    // A client that chooses in some slots otherwise than in others, or no bit at all, has neither key.
    let mixed = |index: usize, i: usize| (client.base_choice(index) + u32::from(i < 6)) % 2;
    let two = |_: usize, _: usize| 2;
    let malformed: [&dyn Fn(usize, usize) -> u32; 2] = [&mixed, &two];
    for (seed, choice) in malformed.into_iter().enumerate() {
        plaintext.fill(0);
        for (slot, x) in plaintext[..SLOTS].iter_mut().enumerate() {
            *x = choice(slot / 12, slot % 12);
        }
        T_NTT.inverse(&mut plaintext, LOG_N);
        let slots = answer(&plaintext, 20 + seed as u8);
        for index in 0..REVERSE {
            let own = slot_key_chosen(&session, index, &slots);
            assert!(!residues.keys(&session, index).contains(&own));
        }
    }
}

fn client_choice(client: &SenderTrees<REVERSE>, index: usize) -> usize {
    client.base_choice(index) as usize
}

/// A server that answers the client's choices with (0, 293) instead of a response: what the client
/// decrypts is its key. It tells nothing of that, and the session ends.
#[test]
fn a_client_never_opens_what_the_server_made() {
    let parties = Parties::new(5);
    let key = model::key(&parties.secret);
    let phase = parties.multiply_key(&[293; N]);
    let decrypted = phase.map(|phase| T_MOD.centered(Ring4096::decrypt_coefficient(0, phase)));
    // The attack would work if the client opened it.
    let known = key
        .iter()
        .zip(decrypted)
        .all(|(s, x)| *s == i128::from(x.signum()));
    assert!(known, "the decryption of (0, 293) is not the key");

    let mut pair: SmallPair = Pair::new(Plain::tiny().network(), settings(4, 8), [11, 12]);
    let mut answered = false;
    let mut sent_after = 0;
    let result = pair.run_with(&mut Image::random(5), |up, frame| {
        let kind = Frame::new_checked(frame).unwrap().kind;
        match kind {
            Kind::ResponseC1 => {
                let len = pack(
                    &mut frame[HEADER..],
                    Ring4096::C1_BITS,
                    [293; 256].into_iter(),
                );
                assert_eq!(HEADER + len, frame.len());
                answered = true;
            }
            Kind::ResponseC0 => frame[HEADER..].fill(0),
            _ => sent_after += usize::from(up && answered),
        }
    });
    assert_eq!(result, Err(Error::BaseTransferMismatch));
    assert!(answered && pair.client.is_closed());
    assert_eq!(sent_after, 0);
}

/// A session of the tiny network: one inference for each image.
fn session(plain: &Plain, images: &[u64], seeds: [u64; 2]) -> SmallPair {
    Pair::session(plain.network(), images, seeds)
}

/// The server opens the valid positions of the logits and no others.
#[test]
fn logits_are_all_that_is_opened() {
    let pair = session(&Plain::tiny(), &[1], [1, 2]);
    let frames = pair.down.iter();
    let logits = frames.filter(|frame| frame[0] == Kind::Logits as u8);
    let bytes: usize = logits.map(|frame| frame.len() - HEADER).sum();
    assert_eq!(bytes, (5 * T_BITS as usize).div_ceil(8));
}

#[test]
fn every_inference_has_shares_of_its_own() {
    let plain = Plain::tiny();
    let mut pair = session(&plain, &[1], [1, 2]);
    // Both parties' shares of the first layer's output.
    let read = |pair: &SmallPair| -> [Vec<u32>; 2] {
        let shares = pair.server.audit();
        let server = shares.tensors().next().unwrap().to_vec();
        let opened = &shares.open(&*pair.client).unwrap()[0];
        let client = opened.iter().zip(&server).map(|(&x, &y)| T_MOD.sub(x, y));
        [client.collect(), server]
    };
    let [client, server] = read(&pair);
    let mut image = Image::random(1);
    pair.infer(&mut image).unwrap();
    let same = |a: &[u32], b: &[u32]| a.iter().zip(b).filter(|(x, y)| x == y).count();
    let [next_client, next_server] = read(&pair);
    assert!(same(&client, &next_client) <= 1);
    assert!(same(&server, &next_server) <= 1);
}
