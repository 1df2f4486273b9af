//! The crate from outside: sessions over every transport, the command `stria`, and its reports.

mod bench;
mod bundle;
mod cli;
mod command;
mod common;
mod import;
mod net;
mod plan;
mod report;
mod results;
#[cfg(unix)]
mod serial;
#[cfg(unix)]
mod tickets;
