//! Both parties' keys in any ring, and ciphertexts as numbers modulo q = q0 q1 q2 q3, by 128-bit
//! arithmetic: what limbs are compared with.

use num_bigint::BigUint;
use stria_core::arith::field::T;
use stria_core::arith::transform::Residues;
use stria_core::protocol::transfer::Returned;
use stria_core::random::sample::residue_t;
use stria_core::random::{Seed, Stream};
use stria_core::rlwe::galois::{Element, GaloisKey, GaloisKeys, galois_key_limb, slot_index};
use stria_core::rlwe::ring::ring8192::{self, KEY_LIMBS, LIMBS};
use stria_core::rlwe::{
    Ciphertext, Expansion, Limbs, PublicKey, Response, Ring, Ring8192, SecretKey, add_errors,
    encrypt_limb, expand_public, zero_limbs, zero_poly, zero_polys,
};

/// The product of all limbs' moduli.
pub fn q<R: Ring>() -> u128 {
    let limbs = &R::MODULI[..R::LIMBS];
    limbs.iter().map(|m| u128::from(m.value())).product()
}

/// The representative of x < q in (-q/2, q/2].
pub fn centered<R: Ring>(x: u128) -> i128 {
    if x > q::<R>() / 2 {
        x as i128 - q::<R>() as i128
    } else {
        x as i128
    }
}

/// round(q m / t).
pub fn scaled<R: Ring>(m: u32) -> u128 {
    let product = BigUint::from(q::<R>()) * m + T / 2;
    (product / T).try_into().unwrap()
}

/// Residues of all limbs (coefficient domain) to numbers below q.
pub fn crt<R: Ring>(limbs: &[R::Poly]) -> Vec<u128> {
    let q = q::<R>();
    let basis = R::MODULI[..R::LIMBS].iter().map(|m| {
        let cofactor = q / u128::from(m.value());
        let inverse = power(cofactor % u128::from(m.value()), m.value() - 2, m.value());
        (cofactor, inverse, u128::from(m.value()))
    });
    let basis: Vec<_> = basis.collect();
    let number = |i: usize| {
        let terms = basis.iter().zip(limbs);
        let terms = terms.map(|((cofactor, inverse, modulus), limb)| {
            u128::from(limb.as_ref()[i]) * inverse % modulus * cofactor
        });
        terms.sum::<u128>() % q
    };
    (0..R::N).map(number).collect()
}

/// base^exponent mod q, for q below 2^32.
pub fn power(base: u128, exponent: u32, q: u32) -> u128 {
    (0..32).rev().fold(1, |result, bit| {
        let square = result * result % u128::from(q);
        if exponent >> bit & 1 == 1 {
            square * base % u128::from(q)
        } else {
            square
        }
    })
}

