//! Bytes and rounds of an inference, frame by frame as both parties send them.
//! `core/docs/protocol.md#inference`.

use stria_core::network::layer::Layer;
use stria_core::packing::Packing;
use stria_core::protocol::frame::HEADER;
use stria_core::protocol::greeting::{Settings, relu_params};
use stria_core::protocol::steps::Sender;
use stria_core::protocol::traffic::{Ciphertexts, LayerTraffic};
use stria_core::relu::ReluParams;

use super::linear::Linear;
use crate::session::client::Window;

/// The client as far as traffic depends on it.
#[derive(Clone, Copy, Debug)]
pub struct ClientTraffic {
    /// Chunks of activations that it works on at once.
    chunks: usize,
    k_s: u32,
    relu: ReluParams,
}

impl ClientTraffic {
    /// A client with one of the two windows, and a network that drops `shift` bits. The error is
    /// the protocol's: settings that it refuses.
    pub fn new(window: Window, settings: Settings, shift: u32) -> Result<Self, stria_core::Error> {
        Ok(Self {
            chunks: window.chunks(),
            k_s: settings.k_s.into(),
            relu: relu_params(shift as u8, settings.h, settings.k_s)?,
        })
    }
}

/// What was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exchange {
    /// Bytes to the server.
    pub up: usize,
    /// Bytes from the server.
    pub down: usize,
    /// Times that the server's frames answer the client's.
    pub rounds: usize,
    last: Option<Sender>,
}

impl Exchange {
    /// Bytes both ways.
    pub fn bytes(&self) -> usize {
        self.up + self.down
    }

    fn send(&mut self, sender: Sender, bytes: usize) {
        match sender {
            Sender::Client => self.up += bytes,
            Sender::Server => {
                self.down += bytes;
                self.rounds += usize::from(self.last == Some(Sender::Client));
            }
        }
        self.last = Some(sender);
    }
}

/// Counts an inference's frames, layer by layer.
#[derive(Clone, Debug)]
pub struct Traffic {
    exchange: Exchange,
    layers: LayerTraffic,
}

impl Traffic {
    /// Before the first layer of the first inference of a session.
    pub fn new(client: &ClientTraffic) -> Self {
        Self {
            exchange: Exchange::default(),
            layers: LayerTraffic::new(client.relu, client.k_s, client.chunks),
        }
    }

    /// What the next layer of an inference sends; the first one has the frame that opens it. `layer`
    /// is what the client is told.
    pub fn layer(&mut self, packing: Packing, layer: &Layer, linear: &Linear) -> Exchange {
        let last = self.exchange.last;
        self.exchange = Exchange {
            last,
            ..Exchange::default()
        };
        let line = &mut self.exchange;
        if last.is_none() {
            line.send(Sender::Client, HEADER);
        }
        let ciphertexts = Ciphertexts {
            packing,
            inputs: linear.inputs,
            returned: linear.returned,
        };
        let frame = |sender, _, bytes| line.send(sender, bytes);
        self.layers.layer(layer, ciphertexts, linear.valid(), frame);
        self.exchange
    }
}
