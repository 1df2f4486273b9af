//! Why a session ended before its time.

use stria_core::DriveError;
use stria_core::Error as ProtocolError;
use stria_core::link::LinkError;

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The line could not be opened.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where to.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The operating system gives no randomness.
    #[error("no randomness from the operating system: {0}")]
    Entropy(getrandom::Error),
    /// The line failed.
    #[error("the line failed")]
    Io(#[source] std::io::Error),
    /// The connection over a serial line failed.
    #[error(transparent)]
    Link(LinkError),
    /// The peer closed the line in the middle of a session.
    #[error("the peer closed the line")]
    Closed,
    /// The peer said nothing for too long.
    #[error("the peer was silent for too long")]
    Silent,
    /// This side is asked to stop, and the session is between inferences.
    #[error("shutting down")]
    Stopped,
    /// The peer broke the protocol, or refused to go on.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Slot packing, with the small client.
    #[error("the client that fits a microcontroller has no room for slot packing")]
    NoRoom,
    /// A connection that redeems tickets was asked to prepare.
    #[error("a client that redeems tickets has no keys to prepare with")]
    Redeems,
    /// A connection that prepares was asked to redeem a ticket.
    #[error("a client that prepares does not redeem tickets")]
    Prepares,
    /// A ticket that could not be taken away, and so is not used.
    #[error("cannot take the ticket away")]
    Spend(#[source] std::io::Error),
    /// A ticket that somebody else uses.
    #[error("the ticket was used at the same time elsewhere")]
    Spent,
    /// The image has another shape than the server announced.
    #[error("an image of another shape than announced")]
    Image,
    /// The server's greeting does not describe an input that this client can make.
    #[error("the server's network has an input that this client cannot make: {0}")]
    Input(&'static str),
}

impl From<std::io::Error> for SessionError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::*;
        match error.kind() {
            TimedOut | WouldBlock => Self::Silent,
            Interrupted => Self::Stopped,
            ConnectionReset | ConnectionAborted | BrokenPipe => Self::Closed,
            _ => match error.get_ref().and_then(|source| source.downcast_ref()) {
                Some(&error) => Self::Link(error),
                None => Self::Io(error),
            },
        }
    }
}

impl From<DriveError<std::io::Error>> for SessionError {
    fn from(error: DriveError<std::io::Error>) -> Self {
        match error {
            DriveError::Closed => Self::Closed,
            DriveError::Protocol(error) => Self::Protocol(error),
            DriveError::Io(error) => error.into(),
        }
    }
}