/// By trial division.
pub fn is_prime(n: u32) -> bool {
    n > 1
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

/// A seed of a purpose and a number.
pub fn seed_of(purpose: u8, number: u64) -> Seed {
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Seed(bytes)
}

/// Random residues mod t from a seed.
pub fn random_poly<P: Residues>(seed: u64) -> Box<P> {
    let mut stream = Stream::new(&seed_of(200, seed), [0; 3]);
    let mut values = Box::new(P::ZERO);
    let residues = values.as_mut().as_mut().iter_mut();
    residues.for_each(|x| *x = residue_t(&mut stream));
    values
}

/// Slots to the plaintext polynomial, coefficient domain.
pub fn encode(slots: &ring8192::Poly) -> Box<ring8192::Poly> {
    let mut out = zero_poly::<Ring8192>();
    for (slot, &x) in slots.iter().enumerate() {
        out[slot_index(slot)] = x;
    }
    ring8192::T_NTT.inverse(&mut out, ring8192::LOG_N);
    out
}

/// The plaintext polynomial to its slots.
pub fn decode(polynomial: &ring8192::Poly) -> Box<ring8192::Poly> {
    let mut values = Box::new(*polynomial);
    ring8192::T_NTT.forward(&mut values, ring8192::LOG_N);
    Box::new(std::array::from_fn(|slot| values[slot_index(slot)]))
}

/// Both parties' keys, without Galois keys.
pub struct Parties<R: Ring> {
    /// The client's secret key.
    pub secret: SecretKey<R>,
    /// The same, as the server has it.
    pub public: PublicKey<R>,
    /// b of the public key, coefficient domain.
    pub b: Limbs<R>,
    /// The seed of its a.
    pub a: Seed,
    seed: u64,
}

impl<R: Ring> Parties<R> {
    /// Keys from a seed.
    pub fn new(seed: u64) -> Self {
        let mut secret = SecretKey::zero();
        secret.draw(&seed_of(1, seed));
        let a = seed_of(2, seed);
        let mut zero = zero_poly::<R>();
        add_errors(&mut *zero, &seed_of(3, seed));
        let mut b = zero_limbs::<R>();
        for (limb, out) in b.iter_mut().enumerate() {
            encrypt_limb::<R>(&secret, limb, &zero, (&a, Expansion::PublicKey), out);
        }
        Self {
            public: PublicKey::from_wire(b.clone(), &a),
            secret,
            b,
            a,
            seed,
        }
    }

    /// The client's encryption of a plaintext polynomial, as the server receives it.
    pub fn encrypt(&self, message: &R::Poly, number: u64) -> Ciphertext<R> {
        let a = seed_of(6, self.seed << 32 | number);
        let mut message = Box::new(*message);
        add_errors(&mut *message, &seed_of(7, self.seed << 32 | number));
        let mut c0 = zero_limbs::<R>();
        for (limb, out) in c0.iter_mut().enumerate() {
            let public = (&a, Expansion::Ciphertext);
            encrypt_limb::<R>(&self.secret, limb, &message, public, out);
        }
        Ciphertext::from_wire(c0, &a)
    }

    /// c1 s of a response.
    pub fn multiply_key(&self, c1: &R::Poly) -> Box<R::Poly> {
        let mut phase = Box::new(*c1);
        let mut scratch = Box::new(R::SCRATCH);
        self.secret.multiply(&mut phase, &mut scratch);
        let mut left = (*scratch).as_mut().iter().flat_map(|poly| poly.as_ref());
        assert!(left.all(|&x| x == 0), "the key stays in memory");
        phase
    }

    /// The client's decryption of a response: the message at the coefficients that are returned.
    pub fn decrypt(&self, response: &Response<R>, returned: &impl Returned) -> Box<R::Poly> {
        let phase = self.multiply_key(response.c1());
        let mut message = zero_poly::<R>();
        for i in 0..returned.count() {
            let at = returned.coefficient(i);
            let [c0, c1_s] = [response.c0().as_ref()[at], (*phase).as_ref()[at]];
            (*message).as_mut()[at] = R::decrypt_coefficient(c0, c1_s);
        }
        message
    }

    /// c0 + c1 s of a ciphertext modulo q, by coefficients.
    pub fn phase(&self, ciphertext: &Ciphertext<R>) -> Vec<u128> {
        let [c0, c1] = ciphertext.halves();
        let mut limbs = zero_limbs::<R>();
        for (l, out) in limbs.iter_mut().enumerate() {
            self.secret.load_ntt(l, out);
            R::NTT[l].multiply(out, &c1[l]);
            for (x, &c0) in out.as_mut().iter_mut().zip(c0[l].as_ref()) {
                *x = R::MODULI[l].add(*x, c0);
            }
            R::NTT[l].inverse(out, R::LOG_N);
        }
        crt::<R>(&limbs)
    }

    /// The message that a ciphertext holds, and the noise of its coefficients.
    pub fn open(&self, ciphertext: &Ciphertext<R>) -> (Box<R::Poly>, Vec<f64>) {
        let q = q::<R>();
        let mut message = zero_poly::<R>();
        let mut noise = Vec::with_capacity(R::N);
        for (m, x) in (*message).as_mut().iter_mut().zip(self.phase(ciphertext)) {
            // round(t x / q), the quotient to 2^-40.
            let quotient = (x >> 20) as f64 / (q >> 20) as f64 * f64::from(T);
            let nearest = |m: u32| centered::<R>((x + q - scaled::<R>(m)) % q);
            let guess = quotient as u32 % T;
            *m = [guess, (guess + 1) % T, (guess + T - 1) % T]
                .into_iter()
                .min_by_key(|&m| nearest(m).unsigned_abs())
                .unwrap();
            noise.push(nearest(*m) as f64);
        }
        (message, noise)
    }
}

/// The public polynomial of a seed, coefficient domain.
pub fn public<R: Ring>(seed: &Seed, expansion: Expansion) -> Vec<u128> {
    let mut limbs = zero_limbs::<R>();
    for (l, limb) in limbs.iter_mut().enumerate() {
        let expanded = expand_public::<R>(seed, expansion, l);
        let residues = limb.as_mut().iter_mut();
        residues.zip(expanded).for_each(|(x, a)| *x = a);
        R::NTT[l].inverse(limb, R::LOG_N);
    }
    crt::<R>(&limbs)
}

impl Parties<Ring8192> {
    /// `b` of a Galois key, coefficient domain, as the client streams it, and the seed of its `a`.
    pub fn galois_wire(&self, element: Element) -> (Limbs<Ring8192>, Seed) {
        let number = self.seed << 16 | u64::from(element.value());
        let (a, errors) = (seed_of(4, number), seed_of(5, number));
        let mut polys = zero_polys::<Ring8192>(LIMBS * KEY_LIMBS);
        for (i, out) in polys.iter_mut().enumerate() {
            let part = (i / KEY_LIMBS, i % KEY_LIMBS);
            galois_key_limb(&self.secret, element, part, &a, &errors, out);
        }
        (polys, a)
    }

    /// A Galois key as the server has it.
    pub fn galois_key(&self, element: Element) -> GaloisKey {
        let (b, a) = self.galois_wire(element);
        GaloisKey::from_wire(element, &b, &a)
    }

    /// All of these Galois keys.
    pub fn galois_keys(&self, elements: impl IntoIterator<Item = Element>) -> GaloisKeys {
        let mut keys = GaloisKeys::default();
        for element in elements {
            keys.insert(element, self.galois_key(element));
        }
        keys
    }
}
