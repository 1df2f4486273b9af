//! ResNets (He et al., "Deep Residual Learning for Image Recognition", CVPR 2016).

use super::stack::{Stack, Tensor, residual, shortcut};
use crate::model::schema::{Layer, Network, Pool, Skip};

/// Where a block reads: a tensor, summed over windows first in the stage after a max pooling.
#[derive(Clone)]
struct Source {
    tensor: Tensor,
    pool: Pool,
}

impl Source {
    fn layer(&self, name: String, channels: u64, kernel: u64, stride: u64) -> Layer {
        Layer {
            pool: self.pool,
            stride,
            ..Stack::layer(name, &self.tensor, channels, kernel)
        }
    }

    /// What the block's last layer adds: the input, or its projection where the shape changes.
    fn skip(&self, stack: &mut Stack, name: &str, channels: u64, stride: u64) -> Option<Skip> {
        if self.pool == Pool::Map(false) && stride == 1 && self.tensor.channels == channels {
            return residual(&self.tensor);
        }
        let projected = stack.push(Layer {
            relu: false,
            ..self.layer(format!("{name}.shortcut"), channels, 1, stride)
        });
        shortcut(&projected)
    }
}

impl From<Tensor> for Source {
    fn from(tensor: Tensor) -> Self {
        Self {
            tensor,
            pool: Pool::Map(false),
        }
    }
}

/// Two 3x3 layers.
fn basic(stack: &mut Stack, name: &str, input: &Source, channels: u64, stride: u64) -> Tensor {
    let skip = input.skip(stack, name, channels, stride);
    let x = stack.push(input.layer(format!("{name}.conv1"), channels, 3, stride));
    stack.push(Layer {
        skip,
        ..Stack::layer(format!("{name}.conv2"), &x, channels, 3)
    })
}

/// 1x1, 3x3, 1x1 with four times the channels.
fn bottleneck(stack: &mut Stack, name: &str, input: &Source, inner: u64, stride: u64) -> Tensor {
    let skip = input.skip(stack, name, 4 * inner, stride);
    let x = stack.push(input.layer(format!("{name}.conv1"), inner, 1, 1));
    let x = stack.push(Layer {
        stride,
        ..Stack::layer(format!("{name}.conv2"), &x, inner, 3)
    });
    stack.push(Layer {
        skip,
        ..Stack::layer(format!("{name}.conv3"), &x, 4 * inner, 1)
    })
}

type Block = fn(&mut Stack, &str, &Source, u64, u64) -> Tensor;

/// Stages of blocks; each but the first halves the map.
fn stages(mut stack: Stack, mut x: Source, block: Block, stages: &[(u64, usize)]) -> Network {
    for (i, &(channels, blocks)) in stages.iter().enumerate() {
        for b in 0..blocks {
            let stride = if i > 0 && b == 0 { 2 } else { 1 };
            let name = format!("s{}b{}", i + 1, b + 1);
            x = block(&mut stack, &name, &x, channels, stride).into();
        }
    }
    stack.classify(&x.tensor)
}

/// 6n + 2 layers on 32x32.
pub(super) fn cifar(name: &str, n: usize) -> Network {
    let (mut stack, image) = Stack::new(name, 10, 32, 32);
    let x = stack.push(Stack::layer("conv1", &image, 16, 3));
    stages(stack, x.into(), basic, &[(16, n), (32, n), (64, n)])
}

/// ResNet-18 as it is used on 64x64: a small stem that keeps the side, and no pooling after it.
pub(super) fn tiny_imagenet() -> Network {
    let (mut stack, image) = Stack::new("resnet18", 200, 64, 64);
    let x = stack.push(Stack::layer("conv1", &image, 64, 3));
    let widths = [(64, 2), (128, 2), (256, 2), (512, 2)];
    stages(stack, x.into(), basic, &widths)
}

/// ResNet-50.
pub(super) fn imagenet() -> Network {
    let (mut stack, image) = Stack::new("resnet50", 1000, 224, 256);
    let x = stack.push(Layer {
        stride: 2,
        ..Stack::layer("conv1", &image, 64, 7)
    });
    let x = Source {
        tensor: x,
        pool: Pool::Window(2),
    };
    let widths = [(64, 3), (128, 4), (256, 6), (512, 3)];
    stages(stack, x, bottleneck, &widths)
}
