//! Opening what two parties share, for checks in which one process plays both.

use alloc::vec::Vec;

use zeroize::Zeroize;

use super::{Server, State};
use crate::arith::field::T_MOD;
use crate::protocol::client::Driven;
use crate::random::SessionId;

/// A copy of the server's shares of the tensors of an inference, without the image and what has not
/// been computed yet. Only whoever runs the server has one, so a client that talks to somebody
/// else has nothing to open.
pub struct ServerShares {
    session: Option<SessionId>,
    /// `[channels, rows, cols]` each, residues mod t, with the pixels of a map.
    tensors: Vec<(Vec<u32>, usize)>,
}

impl Drop for ServerShares {
    fn drop(&mut self) {
        self.tensors
            .iter_mut()
            .for_each(|(share, _)| share.zeroize());
    }
}

impl Server {
    /// The server's shares of the last inference.
    pub fn audit(&self) -> ServerShares {
        let last = match &self.state {
            State::Ready(inferring) | State::Prepare(inferring, _) => {
                Some((inferring.session.id, &inferring.last))
            }
            State::Answer(_, answering) => Some((answering.terms.session, &answering.tensors)),
            State::Redeem(session, shares) => Some((*session, shares)),
            State::Closed | State::Hello(_) | State::Setup(..) => None,
        };
        // The image's share comes first.
        let tensors = last.and_then(|(_, shares)| shares.0.get(1..));
        let tensors = tensors.unwrap_or_default();
        let layers = self.context.network.layers.iter();
        let areas = layers.map(|layer| layer.out_area());
        ServerShares {
            session: last.map(|(session, _)| session),
            tensors: tensors.iter().cloned().zip(areas).collect(),
        }
    }
}

impl ServerShares {
    /// The shares alone, `[channels, rows, cols]` by layer, residues mod t; none for the logits,
    /// which the client has.
    pub fn tensors(&self) -> impl Iterator<Item = &[u32]> {
        self.tensors.iter().map(|(share, _)| &share[..])
    }

    /// Adds the shares of the client, whose last inference must be the same: what both share,
    /// shaped as [`Self::tensors`]. None if the client has begun none, or is of another session.
    pub fn open(&self, client: &impl Driven) -> Option<Vec<Vec<u32>>> {
        let mut shares = client.last_shares(&self.session?)?;
        let open = |(i, (share, area)): (usize, &(Vec<u32>, usize))| {
            let value = |(j, &x): (usize, &u32)| {
                let (channel, position) = ((j / area) as u16, (j % area) as u32);
                T_MOD.add(x, shares.value(i as u16 + 1, channel, position))
            };
            share.iter().enumerate().map(value).collect()
        };
        Some(self.tensors.iter().enumerate().map(open).collect())
    }
}
