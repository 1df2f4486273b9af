//! `stria-sim` from outside: the firmware in QEMU, and the same client in its process.

mod common;
mod firmware;
mod hosted;
