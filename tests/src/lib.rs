//! Helpers shared by the two-party tests.

pub mod linear;
