//! What sessions run on: TCP, Unix sockets for programs on the same machine, serial lines, and any of
//! them slowed down to a [`LinkSpeed`].

mod frames;
mod link;
mod listener;
mod pace;
pub mod serial;
mod socket;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub mod wire;

pub use frames::FrameSocket;
pub use link::{LinkFileError, LinkSpeed};
pub use listener::{Listener, Peer};
pub(crate) use listener::{PeerName, connect};
pub use pace::Pace;
pub(crate) use pace::shape;
pub use socket::Socket;
