//! A network as a server runs it: public layers with transformed weights, checked as a whole.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::activation::Answerable;
use super::greeting::{
    InputSpec, LayersHash, MAX_CLASSES, MAX_LAYERS, MAX_NAME, PARAMETER_SET, SLOT_PARAMETER_SET,
};
use super::linear::LinearLayer;
use super::linear::slot::{MAX_ROTATIONS, Rotations};
use super::steps::Room;
use crate::Error;
use crate::arith::field::T;
use crate::clear::ClearConvolution;
use crate::error::Usage;
use crate::network::LayerError;
use crate::network::layer::{Activation, Layer};
use crate::packing::geometry::Geometry;
use crate::packing::segment::{SegmentLayout, SegmentWeights};
use crate::packing::slot::{SlotLayout, SlotWeights};
use crate::packing::{Output, OutputCursor, Packing};

/// Inferences that are prepared together, at most: more would save next to nothing.
pub const MAX_BATCH: u16 = 64;

/// A layer with its weights, ready to be run.
pub struct NetworkLayer {
    /// What the client is told.
    pub(super) layer: Layer,
    pub(super) linear: Arc<dyn LinearLayer>,
    /// The same convolution in the clear, for the server's own share of the input.
    pub(super) clear: ClearConvolution<Arc<[i32]>>,
    /// Its outputs, in the order in which both parties take them.
    pub(super) outputs: Vec<Output>,
    /// One an output channel, in units of y.
    pub(super) bias: Vec<i32>,
    packing: Packing,
}

/// Bytes that a network's transformed weights may still take. A layer that finds no room transforms
/// its weights in every inference, or once for several that are prepared together.
#[derive(Clone, Copy, Debug)]
pub struct WeightMemory(usize);

impl WeightMemory {
    /// Room for so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Whether there is room for so many bytes; takes it.
    fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

impl NetworkLayer {
    /// Takes the weights, `[out_channels, in_channels / groups, taps]`. Their plaintext factors are
    /// kept once they are made, if there is room. The layer's `repeat` counts in segment packing, its `tile` also in coefficient packing.
    pub fn new(
        packing: Packing,
        layer: Layer,
        weights: &[i32],
        bias: &[i32],
        memory: &mut WeightMemory,
    ) -> Result<Self, LayerError> {
        let geometry = Geometry::new(&layer)?;
        check_numbers(&layer, weights, bias)?;
        // One copy, which the ciphertexts' factors are made from too.
        let weights: Arc<[i32]> = weights.into();
        let clear = ClearConvolution::new(&layer, &geometry, Arc::clone(&weights));
        let keep = |bytes| memory.take(bytes);
        let (shown, linear): (_, Arc<dyn LinearLayer>) = match packing {
            Packing::Segment | Packing::Coefficient => {
                let shown = match packing {
                    Packing::Coefficient => layer.dense(),
                    _ => layer,
                };
                let layout = SegmentLayout::new(&shown)?;
                let weights = SegmentWeights::new(&layer, &layout, weights, keep);
                (shown, Arc::new(weights))
            }
            Packing::Slot => {
                let layout = SlotLayout::new(&layer)?;
                (layer, Arc::new(SlotWeights::new(&layout, weights, keep)))
            }
        };
        let mut cursor = OutputCursor::start();
        let places = linear.places();
        let outputs = core::iter::from_fn(|| cursor.next(places)).collect();
        Ok(Self {
            layer: shown,
            outputs,
            linear,
            clear,
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

/// Checks the numbers of a layer whose shape is one that can be run.
fn check_numbers(layer: &Layer, weights: &[i32], bias: &[i32]) -> Result<(), LayerError> {
    let outputs = usize::from(layer.out_channels);
    let per_output = layer.weights_per_output();
    let expected = outputs * per_output;
    let got = weights.len();
    if got != expected {
        return Err(LayerError::Weights { expected, got });
    }
    if bias.len() != outputs {
        return Err(LayerError::Biases {
            expected: outputs,
            got: bias.len(),
        });
    }
    let mut all = weights.iter().chain(bias);
    match all.find(|x| x.unsigned_abs() > T / 2) {
        Some(&x) => Err(LayerError::Range(x)),
        None => Ok(()),
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
    pub(super) layers_hash: LayersHash,
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
        let mut layers_hash = LayersHash::default();
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
            let skip = layer.skip;
            let missing = skip.filter(|skip| shape(skip.tensor) != Some(out));
            let reason = if shape(layer.input) != Some((layer.in_channels, layer.in_side.into())) {
                LayerError::Tensor(layer.input)
            } else if let Some(skip) = missing {
                LayerError::Tensor(skip.tensor)
            } else if last && skip.is_some() {
                LayerError::SkipLogits
            } else if let Some(skip) = skip.filter(|skip| skip.factor >= T) {
                LayerError::SkipFactor(skip.factor)
            } else if last != (layer.activation == Activation::Logits) {
                LayerError::LogitsPlace
            } else if last && outputs != about.classes.len() {
                LayerError::Classes {
                    logits: outputs,
                    classes: about.classes.len(),
                }
            } else if of_network.packing != layers[0].packing {
                LayerError::Packing
            } else {
                layers_hash.add_layer(layer)?;
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
            layers_hash,
        })
    }

    /// Makes all plaintext factors that are kept, on all cores. Otherwise each is made by the session
    /// that needs it first, and shared.
    pub fn prepare(&self) {
        for layer in &self.layers {
            layer.linear.prepare();
        }
    }

    /// A hash of all that an inference depends on, weights among it: not for clients, who could test
    /// guesses with it.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"stria network 1");
        hash.update(self.layers_hash.0);
        hash.update(self.packing().name());
        hash.update([self.about.shift]);
        for layer in &self.layers {
            let numbers = [layer.clear.weights(), &layer.bias];
            for numbers in numbers {
                hash.update((numbers.len() as u64).to_le_bytes());
                for numbers in numbers.chunks(256) {
                    let mut bytes = [0; 4 * 256];
                    for (bytes, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
                        *bytes = number.to_le_bytes();
                    }
                    hash.update(&bytes[..4 * numbers.len()]);
                }
            }
        }
        hash.finalize().into()
    }

    /// Inferences that a server may prepare together for a client of this room, within so many bytes;
    /// but always one, and no more than 64.
    pub fn batch(&self, room: Room, memory: usize) -> u16 {
        let fit = memory / self.batch_bytes(room);
        fit.clamp(1, MAX_BATCH.into()) as u16
    }

    /// What an inference takes of a server's memory while it waits for others of its batch.
    pub fn batch_bytes(&self, room: Room) -> usize {
        let (mut inputs, mut responses, mut layer, mut outputs) = (0, 0, 0, 0);
        for of_network in &self.layers {
            let (received, sent) = of_network.linear.bytes();
            inputs = received.max(inputs);
            layer = (received + sent).max(layer);
            responses += sent;
            outputs += of_network.outputs.len();
        }
        // What the masks leave for the answer.
        let offsets = outputs * size_of::<u32>();
        offsets
            + match room {
                // All responses wait.
                Room::Whole => inputs + responses,
                // All that is prepared waits.
                Room::Chunks(_) => layer + outputs * Answerable::OUTPUT_BYTES,
            }
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
