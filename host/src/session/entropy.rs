//! Where secrets come from: the operating system, expanded by ChaCha20.

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;

use super::error::SessionError;

/// A generator for one session.
///
/// With the feature `test-seed` and `STRIA_TEST_SEED` set to a number, it is the same every time,
/// so that a run can be repeated; `role` tells the two parties apart. Never build a product so.
pub fn session_rng(role: &str) -> Result<ChaCha20Rng, SessionError> {
    #[cfg(feature = "test-seed")]
    if let Some(seed) = test_seed() {
        let role: u64 = role.bytes().fold(0, |sum, byte| 31 * sum + u64::from(byte));
        return Ok(ChaCha20Rng::seed_from_u64(seed ^ role << 32));
    }
    let _ = role;
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    unique(&mut *seed)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

/// Fills a name or a secret that no two have, in runs that are repeated neither.
pub fn unique(bytes: &mut [u8]) -> Result<(), SessionError> {
    getrandom::fill(bytes).map_err(SessionError::Entropy)
}

#[cfg(feature = "test-seed")]
fn test_seed() -> Option<u64> {
    std::env::var("STRIA_TEST_SEED").ok()?.parse().ok()
}
