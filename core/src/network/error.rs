//! Why a network's description cannot be run.

use super::layer::{
    MAX_CHANNELS, MAX_CIPHERTEXTS, MAX_KERNEL, MAX_SIDE, MAX_STRIDE, MAX_VALUES, TensorId,
};

/// Why a layer, or a network with it, cannot be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum LayerError {
    /// A number of channels that is zero or above `MAX_CHANNELS`.
    Channels(u16),
    /// A side in pixels that is zero or above `MAX_SIDE`.
    Side(u16),
    /// A kernel's side that is zero or above `MAX_KERNEL`.
    Kernel(u8),
    /// A stride that is zero or above `MAX_STRIDE`.
    Stride(u8),
    /// A padding as wide as the kernel, or wider.
    Padding(u8),
    /// Channels that are not a multiple of the groups, or no groups.
    Groups {
        /// Channels in or out.
        channels: u16,
        /// Groups.
        groups: u16,
    },
    /// Input channels that are not a multiple of the shuffle's groups, or none of those.
    Shuffle {
        /// Channels in.
        channels: u16,
        /// Groups of the shuffle.
        groups: u16,
    },
    /// A repeat that is no power of two, or that makes more segments than a ciphertext has
    /// coefficients.
    Repeat(u16),
    /// A side that is not a multiple of the pooling window, or a window of nothing.
    Pool {
        /// Side in pixels.
        side: u16,
        /// Side of the window.
        window: u16,
    },
    /// A kernel larger than the padded map of this side.
    Padded(usize),
    /// A tile larger than the output.
    Tile(u16),
    /// A map whose block of so many coefficients does not fit a segment.
    Block(usize),
    /// A tensor of so many values, above `MAX_VALUES`.
    Values(u64),
    /// So many ciphertexts, above `MAX_CIPHERTEXTS`.
    Ciphertexts(u64),
    /// It reads or adds a tensor that does not exist before it, or that has another shape.
    Tensor(TensorId),
    /// A skip factor that is not below t.
    SkipFactor(u32),
    /// A residual sum of logits.
    SkipLogits,
    /// Logits of a layer that is not the last, or a last layer without.
    LogitsPlace,
    /// Another number of logits than there are classes.
    Classes {
        /// Logits of the last layer.
        logits: usize,
        /// Classes of the network.
        classes: usize,
    },
    /// Another packing than the first layer's.
    Packing,
    /// Another number of weights than the layer has.
    Weights {
        /// Weights of the layer.
        expected: usize,
        /// Those given.
        got: usize,
    },
    /// Another number of biases than there are output channels.
    Biases {
        /// Output channels.
        expected: usize,
        /// Those given.
        got: usize,
    },
    /// A weight or bias that is not a centred residue mod t.
    Range(i32),
}

impl core::fmt::Display for LayerError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::Channels(x) => write!(f, "{x} channels are not 1 to {MAX_CHANNELS}"),
            Self::Side(x) => write!(f, "a side of {x} pixels is not 1 to {MAX_SIDE}"),
            Self::Kernel(x) => write!(f, "a kernel of side {x} is not 1 to {MAX_KERNEL}"),
            Self::Stride(x) => write!(f, "a stride of {x} is not 1 to {MAX_STRIDE}"),
            Self::Padding(x) => write!(f, "a padding of {x} is as wide as the kernel"),
            Self::Groups { channels, groups } => {
                write!(
                    f,
                    "{channels} channels are not a multiple of {groups} groups"
                )
            }
            Self::Shuffle { channels, groups } => write!(
                f,
                "{channels} channels are not a multiple of the shuffle's {groups} groups"
            ),
            Self::Repeat(x) => write!(
                f,
                "a repeat of {x} is not a power of two, or makes too many segments"
            ),
            Self::Pool { side, window } => write!(
                f,
                "a side of {side} pixels is not a multiple of the pooling window, {window}"
            ),
            Self::Padded(x) => write!(f, "the kernel is larger than the padded map of side {x}"),
            Self::Tile(x) => write!(f, "a tile of side {x} is larger than the output"),
            Self::Block(x) => write!(
                f,
                "the map takes {x} coefficients and does not fit a segment; it needs tiles or fewer repeats"
            ),
            Self::Values(x) => write!(f, "a tensor of {x} values is above {MAX_VALUES}"),
            Self::Ciphertexts(x) => write!(f, "{x} ciphertexts are above {MAX_CIPHERTEXTS}"),
            Self::Tensor(x) => write!(f, "tensor {x} is not there, or has another shape"),
            Self::SkipFactor(x) => write!(f, "its skip factor {x} is not below t"),
            Self::SkipLogits => f.write_str("a residual sum of logits is not supported"),
            Self::LogitsPlace => f.write_str("logits come from the last layer, and only from it"),
            Self::Classes { logits, classes } => {
                write!(f, "it has {logits} logits for {classes} classes")
            }
            Self::Packing => f.write_str("it is packed otherwise than the first one"),
            Self::Weights { expected, got } => write!(f, "{got} weights instead of {expected}"),
            Self::Biases { expected, got } => write!(f, "{got} biases instead of {expected}"),
            Self::Range(x) => write!(f, "{x} is not a centred residue mod t"),
        }
    }
}

impl core::error::Error for LayerError {}
