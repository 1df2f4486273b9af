//! The crate's one error type.

use crate::network::LayerError;
use crate::wire::wire_enum;

/// Everything that can go wrong in a session. Between two parties of this crate the line, the
/// settings and the budget of queries decide: [`Error::Negotiation`], [`Error::ParameterSet`],
/// [`Error::BudgetSpent`], and what the peer then says of it, [`Error::Peer`]. All else takes a
/// peer that breaks the protocol or a caller that misuses this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A frame of another kind than the protocol's next step.
    UnexpectedFrame {
        /// Kind that the next step needs; 0 for none.
        expected: u8,
        /// Kind that came.
        got: u8,
    },
    /// A frame whose length does not fit its step.
    FrameLength {
        /// Kind of the frame.
        kind: u8,
        /// Payload bytes that the step needs.
        expected: usize,
        /// Payload bytes that came.
        got: usize,
    },
    /// A residue at or above its modulus.
    ResidueTooLarge {
        /// The residue that came.
        residue: u32,
        /// The modulus it must stay below.
        modulus: u32,
    },
    /// Padding bits that must be zero were set.
    DirtyPadding,
    /// The peer speaks another protocol version or parameter set.
    Version {
        /// Ours.
        ours: u16,
        /// Theirs.
        theirs: u16,
    },
    /// A negotiated value outside of what this side accepts.
    Negotiation {
        /// Name of the value.
        what: &'static str,
        /// The value that the peer proposed.
        value: u32,
    },
    /// The client's parameter set is not that of the server's network, which runs in another packing.
    ParameterSet {
        /// The network's.
        ours: u16,
        /// The client's.
        theirs: u16,
    },
    /// A layer description that cannot be run, and why.
    Layer {
        /// Index of the layer in execution order.
        index: u16,
        /// What is wrong with it.
        reason: LayerError,
    },
    /// A control message that does not decode.
    Malformed(&'static str),
    /// The client has no queries left.
    BudgetSpent,
    /// Base transfers gave keys that the two sides do not agree on.
    BaseTransferMismatch,
    /// The layers that were run are not those that were announced.
    LayersMismatch,
    /// Records that the server keeps for the client did not come back as they were sealed.
    RecordsChanged,
    /// A ticket that the server cannot redeem or keep.
    Ticket(TicketError),
    /// The peer ended the session, and said why.
    Peer(PeerError),
    /// A mistake of whoever calls this crate.
    Usage(Usage),
    /// What this crate's own code rules out; no peer and no caller can bring it about. Please report
    /// it.
    Internal(&'static str),
}

/// A mistake of whoever calls this crate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Usage {
    /// A client was asked for an inference or a goodbye while an inference was running, or before
    /// the session was set up.
    NotReady,
    /// A network that has no layers or classes, or more than the protocol has room for.
    NetworkSize {
        /// Its layers.
        layers: usize,
        /// Its classes.
        classes: usize,
    },
    /// A network in slot packing that needs more Galois keys than a client makes.
    GaloisKeys {
        /// Keys that it needs.
        needed: usize,
        /// The most that a client makes.
        most: usize,
    },
    /// An image of another shape than the network takes.
    Image,
    /// Tickets were asked for while an inference is prepared, which waits for its image.
    Prepared,
    /// No tickets at once, or more than the server prepares together.
    Batch {
        /// The most that it does.
        most: u16,
    },
    /// A buffer without room for a frame.
    Buffer,
}

/// Why a server does not redeem a ticket, or does not keep one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TicketError {
    /// There is none of this name and token: it was redeemed or dropped, or is another client's.
    Unknown,
    /// It is for another network, or from before the server's tickets were declared void.
    Model,
    /// There is no room for more, of this client or at all.
    Full,
    /// It could not be stored, or what was stored is damaged.
    Store,
    /// The server keeps no tickets.
    Unsupported,
}

wire_enum! {
    /// Why a peer ended a session, as told over the wire.
    pub enum PeerError {
        /// It got something that breaks the protocol.
        Protocol = 1,
        /// It speaks another version.
        Version = 2,
        /// It does not accept a negotiated value.
        Negotiation = 3,
        /// It is at its limit of sessions.
        Busy = 4,
        /// It is shutting down.
        Closing = 5,
        /// Something else.
        Other = 6,
        /// This client has no queries left.
        BudgetSpent = 7,
        /// Its network runs in a packing that this client has not announced.
        Packing = 8,
        /// See [`TicketError::Unknown`].
        TicketUnknown = 9,
        /// See [`TicketError::Model`].
        TicketModel = 10,
        /// See [`TicketError::Full`].
        TicketsFull = 11,
        /// See [`TicketError::Store`].
        TicketStore = 12,
        /// See [`TicketError::Unsupported`].
        NoTickets = 13,
    }
}

