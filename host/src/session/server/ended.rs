//! What is known of a session after its end.

use stria_core::protocol::server::Counters;

use super::super::error::SessionError;
use crate::report::{Operations, SessionReport, machine};
use crate::transport::Peer;

/// A session that ended.
#[derive(Debug)]
pub struct Ended {
    /// The client.
    pub peer: Peer,
    /// Work done for it.
    pub counters: Counters,
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// Seconds of them in which this side waited for the client or the line.
    pub seconds_waited: f64,
    /// Why, if not by the client's goodbye.
    pub error: Option<SessionError>,
}

impl Ended {
    /// The session as `stria serve --json` prints it.
    pub fn report(&self) -> SessionReport {
        let work = self.counters.operations();
        SessionReport {
            peer: self.peer.to_string(),
            queries: self.counters.queries,
            internal_rotations: work.internal_rotations,
            external_rotations: work.external_rotations,
            key_switches: work.key_switches,
            galois_key_bytes: self.counters.galois_key_bytes(),
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            seconds: self.seconds,
            seconds_waited: self.seconds_waited,
            memory_bytes: machine::peak_memory(),
            layers: self.counters.layers.iter().map(Operations::from).collect(),
            error: self.error.as_ref().map(ToString::to_string),
        }
    }
}
