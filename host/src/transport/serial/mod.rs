//! Serial lines. A line runs the link layer (`stria_core::link`) in threads of its own, so that the
//! peer gets its acknowledgements while this side computes; the stream on top is a
//! [`Socket`](super::Socket) like any other, for one session at a time.

mod line;
mod port;
mod shared;
mod stream;
mod threads;

pub use line::Serial;
pub(super) use stream::connect;

/// Bits a second where nothing else is said.
pub const DEFAULT_BAUD: u32 = 115_200;
