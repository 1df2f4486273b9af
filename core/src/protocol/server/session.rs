//! What a session of the server has from the greetings to its end.
//! `docs/design.md#one-inference`.

use crate::ot::{FORWARD, ReceiverTrees, SenderTrees};
use crate::protocol::greeting::Hello;
use crate::protocol::steps::Room;
use crate::random::{Kdf, Purpose, Seed, SessionId};
use crate::relu::ReluParams;

/// What exists from the greetings on.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) hello: Hello,
    pub(super) relu: ReluParams,
    pub(super) kdf: Kdf,
    pub(super) receiver: ReceiverTrees,
    pub(super) sender: SenderTrees<FORWARD>,
    /// Tickets that the client may have prepared together.
    pub(super) batch: u16,
    /// Responses so far; each has a seed of its own.
    pub(super) responses: u64,
}

/// What a prepared inference is answered by: what the parties agreed on.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The session that prepared it.
    pub(super) session: SessionId,
    pub(super) relu: ReluParams,
    pub(super) k_s: u8,
    pub(super) room: Room,
}

impl Session {
    /// The client's room.
    pub(super) fn room(&self) -> Room {
        Room::of(self.hello.window)
    }

    /// What its inferences are answered by.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            session: self.id,
            relu: self.relu,
            k_s: self.hello.k_s,
            room: self.room(),
        }
    }

    /// The seed of the next response.
    pub(super) fn response_seed(&mut self) -> Seed {
        self.responses += 1;
        self.kdf.seed(Purpose::Response, self.responses - 1)
    }
}
