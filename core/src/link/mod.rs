//! Link: a reliable byte stream over a serial line that loses, repeats, changes and reorders bytes.
//! Selective repeat with cumulative and selective acknowledgement (RFC 2018), retransmission timer of
//! RFC 6298; `docs/protocol.md` has the packets, byte by byte. TCP connections do not use it.
//!
//! [`Link`] is one end of the line without any input or output: bytes and times go in, packets come
//! out. [`LinkIo`] drives one over a [`Line`] and is a blocking `embedded-io` stream, on which the
//! protocol's frames run. The receiver keeps packets that come out of order, and acknowledges each by
//! its own bit, so that one lost packet costs one packet; the cumulative number moves on only
//! when the application has read, so that a full receiver holds its sender back without a loss.

mod greeting;
mod inbox;
mod io;
mod machine;
mod outbox;
#[deny(clippy::indexing_slicing)]
mod packet;
mod timer;

pub use io::{IoError, Line, LinkIo};
pub use machine::{Link, LinkError, State};
pub use packet::payload_len;
pub use timer::Timing;
