//! What a client has for the whole session, and how it is erased.
//! `docs/design.md#one-inference`.

use zeroize::Zeroize;

use super::memory::Memory;
use crate::ot::{REVERSE, ReceiverTrees, SenderTrees};
use crate::protocol::activation::{ClientContext, ClientWindow};
use crate::protocol::greeting::{LayersHash, Settings, Welcome};
use crate::protocol::linear::{ClientLinear, Workspace};
use crate::protocol::share::SharePrf;
use crate::protocol::steps::{AnswerSteps, PrepareSteps, Room};
use crate::random::{Kdf, Seed, SessionId};

/// What lasts for the whole session. Where there is none, all its bytes are zero, if its packing's
/// are. `settings`, `secret` and `nonce` are there from [`Client::open`] on, the rest from the
/// server's greeting on.
pub(super) struct Session<M, L> {
    pub(super) settings: Settings,
    pub(super) secret: Seed,
    pub(super) nonce: [u8; 32],
    pub(super) id: SessionId,
    pub(super) kdf: Kdf,
    pub(super) welcome: Welcome,
    pub(super) receiver: ReceiverTrees,
    pub(super) sender: SenderTrees<REVERSE>,
    pub(super) choices: Seed,
    pub(super) window: ClientWindow,
    pub(super) memory: M,
    /// Uploads so far; each has seeds of its own.
    pub(super) uploads: u64,
    /// Inferences that were prepared or begun to be.
    pub(super) inferences: u64,
    /// One is prepared and has not been answered.
    pub(super) prepared: bool,
    /// The one that is prepared is to be answered at once.
    pub(super) at_once: bool,
    /// Shares of the last inference, and what its records are sealed with.
    pub(super) shares: SharePrf,
    pub(super) seal: Seed,
    pub(super) prepare: PrepareSteps,
    pub(super) answer: AnswerSteps,
    pub(super) layers_hash: LayersHash,
    pub(super) linear: L,
    pub(super) work: Workspace,
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    pub(super) const EMPTY: Self = Self {
        settings: Settings {
            k_s: 0,
            h: 0,
            labels: false,
        },
        secret: Seed([0; 32]),
        nonce: [0; 32],
        id: SessionId([0; 32]),
        kdf: Kdf::empty(),
        welcome: Welcome::empty(),
        receiver: ReceiverTrees::empty(),
        sender: SenderTrees::empty(),
        choices: Seed([0; 32]),
        window: ClientWindow::empty(),
        memory: M::EMPTY,
        uploads: 0,
        inferences: 0,
        prepared: false,
        at_once: false,
        shares: SharePrf::empty(),
        seal: Seed([0; 32]),
        prepare: PrepareSteps::new(Room::Whole, 0),
        answer: AnswerSteps::new(Room::Whole, 0, 0),
        layers_hash: LayersHash([0; 32]),
        linear: L::EMPTY,
        work: Workspace::EMPTY,
    };

    /// Erases all secrets. Not inlined: it is 4 KiB of stores on a microcontroller.
    #[inline(never)]
    pub(super) fn erase(&mut self) {
        self.secret.zeroize();
        self.kdf.zeroize();
        self.receiver.zeroize();
        self.sender.zeroize();
        self.choices.zeroize();
        self.window.zeroize();
        self.memory.zeroize();
        self.shares.zeroize();
        self.seal.zeroize();
        self.work.key.zeroize();
        self.linear.zeroize();
        self.uploads = 0;
        self.inferences = 0;
        self.prepared = false;
        self.wipe();
    }

    /// Erases what the set-up or an inference left in the scratch.
    pub(super) fn wipe(&mut self) {
        self.work.wipe();
        self.linear.wipe();
    }

    /// The window, what it borrows of the session, and the new shares.
    pub(super) fn window(&mut self) -> (&mut ClientWindow, ClientContext<'_, M>, &mut SharePrf) {
        let context = ClientContext {
            session: &self.id,
            layers: &self.layers_hash,
            store: &mut self.memory,
            receiver: &self.receiver,
            sender: &self.sender,
            choices: &self.choices,
            seal: &self.seal,
            scratch: &mut self.work.scratch,
        };
        (&mut self.window, context, &mut self.shares)
    }
}
