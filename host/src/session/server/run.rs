//! One session, frame by frame.

use stria_core::protocol::frame::{MAX_FRAME, write_failure, write_reason};
use stria_core::protocol::server::Server;
use stria_core::{Error as ProtocolError, PeerError};

use super::super::error::SessionError;
use crate::transport::FrameSocket;

/// Tells the client why its session ends, where it can still be told.
pub(in crate::session) fn tell(line: FrameSocket, error: &SessionError) {
    let mut buffer = [0; MAX_FRAME];
    let len = match error {
        SessionError::Protocol(ProtocolError::Peer(_)) | SessionError::Closed => return,
        SessionError::Protocol(error) => write_failure(&mut buffer, error),
        SessionError::Stopped => write_reason(&mut buffer, PeerError::Closing),
        _ => write_reason(&mut buffer, PeerError::Other),
    };
    line.close_with(&buffer[..len]);
}

/// Runs a session to its end. `moved` sees the server after each frame, and whether that was the
/// last one of an inference.
pub fn run(
    server: &mut Server,
    line: &mut FrameSocket,
    mut moved: impl FnMut(&Server, bool),
) -> Result<(), SessionError> {
    let mut buffer = [0; MAX_FRAME];
    // Inferences that have ended.
    let mut done = 0;
    loop {
        while let Some(len) = server.poll(&mut buffer)? {
            line.write_frame(&buffer[..len])?;
        }
        line.flush()?;
        let inferred = server.is_ready() && server.counters().queries > done;
        moved(server, inferred);
        if server.is_closed() {
            return Ok(());
        }
        if inferred {
            done = server.counters().queries;
        }
        let idle = server.counters().queries == done;
        let frame = line.read_frame(&mut buffer, idle)?;
        server.handle(frame)?;
    }
}
