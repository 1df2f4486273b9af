//! Tickets of the client: what it keeps of a prepared inference beyond the session. `redeem` comes back
//! with it. `docs/design.md#tickets`; the server's half is in [`super::super::server`].

#[cfg(feature = "alloc")]
use alloc::vec;
#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;
#[cfg(feature = "alloc")]
use zeroize::Zeroizing;

use super::memory::Memory;
use super::prepare::At;
use super::session::{Batch, Goal, Has, Session};
use super::{Client, Step};
use crate::Error;
use crate::error::{TicketError, Usage};
use crate::protocol::greeting::{Settings, VERSION, Welcome};
use crate::protocol::linear::ClientLinear;
use crate::protocol::steps::Room;
use crate::protocol::ticket::{Deposit, Owner, TicketId, lock};
use crate::random::{Kdf, Purpose, Seed};
use crate::relu::ReluParams;

/// A prepared inference that the server keeps as well: it answers one image, once, in a session of
/// its own. With the server's half whoever has it can open the image, so it must be gone for good
/// before the image leaves: see [`super::AnswerClient::redeem`].
pub struct Ticket<M: Memory> {
    pub(super) about: About,
    /// What its shares, the key of its records and its token follow from.
    pub(super) secret: Seed,
    pub(super) relu: ReluParams,
    pub(super) kept: M::Kept,
}

/// What is public of a ticket, to both parties.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct About {
    version: u16,
    pub(super) parameters: u16,
    window: u16,
    pub(super) k_s: u8,
    h: u8,
    pub(super) id: TicketId,
    pub(super) owner: Owner,
    pub(super) welcome: Welcome,
}

/// The longest head of a stored ticket, in bytes: what is public, and the secret.
const MAX_HEAD: usize = 512;
/// Bytes of the hash at the end of a stored ticket.
const CHECK: usize = 32;

impl<M: Memory> Drop for Ticket<M> {
    fn drop(&mut self) {
        self.kept.zeroize();
    }
}

impl<M: Memory> Ticket<M> {
    /// Its name.
    pub fn id(&self) -> TicketId {
        self.about.id
    }

    /// What the server said of its network.
    pub fn welcome(&self) -> &Welcome {
        &self.about.welcome
    }

    /// Bytes of [`Ticket::write`] at most.
    pub fn bytes(&self) -> usize {
        MAX_HEAD + M::packed(&self.kept, &self.relu) + CHECK
    }

    /// Writes it into `out`, which has room for [`Ticket::bytes`]; gives its length. All of it is
    /// secret.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, Error> {
        let room = Error::Usage(Usage::Buffer);
        let head = postcard::to_slice(&(&self.about, &self.secret.0), out).map_err(|_| room)?;
        let len = head.len();
        let rest = out.get_mut(len..).ok_or(room)?;
        let end = len + M::pack(&self.kept, &self.relu, rest).ok_or(room)?;
        let check: [u8; CHECK] = Sha256::digest(&out[..end]).into();
        let place = out.get_mut(end..end + CHECK).ok_or(room)?;
        place.copy_from_slice(&check);
        Ok(end + CHECK)
    }

    /// Takes a ticket as [`Ticket::write`] wrote it.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = Error::Malformed("ticket");
        let (bytes, check) = bytes.split_last_chunk::<CHECK>().ok_or(damaged)?;
        if Sha256::digest(bytes)[..] != check[..] {
            return Err(damaged);
        }
        let (version, _) = postcard::take_from_bytes(bytes).map_err(|_| damaged)?;
        if version != VERSION {
            return Err(Error::Version {
                ours: VERSION,
                theirs: version,
            });
        }
        let ((about, mut plain), kept): ((About, [u8; 32]), _) =
            postcard::take_from_bytes(bytes).map_err(|_| damaged)?;
        let secret = Seed(plain);
        plain.zeroize();
        if Room::of(about.window) != M::ROOM {
            return Err(damaged);
        }
        let relu = about.relu()?;
        Ok(Self {
            kept: M::unpack(&relu, about.welcome.layers, kept)?,
            secret,
            relu,
            about,
        })
    }

    /// As [`Ticket::write`], on the heap.
    #[cfg(feature = "alloc")]
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut bytes = Zeroizing::new(vec![0; self.bytes()]);
        let len = self.write(&mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl About {
    fn settings(&self) -> Settings {
        Settings {
            k_s: self.k_s,
            h: self.h,
            labels: false,
        }
    }

    fn relu(&self) -> Result<ReluParams, Error> {
        self.welcome.check(&self.settings())
    }
}

/// What redeems an inference.
pub(super) fn token(inference: &Kdf) -> Seed {
    inference.seed(Purpose::Token, 0)
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// What the server is told of an inference that becomes a ticket.
    pub(super) fn deposit(&self) -> Option<Deposit> {
        let Batch {
            goal, steps, turn, ..
        } = &self.batch;
        match *goal {
            Goal::Tickets(owner) => Some(Deposit {
                following: steps.following(*turn),
                owner,
                lock: lock(&token(&self.inference.kdf).0),
            }),
            Goal::Rest | Goal::Answer => None,
        }
    }
}

impl<M: Memory, L: ClientLinear> Client<M, L> {
    /// Starts to prepare so many inferences together as tickets of this owner, which outlive the session:
    /// at most as many as [`Welcome::batch`] says. For each of them the client rests once, and goes on
    /// when [`Client::ticket`] has given it. The last one is lost if anything else is begun before.
    pub fn prepare_tickets(&mut self, owner: Owner, count: u16) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::Usage(Usage::NotReady));
        }
        if self.is_prepared() {
            return Err(Error::Usage(Usage::Prepared));
        }
        let most = self.welcome().map_or(0, |welcome| welcome.batch);
        if most == 0 {
            return Err(Error::Ticket(TicketError::Unsupported));
        }
        if !(1..=most).contains(&count) {
            return Err(Error::Usage(Usage::Batch { most }));
        }
        self.begin(Goal::Tickets(owner), count)
    }

    /// The ticket that was prepared last, once: the server keeps its half.
    pub fn ticket(&mut self) -> Option<Ticket<M>> {
        let rests = matches!(self.step, Step::Ready | Step::Prepare(At::Ticket));
        let session = &mut self.session;
        let (Has::Ticket, Goal::Tickets(owner)) = (session.has, session.batch.goal) else {
            return None;
        };
        if !rests {
            return None;
        }
        session.has = Has::Nothing;
        let inference = &mut session.inference;
        let about = About {
            version: VERSION,
            parameters: L::PARAMETER_SET,
            window: M::ROOM.window(),
            k_s: session.settings.k_s,
            h: session.settings.h,
            id: TicketId::new(&inference.session, session.batch.number()),
            owner,
            welcome: inference.welcome.clone(),
        };
        let ticket = Ticket {
            about,
            secret: inference.kdf.secret().clone(),
            relu: session.window.relu(),
            kept: inference.memory.take(),
        };
        inference.forget();
        Some(ticket)
    }
}
