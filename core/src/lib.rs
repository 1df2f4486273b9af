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

pub mod arith;
pub mod error;
pub mod link;
pub mod network;
pub mod ot;
pub mod packing;
#[cfg(feature = "server")]
pub mod parallel;
pub mod params;
pub mod protocol;
pub mod random;
pub mod relu;
pub mod rlwe;
mod wire;

pub use error::Error;
