//! The server: a thread a session, a cap on sessions, and a shutdown that lets inferences finish.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stria_core::error::{Error as ProtocolError, PeerError};
use stria_core::name::Shown;
use stria_core::packing::Packing;
use stria_core::protocol::frame::{MAX_FRAME, write_failure, write_reason};
use stria_core::protocol::greeting::{InputSpec, MAX_IMAGE_CHANNELS, MAX_NAME};
use stria_core::protocol::network::{About, Network, NetworkLayer, WeightMemory};
use stria_core::protocol::server::{Budget, Counters, Server};

use super::budget::Ledger;
use super::shape::{Pace, shape};
use super::{Line, Listener, Peer, SessionError, Socket, entropy};
use crate::{Model, ModelLayer, plan};

/// How often the accept loop looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(50);
/// Clients that are told at the same time that the server is busy; others are just hung up on.
const REFUSALS: usize = 64;
/// Bytes that the transformed weights of a network take at most if nobody says otherwise; layers
/// beyond it transform theirs in every inference.
pub const WEIGHT_MEMORY: usize = 2 << 30;

/// How a server treats its clients.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Sessions at the same time; a further client is told that the server is busy.
    pub sessions: usize,
    /// How long a client may stay silent.
    pub timeout: Duration,
    /// Inferences that a client may start, in all its sessions. Clients are told apart by address.
    pub queries: u32,
    /// A link to send at the pace of, for measurements.
    pub pace: Option<Pace>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sessions: 4,
            timeout: Duration::from_secs(30),
            queries: 10_000,
            pace: None,
        }
    }
}

/// A session that ended.
#[derive(Debug)]
pub struct Ended {
    /// The client.
    pub peer: Peer,
    /// Work done for it.
    pub counters: Counters,
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// Seconds of them in which this side waited for the client or the line.
    pub seconds_waited: f64,
    /// Why, if not by the client's goodbye.
    pub error: Option<SessionError>,
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

/// Prepares a model for serving: transforms its weights, as many as [`WEIGHT_MEMORY`] holds.
pub fn network(model: &Model, packing: Packing) -> Result<Network, SessionError> {
    network_within(model, packing, WEIGHT_MEMORY)
}

/// Prepares a model for serving, with so many bytes for transformed weights.
pub fn network_within(
    model: &Model,
    packing: Packing,
    weight_memory: usize,
) -> Result<Network, SessionError> {
    let layers = layers(model, packing, weight_memory)?;
    Ok(Network::new(about(model), layers)?)
}

/// The layers of a model, with so many bytes for transformed weights.
pub fn layers(
    model: &Model,
    packing: Packing,
    weight_memory: usize,
) -> Result<Vec<NetworkLayer>, SessionError> {
    let mut memory = WeightMemory::new(weight_memory);
    let mut layer = |(index, layer): (usize, &ModelLayer)| {
        let packed = plan::packed(&layer.layer, packing).and_then(|packed| {
            let (weights, bias) = (&layer.weights, &layer.bias);
            NetworkLayer::new(packing, packed.layer, weights, bias, &mut memory)
        });
        packed.map_err(|reason| {
            let index = index as u16;
            ProtocolError::Layer { index, reason }.into()
        })
    };
    model.layers.iter().enumerate().map(&mut layer).collect()
}

/// What a server tells of a model.
pub fn about(model: &Model) -> About {
    let per_channel = |values: &[f32]| {
        let mut padded = [0.0; MAX_IMAGE_CHANNELS];
        for (to, from) in padded.iter_mut().zip(values) {
            *to = *from;
        }
        padded
    };
    let input = &model.input;
    About {
        name: short(&model.name),
        shift: model.shift as u8,
        classes: model.classes.iter().map(|name| short(name)).collect(),
        logit_scale: model.logit_scale,
        input: InputSpec {
            channels: input.channels as u8,
            side: input.side as u16,
            resize: input.resize as u16,
            mean: per_channel(&input.mean),
            std: per_channel(&input.std),
            scale: input.scale,
        },
    }
}

/// As much of a name as a greeting carries, without what a client refuses.
fn short(name: &str) -> heapless::String<MAX_NAME> {
    let mut short = heapless::String::new();
    for character in Shown(name).to_string().chars() {
        if short.push(character).is_err() {
            break;
        }
    }
    short
}

/// Accepts clients until `stop` is set; then lets running inferences finish, and returns.
pub fn serve(
    listeners: &[Listener],
    network: &Arc<Network>,
    options: Options,
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
                    let end = session(socket, peer, network, budget, options, stop, observer);
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
    if let Ok(line) = Line::new(socket, Duration::from_secs(1), stop.clone()) {
        let mut buffer = [0; MAX_FRAME];
        let len = write_reason(&mut buffer, PeerError::Busy);
        line.close_with(&buffer[..len]);
    }
}

fn session(
    socket: Box<dyn Socket>,
    peer: Peer,
    network: &Arc<Network>,
    budget: Budget,
    options: Options,
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
        .and_then(|socket| Line::new(socket, options.timeout, stop.clone()))
        .map_err(SessionError::from)
        .and_then(|line| Ok((line, entropy::session_rng("server")?)));
    match opened {
        Err(error) => end.error = Some(error),
        Ok((mut line, mut rng)) => {
            let mut server = Server::new(network.clone(), budget, &mut rng);
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

/// Tells the client why its session ends, where it can still be told.
pub(super) fn tell(line: Line, error: &SessionError) {
    let mut buffer = [0; MAX_FRAME];
    let len = match error {
        SessionError::Protocol(ProtocolError::Peer(_)) | SessionError::Closed => return,
        SessionError::Protocol(error) => write_failure(&mut buffer, error),
        SessionError::Stopped => write_reason(&mut buffer, PeerError::Closing),
        _ => write_reason(&mut buffer, PeerError::Other),
    };
    line.close_with(&buffer[..len]);
}

/// Runs a session to its end. `moved` sees the server after each frame, and whether that was the
/// last one of an inference.
pub fn run(
    server: &mut Server,
    line: &mut Line,
    mut moved: impl FnMut(&Server, bool),
) -> Result<(), SessionError> {
    let mut buffer = [0; MAX_FRAME];
    // Inferences that have ended.
    let mut done = 0;
    loop {
        while let Some(len) = server.poll(&mut buffer)? {
            line.write_frame(&buffer[..len])?;
        }
        line.flush()?;
        let inferred = server.is_ready() && server.counters().queries > done;
        moved(server, inferred);
        if server.is_closed() {
            return Ok(());
        }
        if inferred {
            done = server.counters().queries;
        }
        let idle = server.counters().queries == done;
        let frame = line.read_frame(&mut buffer, idle)?;
        server.handle(frame)?;
    }
}
