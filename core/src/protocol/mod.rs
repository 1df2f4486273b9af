//! The two-party protocol: what is exchanged (`frame`), in which order (`steps`), one module a step
//! with both parties' sides, and the two state machines that take the steps (`client`, `server`).
//! `docs/design.md#one-inference` and what follows; `docs/protocol.md` lists the messages.
//!
//! A state machine does no I/O and never blocks. Its driver repeats: write the frames that `poll`
//! gives; when it gives none, read one frame and `handle` it. The parties take turns, so a driver
//! that does only one of both at a time cannot lock up.

pub mod activation;
pub mod base;
pub mod client;
pub mod corrections;
#[deny(clippy::indexing_slicing)]
pub mod frame;
#[deny(clippy::indexing_slicing)]
pub mod greeting;
pub mod linear;
#[cfg(feature = "server")]
pub mod network;
pub mod seal;
#[cfg(feature = "server")]
pub mod server;
pub mod share;
pub mod steps;
pub mod ticket;
#[cfg(feature = "server")]
pub mod traffic;
pub mod transfer;
