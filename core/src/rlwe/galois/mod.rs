//! Galois keys: the automorphisms, their keys, and rotations of ciphertexts. Ring 8192 only.
//! `docs/design.md#rotations`.

mod key;
#[cfg(feature = "server")]
mod rotate;

pub use super::element::{Element, ROW, slot_index};
pub use key::galois_key_limb;
#[cfg(feature = "server")]
pub use rotate::{GaloisKey, GaloisKeys, Hoisted, rotate};
