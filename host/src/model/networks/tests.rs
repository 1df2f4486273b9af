//! Shapes and sizes against the literature, and that the integers run.

use std::path::Path;

use stria_core::network::layer::Activation;

use super::*;
use crate::model::reference;
use crate::model::schema::Layer;

/// Weights and biases of an architecture.
fn parameters(network: &Network) -> u64 {
    let of = |layer: &Layer| {
        let taps = if layer.cross { 5 } else { layer.kernel.pow(2) };
        layer.channels[1] * (layer.channels[0] / layer.groups * taps + 1)
    };
    network.layers.iter().map(of).sum()
}

/// Layers, millions of parameters, activations.
#[test]
fn sizes_are_those_of_the_literature() {
    for (name, layers, millions, activations) in [
        // He et al., table 6: 0.27 M and 0.46 M. Activations: 188,416 and 303,104.
        ("resnet20", 19 + 2 + 1, 0.27, 188_416),
        ("resnet32", 31 + 2 + 1, 0.46, 303_104),
        // 11.2 M with 200 classes; Jha et al. (DeepReDuce), table 1: 2.23 M activations.
        ("resnet18", 17 + 3 + 1, 11.3, 2_228_224),
        // torchvision: 25.56 M, of which 26,560 are second parameters of batch normalisation.
        ("resnet50", 49 + 4 + 1, 25.5, 9_608_704),
        ("vgg16", 16, 138.4, 13_555_712),
        // Sandler et al., table 4: 3.4 M; torchvision: 3.50 M. Activations by the sides and
        // widths of table 2.
        ("mobilenetv2", 53, 3.5, 6_105_792),
    ] {
        let network = find(name).unwrap().network();
        assert_eq!(network.layers.len(), layers, "{name}");
        let found = parameters(&network) as f64 / 1e6;
        assert!((found / millions - 1.0).abs() < 0.02, "{name}: {found} M");
        let shapes = crate::model::shapes(&network).unwrap();
        let counted: usize = shapes.iter().map(|shape| shape.activations()).sum();
        assert_eq!(counted, activations, "{name}");
    }
}

#[test]
fn strianets_keep_to_maps_that_fill_powers_of_two() {
    for (name, most) in [
        ("strianet-cifar10", 98_624),
        ("strianet-tiny-imagenet", 400_000),
        ("strianet-imagenet", 2_000_000),
    ] {
        let network = find(name).unwrap().network();
        let shapes = crate::model::shapes(&network).unwrap();
        let counted: usize = shapes.iter().map(|shape| shape.activations()).sum();
        assert!((most / 2..=most).contains(&counted), "{name}: {counted}");
        for shape in &shapes {
            assert!(
                (shape.layout.geometry.out_side + 1).is_power_of_two(),
                "{name}"
            );
            assert_eq!(shape.layout.sets, 1);
        }
    }
}

/// c_n of slot packing for maps of this side.
fn slot_channels(side: usize) -> u64 {
    (stria_core::rlwe::ring::ring8192::N / (side * side).next_power_of_two()) as u64
}

#[test]
fn simd_strianets_have_the_groups_and_widths_of_slot_packing() {
    for (name, found_parameters, activations) in [
        ("strianet-cifar10-simd", 9_130, 95_232),
        ("strianet-tiny-imagenet-simd", 128_008, 321_568),
        ("strianet-imagenet-simd", 1_149_032, 1_488_672),
    ] {
        let network = find(name).unwrap().network();
        assert_eq!(parameters(&network), found_parameters, "{name}");
        let shapes = crate::model::shapes(&network).unwrap();
        let counted: usize = shapes.iter().map(|shape| shape.activations()).sum();
        assert_eq!(counted, activations, "{name}");
        let [stem, grouped @ .., classifier] = &network.layers[..] else {
            panic!("{name} has no layers");
        };
        assert_eq!((stem.groups, classifier.groups), (1, 1));
        for (layer, shape) in grouped.iter().zip(&shapes[1..]) {
            assert_eq!(
                layer.groups,
                slot_channels(shape.layout.geometry.out_side),
                "{name}"
            );
            assert!(layer.channels.iter().all(|c| c % layer.groups == 0));
        }
    }
}

