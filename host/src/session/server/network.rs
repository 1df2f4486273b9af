//! A model as the protocol's server takes it: transformed weights, and what clients are told.

use stria_core::Error as ProtocolError;
use stria_core::network::name::Shown;
use stria_core::packing::Packing;
use stria_core::protocol::greeting::{InputSpec, MAX_IMAGE_CHANNELS, MAX_NAME};
use stria_core::protocol::network::{About, Network, NetworkLayer, WeightMemory};

use super::super::error::SessionError;
use crate::model::packing::packed;
use crate::model::{Model, ModelLayer};

/// Bytes that the transformed weights of a network take at most if nobody says otherwise; layers
/// beyond it transform theirs in every inference, or once for tickets that are prepared together.
pub const WEIGHT_MEMORY: usize = 2 << 30;

/// A model for serving, with its weights transformed, as many as [`WEIGHT_MEMORY`] holds.
pub fn network(model: &Model, packing: Packing) -> Result<Network, SessionError> {
    let network = network_within(model, packing, WEIGHT_MEMORY)?;
    network.prepare();
    Ok(network)
}

/// A model for serving, with so many bytes for transformed weights. They are transformed by
/// [`Network::prepare`], or by the first session that needs them.
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
        let packed = packed(&layer.layer, packing).and_then(|packed| {
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
