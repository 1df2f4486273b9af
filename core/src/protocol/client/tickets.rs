//! Tickets of the client: what it keeps of a prepared inference beyond the session, and how it comes
//! back with it. `docs/design.md#tickets`; the server's half is in [`super::super::server`].

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
use super::session::{Goal, Has, Session};
use super::{Client, Running, Step};
use crate::Error;
use crate::error::Usage;
use crate::protocol::activation::ChunkShape;
use crate::protocol::frame::{Frame, FrameBuf, Kind};
use crate::protocol::greeting::{Settings, VERSION, Welcome, write_control};
use crate::protocol::linear::ClientLinear;
use crate::protocol::steps::Room;
use crate::protocol::ticket::{Deposit, Owner, Redeem, TicketId, lock};
use crate::random::{Kdf, Purpose, Seed, SessionId};
use crate::relu::ReluParams;

/// A prepared inference that the server keeps as well: it answers one image, once, in a session of
/// its own. With the server's half whoever has it can open the image, so it must be gone for good
/// before the image leaves: see [`Client::redeem`].
pub struct Ticket<M: Memory> {
    about: About,
    /// What its shares, the key of its records and its token follow from.
    secret: Seed,
    relu: ReluParams,
    kept: M::Kept,
}

/// What is public of a ticket, to both parties.
#[derive(Clone, Serialize, Deserialize)]
struct About {
    version: u16,
    parameters: u16,
    window: u16,
    k_s: u8,
    h: u8,
    id: TicketId,
    owner: Owner,
    welcome: Welcome,
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

/// The message that the redeeming is at.
pub(super) enum At {
    Redeem,
    Redeemed,
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// What redeems the inference.
    fn token(&self) -> Seed {
        self.inference.seed(Purpose::Token, 0)
    }

    /// What the server is told of an inference that becomes a ticket.
    pub(super) fn deposit(&self) -> Option<Deposit> {
        match self.goal {
            Goal::Ticket(owner) => Some(Deposit {
                owner,
                lock: lock(&self.token().0),
            }),
            Goal::Rest | Goal::Answer => None,
        }
    }

    /// Its name, which both parties know without a word.
    fn ticket_id(&self) -> TicketId {
        TicketId::new(&self.id, self.window.inference())
    }
}

impl<M: Memory, L: ClientLinear> Client<M, L> {
    /// Starts to prepare an inference as a ticket of this owner, which outlives the session: once the
    /// client is ready again, [`Client::ticket`] gives it.
    pub fn prepare_ticket(&mut self, owner: Owner) -> Result<(), Error> {
        self.begin(Goal::Ticket(owner))
    }

    /// The ticket that was prepared last, once: the server keeps its half.
    pub fn ticket(&mut self) -> Option<Ticket<M>> {
        let ready = self.is_ready();
        let session = &mut self.session;
        let Has::Ticket(owner) = session.has else {
            return None;
        };
        if !ready {
            return None;
        }
        session.has = Has::Nothing;
        let about = About {
            version: VERSION,
            parameters: L::PARAMETER_SET,
            window: M::ROOM.window(),
            k_s: session.settings.k_s,
            h: session.settings.h,
            id: session.ticket_id(),
            owner,
            welcome: session.welcome.clone(),
        };
        let ticket = Ticket {
            about,
            secret: session.inference.secret().clone(),
            relu: session.window.relu(),
            kept: session.memory.take(),
        };
        session.forget();
        Some(ticket)
    }

    /// Begins a session in which a ticket is redeemed: the client is ready once the server has taken
    /// it, and then [`Client::start`] has an image answered. A closed client does so, or one that has
    /// redeemed another ticket before, over the same line.
    ///
    /// **Between the two** every copy of the ticket must be gone, durably: whoever sends two images
    /// under one ticket tells their difference.
    pub fn redeem(&mut self, ticket: Ticket<M>) -> Result<(), Error> {
        if !(self.is_closed() || self.is_ready() && self.session.redeems) {
            return Err(Error::Usage(Usage::NotReady));
        }
        let result = self.begin_redeeming(ticket);
        if result.is_err() {
            self.close();
        }
        result
    }

    fn begin_redeeming(&mut self, mut ticket: Ticket<M>) -> Result<(), Error> {
        self.close();
        if ticket.about.parameters != L::PARAMETER_SET {
            return Err(Error::ParameterSet {
                ours: L::PARAMETER_SET,
                theirs: ticket.about.parameters,
            });
        }
        let session = &mut self.session;
        let About { id, owner, .. } = ticket.about;
        session.settings = ticket.about.settings();
        session.id = SessionId(id.session);
        session.inference = Kdf::of(ticket.secret.clone());
        session.draw();
        session.redeems = true;
        session.has = Has::Ticket(owner);
        let k_s = session.settings.k_s.into();
        session.window.begin_session::<M>(ticket.relu, k_s);
        session.window.redeem(id.inference);
        session.welcome = ticket.about.welcome.clone();
        session.memory.put(&mut ticket.kept);
        session.check_kept()?;
        self.running = Running::Nothing;
        self.step = Step::Redeem(At::Redeem);
        Ok(())
    }

    /// Writes the greeting.
    pub(super) fn poll_redeem(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let session = &self.session;
        let (Step::Redeem(At::Redeem), Has::Ticket(owner)) = (&self.step, session.has) else {
            return Ok(None);
        };
        let (model, id) = (session.welcome.model, session.ticket_id());
        let redeem = Redeem::new(model, id, owner, &session.token());
        self.step = Step::Redeem(At::Redeemed);
        write_control(out, Kind::Redeem, &redeem).map(Some)
    }

    /// Takes the server's word that it has taken the ticket.
    pub(super) fn handle_redeem(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        if !matches!(self.step, Step::Redeem(At::Redeemed)) {
            return Err(frame.unexpected());
        }
        frame.expect_array::<0>(Kind::Redeemed)?;
        self.session.has = Has::Prepared;
        self.step = Step::Ready;
        Ok(())
    }
}

impl<M: Memory, L: ClientLinear> Session<M, L> {
    /// Whether a ticket's records are those of its layers, where the client keeps them.
    fn check_kept(&self) -> Result<(), Error> {
        if M::ROOM != Room::Whole {
            return Ok(());
        }
        let mut kept = 0;
        for index in 0..usize::from(self.welcome.layers) {
            let current = self.known(index)?;
            let activation = current.layer.activation;
            for shape in ChunkShape::split(current.index, activation, current.facts().outputs) {
                if self.memory.shape(kept) != Some(shape) {
                    return Err(Error::Malformed("ticket: records of other layers"));
                }
                kept += 1;
            }
        }
        match self.memory.shape(kept) {
            None => Ok(()),
            Some(_) => Err(Error::Malformed("ticket: records of no layer")),
        }
    }
}
