//! Tickets: how a prepared inference is stored, and what the server asks of whoever stores it.
//! `docs/design.md#tickets`; the client's half is in [`super::super::client`].

use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Context;
use super::inferring::{Inferring, LayerTicket, Ticket};
use super::session::{Session, Terms};
use crate::Error;
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS};
use crate::error::TicketError;
use crate::protocol::activation::{ChunkShape, StoredChunks};
use crate::protocol::frame::{Frame, Kind};
use crate::protocol::greeting::{
    LayersHash, ModelId, VERSION, read_control, read_greeting, relu_params,
};
use crate::protocol::network::{Network, NetworkLayer};
use crate::protocol::steps::Room;
use crate::protocol::ticket::{Claim, Deposit, Owner, Redeem, TicketId};
use crate::random::SessionId;

/// Where a server keeps tickets. All of it may be called by several sessions at the same time.
pub trait Tickets: Send + Sync {
    /// What the server calls its network, as long as the tickets are valid.
    fn model(&self) -> ModelId;
    /// Whether there is room for so many more of this client, of so many bytes each, before they are
    /// prepared.
    fn room(&self, owner: &Owner, count: u16, bytes: usize) -> Result<(), TicketError>;
    /// Keeps a ticket, which nobody but the claim's client can have again. When this returns, it
    /// lasts as long as it is supposed to.
    fn keep(&self, claim: &Claim, ticket: &[u8]) -> Result<(), TicketError>;
    /// Takes the ticket that was kept under exactly this claim: once. When this returns, nobody
    /// ever gets it again, whatever happens to the server. A wrong claim takes nothing.
    fn take(&self, claim: &Claim) -> Result<Zeroizing<Vec<u8>>, TicketError>;
}

/// What a stored ticket begins with: what was agreed on, as far as the answer needs it.
#[derive(Serialize, Deserialize)]
struct Head {
    version: u16,
    layers_hash: [u8; 32],
    shift: u8,
    k_s: u8,
    h: u8,
    window: u16,
}

/// The longest encoding of a [`Head`], in bytes.
const MAX_HEAD: usize = 64;

/// What a client wants of an inference that it begins: an answer in this session, or a ticket.
pub(super) fn deposit(frame: Frame<'_>) -> Result<Option<Deposit>, Error> {
    match frame.expect(Kind::Begin)? {
        [] => Ok(None),
        payload => read_control(payload, "deposit").map(Some),
    }
}

/// Tickets of the batch that a client begins with this one, if there is room for all.
pub(super) fn room(session: &Session, context: &Context, first: &Deposit) -> Result<u16, Error> {
    let tickets = context.tickets()?;
    let refused = Error::Negotiation {
        what: "tickets of a batch",
        value: u32::from(first.following) + 1,
    };
    let count = first.following.checked_add(1);
    let count = count.filter(|&count| count <= session.batch);
    let count = count.ok_or(refused)?;
    let bytes = MAX_HEAD + session.terms().packed(&context.network);
    let room = tickets.room(&first.owner, count, bytes);
    room.map_err(Error::Ticket).map(|()| count)
}

/// Has a prepared inference of this number kept.
pub(super) fn keep(
    inferring: &Inferring,
    context: &Context,
    number: u64,
    deposit: &Deposit,
    ticket: &Ticket,
) -> Result<(), Error> {
    let claim = Claim {
        id: TicketId::new(&inferring.session.id, number),
        owner: deposit.owner,
        lock: deposit.lock,
    };
    let bytes = inferring.session.terms().pack(ticket, &context.network)?;
    (context.tickets()?.keep(&claim, &bytes)).map_err(Error::Ticket)
}

/// Takes the ticket that a client redeems, which is spent.
pub(super) fn redeem(context: &Context, frame: Frame<'_>) -> Result<(Terms, Ticket), Error> {
    let redeem: Redeem = read_greeting(frame.expect(Kind::Redeem)?)?;
    let tickets = context.tickets()?;
    if redeem.model != tickets.model() {
        return Err(Error::Ticket(TicketError::Model));
    }
    let claim = redeem.claim();
    let bytes = tickets.take(&claim).map_err(Error::Ticket)?;
    Terms::unpack(SessionId(claim.id.session), &bytes, &context.network)
}

