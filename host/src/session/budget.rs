//! How many inferences each client may start. `core/docs/design.md#threat-model`: enough of them
//! copy a network.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use stria_core::protocol::server::Budget;

use crate::transport::PeerName;

/// Clients that have a budget of their own; further ones share one.
const CLIENTS: usize = 1 << 16;

/// Budgets by client address, for as long as the server runs. An address is the only name that a
/// client has before there is a channel that authenticates it; clients of a Unix socket share one.
pub struct Ledger {
    queries: u32,
    clients: Mutex<HashMap<PeerName, Budget>>,
    others: Budget,
}

impl Ledger {
    /// Gives every client so many inferences.
    pub fn new(queries: u32) -> Self {
        Self {
            queries,
            clients: Mutex::new(HashMap::new()),
            others: Budget::new(queries),
        }
    }

    /// The budget of a client: the same one for all its sessions.
    pub fn of(&self, client: PeerName) -> Budget {
        // A panic elsewhere cannot leave the map half changed.
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.contains_key(&client) && clients.len() >= CLIENTS {
            return self.others.clone();
        }
        let budget = || Budget::new(self.queries);
        clients.entry(client).or_insert_with(budget).clone()
    }
}
