//! What a client has for the whole session, and how it is erased.
//! `docs/design.md#one-inference`.

use zeroize::Zeroize;

use super::inference::Inference;
use super::memory::Memory;
use crate::ot::{REVERSE, ReceiverTrees, SenderTrees};
use crate::protocol::activation::{ClientContext, ClientTransfers, ClientWindow, Residues};
use crate::protocol::greeting::Settings;
use crate::protocol::linear::{ClientLinear, Workspace};
use crate::protocol::steps::{PrepareSteps, Room};
use crate::protocol::ticket::Owner;
use crate::random::{Kdf, Seed};

/// What becomes of the inferences that are being prepared.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Goal {
    // The first ones are all zeros, so that a static client takes no flash.
    /// The one waits for its image.
    Rest = 0,
    /// The one is answered at once.
    Answer,
    /// Each becomes a ticket of this owner.
    Tickets(Owner),
}

/// What is prepared.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Has {
    Nothing = 0,
    /// An inference that this session can have answered.
    Prepared,
    /// A ticket.
    Ticket,
}

/// Inferences that are prepared together.
pub(super) struct Batch {
    /// What their secrets follow from, until all are prepared.
    pub(super) secrets: Kdf,
    pub(super) goal: Goal,
    pub(super) steps: PrepareSteps,
    /// Number of the first in the session.
    pub(super) first: u64,
    /// The one that the session's inference is.
    pub(super) turn: u16,
    /// Chunks of each before the layer.
    pub(super) done: usize,
}

impl Batch {
    const EMPTY: Self = Self {
        secrets: Kdf::empty(),
        goal: Goal::Rest,
        steps: PrepareSteps::new(Room::Whole, 0, 0),
        first: 0,
        turn: 0,
        done: 0,
    };

    /// Number of the one whose turn it is in the session.
    pub(super) fn number(&self) -> u64 {
        self.first + u64::from(self.turn)
    }
}

/// What lasts for the whole session. Where there is none, all its bytes are zero, if its packing's
/// are. `settings`, `secret` and `nonce` are there from [`super::Client::open`] on, the rest from the
/// server's greeting on.
pub(super) struct Session<M: Memory, L: ClientLinear> {
    pub(super) settings: Settings,
    pub(super) secret: Seed,
    pub(super) nonce: [u8; 32],
    pub(super) kdf: Kdf,
    pub(super) receiver: ReceiverTrees,
    pub(super) sender: SenderTrees<REVERSE>,
    pub(super) choices: Seed,
    pub(super) window: ClientWindow,
    pub(super) residues: M::Residues,
    /// Uploads so far; each has seeds of its own.
    pub(super) uploads: u64,
    /// Inferences that were prepared or begun to be.
    pub(super) inferences: u64,
    pub(super) has: Has,
    pub(super) batch: Batch,
    /// What the secrets of later inferences follow from, those of earlier ones not.
    pub(super) ratchet: Kdf,
    pub(super) linear: L,
    pub(super) work: Workspace,
    /// The last inference. What the server has told is there before the first.
    pub(super) inference: Inference<M, L::Layout>,
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
        kdf: Kdf::empty(),
        receiver: ReceiverTrees::empty(),
        sender: SenderTrees::empty(),
        choices: Seed([0; 32]),
        window: ClientWindow::empty(),
        residues: M::Residues::EMPTY,
        uploads: 0,
        inferences: 0,
        has: Has::Nothing,
        batch: Batch::EMPTY,
        ratchet: Kdf::empty(),
        linear: L::EMPTY,
        work: Workspace::EMPTY,
        inference: Inference::EMPTY,
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
        self.residues.zeroize();
        self.ratchet.zeroize();
        self.batch.secrets.zeroize();
        self.inference.erase();
        self.work.key.zeroize();
        self.linear.zeroize();
        self.uploads = 0;
        self.inferences = 0;
        (self.has, self.batch.goal) = (Has::Nothing, Goal::Rest);
        self.wipe();
    }

    /// Erases what the set-up or an inference left in the scratch.
    pub(super) fn wipe(&mut self) {
        self.work.wipe();
        self.linear.wipe();
    }

    /// The window, and what it borrows.
    pub(super) fn window(
        &mut self,
    ) -> (
        &mut ClientWindow,
        ClientContext<'_, M>,
        ClientTransfers<'_, M::Residues>,
    ) {
        let transfers = ClientTransfers {
            receiver: &self.receiver,
            sender: &self.sender,
            choices: &self.choices,
            residues: &mut self.residues,
            scratch: &mut self.work.scratch,
        };
        let (_, context, ..) = self.inference.parts();
        (&mut self.window, context, transfers)
    }
}
