//! What a session of the server has from the end of the set-up on, and what it keeps of a prepared
//! inference. `docs/design.md#two-phases`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use super::State;
use super::session::Session;
use crate::protocol::activation::{Answerable, ServerWindow};
use crate::protocol::linear::Keys;
use crate::random::Purpose;

/// What exists from the end of the set-up on.
pub(super) struct Inferring {
    pub(super) session: Box<Session>,
    pub(super) keys: Keys,
    pub(super) window: ServerWindow,
    /// An inference that is prepared.
    ticket: Option<Ticket>,
    /// Shares mod t of every tensor of this inference, the image's first.
    pub(super) tensors: Vec<Vec<u32>>,
}

/// A prepared inference: it answers one image, once.
#[derive(Default)]
pub(super) struct Ticket {
    pub(super) layers: Vec<LayerTicket>,
}

/// A layer of a prepared inference.
#[derive(Default)]
pub(super) struct LayerTicket {
    /// What the layer adds to the server's share of y, mod t: bias, less the mask that the client
    /// has. In the order of the outputs.
    pub(super) offsets: Zeroizing<Vec<u32>>,
    pub(super) chunks: Vec<Answerable>,
}

impl Drop for Inferring {
    fn drop(&mut self) {
        self.tensors.zeroize();
    }
}

impl Inferring {
    pub(super) fn new(session: Box<Session>, keys: Keys) -> Self {
        let (k_s, seed) = (session.hello.k_s.into(), session.kdf.seed(Purpose::Relu, 0));
        Self {
            window: ServerWindow::new(session.relu, k_s, session.room(), seed),
            session,
            keys,
            ticket: None,
            tensors: Vec::new(),
        }
    }

    /// The prepared inference, which is spent.
    pub(super) fn take(&mut self) -> Option<Ticket> {
        self.ticket.take()
    }

    /// Keeps a prepared inference.
    pub(super) fn prepared(mut self: Box<Self>, ticket: Ticket) -> State {
        self.ticket = Some(ticket);
        State::Ready(self)
    }
}
