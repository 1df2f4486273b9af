//! The architecture as the model file's JSON states it, before anything is checked.
//! docs/model-file.md describes every field.

use serde::{Deserialize, Serialize};

use super::error::ModelError;

/// The schema version that this crate reads.
pub const SCHEMA: u64 = 1;
/// Key of the JSON text in the safetensors metadata.
pub const METADATA_KEY: &str = "stria";
/// Name of the network's input, where layers name theirs.
pub const IMAGE: &str = "image";

/// Only the version, read first: the other fields may be anything in another version.
#[derive(Deserialize)]
pub(super) struct Version {
    pub schema: u64,
}

/// Whether this crate reads that version.
pub(crate) fn check_version(found: u64) -> Result<(), ModelError> {
    if found == SCHEMA {
        return Ok(());
    }
    let supported = SCHEMA;
    Err(ModelError::Schema { found, supported })
}

/// A whole network.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Version of this schema.
    pub schema: u64,
    /// Name of the network.
    pub name: String,
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// How a picture becomes the first tensor.
    pub input: Input,
    /// s: bits that every ReLU layer drops.
    pub shift: u32,
    /// Integer logits per unit of real logit.
    pub logit_scale: f32,
    /// The layers in execution order.
    pub layers: Vec<Layer>,
}

/// How a picture becomes the first tensor.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// 3 for RGB, 1 for grey.
    pub channels: usize,
    /// Side of the map that the network sees, in pixels.
    pub side: usize,
    /// Pixels that the picture's shorter side is resized to first.
    pub resize: usize,
    /// Mean per channel, of pixels between 0 and 1.
    pub mean: Vec<f32>,
    /// Standard deviation per channel.
    pub std: Vec<f32>,
    /// Integers per standard deviation.
    pub scale: f32,
}

/// One grouped convolution with what follows it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Name of the layer, of its output and of its tensors.
    pub name: String,
    /// The layer that it reads, or "image".
    pub input: String,
    /// Channels in and out.
    pub channels: [u64; 2],
    /// Side of the kernel.
    pub kernel: u64,
    /// Only the five taps of a plus; the kernel's side is 3 then.
    #[serde(default)]
    pub cross: bool,
    /// Stride.
    #[serde(default = "one")]
    pub stride: u64,
    /// Rows and columns of zeros around the map.
    #[serde(default)]
    pub padding: u64,
    /// Groups of channels.
    #[serde(default = "one")]
    pub groups: u64,
    /// Groups of the channel shuffle of the input; 1 is none.
    #[serde(default = "one")]
    pub shuffle: u64,
    /// Sums before the convolution.
    #[serde(default)]
    pub pool: Pool,
    /// Residual sum.
    #[serde(default)]
    pub skip: Option<Skip>,
    /// Whether a ReLU follows; the last layer has none. Where another has none, its y is the tensor.
    pub relu: bool,
    /// Largest |y| that calibration allows.
    #[serde(default)]
    pub max_abs: Option<u64>,
    /// Repetitions in the packing; chosen by the planner if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<u64>,
    /// Side of an output tile, 0 for the whole map; chosen by the planner if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tile: Option<u64>,
}

/// Sums before a convolution: over whole maps or not at all, or over squares of this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pool {
    /// Whether every map is summed to one pixel.
    Map(bool),
    /// Every square of this side is summed to one pixel.
    Window(u64),
}

impl Default for Pool {
    fn default() -> Self {
        Self::Map(false)
    }
}

/// A residual sum.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    /// The layer whose output is added, or "image".
    pub from: String,
    /// What it is multiplied by.
    pub factor: u64,
}

fn one() -> u64 {
    1
}
