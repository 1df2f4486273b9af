//! A linear layer on ciphertexts, both parties in one place, and the direct convolution that it
//! is compared with.

use stria_core::arith::transform::Poly;
use stria_core::network::layer::{Activation, Kernel, Layer, Layout, Pool};
use stria_core::packing::OutputCursor;
use stria_core::packing::segment::{self, pack_input, useful_coefficient};
use stria_core::params::{LIMBS, N, T_MOD};
use stria_core::random::Seed;
use stria_core::rlwe::ciphertext::{Ciphertext, Limbs, SegmentWeights};
use stria_core::rlwe::operations::Work;
use stria_core::rlwe::respond::{PublicKey, Response, respond, uniform_mask};
use stria_core::rlwe::{
    Expansion, SecretKey, add_errors, decrypt_coefficient, encrypt_limb, multiply_key,
};

/// A layer with one group, stride 1 and no padding, to change fields of.
pub fn layer(in_channels: u16, in_side: u16, out_channels: u16, kernel: Kernel) -> Layer {
    Layer {
        input: 0,
        in_channels,
        in_side,
        pool: Pool::None,
        shuffle: 1,
        out_channels,
        kernel,
        stride: 1,
        padding: 0,
        groups: 1,
        repeat: 1,
        tile: 0,
        skip: None,
        activation: Activation::Relu,
    }
}

/// Side of a layer's output in pixels.
pub fn out_side(layer: &Layer) -> u16 {
    let side = layer.in_side / layer.pool_side();
    let kernel = u16::from(layer.kernel.side());
    (side + 2 * u16::from(layer.padding) - kernel) / u16::from(layer.stride) + 1
}

