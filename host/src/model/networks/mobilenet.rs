//! MobileNetV2 (Sandler et al., "Inverted Residuals and Linear Bottlenecks", CVPR 2018).

use super::stack::{Stack, Tensor, shortcut};
use crate::model::schema::{Layer, Network};

/// Width multiplier 1.
pub(super) fn imagenet() -> Network {
    let (mut stack, image) = Stack::new("mobilenetv2", 1000, 224, 256);
    let mut x = stack.push(Layer {
        stride: 2,
        ..Stack::layer("conv1", &image, 32, 3)
    });
    // Expansion, channels, blocks, stride of the first.
    let stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ];
    for (i, (expansion, channels, blocks, stride)) in stages.into_iter().enumerate() {
        for b in 0..blocks {
            let stride = if b == 0 { stride } else { 1 };
            let name = format!("s{}b{}", i + 1, b + 1);
            x = block(&mut stack, &name, &x, expansion, channels, stride);
        }
    }
    let x = stack.push(Stack::layer("conv2", &x, 1280, 1));
    stack.classify(&x)
}

/// 1x1 to more channels, depthwise 3x3, 1x1 without activation to fewer.
fn block(
    stack: &mut Stack,
    name: &str,
    input: &Tensor,
    expansion: u64,
    channels: u64,
    stride: u64,
) -> Tensor {
    let mut x = input.clone();
    if expansion > 1 {
        let wide = expansion * x.channels;
        x = stack.push(Stack::layer(format!("{name}.expand"), &x, wide, 1));
    }
    let x = stack.push(Layer {
        groups: x.channels,
        stride,
        ..Stack::layer(format!("{name}.depthwise"), &x, x.channels, 3)
    });
    let residual = stride == 1 && input.channels == channels;
    stack.push(Layer {
        skip: residual.then(|| shortcut(input)).flatten(),
        relu: false,
        ..Stack::layer(format!("{name}.project"), &x, channels, 1)
    })
}
