//! Times the server's operations on ciphertexts, side by side as it does them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use stria_core::arith::transform::Poly;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool};
use stria_core::packing::segment;
use stria_core::packing::slot;
use stria_core::packing::slot::cipher as slot_cipher;
use stria_core::packing::slot::conv::SlotWeights;
use stria_core::packing::slot::encoding::encode;
use stria_core::packing::slot::galois::Element;
use stria_core::packing::slot::layout::SlotLayout;
use stria_core::packing::slot::privacy as slot_privacy;
use stria_core::packing::slot::rotate::{GaloisKey, GaloisKeys, Hoisted};
use stria_core::parallel;
use stria_core::params::{N, Q};
use stria_core::random::Seed;
use stria_core::rlwe::ciphertext::{Ciphertext, Limbs, SegmentWeights};
use stria_core::rlwe::operations::{Rotation, Work};
use stria_core::rlwe::respond::{PublicKey, respond, uniform_mask};

/// How long a single operation is repeated.
const PATIENCE: Duration = Duration::from_millis(400);

/// Seconds of the server's operations in one ring.
pub(super) struct Operations {
    pub receive: f64,
    pub product: f64,
    pub fresh_product: f64,
    pub respond: f64,
}

/// N = 4096.
pub(super) fn segments(cores: usize) -> Result<Operations, &'static str> {
    // 8 products into each of 128 responses: more plaintexts than the caches of a core hold.
    let layer = Layer {
        repeat: 64,
        ..layer([8, 128 * 64], Kernel::Square(3), 1)
    };
    let layout = layer.layout()?;
    let mut weights = SegmentWeights::on_the_fly(&layer, &layout, &vec![1; 8 * 9 * 128 * 64]);
    let inputs: Vec<_> = (0..layout.inputs_per_part)
        .map(|_| Ciphertext::from_wire(limbs(), &Seed([1; 32])))
        .collect();
    let outputs = layout.outputs_per_tile();
    let products = |weights: &SegmentWeights| {
        let response = side_by_side(cores, |i| {
            let mut work = Work::default();
            black_box(weights.apply(&inputs, i % outputs, &mut work));
        });
        response / inputs.len() as f64
    };
    let fresh_product = products(&weights);
    weights.prepare();
    let product = products(&weights);
    let key = PublicKey::from_wire(limbs(), &Seed([2; 32]));
    let respond = side_by_side(cores, |i| {
        let seed = Seed([i as u8; 32]);
        let mut mask = uniform_mask(&seed);
        let response = respond(Ciphertext::zero(), &key, &mask, &seed);
        segment::decode(&mut mask, layout.depth);
        black_box((response.c0[0], mask[0]))
    });
    let mut message: Box<Poly> = Box::new([0; N]);
    let receive = repeat(|| {
        let mut limbs: Box<Limbs> = limbs();
        segment::pack_input(&layout, 0, &mut message, |channel, row, col| {
            (channel + row + col) as u32
        });
        Ciphertext::add_plaintext(&mut limbs, &message);
        black_box(Ciphertext::from_wire(limbs, &Seed([3; 32])).c0[0][0]);
    });
    Ok(Operations {
        receive,
        product,
        fresh_product,
        respond,
    })
}

