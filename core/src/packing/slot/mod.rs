//! Slot packing: SIMD batches with rotations, as GAZELLE and CrypTFlow2 compute linear layers; the
//! baseline that segment packing is compared with.
//! DESIGN section 9; N = 8192, RNS-BFV with hybrid key switching, see [`params`].
//!
//! The client's side ([`rlwe`]) allocates nothing and works on one limb polynomial at a time; the
//! server's side is behind the feature `server`. Nothing here is part of the segment engine.

#[cfg(feature = "server")]
pub mod cipher;
#[cfg(feature = "server")]
pub mod conv;
pub mod encoding;
pub mod galois;
pub mod layout;
pub mod params;
#[cfg(feature = "server")]
pub mod privacy;
pub mod rlwe;
#[cfg(feature = "server")]
pub mod rotate;