#[test]
fn the_strianet_for_224_is_as_large_as_that_for_255() {
    let network = find("strianet-imagenet-224").unwrap().network();
    let shapes = crate::model::shapes(&network).unwrap();
    let counted: usize = shapes.iter().map(|shape| shape.activations()).sum();
    assert_eq!((counted, parameters(&network)), (1_505_280, 2_133_256));
    let mut sides: Vec<usize> = shapes
        .iter()
        .map(|shape| shape.layout.geometry.out_side)
        .collect();
    sides.dedup();
    assert_eq!(sides, [56, 28, 14, 7, 1]);
    // No block of zeros is larger than a quarter of what a power of two leaves.
    for shape in &shapes[..shapes.len() - 1] {
        let layout = &shape.layout;
        let block = layout.block_len.next_power_of_two();
        assert!(
            4 * layout.geometry.out_side.pow(2) > 3 * block,
            "{}",
            shape.name
        );
    }
}

#[test]
fn the_trained_block_network_is_the_builder_s() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let trained = Model::load(&models.join("strianet-c10-block.safetensors")).unwrap();
    let network = find("strianet-cifar10").unwrap().network();
    let shapes = crate::model::shapes(&network).unwrap();
    assert_eq!(trained.layers.len(), shapes.len());
    for (trained, shape) in trained.layers.iter().zip(&shapes) {
        assert_eq!((&trained.name, trained.layer), (&shape.name, shape.layer));
    }
}

/// An image of normalised noise.
fn noise(model: &Model, seed: u64) -> Vec<i32> {
    let count = model.input.channels * model.input.side.pow(2);
    let network = find("resnet20").unwrap().network();
    let values = Random::new(&network, seed).flat_map(|integers| integers.bias);
    let values: Vec<i32> = values.map(|bias| bias / 4).collect();
    values.into_iter().cycle().take(count).collect()
}

#[test]
fn random_networks_stay_in_their_ranges() {
    for name in [
        "strianet-cifar10",
        "strianet-cifar10-simd",
        "resnet20",
        "resnet32",
    ] {
        let model = find(name).unwrap().model(7).unwrap();
        for seed in [1, 2] {
            let trace = reference::checked(&model, &noise(&model, seed)).unwrap();
            for (layer, traced) in model.layers.iter().zip(&trace.layers) {
                // Alive, and not at the range's end.
                let live = traced.output.iter().filter(|&&x| x != 0).count();
                assert!(live * 5 > traced.output.len(), "{name} {}", layer.name);
                let largest = traced.y.iter().map(|y| y.abs()).max().unwrap();
                assert!(largest < 300_000, "{name} {}: {largest}", layer.name);
                let relu = layer.layer.activation == Activation::Relu;
                assert!(!relu || largest > 5_000, "{name} {}: {largest}", layer.name);
            }
        }
    }
}

#[test]
fn the_seed_decides_every_weight() {
    let network = find("mobilenetv2").unwrap().network();
    let first = |seed| Random::new(&network, seed).next().unwrap();
    assert_eq!(first(1).weights, first(1).weights);
    assert_ne!(first(1).weights, first(2).weights);
    // Every layer can be made, in the range of the file format.
    let mut count = 0;
    for integers in Random::new(&network, 1) {
        count += integers.weights.len() + integers.bias.len();
        let largest = integers.weights.iter().map(|w| w.abs()).max().unwrap();
        assert!((1..=i16::MAX.into()).contains(&largest));
        assert!(integers.weights.iter().any(|&w| w < 0));
    }
    assert_eq!(count as u64, parameters(&network));
}

#[test]
fn every_network_s_ranges_can_be_claimed() {
    for builder in BUILDERS {
        let model = builder.model(1).unwrap();
        assert_eq!(model.parameters() as u64, parameters(&builder.network()));
        let logits = model.tensor_shape(model.layers.len() as u16);
        assert_eq!(logits, [model.classes.len(), 1, 1], "{}", builder.name);
    }
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let error = find("resnet19").map(|builder| builder.name).unwrap_err();
    let text = error.to_string();
    assert!(BUILDERS.iter().all(|builder| text.contains(builder.name)));
}
