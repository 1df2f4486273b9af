//! RLWE encryption, one limb at a time on the client, and what the server does to ciphertexts.
//! `docs/design.md#encryption` and `#circuit-privacy` (BFV: Fan and Vercauteren, 2012); every item
//! is generic over the [`Ring`].

#[cfg(feature = "server")]
mod ciphertext;
mod element;
mod encrypt;
pub mod galois;
mod key;
pub mod masked;
mod operations;
#[cfg(feature = "server")]
mod respond;
pub mod ring;

#[cfg(feature = "server")]
pub use ciphertext::{Ciphertext, Factor, Limbs, zero_limbs, zero_poly, zero_polys};
pub use encrypt::{Expansion, add_errors, add_scaled, encrypt_limb, expand_public};
pub use key::SecretKey;
pub use operations::{Operations, Rotation};
#[cfg(feature = "server")]
pub use respond::{PublicKey, Randomness, Response, respond};
pub use ring::{ExactRing, Ring, Ring4096, Ring8192};
