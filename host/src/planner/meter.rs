//! Bytes and turns of an inference, frame by frame as both parties send them.
//! `core/docs/protocol.md#inference`.

use stria_core::network::layer::Layer;
use stria_core::packing::Packing;
use stria_core::protocol::greeting::{Settings, relu_params};
use stria_core::protocol::steps::{Room, Sender};
use stria_core::protocol::traffic::{Ciphertexts, InferenceTraffic, LayerTraffic};
use stria_core::relu::ReluParams;

use super::linear::Linear;
use crate::session::client::Window;

/// The client as far as traffic depends on it.
#[derive(Clone, Copy, Debug)]
pub struct ClientTraffic {
    room: Room,
    k_s: u32,
    relu: ReluParams,
}

impl ClientTraffic {
    /// A client with one of the two rooms, and a network that drops `shift` bits. The error is
    /// the protocol's: settings that it refuses.
    pub fn new(window: Window, settings: Settings, shift: u32) -> Result<Self, stria_core::Error> {
        Ok(Self {
            room: window.room(),
            k_s: settings.k_s.into(),
            relu: relu_params(shift as u8, settings.h, settings.k_s)?,
        })
    }
}

/// What was sent for a layer in one phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Exchange {
    /// Bytes to the server.
    pub up: usize,
    /// Bytes from the server.
    pub down: usize,
    /// Times that the server's frames answer the client's.
    pub rounds: usize,
    /// Turns of either side that begin with a frame of the layer.
    pub messages: usize,
}

impl Exchange {
    /// Bytes both ways.
    pub fn bytes(&self) -> usize {
        self.up + self.down
    }

    fn send(&mut self, sender: Sender, bytes: usize, last: &mut Option<Sender>) {
        match sender {
            Sender::Client => self.up += bytes,
            Sender::Server => {
                self.down += bytes;
                self.rounds += usize::from(*last == Some(Sender::Client));
            }
        }
        self.messages += usize::from(*last != Some(sender));
        *last = Some(sender);
    }
}

/// What an inference sends, layer by layer, while it is prepared and while it is answered. `layers` are
/// what the client is told.
pub fn exchanges(
    client: &ClientTraffic,
    packing: Packing,
    layers: &[(Layer, Linear)],
) -> [Vec<Exchange>; 2] {
    let image = layers.first().map_or(0, |(layer, _)| {
        usize::from(layer.in_channels) * usize::from(layer.in_side).pow(2)
    });
    let of = |(layer, linear): &(Layer, Linear)| LayerTraffic {
        layer: *layer,
        ciphertexts: Ciphertexts {
            packing,
            inputs: linear.inputs,
            returned: linear.returned,
        },
        outputs: linear.valid().collect(),
    };
    let layers: Vec<_> = layers.iter().map(of).collect();
    let empty = vec![Exchange::default(); layers.len()];
    let traffic = InferenceTraffic::new((client.relu, client.k_s, client.room), image, layers);
    let (mut prepare, mut answer) = (empty.clone(), empty);
    let mut last = None;
    traffic.prepare(None, |layer, sender, _, bytes| {
        prepare[layer].send(sender, bytes, &mut last);
    });
    let mut last = None;
    traffic.answer(|layer, sender, _, bytes| answer[layer].send(sender, bytes, &mut last));
    [prepare, answer]
}
