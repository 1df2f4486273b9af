//! `stria serve --json`: a line when it listens, and a line a session.

use serde::{Deserialize, Serialize};

use super::counts::Operations;

/// A server is ready.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listening {
    /// Addresses that clients can connect to.
    pub listening: Vec<String>,
}

/// A session that ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SessionReport {
    /// The client.
    pub peer: String,
    /// Inferences started.
    pub queries: u32,
    /// Rotations for kernel taps, of all inferences.
    pub internal_rotations: usize,
    /// Rotations that bring channels together, of all inferences.
    pub external_rotations: usize,
    /// Key switches, of all inferences.
    pub key_switches: usize,
    /// Bytes of Galois keys.
    pub galois_key_bytes: usize,
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// Seconds of them in which the server waited for the client or the line.
    pub seconds_waited: f64,
    /// Most memory that the process had resident so far, where the system tells it.
    pub memory_bytes: Option<u64>,
    /// What was done for every layer in all inferences, in execution order.
    pub layers: Vec<Operations>,
    /// Why it ended, if not by the client's goodbye.
    pub error: Option<String>,
}