impl NetworkLayer {
    /// The chunks of its outputs.
    fn chunks(&self, index: usize) -> impl Iterator<Item = ChunkShape> + use<> {
        ChunkShape::split(index as u16, self.layer.activation, self.outputs.len())
    }
}

impl Terms {
    fn chunks(&self) -> StoredChunks {
        StoredChunks::new(self.relu, self.k_s.into(), self.room)
    }

    /// Bytes of what [`Self::pack`] makes, without its head.
    fn packed(&self, network: &Network) -> usize {
        let stored = self.chunks();
        let layers = network.layers.iter().enumerate().map(|(index, layer)| {
            let chunks = layer.chunks(index).map(|chunk| stored.bytes(chunk));
            packed_len(layer.outputs.len(), T_BITS) + chunks.sum::<usize>()
        });
        layers.sum()
    }

    /// What is prepared of an inference, for [`Tickets::keep`].
    fn pack(&self, ticket: &Ticket, network: &Network) -> Result<Zeroizing<Vec<u8>>, Error> {
        let (stored, mut head) = (self.chunks(), [0; MAX_HEAD]);
        let values = Head {
            version: VERSION,
            layers_hash: network.layers_hash.0,
            shift: network.about.shift,
            k_s: self.k_s,
            h: self.relu.h() as u8,
            window: self.room.window(),
        };
        let head = postcard::to_slice(&values, &mut head)
            .map_err(|_| Error::Internal("head of a ticket longer than its buffer"))?;
        let mut bytes = Zeroizing::new(vec![0; head.len() + self.packed(network)]);
        let (first, mut rest) = bytes.split_at_mut(head.len());
        first.copy_from_slice(head);
        for layer in &ticket.layers {
            let len = pack(rest, T_BITS, layer.offsets.iter().copied());
            rest = &mut rest[len..];
            for chunk in &layer.chunks {
                let (own, after) = rest.split_at_mut(stored.bytes(chunk.shape()));
                stored.pack(chunk, own);
                rest = after;
            }
        }
        if !rest.is_empty() {
            return Err(Error::Internal("a ticket that lacks outputs"));
        }
        Ok(bytes)
    }

    /// Takes what [`Self::pack`] made for this network.
    fn unpack(
        session: SessionId,
        bytes: &[u8],
        network: &Network,
    ) -> Result<(Self, Ticket), Error> {
        let damaged = Error::Ticket(TicketError::Store);
        let (head, mut rest) = postcard::take_from_bytes::<Head>(bytes).map_err(|_| damaged)?;
        let shift = network.about.shift;
        if (head.version, head.shift) != (VERSION, shift)
            || LayersHash(head.layers_hash) != network.layers_hash
        {
            return Err(Error::Ticket(TicketError::Model));
        }
        let terms = Self {
            session,
            relu: relu_params(shift, head.h, head.k_s)?,
            k_s: head.k_s,
            room: Room::of(head.window),
        };
        let (stored, mut ticket) = (terms.chunks(), Ticket::default());
        let mut next = |len| {
            let (next, after) = rest.split_at_checked(len).ok_or(damaged)?;
            rest = after;
            Ok::<_, Error>(next)
        };
        for (index, layer) in network.layers.iter().enumerate() {
            let count = layer.outputs.len();
            let mut offsets = Zeroizing::new(vec![0; count]);
            let packed = next(packed_len(count, T_BITS))?;
            unpack(0, packed, T_BITS, T, count, |i, x| offsets[i] = x).map_err(|_| damaged)?;
            let chunks = layer.chunks(index).map(|shape| {
                let bytes = next(stored.bytes(shape))?;
                stored.unpack(shape, bytes).map_err(|_| damaged)
            });
            let chunks = chunks.collect::<Result<_, _>>()?;
            ticket.layers.push(LayerTicket { offsets, chunks });
        }
        match rest {
            [] => Ok((terms, ticket)),
            _ => Err(damaged),
        }
    }
}
