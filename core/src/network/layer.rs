//! The public description of a linear layer with its activation: what the client is told of it.
//! `docs/design.md#segment-packing` and `#integer-model`; [`crate::packing`] lays it out.

use serde::{Deserialize, Serialize};

/// Names a tensor of one inference: 0 is the image, i + 1 the output of layer i.
pub type TensorId = u16;

/// Largest side of a kernel.
pub const MAX_KERNEL: u8 = 7;
/// Largest stride.
pub const MAX_STRIDE: u8 = 4;
/// Largest side of a map, in pixels.
pub const MAX_SIDE: u16 = 1024;
/// Most values of a tensor.
pub const MAX_VALUES: u64 = 1 << 24;
/// Most ciphertexts that a layer takes, and most that it returns.
pub const MAX_CIPHERTEXTS: u64 = 1 << 14;
/// Largest number of channels of a tensor.
pub const MAX_CHANNELS: u16 = 8192;

/// Which taps a kernel has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kernel {
    /// All taps of a square of this side.
    Square(u8),
    /// The five taps of a plus in a square of side 3, in the order up, left, centre, right, down.
    Cross,
}

impl Kernel {
    /// Side of the square around the taps.
    pub fn side(self) -> u8 {
        match self {
            Self::Square(side) => side,
            Self::Cross => 3,
        }
    }

    /// Number of taps.
    pub fn taps(self) -> usize {
        match self {
            Self::Square(side) => usize::from(side).pow(2),
            Self::Cross => 5,
        }
    }

    /// Row and column of tap `i` in the square.
    pub fn tap(self, i: usize) -> (i32, i32) {
        match self {
            Self::Square(side) => {
                let side = usize::from(side).max(1);
                ((i / side) as i32, (i % side) as i32)
            }
            Self::Cross => [(0, 1), (1, 0), (1, 1), (1, 2), (2, 1)][i % 5],
        }
    }
}

/// A residual sum: `factor` times a tensor of the output's shape is added before the activation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skip {
    /// The tensor.
    pub tensor: TensorId,
    /// The integer M of `docs/design.md#integer-model`.
    pub factor: u32,
}

/// What is done to the input's maps first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Pool {
    /// Nothing.
    None,
    /// Every map is summed to one pixel.
    Map,
    /// Every square of this side is summed to one pixel; the map's side is a multiple of it.
    Window(u8),
}

/// What follows the linear part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Activation {
    /// max(0, floor(y / 2^shift)).
    Relu,
    /// None: y goes to the client in clear. The last layer's, and only its.
    Logits,
    /// None: y itself, modulo t, is the tensor: projection shortcuts and linear bottlenecks.
    Linear,
}

/// A grouped convolution with its activation, as both parties know it. Weights are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Layer {
    /// The tensor that it reads.
    pub input: TensorId,
    /// Channels of that tensor.
    pub in_channels: u16,
    /// Side of that tensor's maps in pixels.
    pub in_side: u16,
    /// Sums before the convolution (average pooling; the divisor is in the weights).
    pub pool: Pool,
    /// Channel shuffle of the input with this many groups; 1 is none.
    pub shuffle: u16,
    /// Channels that it produces.
    pub out_channels: u16,
    /// Kernel.
    pub kernel: Kernel,
    /// Stride in pixels.
    pub stride: u8,
    /// Rows and columns of zeros around the map.
    pub padding: u8,
    /// G: groups of channels; output channels see the inputs of their group only.
    pub groups: u16,
    /// r: every group is packed in this many segments, which produce different outputs.
    pub repeat: u16,
    /// Side of an output tile in pixels; 0 for the whole map.
    pub tile: u16,
    /// Residual sum, if any.
    pub skip: Option<Skip>,
    /// What follows.
    pub activation: Activation,
}

impl Layer {
    /// Side of the squares that are summed to a pixel first: 1 without pooling.
    pub fn pool_side(&self) -> u16 {
        match self.pool {
            Pool::None => 1,
            Pool::Map => self.in_side,
            Pool::Window(side) => side.into(),
        }
    }

    /// Row and column in the input of every pixel that is summed to a pixel of the map.
    pub fn pooled(&self, row: usize, col: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let side = usize::from(self.pool_side());
        (0..side * side).map(move |i| (row * side + i / side, col * side + i % side))
    }

    /// Weights of an output channel, which are the products that a value of it sums.
    pub fn weights_per_output(&self) -> usize {
        usize::from(self.in_channels / self.groups) * self.kernel.taps()
    }

    /// The layer as one group in one segment: what coefficient packing computes. The kernels between
    /// what were different groups are zero.
    pub fn dense(&self) -> Self {
        Self {
            groups: 1,
            repeat: 1,
            ..*self
        }
    }
}
