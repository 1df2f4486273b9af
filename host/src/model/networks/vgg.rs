//! VGG-16 (Simonyan and Zisserman, "Very Deep Convolutional Networks", ICLR 2015).

use super::stack::Stack;
use crate::model::schema::{Layer, Network, Pool};

/// Configuration D.
pub(super) fn imagenet() -> Network {
    let (mut stack, mut x) = Stack::new("vgg16", 1000, 224, 256);
    let stages = [(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)];
    for (i, (channels, layers)) in stages.into_iter().enumerate() {
        for j in 0..layers {
            // The layer after a pooling sums the windows itself.
            let pool = if i > 0 && j == 0 {
                Pool::Window(2)
            } else {
                Pool::Map(false)
            };
            let name = format!("conv{}_{}", i + 1, j + 1);
            x = stack.push(Layer {
                pool,
                ..Stack::layer(name, &x, channels, 3)
            });
        }
    }
    // Fully connected on 7x7 maps is a convolution with one position.
    x = stack.push(Layer {
        pool: Pool::Window(2),
        padding: 0,
        ..Stack::layer("fc1", &x, 4096, 7)
    });
    x = stack.push(Stack::layer("fc2", &x, 4096, 1));
    stack.finish(&x)
}
