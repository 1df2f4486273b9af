//! Quantises and calibrates, at scales a little coarser each time until the sums fit.

use super::error::ImportError;
use super::trained::{HEADROOM, Images, Trained};
use super::{calibrate, quantise, scale};
use crate::model::schema::Network;
use crate::model::{Integers, Model, to_bytes};

/// Parts of the range that are tried: sums of rounded weights may be larger than real ones.
const SLACKS: [f64; 3] = [0.995, 0.98, 0.95];

impl Trained {
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
        let bytes = to_bytes(network, integers)?;
        let model = Model::from_bytes(&bytes)?;
        Ok(Self { model, bytes })
    }
}
