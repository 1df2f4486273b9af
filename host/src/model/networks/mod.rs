//! Networks built in Rust, with random weights: StriaNets and the plaintext families that they are
//! compared with. `core/docs/design.md#baselines`; every entry says where it departs from its
//! source.
//!
//! A network comes out as the model file's own description ([`crate::model::schema::Network`]), so
//! planner, reference and protocol treat it as they treat a file.

mod mobilenet;
mod resnet;
mod stack;
pub mod strianet;
mod vgg;
mod weights;

#[cfg(test)]
mod tests;

use crate::model::schema::Network;
use crate::{Model, ModelError};

pub use weights::Random;

/// A network that can be built by name.
#[derive(Clone, Copy)]
pub struct Builder {
    /// Its name.
    pub name: &'static str,
    /// What it is and where it is described.
    pub about: &'static str,
    /// What is different here, in words.
    pub deviations: &'static [&'static str],
    build: fn() -> Network,
}

/// Batch normalisation is a factor and an offset a channel: it is in weights and biases.
const FOLDED: &str = "batch normalisation is folded into weights and biases";
/// Maxima need comparisons, which the protocol does not have outside of the ReLU.
const AVERAGE: &str = "max pooling is replaced by average pooling, 2x2 with stride 2";
const RELU6: &str = "ReLU6 is a ReLU, without the upper end";
const PROJECTION: &str = "shortcuts that change the shape are 1x1 projections, not zero padding";
const UNTRUNCATED: &str =
    "linear bottlenecks are not truncated, so their weights have few bits; real ones need more";

/// All of them.
pub const BUILDERS: [Builder; 13] = [
    Builder {
        name: "strianet-cifar10",
        about: "StriaNet for CIFAR-10, 10 classes, 31x31; the architecture of models/strianet-c10-block.safetensors",
        deviations: &[],
        build: || strianet::cifar10().network(),
    },
    Builder {
        name: "strianet-tiny-imagenet",
        about: "StriaNet for Tiny ImageNet, 200 classes, 63x63",
        deviations: &[],
        build: || strianet::tiny_imagenet().network(),
    },
    Builder {
        name: "strianet-imagenet",
        about: "StriaNet for ImageNet, 1000 classes, 255x255 of a picture resized to 256",
        deviations: &[],
        build: || strianet::imagenet().network(),
    },
    Builder {
        name: "strianet-imagenet-224",
        about: "StriaNet for ImageNet, 1000 classes, 224x224",
        deviations: &[],
        build: || strianet::imagenet224().network(),
    },
    Builder {
        name: "strianet-cifar10-simd",
        about: "StriaNet for CIFAR-10, 10 classes, 31x31; ExRot-Free in slot packing",
        deviations: &[],
        build: || strianet::cifar10_simd().simd(),
    },
    Builder {
        name: "strianet-tiny-imagenet-simd",
        about: "StriaNet for Tiny ImageNet, 200 classes, 63x63; ExRot-Free in slot packing",
        deviations: &[],
        build: || strianet::tiny_imagenet_simd().simd(),
    },
    Builder {
        name: "strianet-imagenet-simd",
        about: "StriaNet for ImageNet, 1000 classes, 255x255 of a picture resized to 256; ExRot-Free in slot packing",
        deviations: &[],
        build: || strianet::imagenet_simd().simd(),
    },
    Builder {
        name: "resnet20",
        about: "ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2), 32x32",
        deviations: &[FOLDED, PROJECTION],
        build: || resnet::cifar("resnet20", 3),
    },
    Builder {
        name: "resnet32",
        about: "ResNet-32 for CIFAR-10 (He et al. 2016, section 4.2), 32x32",
        deviations: &[FOLDED, PROJECTION],
        build: || resnet::cifar("resnet32", 5),
    },
    Builder {
        name: "resnet18",
        about: "ResNet-18 for Tiny ImageNet, 200 classes, 64x64, 3x3 stem with stride 1",
        deviations: &[FOLDED],
        build: resnet::tiny_imagenet,
    },
    Builder {
        name: "resnet50",
        about: "ResNet-50 for ImageNet (He et al. 2016, table 1), 224x224, stride in the 3x3",
        deviations: &[FOLDED, AVERAGE],
        build: resnet::imagenet,
    },
    Builder {
        name: "vgg16",
        about: "VGG-16 for ImageNet (Simonyan and Zisserman 2015, table 1 D), 224x224",
        deviations: &[AVERAGE],
        build: vgg::imagenet,
    },
    Builder {
        name: "mobilenetv2",
        about: "MobileNetV2 for ImageNet (Sandler et al. 2018, table 2), 224x224",
        deviations: &[FOLDED, RELU6, UNTRUNCATED],
        build: mobilenet::imagenet,
    },
];

/// No network of that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no network \"{name}\": it must be one of {}", BUILDERS.map(|b| b.name).join(", "))]
pub struct Unknown {
    /// The name.
    pub name: String,
}

/// The network of that name.
pub fn find(name: &str) -> Result<Builder, Unknown> {
    let found = BUILDERS.into_iter().find(|builder| builder.name == name);
    found.ok_or_else(|| Unknown { name: name.into() })
}

impl Builder {
    /// Its architecture.
    pub fn network(&self) -> Network {
        (self.build)()
    }

    /// Architecture and random weights, all in memory: 4 bytes a weight.
    pub fn model(&self, seed: u64) -> Result<Model, ModelError> {
        let network = self.network();
        let integers = Random::new(&network, seed).collect();
        Model::new(network, integers)
    }
}
