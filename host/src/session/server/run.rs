//! One session, frame by frame.

use stria_core::protocol::frame::{MAX_FRAME, write_reason};
use stria_core::protocol::server::Server;
use stria_core::{Error as ProtocolError, Observer, PeerError, drive};

use super::super::error::SessionError;
use crate::transport::FrameSocket;

/// Tells the client why its session ends, where it can still be told.
pub(in crate::session) fn tell(line: FrameSocket, error: &SessionError) {
    let reason = match error {
        SessionError::Protocol(ProtocolError::Peer(_)) | SessionError::Closed => return,
        // The driver has told.
        SessionError::Protocol(_) => return line.linger(),
        SessionError::Stopped => PeerError::Closing,
        _ => PeerError::Other,
    };
    let mut buffer = [0; MAX_FRAME];
    let len = write_reason(&mut buffer, reason);
    line.close_with(&buffer[..len]);
}

/// Runs a session to its end. `moved` sees the server after each frame, and whether that was the
/// last one of an inference.
pub fn run(
    server: &mut Server,
    line: &mut FrameSocket,
    moved: impl FnMut(&Server, bool),
) -> Result<(), SessionError> {
    let mut watch = Watch { moved, done: 0 };
    // The line gathers what it sends.
    drive(server, line, &mut [0; MAX_FRAME], &mut watch)?;
    (watch.moved)(server, false);
    Ok(())
}

/// Sees inferences end, between which the line may be told to stop.
struct Watch<F> {
    moved: F,
    /// Inferences that have ended.
    done: u32,
}

impl<F: FnMut(&Server, bool)> Observer<Server, FrameSocket> for Watch<F> {
    fn waits(&mut self, server: &Server, line: &mut FrameSocket) {
        let answered = server.counters().answered;
        (self.moved)(server, answered > self.done);
        self.done = answered;
        // Not while an inference is prepared or answered; but between the two phases.
        line.await_frame(!server.is_busy());
    }
}
