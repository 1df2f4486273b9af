//! `stria prepare` and `stria tickets`.

use serde::{Deserialize, Serialize};

use super::PhasePart;

/// `stria prepare --json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PrepareReport {
    /// Files of the tickets.
    pub tickets: Vec<String>,
    /// What the server calls its network.
    pub network: String,
    /// Bytes of the session's set-up, up and down.
    pub bytes_setup: u64,
    /// Seconds from connecting to the end of the set-up.
    pub seconds_setup: f64,
    /// Tickets that were prepared together, at most.
    pub together: u16,
    /// What one ticket took, on average: its share, where several were prepared together.
    pub prepare: PhasePart,
}

/// `stria tickets list --json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TicketsReport {
    /// The oldest first.
    pub tickets: Vec<ListedTicket>,
}

/// A ticket of a client's folder.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct ListedTicket {
    /// Its file.
    pub file: String,
    /// What the server called its network.
    pub network: Option<String>,
    /// Where the server was.
    pub address: Option<String>,
    /// Whether the client is the small one.
    pub small: Option<bool>,
    /// How old it is.
    pub age_seconds: Option<u64>,
    /// Bytes of its file.
    pub bytes: Option<u64>,
    /// Why it is none.
    pub error: Option<String>,
}