impl From<TicketError> for PeerError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Unknown => Self::TicketUnknown,
            TicketError::Model => Self::TicketModel,
            TicketError::Full => Self::TicketsFull,
            TicketError::Store => Self::TicketStore,
            TicketError::Unsupported => Self::NoTickets,
        }
    }
}

impl core::fmt::Display for TicketError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "there is no such ticket: it was redeemed or dropped, or is another client's"
            }
            Self::Model => {
                "the ticket is for another network, or from before all tickets were declared void"
            }
            Self::Full => "there is no room for more tickets",
            Self::Store => "the ticket could not be stored or read",
            Self::Unsupported => "this server keeps no tickets",
        })
    }
}

impl core::fmt::Display for PeerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Protocol => "it received something that breaks the protocol",
            Self::Version => "it speaks another protocol version",
            Self::Negotiation => "it does not accept a proposed setting",
            Self::Busy => "it is at its limit of sessions",
            Self::BudgetSpent => "the budget of queries is spent",
            Self::Packing => "its network runs in another packing than this client's",
            Self::Closing => "it is shutting down",
            Self::TicketUnknown => {
                "it has no such ticket: it was redeemed or dropped, or is another client's"
            }
            Self::TicketModel => {
                "the ticket is for another network, or from before it declared all tickets void"
            }
            Self::TicketsFull => "it has no room for more tickets",
            Self::TicketStore => "it could not store or read the ticket",
            Self::NoTickets => "it keeps no tickets",
            Self::Other => "of an error on its side",
        })
    }
}

impl core::fmt::Display for Usage {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NotReady => f.write_str("an inference is running or the session is not set up"),
            Self::NetworkSize { layers, classes } => write!(
                f,
                "no network can have {layers} layers and {classes} classes"
            ),
            Self::GaloisKeys { needed, most } => write!(
                f,
                "the network needs {needed} Galois keys, a client makes {most} at most"
            ),
            Self::Image => f.write_str("an image of another shape than the network takes"),
            Self::Prepared => f.write_str("an inference is prepared and waits for its image"),
            Self::Batch { most } => {
                write!(f, "the server prepares 1 to {most} tickets together")
            }
            Self::Buffer => f.write_str("the buffer has no room for a frame"),
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::UnexpectedFrame { expected: 0, got } => {
                write!(f, "expected no frame, got kind {got}")
            }
            Self::UnexpectedFrame { expected, got } => {
                write!(f, "expected a frame of kind {expected}, got kind {got}")
            }
            Self::FrameLength {
                kind,
                expected,
                got,
            } => write!(
                f,
                "a frame of kind {kind} must carry {expected} bytes here, got {got}"
            ),
            Self::ResidueTooLarge { residue, modulus } => {
                write!(f, "residue {residue} is not below its modulus {modulus}")
            }
            Self::DirtyPadding => f.write_str("padding bits are not zero"),
            Self::Version { ours, theirs } => write!(
                f,
                "the peer speaks protocol version {theirs}, this side speaks {ours}"
            ),
            Self::Negotiation { what, value } => {
                write!(
                    f,
                    "the peer proposed {what} = {value}, which is not accepted here"
                )
            }
            Self::ParameterSet { ours, theirs } => write!(
                f,
                "the network runs in a packing with parameter set {ours}, the client has {theirs}"
            ),
            Self::Layer { index, reason } => write!(f, "layer {index} cannot be run: {reason}"),
            Self::Malformed(what) => write!(f, "malformed {what}"),
            Self::BudgetSpent => f.write_str("the client has spent its budget of queries"),
            Self::BaseTransferMismatch => {
                f.write_str("the two sides' base transfer keys do not match")
            }
            Self::RecordsChanged => {
                f.write_str("the server changed records that it keeps for this side")
            }
            Self::LayersMismatch => {
                f.write_str("the layers that were run are not those that were announced")
            }
            Self::Ticket(error) => error.fmt(f),
            Self::Peer(reason) => write!(f, "the peer ended the session because {reason}"),
            Self::Usage(usage) => usage.fmt(f),
            Self::Internal(what) => write!(f, "a mistake in this program: {what}"),
        }
    }
}

impl core::error::Error for Error {}
