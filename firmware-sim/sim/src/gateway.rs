//! Whoever prepares tickets for a device that only redeems them: the same small client, in this process,
//! with the server of the session to come.

use std::sync::Arc;

use rand_core::{Rng, SeedableRng};
use stria_core::protocol::client::Application;
use stria_core::protocol::network::Network;
use stria_core::protocol::server::{Budget, Server, Tickets};
use stria_core::{Error, MAX_FRAME, SmallClient, loopback};

use zeroize::Zeroizing;

use crate::client::SETTINGS;

/// There is no image yet.
struct Nothing;

impl Application for Nothing {
    fn pixel(&mut self, _channel: usize, _row: usize, _col: usize) -> i32 {
        0
    }
    fn logit(&mut self, _class: u16, _value: i32) {}
}

/// Bytes for tickets while they are prepared together.
const MEMORY: usize = 64 << 20;

/// Prepares so many tickets, of which `tickets` keeps the server's halves.
pub fn prepare(
    network: &Arc<Network>,
    tickets: &Arc<dyn Tickets>,
    count: usize,
) -> anyhow::Result<Vec<Zeroizing<Vec<u8>>>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
    let mut rng = chacha20::ChaCha20Rng::from_seed(seed);
    let mut owner = [0; 32];
    rng.fill_bytes(&mut owner);
    let budget = Budget::new(u32::try_from(count)?);
    let server = Server::new(network.clone(), budget, &mut rng);
    let mut server = server.with_tickets(tickets.clone(), MEMORY);
    let mut client = Box::new(SmallClient::new(SETTINGS, &mut rng));
    let mut run = |client: &mut SmallClient| {
        loopback(&mut (client, Nothing), &mut server, &mut [0; MAX_FRAME])
    };
    run(&mut client)?;
    let together = client.welcome().map_or(1, |welcome| welcome.batch);
    let mut made = Vec::new();
    while made.len() < count {
        let batch = (count - made.len()).min(together.into()) as u16;
        client.prepare_tickets(owner, batch)?;
        for _ in 0..batch {
            run(&mut client)?;
            let ticket = client.ticket().ok_or(Error::Internal("no ticket"))?;
            made.push(ticket.to_bytes()?);
        }
    }
    Ok(made)
}
