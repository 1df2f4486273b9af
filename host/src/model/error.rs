//! Why a model file is refused.

use std::path::PathBuf;
use stria_core::network::LayerError;

use super::bound::Range;

use stria_core::network::name::Shown;

/// Everything that can be wrong with a model file. Names and values are those of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read.
    #[error("cannot read the model file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("not a valid safetensors file")]
    Container(#[from] safetensors::SafeTensorError),
    /// The metadata has no architecture.
    #[error("the safetensors metadata has no key \"{0}\"")]
    NoArchitecture(&'static str),
    /// The architecture is not the JSON that the schema asks for.
    #[error("the architecture in the metadata does not follow the schema")]
    Json(#[from] serde_json::Error),
    /// Another version of the schema.
    #[error("the model file has schema version {found}, this program reads version {supported}")]
    Schema {
        /// Version in the file.
        found: u64,
        /// Version that is understood.
        supported: u64,
    },
    /// A network without layers.
    #[error("the network has no layers")]
    NoLayers,
    /// Two layers or two classes with one name, an empty name, a layer called "image", or a name that
    /// [`is_clean`](stria_core::network::name::is_clean) refuses.
    #[error("the {what} name \"{}\" is empty, reserved, used twice or not printable", Shown(.name))]
    Name {
        /// "network", "layer" or "class".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A field outside of its range.
    #[error("{at}: {field} is {value}, it must be {allowed}")]
    Field {
        /// Layer name, "input" or "network".
        at: String,
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// A layer reads something that is not an earlier layer's activation.
    #[error("layer {layer}: its {what} \"{name}\" is neither \"image\" nor an earlier layer")]
    UnknownTensor {
        /// The layer.
        layer: String,
        /// "input" or "skip".
        what: &'static str,
        /// The name it gives.
        name: String,
    },
    /// A layer's channels are not those of the tensor it reads.
    #[error("layer {layer}: it takes {expects} channels, but \"{input}\" has {found}")]
    InputChannels {
        /// The layer.
        layer: String,
        /// The tensor it reads.
        input: String,
        /// Channels that the layer states.
        expects: u64,
        /// Channels that the tensor has.
        found: u64,
    },
    /// A residual of another shape than the layer's output; shapes are [channels, side].
    #[error(
        "layer {layer}: its skip \"{skip}\" is {found:?} [channels, side], its output is {expects:?}"
    )]
    SkipShape {
        /// The layer.
        layer: String,
        /// The tensor that it adds.
        skip: String,
        /// Shape of the output.
        expects: [u64; 2],
        /// Shape of the tensor that is added.
        found: [u64; 2],
    },
    /// A layer that cannot be packed.
    #[error("layer {layer}: {reason}")]
    Layout {
        /// The layer.
        layer: String,
        /// What is wrong.
        reason: LayerError,
    },
    /// A ReLU after the last layer.
    #[error("layer {layer}: the last layer must end in logits, without a ReLU")]
    Logits {
        /// The layer.
        layer: String,
    },
    /// The last layer does not give one value a class; the shape is [channels, side].
    #[error("layer {layer}: it gives {found:?} [channels, side], but there are {classes} classes")]
    Classes {
        /// The last layer.
        layer: String,
        /// Shape of its output.
        found: [u64; 2],
        /// Number of classes.
        classes: usize,
    },
    /// A tensor that the architecture needs is not there.
    #[error("tensor {0} is missing")]
    MissingTensor(String),
    /// A tensor that the architecture does not know.
    #[error("tensor {0} belongs to no layer")]
    SurplusTensor(String),
    /// A tensor of another type or shape.
    #[error(
        "tensor {tensor} is {found_type} {found_shape:?}, it must be {expected_type} {expected_shape:?}"
    )]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// Its type.
        found_type: String,
        /// Its shape.
        found_shape: Vec<usize>,
        /// The type it must have.
        expected_type: &'static str,
        /// The shape it must have.
        expected_shape: Vec<usize>,
    },
    /// A single value that is too large.
    #[error("tensor {tensor}: value {value} at {index} is not between -{limit} and {limit}")]
    TooLarge {
        /// The tensor.
        tensor: String,
        /// Index of the value.
        index: usize,
        /// The value.
        value: i64,
        /// Largest magnitude.
        limit: i64,
    },
    /// Weights whose sums do not fit 32 bits in the worst case.
    #[error(
        "layer {layer}: its weights are too large: in the worst case y is in {worst}, beyond 32 bits"
    )]
    Accumulator {
        /// The layer.
        layer: String,
        /// All y that are possible.
        worst: Range,
    },
    /// A layer whose range is not proved and that has no calibrated maximum.
    #[error(
        "layer {layer}: in the worst case y is in {worst}, beyond {allowed}, and it has no calibrated max_abs"
    )]
    NotCalibrated {
        /// The layer.
        layer: String,
        /// All y that are possible.
        worst: Range,
        /// All y that are allowed.
        allowed: Range,
    },
    /// A calibrated maximum outside of the range.
    #[error("layer {layer}: its calibrated max_abs {max_abs} is beyond {allowed}")]
    Calibration {
        /// The layer.
        layer: String,
        /// The calibrated maximum.
        max_abs: u64,
        /// All y that are allowed.
        allowed: Range,
    },
}
