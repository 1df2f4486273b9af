//! The server's loop: a thread a session, a cap on sessions, and a shutdown that lets inferences finish.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stria_core::PeerError;
use stria_core::protocol::frame::{MAX_FRAME, write_reason};
use stria_core::protocol::network::Network;
use stria_core::protocol::server::{Budget, Counters, Server, Tickets};

use super::super::budget::Ledger;
use super::super::entropy;
use super::super::error::SessionError;
use super::ended::Ended;
use super::run::{run, tell};
use crate::transport::{FrameSocket, Listener, Pace, Peer, Socket, shape};

/// How often the accept loop looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(50);
/// Clients that are told at the same time that the server is busy; others are just hung up on.
const REFUSALS: usize = 64;

/// How a server treats its clients.
#[derive(Clone, Copy, Debug)]
pub struct ServerOptions {
    /// Sessions at the same time; a further client is told that the server is busy.
    pub sessions: usize,
    /// How long a client may stay silent.
    pub timeout: Duration,
    /// Inferences that a client may start, in all its sessions. Clients are told apart by address.
    pub queries: u32,
    /// Bytes that each session may take for tickets while they are prepared together; one is always
    /// prepared. See [`Network::batch`].
    pub batch_memory: usize,
    /// A link to send at the pace of, for measurements.
    pub pace: Option<Pace>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            sessions: 4,
            timeout: Duration::from_secs(30),
            queries: 10_000,
            batch_memory: 1 << 30,
            pace: None,
        }
    }
}

/// What a server serves.
#[derive(Clone)]
pub struct Served {
    /// To all clients.
    pub network: Arc<Network>,
    /// Where their tickets are; if nowhere, it keeps none.
    pub tickets: Option<Arc<dyn Tickets>>,
}

impl From<Arc<Network>> for Served {
    fn from(network: Arc<Network>) -> Self {
        Self {
            network,
            tickets: None,
        }
    }
}

/// Sees what a server does.
pub trait Observer: Sync {
    /// A session has taken a frame of its client, and answered it.
    fn moved(&self, server: &Server) {
        let _ = server;
    }
    /// A session has ended.
    fn ended(&self, ended: Ended);
}

impl<F: Fn(Ended) + Sync> Observer for F {
    fn ended(&self, ended: Ended) {
        self(ended);
    }
}

/// Accepts clients until `stop` is set; then lets running inferences finish, and returns.
pub fn serve(
    listeners: &[Listener],
    served: &Served,
    options: ServerOptions,
    stop: &Arc<AtomicBool>,
    observer: &impl Observer,
) -> std::io::Result<()> {
    for listener in listeners {
        listener.set_nonblocking()?;
    }
    let (running, refusing) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ledger = &Ledger::new(options.queries);
    thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            let Some((socket, peer)) = accept(listeners) else {
                thread::sleep(GLANCE);
                continue;
            };
            let name = peer.to_string();
            let spawned = if let Some(slot) = Slot::take(&running, options.sessions) {
                thread::Builder::new().spawn_scoped(scope, move || {
                    tracing::info!(%peer, "session starts");
                    let budget = ledger.of(peer.name());
                    let end = session(socket, peer, served, budget, options, stop, observer);
                    let (peer, queries) = (&end.peer, end.counters.queries);
                    match &end.error {
                        None => tracing::info!(%peer, queries, "session ends"),
                        Some(error) => tracing::warn!(%peer, %error, "session ends"),
                    }
                    drop(slot);
                    observer.ended(end);
                })
            } else {
                tracing::warn!(peer = name, "refused: too many sessions");
                let Some(slot) = Slot::take(&refusing, REFUSALS) else {
                    continue;
                };
                thread::Builder::new().spawn_scoped(scope, move || {
                    refuse(socket, stop);
                    drop(slot);
                })
            };
            if let Err(error) = spawned {
                tracing::warn!(peer = name, %error, "refused: no thread");
            }
        }
        Ok(())
    })
}

/// The next client that waits at any listener.
fn accept(listeners: &[Listener]) -> Option<(Box<dyn Socket>, Peer)> {
    listeners.iter().find_map(|listener| {
        let accepted = listener.accept();
        if let Err(error) = &accepted
            && error.kind() != ErrorKind::WouldBlock
        {
            // Out of descriptors, or a client that gave up: the others go on.
            tracing::warn!(%error, "cannot accept a client");
        }
        accepted.ok()
    })
}

/// One of a limited number of threads; given back when dropped.
struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    /// Only the accepting thread takes slots, so none is taken between look and take.
    fn take(taken: &'a AtomicUsize, limit: usize) -> Option<Self> {
        (taken.load(Ordering::Relaxed) < limit).then(|| {
            taken.fetch_add(1, Ordering::Relaxed);
            Self(taken)
        })
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refuse(socket: Box<dyn Socket>, stop: &Arc<AtomicBool>) {
    if let Ok(line) = FrameSocket::new(socket, Duration::from_secs(1), stop.clone()) {
        let mut buffer = [0; MAX_FRAME];
        let len = write_reason(&mut buffer, PeerError::Busy);
        line.close_with(&buffer[..len]);
    }
}

fn session(
    socket: Box<dyn Socket>,
    peer: Peer,
    served: &Served,
    budget: Budget,
    options: ServerOptions,
    stop: &Arc<AtomicBool>,
    observer: &impl Observer,
) -> Ended {
    let start = Instant::now();
    let mut end = Ended {
        peer,
        counters: Counters::default(),
        bytes_up: 0,
        bytes_down: 0,
        seconds: 0.0,
        seconds_waited: 0.0,
        error: None,
    };
    let shaped = match options.pace {
        Some(pace) => shape(socket, pace),
        None => Ok(socket),
    };
    let opened = shaped
        .and_then(|socket| FrameSocket::new(socket, options.timeout, stop.clone()))
        .map_err(SessionError::from)
        .and_then(|line| Ok((line, entropy::session_rng("server")?)));
    match opened {
        Err(error) => end.error = Some(error),
        Ok((mut line, mut rng)) => {
            let mut server = Server::new(served.network.clone(), budget, &mut rng);
            if let Some(tickets) = &served.tickets {
                server = server.with_tickets(tickets.clone(), options.batch_memory);
            }
            let result = run(&mut server, &mut line, |server, _| observer.moved(server));
            end.counters = server.counters().clone();
            (end.bytes_up, end.bytes_down) = (line.received(), line.sent());
            end.seconds_waited = line.waited().as_secs_f64();
            if let Err(error) = result {
                tell(line, &error);
                end.error = Some(error);
            }
        }
    }
    end.seconds = start.elapsed().as_secs_f64();
    end
}
