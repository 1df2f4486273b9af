//! Bytes and rounds of an inference, frame by frame as both parties send them.
//! `core/docs/protocol.md#inference`.

use stria_core::arith::bits::packed_len;
use stria_core::arith::field::T_BITS;
use stria_core::network::layer::{Activation, Layer};
use stria_core::protocol::activation::{Sender, WindowTraffic};
use stria_core::protocol::frame::{HEADER, Kind, MAX_FRAME};
use stria_core::protocol::greeting::{Settings, relu_params, write_control};
use stria_core::protocol::transfer::PIECE;
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
            relu: relu_params(shift as u8, settings.h)?,
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

    /// Residues mod t of one response, in frames of their own.
    fn values(&mut self, sender: Sender, mut count: usize) {
        while count > 0 {
            let piece = count.min(PIECE);
            self.send(sender, HEADER + packed_len(piece, T_BITS));
            count -= piece;
        }
    }
}

/// Counts an inference's frames, layer by layer.
#[derive(Clone, Debug)]
pub struct Traffic {
    exchange: Exchange,
    windows: WindowTraffic,
    /// Activations of a full window.
    capacity: usize,
}

impl Traffic {
    /// Before the first layer of the first inference of a session: what a window leaves of the
    /// supply of transfers, the next one uses.
    pub fn new(client: &ClientTraffic) -> Self {
        Self {
            exchange: Exchange::default(),
            windows: WindowTraffic::new(client.relu, client.k_s),
            capacity: client.chunks * client.relu.chunk(),
        }
    }

    /// What the next layer of an inference sends; the first one has the frame that opens it.
    pub fn layer(&mut self, layer: &Layer, linear: &Linear) -> Exchange {
        let last = self.exchange.last;
        self.exchange = Exchange {
            last,
            ..Exchange::default()
        };
        if last.is_none() {
            self.exchange.send(Sender::Client, HEADER);
        }
        self.exchange.send(Sender::Server, description(layer));
        self.exchange
            .send(Sender::Client, linear.inputs * linear.input_bytes);
        // Mirrors `next_outputs` of both parties.
        let mut gathered = 0;
        for values in linear.valid() {
            if gathered == self.capacity {
                self.window(&mut gathered);
            }
            self.exchange.send(Sender::Server, linear.output_bytes);
            match layer.activation {
                Activation::Logits => self.exchange.values(Sender::Server, values),
                Activation::Linear => self.exchange.values(Sender::Client, values),
                Activation::Relu => {
                    let mut left = values;
                    while gathered + left > self.capacity {
                        left -= self.capacity - gathered;
                        gathered = self.capacity;
                        self.window(&mut gathered);
                    }
                    gathered += left;
                }
            }
        }
        if gathered > 0 {
            self.window(&mut gathered);
        }
        self.exchange
    }

    fn window(&mut self, gathered: &mut usize) {
        let (exchange, windows) = (&mut self.exchange, &mut self.windows);
        windows.window(*gathered, |sender, bytes| exchange.send(sender, bytes));
        *gathered = 0;
    }
}

/// Bytes of the frame that describes a layer.
fn description(layer: &Layer) -> usize {
    let mut frame = [0; MAX_FRAME];
    // No description is longer than a frame.
    write_control(&mut frame, Kind::Layer, layer).unwrap_or(MAX_FRAME)
}
