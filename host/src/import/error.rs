//! Why a trained network cannot become a model file.

use crate::data::picture::ImageError;
use crate::model::ModelError;

/// Everything that can be wrong with a checkpoint, its architecture or its calibration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The checkpoint is not a safetensors file, or a damaged one.
    #[error("the checkpoint is not a valid safetensors file")]
    Container(#[from] safetensors::SafeTensorError),
    /// The architecture is not JSON, or lacks fields outside of its layers.
    #[error("the architecture does not follow the schema")]
    Architecture(#[from] serde_json::Error),
    /// A layer of the architecture that is not as the schema has it.
    #[error("layer {layer}: its description does not follow the schema")]
    Layer {
        /// Name of the layer, or its number if it has none.
        layer: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An architecture that no model file may have, or integers that none can hold.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor that a layer needs.
    #[error("layer {layer}: the checkpoint has no tensor {tensor}")]
    Missing {
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: String,
    },
    /// A layer that would have no bias at all.
    #[error("layer {layer}: the checkpoint has neither {bias} nor {norm}")]
    NoBias {
        /// The layer.
        layer: String,
        /// The convolution's bias.
        bias: String,
        /// The batch normalisation's.
        norm: String,
    },
    /// A tensor of another shape or type than the layer has.
    #[error(
        "layer {layer}: {tensor} is {found_type} {found_shape:?}, it must be F32 {expected_shape:?}"
    )]
    TensorShape {
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: String,
        /// Its type.
        found_type: String,
        /// Its shape.
        found_shape: Vec<usize>,
        /// What the architecture asks for.
        expected_shape: Vec<usize>,
    },
    /// A value that is not a number, or a variance that is negative.
    #[error("layer {layer}: {tensor} has {value} at {index}, it must be {allowed}")]
    Value {
        /// The layer.
        layer: String,
        /// The tensor.
        tensor: String,
        /// Index of the value.
        index: usize,
        /// The value.
        value: f32,
        /// What it may be.
        allowed: &'static str,
    },
    /// A tensor that no layer uses.
    #[error("the checkpoint's tensor {0} belongs to no layer of the architecture")]
    Surplus(String),
    /// No pictures to calibrate on.
    #[error("there are no calibration images")]
    NoImages,
    /// A picture that cannot be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Sums too large for floating point.
    #[error("layer {layer}: its sums are infinite on the calibration images")]
    Infinite {
        /// The layer.
        layer: String,
    },
    /// A layer that computes nothing.
    #[error("layer {layer}: all its sums are 0 on the calibration images")]
    Silent {
        /// The layer.
        layer: String,
    },
    /// A sum with the image whose other part is so large that the image would count for nothing.
    #[error(
        "layer {layer}: its sums are too large for a skip from the image, whose integers have {scale} units per standard deviation"
    )]
    ImageSkip {
        /// The layer.
        layer: String,
        /// The image's scale.
        scale: f32,
    },
    /// Integer sums beyond the range at every scale that was tried.
    #[error(
        "layer {layer}: its sums, with headroom, reach {max_abs} at scales where they should stay below {allowed}"
    )]
    Range {
        /// The layer.
        layer: String,
        /// Largest |y|, with headroom.
        max_abs: u64,
        /// What is allowed.
        allowed: u64,
    },
}
