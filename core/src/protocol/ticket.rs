//! Tickets: prepared inferences that outlive the session that prepared them. What both parties know
//! of one, and how it is redeemed. `docs/design.md#tickets`.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::greeting::{ModelId, VERSION};
use crate::random::{Seed, SessionId};

/// A client's name of itself: random bytes that it keeps, until there is a channel that says who the
/// client is.
pub type Owner = [u8; 32];

/// Names a ticket: the session that prepared it, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct TicketId {
    /// A hash of both greetings, which stands for all that the parties agreed on.
    pub session: [u8; 32],
    /// Number of the inference in the session.
    pub inference: u64,
}

impl TicketId {
    /// Of an inference.
    pub fn new(session: &SessionId, inference: u64) -> Self {
        Self {
            session: session.0,
            inference,
        }
    }
}

/// Whose a ticket is, and who may redeem it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The ticket.
    pub id: TicketId,
    /// The client that had it prepared.
    pub owner: Owner,
    /// A hash of the ticket's token.
    pub lock: [u8; 32],
}

/// What `Begin` says of an inference that becomes a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deposit {
    /// Tickets of the same batch that this one is before.
    pub following: u16,
    /// See [`Claim`].
    pub owner: Owner,
    /// See [`Claim`].
    pub lock: [u8; 32],
}

/// A greeting that leads straight to the answer of a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Redeem {
    /// [`VERSION`].
    pub version: u16,
    /// The network as the server named it.
    pub model: ModelId,
    /// The ticket.
    pub id: TicketId,
    /// The client.
    pub owner: Owner,
    /// What opens the lock. Whoever has seen it can redeem the ticket, which it does.
    pub token: [u8; 32],
}

impl Redeem {
    /// Of a ticket of the network `model`, with its token.
    pub fn new(model: ModelId, id: TicketId, owner: Owner, token: &Seed) -> Self {
        Self {
            version: VERSION,
            model,
            id,
            owner,
            token: token.0,
        }
    }

    /// What it claims.
    pub fn claim(&self) -> Claim {
        Claim {
            id: self.id,
            owner: self.owner,
            lock: lock(&self.token),
        }
    }
}

/// The lock of a token: whoever overhears the one cannot redeem with it.
pub fn lock(token: &[u8; 32]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(b"stria ticket lock 1");
    hash.chain_update(token).finalize().into()
}
