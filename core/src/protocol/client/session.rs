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
use crate::protocol::ticket::Owner;
use crate::random::{Kdf, Purpose, Seed, SessionId};

/// What becomes of the inference that is being prepared.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Goal {
    // The first ones are all zeros, so that a static client takes no flash.
    /// It waits for its image.
    Rest = 0,
    /// It is answered at once.
    Answer,
    /// It becomes a ticket of this owner.
    Ticket(Owner),
}

/// What is prepared.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Has {
    Nothing = 0,
    /// An inference that this session can have answered.
    Prepared,
    /// A ticket of this owner.
    Ticket(Owner),
}

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
    pub(super) has: Has,
    pub(super) goal: Goal,
    /// It redeems tickets, and has no keys.
    pub(super) redeems: bool,
    /// What the secrets of later inferences follow from, those of earlier ones not.
    pub(super) ratchet: Kdf,
    /// What the secrets of the last inference follow from.
    pub(super) inference: Kdf,
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
        has: Has::Nothing,
        goal: Goal::Rest,
        redeems: false,
        ratchet: Kdf::empty(),
        inference: Kdf::empty(),
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
        self.ratchet.zeroize();
        self.forget();
        self.work.key.zeroize();
        self.linear.zeroize();
        self.uploads = 0;
        self.inferences = 0;
        (self.has, self.goal, self.redeems) = (Has::Nothing, Goal::Rest, false);
        self.wipe();
    }

    /// Erases the secrets of the last inference, which then nobody here can have again.
    pub(super) fn forget(&mut self) {
        self.memory.clear();
        self.inference.zeroize();
        self.shares.zeroize();
        self.seal.zeroize();
    }

    /// Makes the last inference's secrets of its own one.
    pub(super) fn draw(&mut self) {
        self.shares = SharePrf::new(&self.inference.seed(Purpose::Shares, 0));
        self.seal = self.inference.seed(Purpose::Records, 0);
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
