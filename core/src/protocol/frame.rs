//! Frames: a kind, a length and up to a KiB of payload; the unit that both parties exchange.
//! `docs/protocol.md` lists every kind with its direction and size.

use crate::wire::wire_enum;
use crate::{Error, error::PeerError};

/// The most payload a frame carries, in bytes.
pub const MAX_PAYLOAD: usize = 1024;
/// Kind and little-endian length.
pub const HEADER: usize = 3;
/// The longest frame, in bytes.
pub const MAX_FRAME: usize = HEADER + MAX_PAYLOAD;

/// Room for one frame.
pub type FrameBuf = [u8; MAX_FRAME];

wire_enum! {
    /// Says what a frame carries.
    pub enum Kind {
        /// Client: greeting.
        Hello = 1,
        /// Server: greeting.
        Welcome = 2,
        /// Server: name of a class.
        Label = 3,
        /// Client: public seed of a ciphertext or of a public key.
        Seed = 4,
        /// Client: coefficients of one limb of c0, or of a public key's b.
        Limb = 5,
        /// Server: coefficients of a response's c1.
        ResponseC1 = 6,
        /// Server: coefficients of a response's c0.
        ResponseC0 = 7,
        /// Client: what gives the server its shares of products.
        Residues = 8,
        /// Either: messages of base transfers, under their keys.
        BaseMessages = 9,
        /// Client: starts to prepare an inference.
        Begin = 10,
        /// Server: public description of the next layer.
        Layer = 11,
        /// Client: corrections of a forward extension.
        ForwardCorrection = 12,
        /// Server: corrections of a reverse extension.
        ReverseCorrection = 13,
        /// Server: masked comparison tables, and what makes the product with their result.
        Answers = 14,
        /// Client: what gives the server its new shares.
        Replies = 15,
        /// Client: its share minus the pseudo-random one that takes its place, where there is no ReLU.
        Reshare = 16,
        /// Server: its shares of logits.
        Logits = 17,
        /// Client: no more inferences.
        Bye = 18,
        /// Server: the automorphisms that it needs Galois keys of.
        Rotations = 19,
        /// Either: this session ends here, and why.
        Fail = 20,
        /// Client: its image, less the pseudo-random shares of it.
        Image = 21,
        /// Client: its records, sealed; server: the same, when they are needed.
        Records = 22,
        /// Server: an inference is prepared.
        Prepared = 23,
        /// Client: a greeting that leads straight to the answer of a ticket.
        Redeem = 24,
        /// Server: the ticket is taken, and waits for its image.
        Redeemed = 25,
    }
}

/// A view of a received frame that was checked once.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// What it carries.
    pub kind: Kind,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Checks kind and length.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, payload) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(Error::Malformed("frame header"))?;
        let kind =
            Kind::try_from(header[0]).map_err(|got| Error::UnexpectedFrame { expected: 0, got })?;
        let len = payload_len(header)?;
        if len != payload.len() {
            return Err(Error::FrameLength {
                kind: header[0],
                expected: len,
                got: payload.len(),
            });
        }
        Ok(Self { kind, payload })
    }

    /// The payload, if the frame is of the kind that the next step needs. A peer's failure
    /// becomes this side's error.
    pub fn expect(self, kind: Kind) -> Result<&'a [u8], Error> {
        if self.kind == kind {
            return Ok(self.payload);
        }
        Err(match self.unexpected() {
            Error::UnexpectedFrame { got, .. } => Error::UnexpectedFrame {
                expected: kind as u8,
                got,
            },
            failure => failure,
        })
    }

    /// What a frame means to a side that waits for none: the peer's failure, or its mistake.
    pub fn unexpected(self) -> Error {
        if self.kind == Kind::Fail {
            return Error::Peer(peer_error(self.payload));
        }
        Error::UnexpectedFrame {
            expected: 0,
            got: self.kind as u8,
        }
    }

    /// As [`Frame::expect`], with a payload of exactly so many bytes.
    pub fn expect_len(self, kind: Kind, expected: usize) -> Result<&'a [u8], Error> {
        let payload = self.expect(kind)?;
        if payload.len() == expected {
            return Ok(payload);
        }
        Err(Error::FrameLength {
            kind: kind as u8,
            expected,
            got: payload.len(),
        })
    }

    /// As [`Frame::expect`], with a payload of exactly `N` bytes.
    pub fn expect_array<const N: usize>(self, kind: Kind) -> Result<&'a [u8; N], Error> {
        let payload = self.expect(kind)?;
        payload.try_into().map_err(|_| Error::FrameLength {
            kind: kind as u8,
            expected: N,
            got: payload.len(),
        })
    }
}

/// Payload bytes that follow a header.
pub fn payload_len(header: &[u8; HEADER]) -> Result<usize, Error> {
    let len = usize::from(u16::from_le_bytes([header[1], header[2]]));
    if len > MAX_PAYLOAD {
        return Err(Error::FrameLength {
            kind: header[0],
            expected: MAX_PAYLOAD,
            got: len,
        });
    }
    Ok(len)
}

fn peer_error(payload: &[u8]) -> PeerError {
    match *payload {
        [reason] => PeerError::try_from(reason).unwrap_or(PeerError::Other),
        _ => PeerError::Other,
    }
}

/// Writes a frame; `fill` writes the payload and says how long it is. Returns the frame's length.
pub fn write(out: &mut FrameBuf, kind: Kind, fill: impl FnOnce(&mut [u8]) -> usize) -> usize {
    let len = fill(&mut out[HEADER..]);
    out[0] = kind as u8;
    out[1..HEADER].copy_from_slice(&(len as u16).to_le_bytes());
    HEADER + len
}

/// The last frame of a side that gives up because of `error`.
pub fn write_failure(out: &mut FrameBuf, error: &Error) -> usize {
    let reason = match error {
        Error::Version { .. } => PeerError::Version,
        Error::Negotiation { .. } => PeerError::Negotiation,
        Error::ParameterSet { .. } => PeerError::Packing,
        Error::BudgetSpent => PeerError::BudgetSpent,
        Error::Ticket(error) => (*error).into(),
        Error::Usage(_) | Error::Internal(_) => PeerError::Other,
        _ => PeerError::Protocol,
    };
    write_reason(out, reason)
}

/// The last frame of a side that gives up for `reason`.
pub fn write_reason(out: &mut FrameBuf, reason: PeerError) -> usize {
    let reason = [reason as u8];
    write(out, Kind::Fail, |payload| {
        let (first, _) = payload.split_at_mut(reason.len());
        first.copy_from_slice(&reason);
        reason.len()
    })
}
