//! The std side of Stria: model files, the plaintext reference, pictures, sessions and reports.
//!
//! The protocol itself is in `stria-core`; this crate gives it networks, pictures and a face. Each
//! folder may use those above it:
//!
//! * [`model`]: networks, from the model file to what they compute in plaintext;
//! * [`data`]: pictures and data sets;
//! * [`import`]: from a trained network in floating point to a model file;
//! * [`transport`]: sockets, serial lines, and links that slow them down;
//! * [`report`]: what the program writes, for programs and for people;
//! * [`session`]: client and server, over any transport;
//! * [`planner`]: what an inference costs, without running it;
//! * [`mod@bench`]: what it costs, measured.
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::unreachable, clippy::todo, clippy::unimplemented)]

pub mod bench;
pub mod data;
pub mod import;
pub mod model;
pub mod planner;
pub mod report;
pub mod session;
pub mod transport;

pub use model::{Model, ModelError, ModelLayer};
