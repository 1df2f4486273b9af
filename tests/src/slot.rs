//! Slot packing without a network: both parties' keys, and the noise of ciphertexts by 128-bit
//! arithmetic.

use stria_core::network::layer::Layer;
use stria_core::packing::Places;
use stria_core::packing::slot::cipher::{Ciphertext, Limbs};
use stria_core::packing::slot::conv::SlotWeights;
use stria_core::packing::slot::encoding::{decode, encode};
use stria_core::packing::slot::galois::Element;
use stria_core::packing::slot::layout::SlotLayout;
use stria_core::packing::slot::params::{KEY_LIMBS, LIMBS, LOG_N, N, Poly, Q, Q_MOD, Q_NTT};
use stria_core::packing::slot::privacy::{PublicKey, Response, respond, uniform_mask};
use stria_core::packing::slot::rlwe::{
    Expansion, SecretKey, add_errors, decrypt_coefficient, encrypt_limb, galois_key_limb,
    multiply_key,
};
use stria_core::packing::slot::rotate::{GaloisKey, GaloisKeys, KeyLimbs};
use stria_core::params::{T, T_MOD};
use stria_core::random::sample::residue_t;
use stria_core::random::{Seed, Stream};
use stria_core::rlwe::operations::Work;

use crate::model::power;

/// q0 q1 q2 q3.
pub fn q() -> u128 {
    Q[..LIMBS].iter().map(|&q| u128::from(q)).product()
}

/// The representative of x < q in (-q/2, q/2].
pub fn centered(x: u128) -> i128 {
    if x > q() / 2 {
        x as i128 - q() as i128
    } else {
        x as i128
    }
}

/// round(q m / t).
pub fn scaled(m: u32) -> u128 {
    let (m, t) = (u128::from(m), u128::from(T));
    q() / t * m + (q() % t * m + t / 2) / t
}

/// Residues of the ciphertext limbs (coefficient domain) to numbers below q.
pub fn crt(limbs: &Limbs) -> Vec<u128> {
    let basis: [(u128, u128); LIMBS] = std::array::from_fn(|l| {
        let cofactor = q() / u128::from(Q[l]);
        let inverse = power(cofactor % u128::from(Q[l]), Q[l] - 2, Q[l]);
        (cofactor, inverse)
    });
    let number = |i: usize| {
        let terms = basis.iter().zip(limbs).zip(Q);
        let sum: u128 = terms
            .map(|(((cofactor, inverse), limb), q)| {
                u128::from(limb[i]) * inverse % u128::from(q) * cofactor
            })
            .sum();
        sum % q()
    };
    (0..N).map(number).collect()
}

/// Zero residues of all limbs.
pub fn zeros<const L: usize>() -> Box<[Poly; L]> {
    vec![[0; N]; L].into_boxed_slice().try_into().unwrap()
}

/// Random slots from a seed.
pub fn random_slots(seed: u64) -> Box<Poly> {
    let mut stream = Stream::new(&seed_of(200, seed), [0; 3]);
    let mut slots = zeros::<1>();
    slots[0]
        .iter_mut()
        .for_each(|x| *x = residue_t(&mut stream));
    Box::new(slots[0])
}

/// A seed of a purpose and a number.
pub fn seed_of(purpose: u8, number: u64) -> Seed {
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Seed(bytes)
}

/// Both parties' keys, without Galois keys.
pub struct Parties {
    /// The client's secret key.
    pub secret: SecretKey,
    /// The same, as the server has it.
    pub public: PublicKey,
    seed: u64,
}

impl Parties {
    /// Keys from a seed.
    pub fn new(seed: u64) -> Self {
        let secret = SecretKey::generate(&seed_of(1, seed));
        let a = seed_of(2, seed);
        let mut zero = Box::new([0; N]);
        add_errors(&mut zero, &seed_of(3, seed));
        let mut b: Box<Limbs> = zeros();
        for (limb, out) in b.iter_mut().enumerate() {
            encrypt_limb(&secret, limb, &zero, (&a, Expansion::PublicKey), out);
        }
        Self {
            public: PublicKey::from_wire(b, &a),
            secret,
            seed,
        }
    }

    /// `b` of a Galois key, coefficient domain, as the client streams it, and the seed of its `a`.
    pub fn galois_wire(&self, element: Element) -> ([Box<KeyLimbs>; LIMBS], Seed) {
        let number = self.seed << 16 | u64::from(element.value());
        let (a, errors) = (seed_of(4, number), seed_of(5, number));
        let digit = |digit| {
            let mut limbs: Box<KeyLimbs> = zeros();
            for limb in 0..KEY_LIMBS {
                let out = &mut limbs[limb];
                galois_key_limb(&self.secret, element, (digit, limb), &a, &errors, out);
            }
            limbs
        };
        (std::array::from_fn(digit), a)
    }

    /// A Galois key as the server has it.
    pub fn galois_key(&self, element: Element) -> GaloisKey {
        let (b, a) = self.galois_wire(element);
        GaloisKey::from_wire(element, b, &a)
    }

    /// All of these Galois keys.
    pub fn galois_keys(&self, elements: impl IntoIterator<Item = Element>) -> GaloisKeys {
        let mut keys = GaloisKeys::default();
        for element in elements {
            keys.insert(element, self.galois_key(element));
        }
        keys
    }

