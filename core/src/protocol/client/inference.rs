//! An inference of a client: what preparing it leaves for its answer, wherever that is asked for.
//! `docs/design.md#two-phases`.

use zeroize::Zeroize;

use super::layer::{Current, Running};
use super::memory::Memory;
use crate::Error;
use crate::packing::Layout;
use crate::protocol::activation::{ClientAnswers, ClientContext};
use crate::protocol::frame::Frame;
use crate::protocol::greeting::{LayersHash, Welcome};
use crate::protocol::share::SharePrf;
use crate::protocol::steps::{AnswerSteps, Room};
use crate::random::{Kdf, Purpose, Seed, SessionId};

/// The message that the answering is at.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum AnswerAt {
    /// None: it has not begun, or is done. All zeros, so that a static client takes no flash.
    Rest = 0,
    /// Sends this frame of the image.
    Image(usize),
    /// Awaits the description of this layer.
    Enter(usize),
    Window,
}

/// The last inference of a session, or the one that a ticket is for. Where there is none, all its bytes
/// are zero.
pub(super) struct Inference<M, P> {
    /// The session that prepares it, or has prepared it.
    pub(super) session: SessionId,
    pub(super) welcome: Welcome,
    pub(super) memory: M,
    pub(super) running: Running<P>,
    pub(super) layers_hash: LayersHash,
    /// What its secrets follow from.
    pub(super) kdf: Kdf,
    pub(super) shares: SharePrf,
    /// What its records are sealed with.
    pub(super) seal: Seed,
    pub(super) answers: ClientAnswers,
    pub(super) steps: AnswerSteps,
    pub(super) at: AnswerAt,
}

impl<M: Memory, P: Layout> Inference<M, P> {
    pub(super) const EMPTY: Self = Self {
        session: SessionId([0; 32]),
        welcome: Welcome::empty(),
        memory: M::EMPTY,
        running: Running::Nothing,
        layers_hash: LayersHash([0; 32]),
        kdf: Kdf::empty(),
        shares: SharePrf::empty(),
        seal: Seed([0; 32]),
        answers: ClientAnswers::empty(),
        steps: AnswerSteps::new(Room::Whole, 0, 0),
        at: AnswerAt::Rest,
    };

    /// Makes its secrets of its own one.
    pub(super) fn draw(&mut self, kdf: Kdf) {
        self.kdf = kdf;
        self.shares = SharePrf::new(&self.kdf.seed(Purpose::Shares, 0));
        self.seal = self.kdf.seed(Purpose::Records, 0);
    }

    /// Erases its secrets, which then nobody here can have again; what layers there are, is kept.
    pub(super) fn forget(&mut self) {
        self.memory.clear();
        self.kdf.zeroize();
        self.shares.zeroize();
        self.seal.zeroize();
    }

    /// What comes after the answer.
    pub(super) fn answered(&mut self) {
        // Only whoever opens shares needs them again.
        #[cfg(feature = "audit")]
        let kdf = Kdf::of(self.kdf.secret().clone());
        self.forget();
        #[cfg(feature = "audit")]
        (self.kdf = kdf);
    }

    /// Its shares, if this session prepares it, or has prepared it.
    #[cfg(feature = "audit")]
    pub(super) fn last_shares(&self, session: &SessionId) -> Option<SharePrf> {
        let seed = self.kdf.seed(Purpose::Shares, 0);
        (self.session == *session).then(|| SharePrf::new(&seed))
    }

    /// Erases all.
    pub(super) fn erase(&mut self) {
        self.forget();
        self.memory.zeroize();
        self.at = AnswerAt::Rest;
    }

    /// Its answers, what a window borrows, the new shares, and the layer that is run.
    pub(super) fn parts(
        &mut self,
    ) -> (
        &mut ClientAnswers,
        ClientContext<'_, M>,
        &mut SharePrf,
        &mut Running<P>,
    ) {
        let context = ClientContext {
            session: &self.session,
            layers: &self.layers_hash,
            store: &mut self.memory,
            seal: &self.seal,
        };
        let Self {
            answers,
            shares,
            running,
            ..
        } = self;
        (answers, context, shares, running)
    }

    /// Takes the description of the next layer.
    #[inline(never)]
    pub(super) fn described(
        &mut self,
        index: usize,
        frame: Frame<'_>,
    ) -> Result<Current<P>, Error> {
        Current::described(&self.welcome, &mut self.layers_hash, index, frame)
    }

    /// A layer that was described.
    pub(super) fn known(&self, index: usize) -> Result<Current<P>, Error> {
        let layer = self.memory.layer(index);
        let layer = layer.ok_or(Error::Internal("a layer without description"))?;
        Current::enter(&self.welcome, index, layer)
    }
}
