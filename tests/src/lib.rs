//! Helpers shared by the two-party tests.

pub mod damage;
pub mod frames;
pub mod layers;
pub mod model;
pub mod netsim;
pub mod replay;
pub mod ring;
pub mod stats;
pub mod two_party;

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;

/// The generator of all tests: the same for the same seed.
pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Pseudo-random numbers in [-bound, bound] for test data. Not of [`rng`]: recorded digests rest on
/// these.
pub fn values(seed: u64, count: usize, bound: i32) -> Vec<i32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 33) as i32 % (2 * bound + 1) - bound
        })
        .collect()
}
