//! Private inference of convolutional networks for devices that have no room for it.
//!
//! The client's side allocates nothing and runs in one value of fixed size; the server's side is
//! behind the feature `server`.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(feature = "server", test))]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bits;
#[cfg(any(target_pointer_width = "32", test))]
mod chacha;
#[cfg(feature = "server")]
pub mod conv;
pub mod error;
pub mod input;
pub mod layer;
pub mod link;
pub mod modular;
pub mod name;
pub mod ntt;
pub mod ot;
pub mod packing;
#[cfg(feature = "server")]
pub mod parallel;
pub mod params;
pub mod prg;
#[cfg(feature = "server")]
pub mod privacy;
pub mod protocol;
pub mod relu;
pub mod rlwe;
pub mod sample;
pub mod segment;
pub mod share;
pub mod slot;
pub mod work;

pub use error::Error;