    /// The client's encryption of slots, as the server receives it.
    pub fn encrypt(&self, slots: &Poly, number: u64) -> Ciphertext {
        let a = seed_of(6, self.seed << 32 | number);
        let mut message = Box::new([0; N]);
        encode(slots, &mut message);
        add_errors(&mut message, &seed_of(7, self.seed << 32 | number));
        let mut c0: Box<Limbs> = zeros();
        for (limb, out) in c0.iter_mut().enumerate() {
            let public = (&a, Expansion::Ciphertext);
            encrypt_limb(&self.secret, limb, &message, public, out);
        }
        Ciphertext::from_wire(c0, &a)
    }

    /// The client's decryption of a response, to slots.
    pub fn decrypt(&self, response: &Response) -> Box<Poly> {
        let mut phase = response.c1.clone();
        let (mut low, mut message) = (Box::new([0; N]), Box::new([0; N]));
        multiply_key(&self.secret, &mut phase, &mut low, &mut message);
        for (m, (&c0, &c1_s)) in message.iter_mut().zip(response.c0.iter().zip(phase.iter())) {
            *m = decrypt_coefficient(c0, c1_s);
        }
        decode(&mut message, &mut low);
        low
    }

    /// c0 + c1 s of a ciphertext modulo q, by coefficients.
    pub fn phase(&self, ciphertext: &Ciphertext) -> Vec<u128> {
        let mut limbs: Box<Limbs> = zeros();
        for (l, out) in limbs.iter_mut().enumerate() {
            self.secret.load_ntt(l, out);
            Q_NTT[l].multiply(out, &ciphertext.c1[l]);
            for (x, &c0) in out.iter_mut().zip(&ciphertext.c0[l]) {
                *x = Q_MOD[l].add(*x, c0);
            }
            Q_NTT[l].inverse(out, LOG_N);
        }
        crt(&limbs)
    }

    /// The slots that a ciphertext holds, and the noise of its coefficients.
    pub fn open(&self, ciphertext: &Ciphertext) -> (Box<Poly>, Vec<f64>) {
        let mut message: Box<Poly> = Box::new([0; N]);
        let mut noise = Vec::with_capacity(N);
        for (m, x) in message.iter_mut().zip(self.phase(ciphertext)) {
            // round(t x / q), the quotient to 2^-40.
            let quotient = (x >> 20) as f64 / (q() >> 20) as f64 * f64::from(T);
            let nearest = |m: u32| centered((x + q() - scaled(m)) % q());
            let guess = quotient as u32 % T;
            *m = [guess, (guess + 1) % T, (guess + T - 1) % T]
                .into_iter()
                .min_by_key(|&m| nearest(m).unsigned_abs())
                .unwrap();
            noise.push(nearest(*m) as f64);
        }
        let mut slots = Box::new([0; N]);
        decode(&mut message, &mut slots);
        (slots, noise)
    }
}

/// Runs a layer on ciphertexts and opens both shares: the outputs as [channels, rows, cols], and
/// the work that was counted.
pub fn run(
    parties: &Parties,
    layout: &SlotLayout,
    keys: &GaloisKeys,
    layer: &Layer,
    (weights, input): (&[i32], &[i32]),
) -> (Vec<i64>, Work) {
    let side = usize::from(layer.in_side);
    let inputs: Vec<_> = (0..layout.inputs())
        .map(|i| {
            let mut slots = Box::new([0; N]);
            layout.pack_input(i, &mut slots, |channel, row, col| {
                T_MOD.from_i32(input[(channel * side + row) * side + col])
            });
            parties.encrypt(&slots, i as u64)
        })
        .collect();
    let weights = if layer.in_side.is_multiple_of(2) {
        SlotWeights::prepared(layout, weights)
    } else {
        SlotWeights::on_the_fly(layout, weights)
    };
    let mut work = Work::default();
    let mut out = vec![None; layer.out_channels as usize * layout.out_side.pow(2)];
    for part in 0..layout.parts() {
        let inputs = &inputs[part * layout.inputs_per_set..][..layout.inputs_per_set];
        let rotated = weights.rotate_inputs(inputs, keys, &mut work).unwrap();
        for output in 0..layout.outputs_per_set {
            let at = (part % layout.sets, output);
            let result = weights.output(&rotated, at, keys, &mut work).unwrap();
            let ciphertext = part * layout.outputs_per_set + output;
            let seed = seed_of(8, ciphertext as u64);
            let mask = uniform_mask(&seed);
            let mut encoded = Box::new([0; N]);
            encode(&mask, &mut encoded);
            let client = parties.decrypt(&respond(result, &parties.public, &encoded, &seed));
            let outputs = (0..layout.places()).filter_map(|i| layout.output(ciphertext, i));
            for output in outputs {
                let share = T_MOD.sub(client[output.coefficient], mask[output.coefficient]);
                let channel = usize::from(output.channel) * layout.out_side.pow(2);
                let place = channel + output.position as usize;
                let previous = out[place].replace(i64::from(T_MOD.centered(share)));
                assert!(previous.is_none(), "an output comes twice");
            }
        }
    }
    let all = out
        .into_iter()
        .map(|value| value.expect("an output is missing"));
    (all.collect(), work)
}
