//! Tickets in memory: they last as long as the server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use stria_core::TicketError;
use stria_core::protocol::greeting::ModelId;
use stria_core::protocol::server::Tickets;
use stria_core::protocol::ticket::{Claim, Owner, TicketId};
use zeroize::Zeroizing;

use super::index::{Entry, Index, TicketLimits};
use crate::session::SessionError;
use crate::session::entropy;

/// Tickets in memory.
pub struct MemoryTickets {
    model: ModelId,
    kept: Mutex<Kept>,
}

struct Kept {
    index: Index,
    tickets: HashMap<TicketId, (Claim, Zeroizing<Vec<u8>>)>,
}

impl Kept {
    fn drop_expired(&mut self) {
        for id in self.index.expired() {
            self.index.remove(&id);
            self.tickets.remove(&id);
        }
    }
}

impl MemoryTickets {
    /// No tickets yet.
    pub fn new(limits: TicketLimits) -> Result<Self, SessionError> {
        let mut model = [0; 16];
        entropy::unique(&mut model)?;
        Ok(Self {
            model,
            kept: Mutex::new(Kept {
                index: Index::new(limits),
                tickets: HashMap::new(),
            }),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic elsewhere cannot leave it half changed.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tickets for MemoryTickets {
    fn model(&self) -> ModelId {
        self.model
    }

    fn room(&self, owner: &Owner, count: u16, bytes: usize) -> Result<(), TicketError> {
        let mut kept = self.kept();
        kept.drop_expired();
        kept.index.room(owner, count, bytes as u64)
    }

    fn keep(&self, claim: &Claim, ticket: &[u8]) -> Result<(), TicketError> {
        let mut kept = self.kept();
        let bytes = ticket.len() as u64;
        kept.index.room(&claim.owner, 1, bytes)?;
        let entry = Entry {
            owner: claim.owner,
            bytes,
            made: SystemTime::now(),
        };
        kept.index.insert(claim.id, entry);
        let ticket = Zeroizing::new(ticket.to_vec());
        kept.tickets.insert(claim.id, (*claim, ticket));
        Ok(())
    }

    fn take(&self, claim: &Claim) -> Result<Zeroizing<Vec<u8>>, TicketError> {
        let mut kept = self.kept();
        kept.drop_expired();
        match kept.tickets.get(&claim.id) {
            // Locks are hashes of secrets: how long it takes to compare them tells nothing.
            Some((known, _)) if known == claim => {}
            _ => return Err(TicketError::Unknown),
        }
        kept.index.remove(&claim.id);
        let taken = kept.tickets.remove(&claim.id);
        taken.map(|(_, ticket)| ticket).ok_or(TicketError::Unknown)
    }
}
