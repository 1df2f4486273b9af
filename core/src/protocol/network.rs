//! A network as a server runs it: public layers with transformed weights, checked as a whole.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::greeting::{
    InputSpec, MAX_CLASSES, MAX_LAYERS, MAX_NAME, PARAMETER_SET, PlanHash, SLOT_PARAMETER_SET,
};
use super::linear::LinearLayer;
use super::linear::segment::SegmentLayer;
use super::linear::slot::SlotLayer;
use super::linear::slot::keys::{MAX_ROTATIONS, Rotations};
use crate::Error;
use crate::error::Usage;
use crate::network::layer::{Activation, Layer};
use crate::packing::Packing;
use crate::packing::slot::conv::SlotWeights;
use crate::packing::slot::layout::SlotLayout;
use crate::params::T;
use crate::rlwe::ciphertext::SegmentWeights;

/// A layer with its weights, ready to be run.
pub struct NetworkLayer {
    /// What the client is told.
    pub(super) layer: Layer,
    pub(super) linear: Arc<dyn LinearLayer>,
    /// One an output channel, in units of y.
    pub(super) bias: Vec<i32>,
    packing: Packing,
}

/// Bytes that a network's transformed weights may still take. A layer that finds no room transforms
/// its weights in every inference.
#[derive(Clone, Copy, Debug)]
pub struct WeightMemory(usize);

impl WeightMemory {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Whether there is room for so many values of a size; takes it.
    fn take(&mut self, count: usize, size: usize) -> bool {
        let left = count
            .checked_mul(size)
            .and_then(|bytes| self.0.checked_sub(bytes));
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

impl NetworkLayer {
    /// Transforms the weights, `[out_channels, in_channels / groups, taps]`, if there is room. The
    /// layer's `repeat` counts in segment packing, its `tile` also in coefficient packing.
    pub fn new(
        packing: Packing,
        layer: Layer,
        weights: &[i32],
        bias: &[i32],
        memory: &mut WeightMemory,
    ) -> Result<Self, &'static str> {
        let (shown, linear): (_, Arc<dyn LinearLayer>) = match packing {
            Packing::Segment | Packing::Coefficient => {
                let shown = match packing {
                    Packing::Coefficient => layer.dense(),
                    _ => layer,
                };
                let layout = shown.layout()?;
                check_numbers(&layer, weights, bias)?;
                let mut weights = SegmentWeights::on_the_fly(&layer, &layout, weights);
                if memory.take(weights.plaintexts(), SegmentWeights::PLAINTEXT_BYTES) {
                    weights.prepare();
                }
                (shown, Arc::new(SegmentLayer::new(layout, weights)))
            }
            Packing::Slot => {
                let layout = SlotLayout::new(&layer)?;
                check_numbers(&layer, weights, bias)?;
                let mut weights = SlotWeights::on_the_fly(&layout, weights);
                if memory.take(weights.factors(), SlotWeights::FACTOR_BYTES) {
                    weights.prepare();
                }
                (layer, Arc::new(SlotLayer::new(layout, weights)))
            }
        };
        Ok(Self {
            layer: shown,
            linear,
            bias: bias.to_vec(),
            packing,
        })
    }

    /// Side of the output map in pixels.
    pub(super) fn out_side(&self) -> usize {
        self.linear.places().out_side()
    }

    /// Pixels of the output map.
    pub(super) fn out_area(&self) -> usize {
        self.out_side().pow(2)
    }
}

fn check_numbers(layer: &Layer, weights: &[i32], bias: &[i32]) -> Result<(), &'static str> {
    let (inputs, outputs) = (layer.in_channels, layer.out_channels);
    if !inputs.is_multiple_of(layer.groups) || !outputs.is_multiple_of(layer.groups) {
        return Err("channels are not a multiple of the groups");
    }
    let per_output = usize::from(inputs / layer.groups) * layer.kernel.taps();
    if weights.len() != usize::from(outputs) * per_output {
        return Err("wrong number of weights");
    }
    if bias.len() != usize::from(outputs) {
        return Err("wrong number of biases");
    }
    if weights.iter().chain(bias).any(|x| x.unsigned_abs() > T / 2) {
        return Err("a weight or bias that is not a centred residue mod t");
    }
    Ok(())
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
    /// In slot packing, the automorphisms that its layers need Galois keys of.
    pub(super) rotations: Option<Rotations>,
}

impl Network {
    /// Checks that the layers, in execution order, fit together: each reads tensors that exist, in
    /// their shape, and the last one and only it gives logits, one a class. All are packed alike.
    pub fn new(about: About, layers: Vec<NetworkLayer>) -> Result<Self, Error> {
        if !(1..=usize::from(MAX_LAYERS)).contains(&layers.len())
            || !(1..=usize::from(MAX_CLASSES)).contains(&about.classes.len())
        {
            let (layers, classes) = (layers.len(), about.classes.len());
            return Err(Error::Usage(Usage::NetworkSize { layers, classes }));
        }
        let mut plan = PlanHash::default();
        let mut shapes = vec![(
            u16::from(about.input.channels),
            usize::from(about.input.side),
        )];
        for (index, of_network) in layers.iter().enumerate() {
            let layer = &of_network.layer;
            let shape = |tensor: u16| shapes.get(usize::from(tensor)).copied();
            let out = (layer.out_channels, of_network.out_side());
            let outputs = usize::from(out.0) * out.1 * out.1;
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
            } else if last && outputs != about.classes.len() {
                "it has another number of logits than there are classes"
            } else if of_network.packing != layers[0].packing {
                "it is packed otherwise than the first one"
            } else {
                plan.add_layer(layer)?;
                shapes.push(out);
                continue;
            };
            let index = index as u16;
            return Err(Error::Layer { index, reason });
        }
        Ok(Self {
            rotations: match layers[0].packing {
                Packing::Segment | Packing::Coefficient => None,
                Packing::Slot => Some(rotations(&layers)?),
            },
            about,
            layers,
            plan,
        })
    }

    /// How its layers are packed.
    pub fn packing(&self) -> Packing {
        self.layers
            .first()
            .map_or(Packing::Segment, |layer| layer.packing)
    }

    /// What a client must announce.
    pub(super) fn parameter_set(&self) -> u16 {
        match self.packing() {
            Packing::Segment | Packing::Coefficient => PARAMETER_SET,
            Packing::Slot => SLOT_PARAMETER_SET,
        }
    }
}

/// The automorphisms of all layers.
fn rotations(layers: &[NetworkLayer]) -> Result<Rotations, Error> {
    let all: BTreeSet<_> = (layers.iter())
        .flat_map(|layer| layer.linear.rotations())
        .collect();
    if all.len() > MAX_ROTATIONS {
        let (needed, most) = (all.len(), MAX_ROTATIONS);
        return Err(Error::Usage(Usage::GaloisKeys { needed, most }));
    }
    Ok(all.into_iter().collect())
}