/// The convolution by its definition: `input` is [channels, rows, cols], the result too.
pub fn direct(layer: &Layer, weights: &[i32], input: &[i32]) -> Vec<i64> {
    let side = i32::from(layer.in_side);
    let pixel = |channel: usize, r: i32, c: i32| {
        if (0..side).contains(&r) && (0..side).contains(&c) {
            i64::from(input[channel * (side * side) as usize + (r * side + c) as usize])
        } else {
            0
        }
    };
    let (groups, per_group) = (usize::from(layer.groups), layer.in_channels / layer.groups);
    let per_group = usize::from(per_group);
    let out_per_group = usize::from(layer.out_channels) / groups;
    let shuffle = usize::from(layer.shuffle);
    let per_shuffle = usize::from(layer.in_channels) / shuffle;
    let (stride, padding) = (i32::from(layer.stride), i32::from(layer.padding));
    let out_side = i32::from(out_side(layer));
    let taps = layer.kernel.taps();
    let mut out = Vec::new();
    for o in 0..usize::from(layer.out_channels) {
        for r in 0..out_side {
            for c in 0..out_side {
                let mut sum = 0;
                for i in 0..per_group {
                    let shuffled = o / out_per_group * per_group + i;
                    let source = shuffled % shuffle * per_shuffle + shuffled / shuffle;
                    for tap in 0..taps {
                        let (dr, dc) = layer.kernel.tap(tap);
                        sum += i64::from(weights[(o * per_group + i) * taps + tap])
                            * pixel(source, r * stride + dr - padding, c * stride + dc - padding);
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

/// Both parties' keys.
pub struct Parties {
    /// The client's secret key.
    pub secret: SecretKey,
    /// The same, as the server has it.
    pub public: PublicKey,
    /// b of the public key, coefficient domain.
    pub b: Box<Limbs>,
    /// The seed of its a.
    pub a: Seed,
}

impl Parties {
    /// Keys from one byte of seed.
    pub fn new(seed: u8) -> Self {
        let secret = SecretKey::generate(&Seed([seed; 32]));
        let a = Seed([seed ^ 0x55; 32]);
        let b = limbs(|limb, out| {
            let error = Seed([seed ^ 0xaa; 32]);
            let mut zero = Box::new([0; N]);
            add_errors(&mut zero, &error);
            encrypt_limb(&secret, limb, &zero, (&a, Expansion::PublicKey), out);
        });
        Self {
            public: PublicKey::from_wire(b.clone(), &a),
            secret,
            b,
            a,
        }
    }

    /// The client's encryption of a plaintext polynomial, as the server receives it.
    pub fn encrypt(&self, message: &Poly, seed: u64) -> Ciphertext {
        let seed_of = |tag: u8| {
            let mut bytes = [tag; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            Seed(bytes)
        };
        let a = seed_of(1);
        let mut message = Box::new(*message);
        add_errors(&mut message, &seed_of(2));
        let c0 = limbs(|limb, out| {
            let public = (&a, Expansion::Ciphertext);
            encrypt_limb(&self.secret, limb, &message, public, out);
        });
        Ciphertext::from_wire(c0, &a)
    }

    /// The client's decryption of a response: segments of the layout's depth.
    pub fn decrypt(&self, response: &Response, layout: &Layout) -> Box<Poly> {
        let mut phase = response.c1.clone();
        let mut message: Box<Poly> = Box::new([0; N]);
        multiply_key(&self.secret, &mut phase, &mut message);
        message.fill(0);
        for i in 0..layout.useful() {
            let at = useful_coefficient(layout, i);
            message[at] = decrypt_coefficient(response.c0[at], phase[at]);
        }
        segment::decode(&mut message, layout.depth);
        message
    }
}

/// Zero residues of all limbs.
pub fn zero_limbs() -> Box<Limbs> {
    vec![[0; N]; LIMBS].into_boxed_slice().try_into().unwrap()
}

fn limbs(mut fill: impl FnMut(usize, &mut Poly)) -> Box<Limbs> {
    let mut limbs = zero_limbs();
    for (i, limb) in limbs.iter_mut().enumerate() {
        fill(i, limb);
    }
    limbs
}

/// Runs a layer on ciphertexts and opens both shares: the outputs as [channels, rows, cols].
pub fn run(parties: &Parties, layer: &Layer, weights: &[i32], input: &[i32], seed: u8) -> Vec<i64> {
    let layout = layer.layout().unwrap();
    let side = usize::from(layer.in_side);
    let inputs: Vec<_> = (0..layout.inputs())
        .map(|i| {
            let mut message: Box<Poly> = Box::new([0; N]);
            pack_input(&layout, i, &mut message, |channel, row, col| {
                T_MOD.from_i32(input[(channel * side + row) * side + col])
            });
            parties.encrypt(&message, u64::from(seed) << 32 | i as u64)
        })
        .collect();
    let prepared = SegmentWeights::prepared(layer, &layout, weights);
    let mut out = vec![0; layer.outputs(&layout)];
    let mut cursor = OutputCursor::start();
    let mut next = cursor.next(&layout);
    for o in 0..layout.outputs() {
        let part = &inputs[layout.inputs_of(o)];
        let result = prepared.apply(part, o % layout.outputs_per_tile(), &mut Work::default());
        let mut response_seed = [seed; 32];
        response_seed[..8].copy_from_slice(&(o as u64).to_le_bytes());
        let response_seed = Seed(response_seed);
        let mut mask = uniform_mask(&response_seed);
        let response = respond(result, &parties.public, &mask, &response_seed);
        let client = parties.decrypt(&response, &layout);
        segment::decode(&mut mask, layout.depth);
        while let Some(output) = next.filter(|output| output.ciphertext == o) {
            let share = T_MOD.sub(client[output.coefficient], mask[output.coefficient]);
            let area = layout.out_side * layout.out_side;
            out[usize::from(output.channel) * area + output.position as usize] =
                i64::from(T_MOD.centered(share));
            next = cursor.next(&layout);
        }
    }
    assert!(next.is_none());
    out
}
