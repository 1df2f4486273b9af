//! Puts a network together: names, shapes, and what most layers have in common.

use crate::model::schema::{IMAGE, Input, Layer, Network, Pool, SCHEMA, Skip};
use stria_core::arith::field::ACC_BITS;

/// s of all builders: activations have 11 bits.
const SHIFT: u32 = 8;
/// The largest |y| that a layer with a ReLU may claim at that shift.
const LARGEST: u64 = (1 << (ACC_BITS - 1)) - (1 << 12) - (1 << SHIFT);

/// What a layer writes, or the image.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    /// The layer that writes it.
    pub name: String,
    /// Channels.
    pub channels: u64,
    /// Side in pixels.
    pub side: u64,
    /// Groups of that layer, which a shuffle must take apart.
    pub groups: u64,
}

/// A network that grows.
pub(super) struct Stack {
    network: Network,
    tensors: Vec<Tensor>,
}

impl Stack {
    /// Nothing but an RGB image of this side, cut out of a picture of `resize`.
    pub fn new(name: &str, classes: usize, side: u64, resize: u64) -> (Self, Tensor) {
        let image = Tensor {
            name: IMAGE.into(),
            channels: 3,
            side,
            groups: 1,
        };
        let network = Network {
            schema: SCHEMA,
            name: name.into(),
            classes: (0..classes).map(|class| format!("class {class}")).collect(),
            input: Input {
                channels: 3,
                side: side as usize,
                resize: resize as usize,
                mean: vec![0.485, 0.456, 0.406],
                std: vec![0.229, 0.224, 0.225],
                scale: 64.0,
            },
            shift: SHIFT,
            logit_scale: 1024.0,
            layers: Vec::new(),
        };
        let stack = Self {
            network,
            tensors: vec![image.clone()],
        };
        (stack, image)
    }

    /// A dense layer of `input` with a ReLU, whose odd kernel keeps the map's side. To be changed
    /// and pushed.
    pub fn layer(name: impl Into<String>, input: &Tensor, channels: u64, kernel: u64) -> Layer {
        Layer {
            name: name.into(),
            input: input.name.clone(),
            channels: [input.channels, channels],
            kernel,
            cross: false,
            stride: 1,
            padding: kernel / 2,
            groups: 1,
            shuffle: 1,
            pool: Pool::Map(false),
            skip: None,
            relu: true,
            max_abs: Some(LARGEST),
            repeat: None,
            tile: None,
        }
    }

    /// Adds a layer.
    pub fn push(&mut self, layer: Layer) -> Tensor {
        let input = self
            .tensors
            .iter()
            .find(|tensor| tensor.name == layer.input);
        let side = input.map_or(0, |input| match layer.pool {
            Pool::Map(true) => 1,
            Pool::Map(false) => input.side,
            Pool::Window(side) => input.side / side,
        });
        let tensor = Tensor {
            name: layer.name.clone(),
            channels: layer.channels[1],
            side: (side + 2 * layer.padding - layer.kernel) / layer.stride + 1,
            groups: layer.groups,
        };
        self.tensors.push(tensor.clone());
        self.network.layers.push(layer);
        tensor
    }

    /// Ends with a fully connected layer on the means of all maps.
    pub fn classify(mut self, features: &Tensor) -> Network {
        let classes = self.network.classes.len() as u64;
        self.push(Layer {
            pool: Pool::Map(true),
            relu: false,
            ..Self::layer("fc", features, classes, 1)
        });
        self.network
    }

    /// Ends with a fully connected layer on single pixels.
    pub fn finish(mut self, features: &Tensor) -> Network {
        let classes = self.network.classes.len() as u64;
        self.push(Layer {
            relu: false,
            ..Self::layer("fc", features, classes, 1)
        });
        self.network
    }
}

/// The residual sum of a tensor of activations: back at the scale of y.
pub(super) fn residual(tensor: &Tensor) -> Option<Skip> {
    Some(Skip {
        from: tensor.name.clone(),
        factor: 1 << SHIFT,
    })
}

/// The residual sum of a tensor without activation: it is at the scale of y.
pub(super) fn shortcut(tensor: &Tensor) -> Option<Skip> {
    Some(Skip {
        from: tensor.name.clone(),
        factor: 1,
    })
}
