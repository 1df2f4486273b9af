//! Measures the constants on this machine: inferences of StriaNets with both parties in one thread,
//! and the server's operations on ciphertexts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stria_core::Error;
use stria_core::packing::Packing;
use stria_core::protocol::client::{App, Client};
use stria_core::protocol::frame::{Frame, Kind, MAX_FRAME};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::linear::ClientLinear;
use stria_core::protocol::server::{Budget, Server};

use super::constants::Ring;
use super::operations::{self, Operations};
use super::{Constants, count};
use crate::net::client::{LargeClient, LargeSlotClient};
use crate::net::{SessionError, entropy, server};
use crate::{Model, networks};

/// Inferences that are timed.
const INFERENCES: u32 = 3;

/// Measures.
pub fn calibrate() -> Result<Constants, SessionError> {
    let built = |name| {
        let builder = networks::find(name).ok();
        let model = builder.and_then(|builder| builder.model(1).ok());
        model.ok_or(Error::Internal(
            "a network of this program that does not load",
        ))
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = built("strianet-cifar10")?;
    let session = Session::run(&model, Packing::Segment, LargeClient::closed())?;
    let activations: usize = model
        .layers
        .iter()
        .map(crate::ModelLayer::activations)
        .sum();
    let operations = operations::segments(cores).map_err(Error::Internal)?;
    let segment = ring(&model, Packing::Segment, &session, operations)?;

    // Few Galois keys, so that the set-up is short.
    let model = built("strianet-cifar10-simd")?;
    let slots = Session::run(&model, Packing::Slot, LargeSlotClient::closed())?;
    let (operations, [decompose, key_switch]) = operations::slots(cores)?;
    Ok(Constants {
        cores,
        segment,
        slot: ring(&model, Packing::Slot, &slots, operations)?,
        decompose,
        key_switch,
        relu_client: session.relu_client / activations as f64,
        relu_server: session.relu_server / activations as f64,
    })
}

/// The client's seconds a ciphertext, from a session, with the server's.
fn ring(
    model: &Model,
    packing: Packing,
    session: &Session,
    operations: Operations,
) -> Result<Ring, Error> {
    let (mut inputs, mut outputs) = (0, 0);
    for layer in &model.layers {
        let linear = count(packing, &layer.layer).map_err(Error::Internal)?;
        inputs += linear.inputs;
        outputs += linear.outputs();
    }
    Ok(Ring {
        encrypt: session.encrypt / inputs as f64,
        receive: operations.receive,
        product: operations.product,
        fresh_product: operations.fresh_product,
        respond: operations.respond,
        decrypt: session.decrypt / outputs as f64,
    })
}

/// Seconds of the parts of an inference, or of a layer of it.
#[derive(Clone, Copy, Default)]
struct Session {
    encrypt: f64,
    decrypt: f64,
    relu_client: f64,
    relu_server: f64,
}

/// A grey image.
struct Grey;

impl App for Grey {
    fn pixel(&mut self, _channel: usize, _row: usize, _col: usize) -> i32 {
        1
    }
    fn logit(&mut self, _class: u16, _value: i32) {}
}

impl Session {
    const NEVER: Self = Self {
        encrypt: f64::INFINITY,
        decrypt: f64::INFINITY,
        relu_client: f64::INFINITY,
        relu_server: f64::INFINITY,
    };

    /// Runs inferences frame by frame, notes each frame's time on either side, and adds up the best of
    /// every part of every layer.
    fn run<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear>(
        model: &Model,
        packing: Packing,
        client: Client<CHUNKS, SUPPLY, L>,
    ) -> Result<Self, SessionError> {
        let network = Arc::new(server::network(model, packing)?);
        let mut server = Server::new(
            network,
            Budget::new(INFERENCES),
            &mut entropy::session_rng("server")?,
        );
        let mut client = Box::new(client);
        client.open(Settings::default(), &mut entropy::session_rng("client")?);
        Self::exchange(&mut client, &mut server)?;
        let mut best: Vec<Self> = Vec::new();
        for _ in 0..INFERENCES {
            client.start()?;
            let layers = Self::exchange(&mut client, &mut server)?;
            best.resize(layers.len(), Self::NEVER);
            for (best, layer) in best.iter_mut().zip(&layers) {
                *best = best.min(layer);
            }
        }
        let sum = |of: fn(&Self) -> f64| best.iter().map(of).sum();
        Ok(Self {
            encrypt: sum(|layer| layer.encrypt),
            decrypt: sum(|layer| layer.decrypt),
            relu_client: sum(|layer| layer.relu_client),
            relu_server: sum(|layer| layer.relu_server),
        })
    }

    fn min(&self, other: &Self) -> Self {
        Self {
            encrypt: self.encrypt.min(other.encrypt),
            decrypt: self.decrypt.min(other.decrypt),
            relu_client: self.relu_client.min(other.relu_client),
            relu_server: self.relu_server.min(other.relu_server),
        }
    }

    /// What every layer of the next inference takes; nothing for the set-up.
    fn exchange<const CHUNKS: usize, const SUPPLY: usize, L: ClientLinear>(
        client: &mut Client<CHUNKS, SUPPLY, L>,
        server: &mut Server,
    ) -> Result<Vec<Self>, Error> {
        let mut layers: Vec<Self> = Vec::new();
        let mut note = |kind, client, server| {
            if kind == Kind::Layer {
                layers.push(Self::default());
            }
            if let Some(layer) = layers.last_mut() {
                layer.note(kind, client, server);
            }
        };
        let mut buffer = [0; MAX_FRAME];
        loop {
            let mut begin = Instant::now();
            while let Some(len) = client.poll(&mut Grey, &mut buffer)? {
                let written = Instant::now();
                let frame = Frame::new_checked(&buffer[..len])?;
                server.handle(frame)?;
                note(frame.kind, written - begin, written.elapsed());
                begin = Instant::now();
            }
            while let Some(len) = server.poll(&mut buffer)? {
                let written = Instant::now();
                let frame = Frame::new_checked(&buffer[..len])?;
                client.handle(&mut Grey, frame)?;
                note(frame.kind, written.elapsed(), written - begin);
                begin = Instant::now();
            }
            if client.is_ready() {
                return Ok(layers);
            }
        }
    }

    /// Adds a frame's time on each side to the part that it belongs to.
    fn note(&mut self, kind: Kind, client: Duration, server: Duration) {
        let (client, server) = (client.as_secs_f64(), server.as_secs_f64());
        match kind {
            // The first ciphertext is packed when the layer is described.
            Kind::Layer | Kind::Seed | Kind::Limb => self.encrypt += client,
            Kind::ResponseC1 | Kind::ResponseC0 => self.decrypt += client,
            Kind::ForwardCorrection
            | Kind::ReverseCorrection
            | Kind::Tables
            | Kind::Reply
            | Kind::Entries
            | Kind::Reshare => {
                self.relu_client += client;
                self.relu_server += server;
            }
            _ => {}
        }
    }
}
