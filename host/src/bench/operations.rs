//! Times the server's operations on ciphertexts, side by side as it does them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use stria_core::Error;
use stria_core::clear::ClearConvolution;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool};
use stria_core::packing::geometry::Geometry;
use stria_core::packing::segment::{SegmentLayout, SegmentWeights};
use stria_core::packing::slot::{SlotLayout, SlotWeights};
use stria_core::packing::{Layout, Places, RingOf, Weights};
use stria_core::parallel_map;
use stria_core::random::Seed;
use stria_core::rlwe::galois::{Element, GaloisKey, GaloisKeys, Hoisted};
use stria_core::rlwe::ring::ring8192::{KEY_LIMBS, LIMBS};
use stria_core::rlwe::{
    Ciphertext, Limbs, Operations, PublicKey, Randomness, Ring, Ring8192, Rotation, respond,
    zero_poly, zero_polys,
};

/// How long a single operation is repeated.
const PATIENCE: Duration = Duration::from_millis(400);

/// Seconds of the server's operations in one ring.
pub(super) struct OperationSeconds {
    pub receive: f64,
    pub product: f64,
    pub fresh_product: f64,
    pub respond: f64,
}

/// N = 4096.
pub(super) fn segments(cores: usize) -> Result<OperationSeconds, Error> {
    // 8 products into each of 128 responses: more factors than the caches of a core hold.
    let layer = Layer {
        repeat: 64,
        ..layer([8, 128 * 64], Kernel::Square(3), 1)
    };
    let unfit = |reason| Error::Layer { index: 0, reason };
    let layout = SegmentLayout::new(&layer).map_err(unfit)?;
    let numbers = vec![1; 8 * 9 * 128 * 64];
    let weights = |keep| SegmentWeights::new(&layer, &layout, &numbers[..], |_| keep);
    ring(cores, weights, &(), [0.0; 2])
}

/// One multiplication of a convolution in the clear.
pub(super) fn clear() -> Result<f64, Error> {
    let layer = Layer {
        in_side: 15,
        ..layer([64, 64], Kernel::Square(3), 1)
    };
    let unfit = |reason| Error::Layer { index: 0, reason };
    let geometry = Geometry::new(&layer).map_err(unfit)?;
    let convolution = ClearConvolution::new(&layer, &geometry, vec![1; 64 * 64 * 9]);
    let share = vec![1; 64 * 15 * 15];
    let seconds = repeat(|| {
        black_box(convolution.residues(&[&share[..]]));
    });
    Ok(seconds / (64 * 64 * 9 * 15 * 15) as f64)
}

/// N = 8192, and the seconds of a decomposition and of a key switch.
pub(super) fn slots(cores: usize) -> Result<(OperationSeconds, [f64; 2]), Error> {
    // 2 input ciphertexts and 5 shifts of them, into each of 64 responses.
    let layer = layer([2 * 128, 64 * 128], Kernel::Cross, 128);
    let unfit = |reason| Error::Layer { index: 0, reason };
    let layout = SlotLayout::new(&layer).map_err(unfit)?;
    let mut keys = GaloisKeys::default();
    for element in layout.rotations() {
        keys.insert(element, galois_key(element));
    }
    let inputs = inputs::<Ring8192>(layout.inputs());
    let decompose = side_by_side(cores, |i| {
        let input = &inputs[i % inputs.len()];
        black_box(Hoisted::new(input, &mut Operations::default()));
    });
    let mut counted = Operations::default();
    let split: Vec<_> = (inputs.iter())
        .map(|x| Hoisted::new(x, &mut counted))
        .collect();
    let used: Vec<_> = layout.rotations().filter_map(|e| keys.get(e)).collect();
    let key_switch = side_by_side(cores, |i| {
        let (key, mut counted) = (used[i % used.len()], Operations::default());
        black_box(split[i % split.len()].rotate(key, Rotation::Internal, &mut counted));
    });
    let numbers = vec![1; 2 * 5 * 64 * 128];
    let weights = |keep| SlotWeights::new(&layout, &numbers[..], |_| keep);
    let rotation = [decompose, key_switch];
    Ok((ring(cores, weights, &keys, rotation)?, rotation))
}

/// A layer's operations, with factors that are kept and that are not.
fn ring<W: Weights>(
    cores: usize,
    weights: impl Fn(bool) -> W,
    keys: &W::Keys,
    rotation: [f64; 2],
) -> Result<OperationSeconds, Error> {
    let (kept, fresh) = (weights(true), weights(false));
    kept.prepare();
    let layout = *kept.layout();
    let inputs = inputs::<RingOf<W>>(layout.inputs());
    let per_product = |weights: &W| {
        let mut counted = Operations::default();
        let mut failed = None;
        let seconds = repeat(|| {
            counted = Operations::default();
            let outputs = weights.apply(&inputs, keys, &mut counted, |_, sum| drop(sum));
            failed = black_box(outputs).err();
        });
        let rotations =
            counted.decompositions as f64 * rotation[0] + counted.key_switches as f64 * rotation[1];
        match failed {
            None => Ok((seconds - rotations) / counted.products as f64),
            Some(error) => Err(error),
        }
    };
    let product = per_product(&kept)?;
    let fresh_product = per_product(&fresh)?;
    let key =
        PublicKey::<RingOf<W>>::from_wire(limbs::<RingOf<W>>(RingOf::<W>::LIMBS), &Seed([2; 32]));
    let respond = side_by_side(cores, |i| {
        let random = Randomness::new(Seed([i as u8; 32]));
        let mask = layout.mask(&random);
        black_box(respond(Ciphertext::zero(), &key, &mask.message, &random));
    });
    let mut message = zero_poly::<RingOf<W>>();
    let receive = repeat(|| {
        let mut c0 = limbs::<RingOf<W>>(RingOf::<W>::LIMBS);
        layout.pack(0, &mut message, |channel, row, col| {
            (channel + row + col) as u32
        });
        layout.encode(&mut message);
        Ciphertext::<RingOf<W>>::add_plaintext(&mut c0, &message);
        black_box(Ciphertext::<RingOf<W>>::from_wire(c0, &Seed([3; 32])));
    });
    Ok(OperationSeconds {
        receive,
        product,
        fresh_product,
        respond,
    })
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
        drop(parallel_map(cores, |i| job(first + i)));
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

/// So many polynomials, as they come over the wire: residues below every prime.
fn limbs<R: Ring>(count: usize) -> Limbs<R> {
    let smallest = R::MODULI.iter().map(|m| m.value()).min().unwrap_or(1);
    let mut limbs = zero_polys::<R>(count);
    for poly in &mut limbs {
        for (i, x) in poly.as_mut().iter_mut().enumerate() {
            *x = (i as u32).wrapping_mul(0x9e37_79b9) % smallest;
        }
    }
    limbs
}

/// So many ciphertexts.
fn inputs<R: Ring>(count: usize) -> Vec<Ciphertext<R>> {
    let ciphertext = || Ciphertext::from_wire(limbs::<R>(R::LIMBS), &Seed([1; 32]));
    std::iter::repeat_with(ciphertext).take(count).collect()
}

fn galois_key(element: Element) -> GaloisKey {
    let b = limbs::<Ring8192>(LIMBS * KEY_LIMBS);
    GaloisKey::from_wire(element, &b, &Seed([4; 32]))
}