/// N = 8192, and the seconds of a decomposition and of a key switch.
pub(super) fn slots(cores: usize) -> Result<(Operations, [f64; 2]), stria_core::Error> {
    // 2 input ciphertexts and 5 shifts of them, into each of 64 responses.
    let layer = layer([2 * 128, 64 * 128], Kernel::Cross, 128);
    let layout = SlotLayout::new(&layer).map_err(stria_core::Error::Internal)?;
    let mut keys = GaloisKeys::default();
    for element in layout.rotations() {
        keys.insert(element, galois_key(element));
    }
    let inputs: Vec<_> = (0..layout.inputs_per_set)
        .map(|_| slot_cipher::Ciphertext::from_wire(limbs(), &Seed([1; 32])))
        .collect();
    let mut work = Work::default();
    let decompose = side_by_side(cores, |i| {
        black_box(Hoisted::new(
            &inputs[i % inputs.len()],
            &mut Work::default(),
        ));
    });
    let split: Vec<_> = inputs.iter().map(|x| Hoisted::new(x, &mut work)).collect();
    let used: Vec<_> = layout.rotations().filter_map(|e| keys.get(e)).collect();
    let key_switch = side_by_side(cores, |i| {
        let key = used[i % used.len()];
        let mut work = Work::default();
        black_box(split[i % split.len()].rotate(key, Rotation::Internal, &mut work));
    });

    let mut weights = SlotWeights::on_the_fly(&layout, &vec![1; 2 * 5 * 64 * 128]);
    let rotated = weights.rotate_inputs(&inputs, &keys, &mut work)?;
    let outputs = layout.outputs_per_set;
    let products = |weights: &SlotWeights| {
        let response = side_by_side(cores, |i| {
            let at = (0, i % outputs);
            let sum = weights.output(&rotated, at, &keys, &mut Work::default());
            black_box(sum).is_ok()
        });
        response * outputs as f64 / weights.factors() as f64
    };
    let fresh_product = products(&weights);
    weights.prepare();
    let product = products(&weights);
    let key = slot_privacy::PublicKey::from_wire(limbs(), &Seed([2; 32]));
    let respond = side_by_side(cores, |i| {
        let seed = Seed([i as u8; 32]);
        let mask = slot_privacy::uniform_mask(&seed);
        let mut message = polynomial();
        encode(&mask, &mut message);
        let zero = slot_cipher::Ciphertext::zero();
        let response = slot_privacy::respond(zero, &key, &message, &seed);
        black_box((response.c0[0], mask[0]))
    });
    let (mut slots, mut message) = (polynomial(), polynomial());
    let receive = repeat(|| {
        let mut limbs: Box<slot_cipher::Limbs> = limbs();
        layout.pack_input(0, &mut slots, |channel, row, col| {
            (channel + row + col) as u32
        });
        encode(&slots, &mut message);
        slot_cipher::Ciphertext::add_plaintext(&mut limbs, &message);
        let ciphertext = slot_cipher::Ciphertext::from_wire(limbs, &Seed([3; 32]));
        black_box(ciphertext.c0[0][0]);
    });
    let operations = Operations {
        receive,
        product,
        fresh_product,
        respond,
    };
    Ok((operations, [decompose, key_switch]))
}

/// On maps of side 7: 64 coefficients or slots a block.
fn layer(channels: [u16; 2], kernel: Kernel, groups: u16) -> Layer {
    Layer {
        input: 0,
        in_channels: channels[0],
        in_side: 7,
        pool: Pool::None,
        shuffle: 1,
        out_channels: channels[1],
        kernel,
        stride: 1,
        padding: 1,
        groups,
        repeat: 1,
        tile: 0,
        skip: None,
        activation: Activation::Relu,
    }
}

/// Seconds of one of many equal jobs on all cores. They are numbered; one a core is timed at once,
/// so that what disturbs leaves some of them alone.
fn side_by_side<T: Send>(cores: usize, job: impl Fn(usize) -> T + Send + Sync) -> f64 {
    let mut first = 0;
    let one_each = || {
        drop(parallel::map(cores, |i| job(first + i)));
        first += cores;
    };
    repeat(one_each) / cores as f64
}

/// Seconds of one call, from the best of many: what disturbs only ever adds.
fn repeat(mut operation: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut best = Duration::MAX;
    while best == Duration::MAX || start.elapsed() < PATIENCE {
        let begin = Instant::now();
        operation();
        best = best.min(begin.elapsed());
    }
    best.as_secs_f64()
}

/// A polynomial of slots.
fn polynomial() -> Box<slot::params::Poly> {
    Box::new([0; slot::params::N])
}

/// Residues of so many limbs, as they come over the wire; below every prime.
fn limbs<const SIZE: usize, const LIMBS: usize>() -> Box<[[u32; SIZE]; LIMBS]> {
    let smallest = Q.into_iter().min().unwrap_or(1);
    let residue = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9) % smallest;
    let limbs: Box<[[u32; SIZE]]> = vec![std::array::from_fn(residue); LIMBS].into();
    limbs
        .try_into()
        .unwrap_or_else(|_| unreachable!("the length is LIMBS"))
}

fn galois_key(element: Element) -> GaloisKey {
    let digits = std::array::from_fn(|_| limbs());
    GaloisKey::from_wire(element, digits, &Seed([4; 32]))
}
