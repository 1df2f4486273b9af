//! The server: a thread a session, a cap on sessions, and a shutdown that lets inferences finish.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stria_core::error::{Error as ProtocolError, PeerError};
use stria_core::layer::Activation;
use stria_core::protocol::frame::{MAX_FRAME, write_failure, write_reason};
use stria_core::protocol::greeting::{InputSpec, MAX_IMAGE_CHANNELS, MAX_NAME};
use stria_core::protocol::server::{Counters, Limits, Network, NetworkLayer, Server};

use super::{Line, SessionError, entropy};
use crate::Model;

/// How often the accept loop looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(50);

/// How a server treats its clients.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Sessions at the same time; a further client is told that the server is busy.
    pub sessions: usize,
    /// How long a client may stay silent.
    pub timeout: Duration,
    /// Inferences that one session may start.
    pub queries: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sessions: 4,
            timeout: Duration::from_secs(30),
            queries: 10_000,
        }
    }
}

/// A session that ended.
#[derive(Debug)]
pub struct Ended {
    /// The client.
    pub peer: SocketAddr,
    /// Work done for it.
    pub counters: Counters,
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes to the client.
    pub bytes_down: u64,
    /// Seconds.
    pub seconds: f64,
    /// Why, if not by the client's goodbye.
    pub error: Option<SessionError>,
}

/// Prepares a model for serving: transforms every weight.
pub fn network(model: &Model) -> Result<Network, SessionError> {
    let layers = model.layers.iter().enumerate().map(|(i, layer)| {
        NetworkLayer::new(layer.layer, &layer.weights, &layer.bias).map_err(|reason| {
            ProtocolError::Layer {
                index: i as u16,
                reason,
            }
        })
    });
    let per_channel = |values: &[f32]| {
        let mut padded = [0.0; MAX_IMAGE_CHANNELS];
        for (to, from) in padded.iter_mut().zip(values) {
            *to = *from;
        }
        padded
    };
    debug_assert!(
        model
            .layers
            .last()
            .is_some_and(|l| l.layer.activation == Activation::Logits)
    );
    let input = &model.input;
    Ok(Network {
        name: short(&model.name),
        shift: model.shift as u8,
        classes: model
            .classes
            .iter()
            .map(|name| short(name).as_str().into())
            .collect(),
        logit_scale: model.logit_scale,
        input: InputSpec {
            channels: input.channels as u8,
            side: input.side as u16,
            resize: input.resize as u16,
            mean: per_channel(&input.mean),
            std: per_channel(&input.std),
            scale: input.scale,
        },
        layers: layers.collect::<Result<_, _>>()?,
    })
}

/// As much of a name as a greeting carries.
fn short(name: &str) -> heapless::String<MAX_NAME> {
    let mut short = heapless::String::new();
    for character in name.chars() {
        if short.push(character).is_err() {
            break;
        }
    }
    short
}

/// Accepts clients until `stop` is set; then lets running inferences finish, and returns.
pub fn serve(
    listener: &TcpListener,
    network: &Arc<Network>,
    options: Options,
    stop: &Arc<AtomicBool>,
    ended: impl Fn(Ended) + Send + Sync,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        while !stop.load(Ordering::Relaxed) {
            let (stream, peer) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(GLANCE);
                    continue;
                }
                Err(error) => {
                    // Out of descriptors, or a client that gave up: the others go on.
                    tracing::warn!(%error, "cannot accept a client");
                    thread::sleep(GLANCE);
                    continue;
                }
            };
            if running.load(Ordering::Relaxed) >= options.sessions {
                tracing::warn!(%peer, "refused: too many sessions");
                scope.spawn(move || refuse(stream, stop));
                continue;
            }
            running.fetch_add(1, Ordering::Relaxed);
            let (running, ended) = (&running, &ended);
            scope.spawn(move || {
                tracing::info!(%peer, "session starts");
                let end = session(stream, peer, network, options, stop);
                match &end.error {
                    None => tracing::info!(%peer, queries = end.counters.queries, "session ends"),
                    Some(error) => tracing::warn!(%peer, %error, "session ends"),
                }
                running.fetch_sub(1, Ordering::Relaxed);
                ended(end);
            });
        }
        Ok(())
    })
}

fn refuse(stream: TcpStream, stop: &Arc<AtomicBool>) {
    if let Ok(line) = Line::new(stream, Duration::from_secs(1), stop.clone()) {
        let mut buffer = [0; MAX_FRAME];
        let len = write_reason(&mut buffer, PeerError::Busy);
        line.close_with(&buffer[..len]);
    }
}

fn session(
    stream: TcpStream,
    peer: SocketAddr,
    network: &Arc<Network>,
    options: Options,
    stop: &Arc<AtomicBool>,
) -> Ended {
    let start = Instant::now();
    let mut end = Ended {
        peer,
        counters: Counters::default(),
        bytes_up: 0,
        bytes_down: 0,
        seconds: 0.0,
        error: None,
    };
    let opened = Line::new(stream, options.timeout, stop.clone())
        .map_err(SessionError::from)
        .and_then(|line| Ok((line, entropy::session_rng("server")?)));
    match opened {
        Err(error) => end.error = Some(error),
        Ok((mut line, mut rng)) => {
            let limits = Limits {
                queries: options.queries,
            };
            let mut server = Server::new(network.clone(), limits, &mut rng);
            let result = run(&mut server, &mut line, |_| ());
            end.counters = server.counters().clone();
            (end.bytes_up, end.bytes_down) = (line.received(), line.sent());
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

/// Runs a session to its end; `inferred` sees the server after each inference.
pub fn run(
    server: &mut Server,
    line: &mut Line,
    mut inferred: impl FnMut(&Server),
) -> Result<(), SessionError> {
    let mut buffer = [0; MAX_FRAME];
    let mut queries = 0;
    loop {
        while let Some(len) = server.poll(&mut buffer)? {
            line.write_frame(&buffer[..len])?;
        }
        line.flush()?;
        if server.is_closed() {
            return Ok(());
        }
        if server.is_ready() && server.counters().queries > queries {
            queries = server.counters().queries;
            inferred(server);
        }
        let frame = line.read_frame(&mut buffer, server.is_ready())?;
        server.handle(frame)?;
    }
}
