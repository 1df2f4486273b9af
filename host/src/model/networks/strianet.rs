//! StriaNets: stages of StriaBlocks, mostly on maps of side 2^i - 1, which fill a power of two.
//! DESIGN section 9; a StriaBlock is 1x1 ExRot-Free, Cross Kernel, 1x1 ExRot-Free, with a residual.
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

fn stage(width: u64, inner: u64, groups: u64, blocks: usize) -> Stage {
    Stage {
        width,
        inner,
        groups,
        blocks,
    }
}

/// The architecture of `models/strianet-c10-block.safetensors`: 31, then 15, 7, 3.
pub fn cifar10() -> StriaNet {
    StriaNet {
        name: "strianet-cifar10".into(),
        classes: 10,
        side: 31,
        resize: 32,
        stem_kernel: 3,
        stem_stride: 2,
        stem_width: 64,
        stages: vec![
            stage(64, 32, 4, 1),
            stage(128, 64, 8, 3),
            stage(256, 256, 16, 1),
        ],
    }
}

/// 63, then 31, 15, 7, 3. No block on the largest map, where activations are many.
pub fn tiny_imagenet() -> StriaNet {
    StriaNet {
        name: "strianet-tiny-imagenet".into(),
        classes: 200,
        side: 63,
        resize: 64,
        stem_kernel: 3,
        stem_stride: 2,
        stem_width: 64,
        stages: vec![
            stage(64, 32, 4, 0),
            stage(128, 64, 4, 2),
            stage(256, 128, 8, 3),
            stage(512, 512, 16, 2),
        ],
    }
}

/// 255, then 63, 31, 15, 7.
pub fn imagenet() -> StriaNet {
    StriaNet {
        name: "strianet-imagenet".into(),
        classes: 1000,
        side: 255,
        resize: 256,
        stem_kernel: 7,
        stem_stride: 4,
        stem_width: 32,
        stages: vec![
            stage(32, 16, 1, 0),
            stage(128, 32, 4, 2),
            stage(256, 128, 8, 4),
            stage(1024, 512, 16, 3),
        ],
    }
}

/// `imagenet` on pictures of the usual side: 224, then 56, 28, 14, 7.
pub fn imagenet224() -> StriaNet {
    StriaNet {
        name: "strianet-imagenet-224".into(),
        classes: 1000,
        side: 224,
        resize: 256,
        stem_kernel: 4,
        stem_stride: 4,
        stem_width: 32,
        stages: vec![
            stage(32, 16, 1, 0),
            stage(128, 32, 4, 2),
            stage(256, 128, 8, 5),
            stage(1024, 512, 16, 4),
        ],
    }
}

/// 31, then 15, 7.
pub fn cifar10_simd() -> StriaNet {
    StriaNet {
        name: "strianet-cifar10-simd".into(),
        stages: vec![stage(128, 32, 32, 1), stage(256, 128, 128, 1)],
        ..cifar10()
    }
}

/// 63, then 31, 15, 7.
pub fn tiny_imagenet_simd() -> StriaNet {
    StriaNet {
        name: "strianet-tiny-imagenet-simd".into(),
        stem_width: 32,
        stages: vec![
            stage(32, 8, 8, 0),
            stage(128, 32, 32, 2),
            stage(512, 256, 128, 3),
        ],
        ..tiny_imagenet()
    }
}

/// 255, then 63, 31, 15, 7: the widths of `imagenet` are multiples of c_n already.
pub fn imagenet_simd() -> StriaNet {
    let groups = [2, 8, 32, 128];
    let stages = imagenet().stages.into_iter().zip(groups);
    StriaNet {
        name: "strianet-imagenet-simd".into(),
        stages: stages
            .map(|(stage, groups)| Stage { groups, ..stage })
            .collect(),
        ..imagenet()
    }
}
