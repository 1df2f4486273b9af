//! A trained network, and the images that it is calibrated on.

use super::error::ImportError;
use super::fold::FloatLayer;
use super::{architecture, checkpoint};
use crate::data::picture::ImageError;
use crate::model::schema::Network;
use crate::model::{Input, shapes};

/// What |y| may exceed the largest one of the calibration images by.
pub const HEADROOM: f64 = 1.25;
/// A trained network: its architecture, and weights with batch normalisation folded in.
#[derive(Clone, Debug)]
pub struct Trained {
    pub(super) network: Network,
    pub(super) layers: Vec<FloatLayer>,
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
        let shapes = shapes(&network)?;
        let layers = checkpoint::read(checkpoint, &shapes)?;
        Ok(Self { network, layers })
    }

    /// How a picture becomes the first tensor.
    pub fn input(&self) -> &Input {
        &self.network.input
    }

    /// The layers in execution order.
    pub fn layers(&self) -> &[FloatLayer] {
        &self.layers
    }
}

/// The calibration images as the network sees them.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// How many there are.
    pub count: usize,
    /// The first tensor of image `i`, [channels, side, side], as [`normalised`](crate::data::picture::normalised)
    /// gives it.
    pub tensor: &'a (dyn Fn(usize) -> Result<Vec<i32>, ImageError> + Sync),
}
