//! A network as a server runs it: public layers with transformed weights, checked as a whole.

use alloc::vec;
use alloc::vec::Vec;

use super::greeting::{InputSpec, MAX_CLASSES, MAX_LAYERS, MAX_NAME, PlanHash};
use crate::Error;
use crate::conv::{PreparedWeights, Weights};
use crate::layer::{Activation, Layer, Layout};
use crate::params::T;

/// A layer with its weights, ready to be run.
pub struct NetworkLayer {
    pub(super) layer: Layer,
    pub(super) layout: Layout,
    pub(super) weights: PreparedWeights,
    /// One an output channel, in units of y.
    pub(super) bias: Vec<i32>,
}

impl NetworkLayer {
    /// Transforms the weights: `[out_channels, in_channels / groups, taps]`.
    pub fn new(layer: Layer, weights: &[i32], bias: &[i32]) -> Result<Self, &'static str> {
        let layout = layer.layout()?;
        let per_output = usize::from(layer.in_channels / layer.groups) * layer.kernel.taps();
        if weights.len() != usize::from(layer.out_channels) * per_output {
            return Err("wrong number of weights");
        }
        if bias.len() != usize::from(layer.out_channels) {
            return Err("wrong number of biases");
        }
        if weights.iter().chain(bias).any(|x| x.unsigned_abs() > T / 2) {
            return Err("a weight or bias that is not a centred residue mod t");
        }
        Ok(Self {
            weights: PreparedWeights::new(&layer, &layout, &Weights(weights)),
            layer,
            layout,
            bias: bias.to_vec(),
        })
    }
}

/// What a network says of itself.
pub struct About {
    /// Name, for people.
    pub name: heapless::String<MAX_NAME>,
    /// Bits that an activation drops.
    pub shift: u8,
    /// Names of the classes.
    pub classes: Vec<heapless::String<MAX_NAME>>,
    /// Logit units of 1.0.
    pub logit_scale: f32,
    /// The input.
    pub input: InputSpec,
}

/// A network as the server runs it; sessions share it.
pub struct Network {
    pub(super) about: About,
    pub(super) layers: Vec<NetworkLayer>,
    pub(super) plan: PlanHash,
}

impl Network {
    /// Checks that the layers, in execution order, fit together: each reads tensors that exist, in
    /// their shape, and the last one and only it gives logits, one a class.
    pub fn new(about: About, layers: Vec<NetworkLayer>) -> Result<Self, Error> {
        if !(1..=usize::from(MAX_LAYERS)).contains(&layers.len())
            || !(1..=usize::from(MAX_CLASSES)).contains(&about.classes.len())
        {
            return Err(Error::Usage(
                "network without layers or classes, or with too many",
            ));
        }
        let mut plan = PlanHash::default();
        let mut shapes = vec![(
            u16::from(about.input.channels),
            usize::from(about.input.side),
        )];
        for (index, NetworkLayer { layer, layout, .. }) in layers.iter().enumerate() {
            let shape = |tensor: u16| shapes.get(usize::from(tensor)).copied();
            let out = (layer.out_channels, layout.out_side);
            let last = index + 1 == layers.len();
            let reason = if shape(layer.input) != Some((layer.in_channels, layer.in_side.into())) {
                "its input is not there, or has another shape"
            } else if layer
                .skip
                .is_some_and(|skip| shape(skip.tensor) != Some(out))
            {
                "what it adds is not there, or has another shape"
            } else if layer.skip.is_some_and(|skip| last || skip.factor >= T) {
                "its residual sum cannot be made"
            } else if last != (layer.activation == Activation::Logits) {
                "logits come from the last layer, and only from it"
            } else if last && layer.outputs(layout) != about.classes.len() {
                "it has another number of logits than there are classes"
            } else {
                plan.add_layer(layer)?;
                shapes.push(out);
                continue;
            };
            let index = index as u16;
            return Err(Error::Layer { index, reason });
        }
        Ok(Self {
            about,
            layers,
            plan,
        })
    }
}
