//! What a session of the server has from the end of the set-up on, and what it keeps of a prepared
//! inference. `docs/design.md#two-phases`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use zeroize::{Zeroize, Zeroizing};

use super::session::{Session, Terms};
use crate::protocol::activation::{Answerable, ServerWindow};
use crate::protocol::linear::Keys;
use crate::random::Purpose;

/// What exists from the end of the set-up on.
pub(super) struct Inferring {
    pub(super) session: Box<Session>,
    pub(super) keys: Keys,
    pub(super) window: ServerWindow,
    /// An inference that is prepared.
    pub(super) ticket: Option<Ticket>,
    /// Inferences that were prepared or begun to be.
    pub(super) inferences: u64,
    pub(super) last: Shares,
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

/// The server's shares mod t of the tensors of an inference, the image's first; erased when dropped.
#[derive(Default)]
pub(super) struct Shares(pub(super) Vec<Vec<u32>>);

impl Drop for Shares {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Shares {
    /// Those of an inference that has been answered: only whoever opens shares needs them again.
    pub(super) fn answered(self) -> Self {
        match cfg!(feature = "audit") {
            true => self,
            false => Self::default(),
        }
    }
}

impl Inferring {
    pub(super) fn new(session: Box<Session>, keys: Keys) -> Self {
        let Terms {
            relu, k_s, room, ..
        } = session.terms();
        let seed = session.kdf.seed(Purpose::Relu, 0);
        Self {
            window: ServerWindow::new(relu, k_s.into(), room, seed),
            session,
            keys,
            ticket: None,
            inferences: 0,
            last: Shares::default(),
        }
    }
}
