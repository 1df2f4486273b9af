//! Random integer weights that keep every sum in its range: for timing and counting, not accuracy.
//! `core/docs/design.md#ranges`.

use std::collections::HashMap;

use chacha20::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::model::Integers;
use crate::model::schema::{IMAGE, Layer, Network, Pool};

/// What the sums of a layer are aimed at, as a root mean square: 32 below the range's end.
const SUM: f64 = 16384.0;
/// What a branch adds to a residual: little, so that deep networks do not grow.
const BRANCH: f64 = SUM / 4.0;
/// Sums that are read by a convolution without being truncated.
const BOTTLENECK: f64 = SUM / 32.0;
/// Largest bias.
const BIAS: u32 = 512;

/// The weights and biases of a network's layers, one after the other and made when asked for:
/// uniform integers from a seed, between bounds that follow from the layer's shape.
pub struct Random<'a> {
    network: &'a Network,
    seed: u64,
    next: usize,
    /// Root mean square of every tensor so far, with its side.
    tensors: HashMap<&'a str, (f64, u64)>,
}

impl<'a> Random<'a> {
    /// Of all layers of this network.
    pub fn new(network: &'a Network, seed: u64) -> Self {
        let image = (f64::from(network.input.scale), network.input.side as u64);
        Self {
            network,
            seed,
            next: 0,
            tensors: HashMap::from([(IMAGE, image)]),
        }
    }

    /// The largest weight of a layer; notes how large its outputs get.
    fn bound(&mut self, layer: &'a Layer, fan_in: f64) -> u32 {
        let known = |name: &str| self.tensors.get(name).copied().unwrap_or((1.0, 1));
        let (input, side) = known(&layer.input);
        // Activations have one sign: a sum of them grows with their number.
        let window = match layer.pool {
            Pool::Map(whole) => {
                if whole {
                    side
                } else {
                    1
                }
            }
            Pool::Window(side) => side,
        };
        let input = input * (window * window) as f64;
        let is_read = || self.network.layers.iter().any(|l| l.input == layer.name);
        let aim = if !layer.relu && is_read() {
            BOTTLENECK
        } else if layer.skip.is_some() {
            BRANCH
        } else {
            SUM
        };
        // Uniform in -a..=a has the variance a (a + 1) / 3.
        let variance = (aim / input).powi(2) / fan_in;
        let bound = ((12.0 * variance + 1.0).sqrt() / 2.0 - 0.5).round();
        let bound = bound.clamp(1.0, i16::MAX.into());
        let sums = (bound * (bound + 1.0) / 3.0 * fan_in).sqrt() * input;
        let skipped = layer.skip.as_ref().map_or(0.0, |skip| {
            let (values, _) = known(&skip.from);
            values * skip.factor as f64
        });
        let sums = sums.hypot(skipped);
        let output = if layer.relu {
            sums / f64::from(1u32 << self.network.shift)
        } else {
            sums
        };
        let side = (side / window + 2 * layer.padding - layer.kernel) / layer.stride + 1;
        self.tensors.insert(&layer.name, (output, side));
        bound as u32
    }
}

impl Iterator for Random<'_> {
    type Item = Integers;

    fn next(&mut self) -> Option<Integers> {
        let layer = self.network.layers.get(self.next)?;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&(self.next as u64).to_le_bytes());
        let mut random = ChaCha8Rng::from_seed(seed);
        self.next += 1;
        let taps = if layer.cross { 5 } else { layer.kernel.pow(2) };
        let [inputs, outputs] = layer.channels;
        let fan_in = inputs / layer.groups * taps;
        let bound = self.bound(layer, fan_in as f64);
        Some(Integers {
            weights: uniform(&mut random, (outputs * fan_in) as usize, bound),
            bias: uniform(&mut random, outputs as usize, BIAS),
        })
    }
}

/// Integers in -bound..=bound, 16 random bits each.
fn uniform(random: &mut impl Rng, count: usize, bound: u32) -> Vec<i32> {
    let mut bytes = [0; 8192];
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        random.fill_bytes(&mut bytes);
        let (pairs, _) = bytes.as_chunks();
        let scaled = |&pair| (u32::from(u16::from_le_bytes(pair)) * (2 * bound + 1)) >> 16;
        let signed = |pair| scaled(pair) as i32 - bound as i32;
        values.extend(pairs.iter().take(count - values.len()).map(signed));
    }
    values
}
