//! What a server knows of its tickets without opening them, and how many it keeps.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use stria_core::TicketError;
use stria_core::protocol::ticket::{Owner, TicketId};

/// How many tickets a server keeps.
#[derive(Clone, Copy, Debug)]
pub struct TicketLimits {
    /// Of all clients.
    pub tickets: usize,
    /// Of one client.
    pub of_client: usize,
    /// Bytes of all.
    pub bytes: u64,
    /// For how long.
    pub life: Duration,
}

impl Default for TicketLimits {
    fn default() -> Self {
        Self {
            tickets: 4096,
            of_client: 256,
            bytes: 4 << 30,
            life: Duration::from_secs(30 * 86_400),
        }
    }
}

/// What is known of a ticket.
pub(super) struct Entry {
    pub owner: Owner,
    pub bytes: u64,
    pub made: SystemTime,
}

/// The tickets that are there.
pub(super) struct Index {
    limits: TicketLimits,
    entries: HashMap<TicketId, Entry>,
    bytes: u64,
}

impl Index {
    pub fn new(limits: TicketLimits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            bytes: 0,
        }
    }

    /// Whether there is room for so many more of a client, of so many bytes each.
    pub fn room(&self, owner: &Owner, count: u16, bytes: u64) -> Result<(), TicketError> {
        let limits = &self.limits;
        let of_client = || {
            let entries = self.entries.values();
            entries.filter(|entry| entry.owner == *owner).count()
        };
        let bytes = bytes.saturating_mul(count.into());
        let count = usize::from(count);
        let full = self.entries.len() + count > limits.tickets
            || self.bytes.saturating_add(bytes) > limits.bytes
            || of_client() + count > limits.of_client;
        match full {
            true => Err(TicketError::Full),
            false => Ok(()),
        }
    }

    pub fn insert(&mut self, id: TicketId, entry: Entry) {
        self.bytes += entry.bytes;
        if let Some(old) = self.entries.insert(id, entry) {
            self.bytes -= old.bytes;
        }
    }

    pub fn remove(&mut self, id: &TicketId) {
        if let Some(entry) = self.entries.remove(id) {
            self.bytes -= entry.bytes;
        }
    }

    /// Those that have reached the end of their life.
    pub fn expired(&self) -> Vec<TicketId> {
        let now = SystemTime::now();
        let old = |entry: &Entry| {
            let age = now.duration_since(entry.made);
            age.is_ok_and(|age| age > self.limits.life)
        };
        let old = self.entries.iter().filter(|(_, entry)| old(entry));
        old.map(|(id, _)| *id).collect()
    }
}
