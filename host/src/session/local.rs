//! A server and a client in one process, over a loopback socket: demo, checks and evaluation.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use stria_core::Error::Peer;
use stria_core::packing::Packing;
use stria_core::protocol::server::{Budget, Counters, Server, ServerShares};

use super::check::{self, LayerCheck};
use super::client::{ClientOptions, Connection, Watch};
use super::error::SessionError;
use super::{entropy, server};
use crate::model::Model;
use crate::report::Inference;
use crate::transport::FrameSocket;

/// What the server side shows after an inference.
struct Snapshot {
    /// Its shares of every tensor.
    shares: ServerShares,
    counters: Counters,
}

/// Both parties of a session.
pub struct Local {
    session: Option<Connection>,
    server: Option<JoinHandle<Result<(), SessionError>>>,
    snapshots: Receiver<Snapshot>,
    counters: Counters,
    packing: Packing,
    h: u32,
}

impl Local {
    /// Starts a server for one session, connects and sets the session up.
    pub fn start(model: &Model, options: ClientOptions) -> Result<Self, SessionError> {
        let network = Arc::new(server::network(model, options.packing)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let client = TcpStream::connect(address)?;
        let (stream, _) = listener.accept()?;
        let (send, snapshots) = channel();
        let thread = thread::spawn(move || {
            let never = Arc::new(AtomicBool::new(false));
            let mut line = FrameSocket::new(Box::new(stream), options.timeout, never)?;
            let mut rng = entropy::session_rng("server")?;
            let mut server = Server::new(network, Budget::new(u32::MAX), &mut rng);
            let result = server::run(&mut server, &mut line, |server, inferred| {
                if inferred {
                    // The client may have gone: then nobody wants to know.
                    let _ = send.send(Snapshot {
                        shares: server.audit(),
                        counters: server.counters().clone(),
                    });
                }
            });
            if let Err(error) = &result {
                server::tell(line, error);
            }
            result
        });
        let mut local = Self {
            session: None,
            server: Some(thread),
            snapshots,
            counters: Counters::default(),
            packing: options.packing,
            h: options.settings.h.into(),
        };
        match Connection::open(Box::new(client), options) {
            Ok(session) => local.session = Some(session),
            Err(error) => return Err(local.blame(error)),
        }
        Ok(local)
    }

    /// The client's side.
    pub fn session(&self) -> Result<&Connection, SessionError> {
        self.session.as_ref().ok_or(SessionError::Closed)
    }

    /// See [`Connection::watch`].
    pub fn watch(&mut self, watch: Watch) {
        if let Some(session) = &mut self.session {
            session.watch(watch);
        }
    }

    /// How activations are packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// The server's counters after the last inference.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Classifies one image, [channels, side, side]; with `check` given, compares every layer.
    pub fn infer(
        &mut self,
        image: &[i32],
        check: Option<&Model>,
    ) -> Result<(Inference, Vec<LayerCheck>), SessionError> {
        let session = self.session.as_mut().ok_or(SessionError::Closed)?;
        let inference = match session.infer(image) {
            Ok(inference) => inference,
            Err(error) => return Err(self.blame(error)),
        };
        let snapshot = self.snapshots.recv().map_err(|_| SessionError::Closed)?;
        self.counters = snapshot.counters;
        let opened = session.opened(&snapshot.shares);
        let opened = opened.ok_or(SessionError::Closed)?;
        let checks = check.map_or(Vec::new(), |model| {
            check::layers(model, image, &opened, &inference.logits, self.h)
        });
        Ok((inference, checks))
    }

    /// The server's error, if it is why the client failed. A side that is told of a failure or
    /// hung up on does not know why.
    fn blame(&mut self, error: SessionError) -> SessionError {
        use SessionError::{Closed, Protocol};
        self.session = None;
        let server = self.server.take().map(JoinHandle::join);
        match (error, server) {
            (Closed | Protocol(Peer(_)), Some(Ok(Err(server)))) => server,
            (error, _) => error,
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // Both sides are here: if goodbye fails, the server has ended already.
            let _ = session.finish();
        }
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
