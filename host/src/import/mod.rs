//! From a trained network in floating point to a model file: what `stria import` does.
//! DESIGN section 7; docs/import.md describes the files and the mathematics.
//!
//! A layer's sums y have a scale, in units per 1.0; its activations have 2^-shift times that.
//! Layers that skips join share the scale of sums, so that every skip's factor is an integer. The
//! scales are nowhere in the model file, except that of the logits: the ReLU commutes with them,
//! and the weights absorb them.

mod architecture;
mod calibrate;
mod checkpoint;
mod error;
mod fold;
mod quantise;
mod rounding;
mod scale;
#[cfg(test)]
mod tests;

use crate::data::picture::ImageError;
use crate::model::schema::Network;
use crate::model::{self, Integers, Model};

pub use error::ImportError;
pub use fold::FloatLayer;

/// What |y| may exceed the largest one of the calibration images by.
pub const HEADROOM: f64 = 1.25;
/// Parts of the range that are tried: sums of rounded weights may be larger than real ones.
const SLACKS: [f64; 3] = [0.995, 0.98, 0.95];

/// A trained network: its architecture, and weights with batch normalisation folded in.
#[derive(Clone, Debug)]
pub struct Trained {
    network: Network,
    layers: Vec<FloatLayer>,
    input: model::Input,
}

impl Trained {
    /// Reads the bytes of a float checkpoint, and the architecture's JSON; `shift`, if given,
    /// replaces that of the architecture.
    pub fn read(
        checkpoint: &[u8],
        architecture: &str,
        shift: Option<u32>,
    ) -> Result<Self, ImportError> {
        let network = architecture::parse(architecture, shift)?;
        let shapes = model::shapes(&network)?;
        let input = model::input(&network)?;
        let layers = checkpoint::read(checkpoint, &shapes)?;
        Ok(Self {
            network,
            layers,
            input,
        })
    }

    /// How a picture becomes the first tensor.
    pub fn input(&self) -> &model::Input {
        &self.input
    }

    /// The layers in execution order.
    pub fn layers(&self) -> &[FloatLayer] {
        &self.layers
    }

    /// Quantises and calibrates on the images.
    pub fn import(&self, images: &Images<'_>) -> Result<Imported, ImportError> {
        if images.count == 0 {
            return Err(ImportError::NoImages);
        }
        let seen = calibrate::seen(self, images)?;
        let mut refused = None;
        for slack in SLACKS {
            let scales = scale::finest(self, &seen.largest, slack)?;
            let (mut network, integers) = quantise::integers(self, &scales, &seen.last_inputs);
            let model = Model::new(network.clone(), integers.clone())?;
            let largest = calibrate::largest(&model, images)?;
            refused = None;
            for ((layer, of), largest) in network.layers.iter_mut().zip(&self.layers).zip(largest) {
                let max_abs = (HEADROOM * f64::from(largest)).ceil() as u64;
                let allowed = scale::allowed(of, self.network.shift);
                layer.max_abs = Some(max_abs);
                if max_abs > allowed && refused.is_none() {
                    refused = Some(ImportError::Range {
                        layer: layer.name.clone(),
                        max_abs,
                        allowed,
                    });
                }
            }
            if refused.is_none() {
                return Imported::new(&network, &integers);
            }
        }
        Err(refused.unwrap_or(ImportError::NoImages))
    }
}

/// The calibration images as the network sees them.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// How many there are.
    pub count: usize,
    /// The first tensor of image `i`, [channels, side, side], as [`crate::data::picture::normalised`]
    /// gives it.
    pub tensor: &'a (dyn Fn(usize) -> Result<Vec<i32>, ImageError> + Sync),
}

/// A model file, checked.
#[derive(Clone, Debug)]
pub struct Imported {
    /// What the file holds.
    pub model: Model,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Imported {
    fn new(network: &Network, integers: &[Integers]) -> Result<Self, ImportError> {
        let bytes = model::to_bytes(network, integers)?;
        let model = Model::from_bytes(&bytes)?;
        Ok(Self { model, bytes })
    }
}
