//! StriaNets: stages of StriaBlocks, mostly on maps of side 2^i - 1, which fill a power of two.
//! `core/docs/design.md#striablock`; a StriaBlock is 1x1 ExRot-Free, Cross Kernel, 1x1 ExRot-Free,
//! with a residual.
//!
//! The `simd` networks are the configuration for which slot packing needs no external rotation:
//! every layer between stem and classifier has as many groups as slot packing has channels in a
//! ciphertext, c_n = 8192/B with B the next power of two of side^2: 8 on sides of 17 to 32, 32 of
//! 9 to 16, 128 of 5 to 8. So all widths are multiples of c_n, and only width / c_n channels
//! are mixed at a time: 3x3 maps, of which a ciphertext holds 512, are left out.

use super::stack::{Stack, Tensor, residual};
use crate::model::schema::{Layer, Network};

/// A StriaNet in numbers: what `stria design` proposes and the builders fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StriaNet {
    /// Name of the network.
    pub name: String,
    /// Number of classes.
    pub classes: usize,
    /// Side of the input in pixels.
    pub side: u64,
    /// Side that a picture is resized to before it is cut.
    pub resize: u64,
    /// Side of the stem's kernel.
    pub stem_kernel: u64,
    /// Stride of the stem: 2, or 4 for large pictures.
    pub stem_stride: u64,
    /// Channels that the stem makes.
    pub stem_width: u64,
    /// The stages: each but the first begins with a 3x3 layer of stride 2, padded where the map
    /// has an even side.
    pub stages: Vec<Stage>,
}

/// Blocks on maps of one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage {
    /// Channels between blocks.
    pub width: u64,
    /// Channels inside a block; width / inner is the bottleneck ratio.
    pub inner: u64,
    /// Groups of every layer of a block.
    pub groups: u64,
    /// Blocks.
    pub blocks: usize,
}

impl StriaNet {
    /// The architecture. Layers of stride 2 have the groups of the map that they read.
    pub fn network(&self) -> Network {
        self.build(|reads, _| reads)
    }

    /// The architecture with the groups of the map that layers of stride 2 write, which is how they
    /// are packed.
    pub fn simd(&self) -> Network {
        self.build(|_, writes| writes)
    }

    /// `down` gives the groups of a layer of stride 2 from those of the maps before and after it.
    fn build(&self, down: fn(u64, u64) -> u64) -> Network {
        let (mut stack, image) = Stack::new(&self.name, self.classes, self.side, self.resize);
        let mut x = stack.push(Layer {
            stride: self.stem_stride,
            padding: 0,
            ..Stack::layer("stem", &image, self.stem_width, self.stem_kernel)
        });
        for (i, stage) in self.stages.iter().enumerate() {
            if i > 0 {
                x = stack.push(Layer {
                    stride: 2,
                    // From 2n + 1 to n, or from 2n to n.
                    padding: 1 - x.side % 2,
                    groups: down(x.groups, stage.groups),
                    shuffle: x.groups,
                    ..Stack::layer(format!("down{i}"), &x, stage.width, 3)
                });
            }
            for block in 1..=stage.blocks {
                x = stage.block(&mut stack, &format!("s{}b{block}", i + 1), &x);
            }
        }
        stack.classify(&x)
    }
}

impl Stage {
    fn block(&self, stack: &mut Stack, name: &str, input: &Tensor) -> Tensor {
        let grouped = |part: &str, input: &Tensor, channels, kernel| Layer {
            groups: self.groups,
            // Neighbours of a group come from different groups of the layer before.
            shuffle: input.groups,
            ..Stack::layer(format!("{name}.{part}"), input, channels, kernel)
        };
        let reduced = stack.push(grouped("reduce", input, self.inner, 1));
        let crossed = stack.push(Layer {
            cross: true,
            ..grouped("cross", &reduced, self.inner, 3)
        });
        stack.push(Layer {
            // A block that widens has nothing to add.
            skip: residual(input).filter(|_| input.channels == self.width),
            ..grouped("expand", &crossed, self.width, 1)
        })
    }
}

/// A StriaNet for images of a side, cut out of pictures that are resized, with a stem of a kernel, a
/// stride and a width; a stage an entry, its width, inner width, groups and blocks.
fn strianet(
    name: &str,
    classes: usize,
    [side, resize]: [u64; 2],
    [stem_kernel, stem_stride, stem_width]: [u64; 3],
    stages: &[(u64, u64, u64, usize)],
) -> StriaNet {
    let stage = |&(width, inner, groups, blocks): &_| Stage {
        width,
        inner,
        groups,
        blocks,
    };
    StriaNet {
        name: name.into(),
        classes,
        side,
        resize,
        stem_kernel,
        stem_stride,
        stem_width,
        stages: stages.iter().map(stage).collect(),
    }
}

/// The architecture of `models/strianet-c10-block.safetensors`: 31, then 15, 7, 3.
pub fn cifar10() -> StriaNet {
    let stages = [(64, 32, 4, 1), (128, 64, 8, 3), (256, 256, 16, 1)];
    strianet("strianet-cifar10", 10, [31, 32], [3, 2, 64], &stages)
}

/// 63, then 31, 15, 7, 3. No block on the largest map, where activations are many.
pub fn tiny_imagenet() -> StriaNet {
    let stages = [
        (64, 32, 4, 0),
        (128, 64, 4, 2),
        (256, 128, 8, 3),
        (512, 512, 16, 2),
    ];
    strianet("strianet-tiny-imagenet", 200, [63, 64], [3, 2, 64], &stages)
}

/// 255, then 63, 31, 15, 7.
pub fn imagenet() -> StriaNet {
    let stages = [
        (32, 16, 1, 0),
        (128, 32, 4, 2),
        (256, 128, 8, 4),
        (1024, 512, 16, 3),
    ];
    strianet("strianet-imagenet", 1000, [255, 256], [7, 4, 32], &stages)
}

/// `imagenet` on pictures of the usual side: 224, then 56, 28, 14, 7.
pub fn imagenet224() -> StriaNet {
    let stages = [
        (32, 16, 1, 0),
        (128, 32, 4, 2),
        (256, 128, 8, 5),
        (1024, 512, 16, 4),
    ];
    strianet(
        "strianet-imagenet-224",
        1000,
        [224, 256],
        [4, 4, 32],
        &stages,
    )
}

/// 31, then 15, 7.
pub fn cifar10_simd() -> StriaNet {
    let stages = [(128, 32, 32, 1), (256, 128, 128, 1)];
    strianet("strianet-cifar10-simd", 10, [31, 32], [3, 2, 64], &stages)
}

/// 63, then 31, 15, 7.
pub fn tiny_imagenet_simd() -> StriaNet {
    let stages = [(32, 8, 8, 0), (128, 32, 32, 2), (512, 256, 128, 3)];
    strianet(
        "strianet-tiny-imagenet-simd",
        200,
        [63, 64],
        [3, 2, 32],
        &stages,
    )
}

/// 255, then 63, 31, 15, 7: the widths of `imagenet` are multiples of c_n already.
pub fn imagenet_simd() -> StriaNet {
    let mut network = imagenet();
    network.name = "strianet-imagenet-simd".into();
    for (stage, groups) in network.stages.iter_mut().zip([2, 8, 32, 128]) {
        stage.groups = groups;
    }
    network
}
