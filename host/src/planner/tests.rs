//! Predictions against runs, and against the formulas of `core/docs/design.md#baselines`.

use std::sync::Arc;

use serde_json::json;
use stria_core::network::layer::{Activation, Kernel, Layer, Pool};
use stria_core::packing::Packing;
use stria_core::protocol::activation::Phase;
use stria_core::protocol::client::{
    Application, Client as Machine, LargeClient, Memory, SmallClient,
};
use stria_core::protocol::frame::{Frame, MAX_FRAME};
use stria_core::protocol::greeting::Settings;
use stria_core::protocol::server::{Budget, Server};

use super::*;
use crate::model::networks::{BUILDERS, Random, find};
use crate::model::schema::Network;
use crate::model::{self, Model, packing};
use crate::report::{Constants, Cost, Operations, PhasePart};
use crate::session::client::{ClientOptions, Window};
use crate::session::local::Local;
use crate::session::{entropy, server};
use crate::transport::LinkSpeed;

fn setting(window: Window, settings: Settings, shift: u32) -> Setting {
    Setting {
        constants: Constants::default(),
        link: LinkSpeed::loopback(),
        client: ClientTraffic::new(window, settings, shift).unwrap(),
    }
}

/// A layer of each kind, with tiles, sets, repetitions, and windows that end in the middle of responses.
fn mixed() -> Network {
    serde_json::from_value(json!({
        "schema": 1, "name": "mixed", "classes": ["a", "b", "c"], "shift": 8, "logit_scale": 1,
        "input": {"channels": 3, "side": 30, "resize": 32, "mean": [0.5, 0.5, 0.5],
                  "std": [0.25, 0.25, 0.25], "scale": 64},
        "layers": [
            {"name": "stem", "input": "image", "channels": [3, 24], "kernel": 3, "padding": 1,
             "relu": true, "max_abs": 519936, "repeat": 4, "tile": 15},
            {"name": "depthwise", "input": "stem", "channels": [24, 24], "kernel": 3, "padding": 1,
             "stride": 2, "groups": 24, "relu": true, "max_abs": 519936},
            {"name": "shortcut", "input": "depthwise", "channels": [24, 40], "kernel": 1,
             "pool": 5, "relu": false, "max_abs": 100000, "repeat": 16},
            {"name": "sum", "input": "depthwise", "channels": [24, 40], "kernel": 3, "pool": 5,
             "padding": 1, "groups": 8, "shuffle": 4, "skip": {"from": "shortcut", "factor": 1},
             "relu": true, "max_abs": 519936, "repeat": 2},
            {"name": "fc", "input": "sum", "channels": [40, 3], "kernel": 1, "pool": true,
             "relu": false, "max_abs": 500000}
        ],
    }))
    .unwrap()
}

fn random_model(network: Network) -> Model {
    let integers = Random::new(&network, 3).collect();
    Model::new(network, integers).unwrap()
}

struct Grey;

impl Application for Grey {
    fn pixel(&mut self, _channel: usize, _row: usize, _col: usize) -> i32 {
        7
    }
    fn logit(&mut self, _class: u16, _value: i32) {}
}

/// Bytes each way of every layer of an inference and turns, by phase, as the state machines exchange
/// them.
fn exchanged<M: Memory>(model: &Model, client: &mut Machine<M>) -> [Vec<[usize; 3]>; 2] {
    let network = Arc::new(server::network(model, Packing::Segment).unwrap());
    let mut rng = entropy::session_rng("test").unwrap();
    let mut server = Server::new(network, Budget::new(1), &mut rng);
    let mut phases = [(); 2].map(|()| vec![[0; 3]; model.layers.len()]);
    let mut last = None;
    let mut note = |at: Option<(Phase, u16)>, up: bool, len| {
        let Some((phase, layer)) = at else {
            return;
        };
        let of = &mut phases[usize::from(phase == Phase::Answer)][usize::from(layer)];
        of[usize::from(!up)] += len;
        of[2] += usize::from(last != Some((phase, up)));
        last = Some((phase, up));
    };
    let mut buffer = [0; MAX_FRAME];
    let mut started = false;
    while !started || !client.is_ready() {
        if client.is_ready() {
            client.start().unwrap();
            started = true;
        }
        loop {
            let at = client.position();
            let Some(len) = client.poll(&mut Grey, &mut buffer).unwrap() else {
                break;
            };
            note(at, true, len);
            server
                .handle(Frame::new_checked(&buffer[..len]).unwrap())
                .unwrap();
        }
        while let Some(len) = server.poll(&mut buffer).unwrap() {
            note(client.position(), false, len);
            let frame = Frame::new_checked(&buffer[..len]).unwrap();
            client.handle(&mut Grey, frame).unwrap();
        }
    }
    phases
}

#[test]
fn bytes_and_turns_of_every_layer_are_those_exchanged() {
    let model = random_model(mixed());
    let layers: Vec<Layer> = model.layers.iter().map(|layer| layer.layer).collect();
    for (k_s, h) in [(1, 8), (4, 8), (8, 12), (2, 9)] {
        let settings = Settings {
            k_s,
            h,
            labels: false,
        };
        for window in [Window::Small, Window::Large] {
            let rng = &mut entropy::session_rng("client").unwrap();
            let exchanged = match window {
                Window::Small => exchanged(&model, &mut SmallClient::new(settings, rng)),
                Window::Large => exchanged(&model, &mut LargeClient::new(settings, rng)),
            };
            let setting = setting(window, settings, model.shift);
            let costs = setting.layers(Packing::Segment, &layers).unwrap();
            let of = |phase: fn(&Cost) -> PhasePart| -> Vec<_> {
                let parts = costs.iter().map(|cost| phase(&cost.cost));
                parts
                    .map(|part| [part.bytes_up, part.bytes_down, part.messages].map(|n| n as usize))
                    .collect()
            };
            let predicted = [of(|cost| cost.prepare), of(|cost| cost.answer)];
            assert_eq!(predicted, exchanged, "{k_s} {h}");
        }
    }
}

/// `core/docs/design.md#two-phases`: a client that keeps its records takes as many turns to prepare
/// however many layers there are, and two a ReLU layer to be answered.
#[test]
fn few_turns_however_many_layers() {
    for name in ["strianet-cifar10", "resnet20", "vgg16"] {
        let shapes = model::shapes(&find(name).unwrap().network()).unwrap();
        let layers: Vec<Layer> = shapes.iter().map(|shape| shape.layer).collect();
        let relus = layers
            .iter()
            .filter(|layer| layer.activation == Activation::Relu)
            .count();
        let costs =
            setting(Window::Large, Settings::default(), 8).layers(Packing::Segment, &layers);
        let mut total = Cost::default();
        costs.unwrap().iter().for_each(|cost| total += &cost.cost);
        // Begin and inputs; responses and corrections; transfers; the server's word that it has all.
        assert_eq!(total.prepare.messages, 4, "{name}");
        assert_eq!(total.answer.messages, 2 * relus as u64 + 2, "{name}");
    }
}

/// Runs an inference over a socket and compares all that is counted.
fn measured(model: &Model, window: Window, packing: Packing) {
    let options = ClientOptions {
        window,
        packing,
        ..ClientOptions::default()
    };
    let packed = |layer: &model::ModelLayer| packing::packed(&layer.layer, packing).unwrap().layer;
    let layers: Vec<Layer> = model.layers.iter().map(packed).collect();
    let costs = setting(window, options.settings, model.shift)
        .layers(packing, &layers)
        .unwrap();
    let mut local = Local::start(model, options).unwrap();
    let image = vec![5; model.input.channels * model.input.side.pow(2)];
    let (inference, checks) = local.infer(&image, Some(model)).unwrap();
    // What is counted is a right inference.
    assert!(checks.iter().all(|check| check.max_error_units <= 1));
    let mut total = Cost::default();
    costs.iter().for_each(|cost| total += &cost.cost);
    let bytes = [total.counts.bytes_up, total.counts.bytes_down];
    assert_eq!(bytes, [inference.bytes_up, inference.bytes_down]);
    let counted = &local.counters().layers;
    for ((cost, counted), layer) in costs.iter().zip(counted).zip(&model.layers) {
        let expected = cost.cost.counts.operations;
        assert_eq!(expected, Operations::from(counted), "{}", layer.name);
    }
}

#[test]
fn segment_packing_costs_what_a_run_counts() {
    let built = |name: &str| find(name).unwrap().model(1).unwrap();
    for model in [random_model(mixed()), built("strianet-cifar10")] {
        for window in [Window::Small, Window::Large] {
            measured(&model, window, Packing::Segment);
        }
    }
    measured(&built("resnet20"), Window::Large, Packing::Segment);
}

#[test]
fn the_other_packings_cost_what_a_run_counts() {
    let built = |name: &str| find(name).unwrap().model(1).unwrap();
    let strianets = ["strianet-cifar10", "strianet-cifar10-simd"].map(built);
    for packing in [Packing::Coefficient, Packing::Slot] {
        for model in [&random_model(mixed()), &strianets[0], &strianets[1]] {
            measured(model, Window::Large, packing);
        }
    }
}

fn layer(channels: [u16; 2], side: u16, kernel: Kernel, groups: u16) -> Layer {
    Layer {
        input: 0,
        in_channels: channels[0],
        in_side: side,
        pool: Pool::None,
        shuffle: 1,
        out_channels: channels[1],
        kernel,
        stride: 1,
        padding: kernel.side() / 2,
        groups,
        repeat: 1,
        tile: 0,
        skip: None,
        activation: Activation::Relu,
    }
}

#[test]
fn slot_rotations_are_those_of_the_design() {
    // c_n = 8192 / 256 at 16x15 and less, 8192 / 1024 at 32x32.
    for (side, channels_of) in [(16, 32), (15, 32), (32, 8), (8, 128)] {
        for (inputs, outputs) in [(128, 128), (128, 256), (256, 128)] {
            let (c_i, c_o) = (usize::from(inputs), usize::from(outputs));
            for (kernel, taps) in [
                (Kernel::Square(1), 1),
                (Kernel::Square(3), 9),
                (Kernel::Cross, 5),
            ] {
                let dense = layer([inputs, outputs], side, kernel, 1);
                let dense = count(Packing::Slot, &dense).unwrap();
                let up = c_i / channels_of;
                let by_outputs = up * (taps - 1) + c_o / channels_of * (channels_of - 1);
                let by_inputs = up * channels_of * (taps - 1) + up * (channels_of - 1);
                let rotations = dense.internal_rotations + dense.external_rotations;
                assert_eq!(rotations, by_outputs.min(by_inputs), "{side} {kernel:?}");
                assert_eq!(dense.inputs, up);

                // ExRot-Free: only taps rotate.
                let groups = channels_of as u16;
                let strided = layer([inputs, outputs], side, kernel, groups);
                let strided = count(Packing::Slot, &strided).unwrap();
                assert_eq!(strided.external_rotations, 0);
                assert_eq!(strided.internal_rotations, up * (taps - 1));
                assert_eq!(strided.outputs(), c_o / channels_of);
            }
        }
    }
}

#[test]
fn simd_networks_rotate_for_taps_only() {
    for name in [
        "strianet-cifar10-simd",
        "strianet-tiny-imagenet-simd",
        "strianet-imagenet-simd",
    ] {
        let shapes = model::shapes(&find(name).unwrap().network()).unwrap();
        for packing in Packing::ALL {
            for shape in &shapes[1..shapes.len() - 1] {
                let linear = count(packing, &shape.layer).unwrap();
                assert_eq!(linear.external_rotations, 0, "{name} {}", shape.name);
                let taps = match (packing, shape.layer.kernel) {
                    (Packing::Segment | Packing::Coefficient, _) => 0,
                    (Packing::Slot, Kernel::Cross) => 4,
                    (Packing::Slot, Kernel::Square(1)) => 0,
                    // Stride 2: a quarter of the taps each, with four phases as inputs.
                    (Packing::Slot, Kernel::Square(_)) => 3,
                };
                let expected = taps * linear.inputs;
                assert_eq!(linear.internal_rotations, expected, "{}", shape.name);
            }
        }
    }
}

#[test]
fn weights_beyond_the_server_s_memory_cost_transforms() {
    // 25 times 512 plaintexts of 64 KiB: the third does not fit 2 GiB, and a small one after it does.
    let large = layer([2048, 512], 7, Kernel::Square(1), 1);
    let small = layer([64, 64], 7, Kernel::Square(1), 1);
    let setting = setting(Window::Large, Settings::default(), 8);
    let layers = [large, large, large, small];
    let costs = setting.layers(Packing::Segment, &layers).unwrap();
    let alone = setting.layers(Packing::Segment, &[small]).unwrap();
    let seconds = |i: usize| costs[i].cost.server_seconds;
    let ring = setting.constants.segment;
    let transforms =
        costs[2].cost.counts.operations.products as f64 * (ring.fresh_product - ring.product);
    assert!(transforms > 1.0);
    for (i, more) in [(1, 0.0), (2, transforms)] {
        assert!((seconds(i) - seconds(0) - more).abs() < 1e-9);
    }
    assert!((seconds(3) - alone[0].cost.server_seconds).abs() < 1e-9);
}

#[test]
fn cores_without_a_job_wait() {
    let constants = |cores| Constants {
        cores,
        ..Constants::default()
    };
    // One input ciphertext and 3 outputs of 32 channels.
    let layer = layer([32, 96], 15, Kernel::Cross, 32);
    let linear = count(Packing::Slot, &layer).unwrap();
    let [one, two] =
        [1, 2].map(|cores| seconds::linear(&constants(cores), Packing::Slot, &linear, true));
    assert!((two.internal_rotations / one.internal_rotations - 2.0).abs() < 1e-9);
    assert!((two.products / one.products - 4.0 / 3.0).abs() < 1e-9);
    assert_eq!(two.encrypt, one.encrypt);
}

#[test]
fn coefficient_packing_sends_a_ciphertext_an_output() {
    // 16 channels of 15x15 fit a ciphertext, a row and a column of zeros included.
    let dense = layer([64, 32], 15, Kernel::Square(3), 1);
    let linear = count(Packing::Coefficient, &dense).unwrap();
    assert_eq!((linear.inputs, linear.outputs()), (4, 32));
    assert_eq!((linear.products, linear.returned), (4 * 32, 225));
    // Eight channels a group: each output needs one ciphertext only.
    let grouped = layer([64, 32], 15, Kernel::Square(3), 8);
    let linear = count(Packing::Coefficient, &grouped).unwrap();
    assert_eq!(
        (linear.inputs, linear.outputs(), linear.products),
        (4, 32, 32)
    );
    // Groups of 24 straddle ciphertexts: 2, 2 (channels 24 to 47 of 16 a ciphertext), 2, 2.
    let straddling = layer([96, 4], 15, Kernel::Square(3), 4);
    let linear = count(Packing::Coefficient, &straddling).unwrap();
    assert_eq!((linear.inputs, linear.products), (6, 8));
}

#[test]
fn every_network_fits_every_packing() {
    for builder in BUILDERS {
        let shapes = model::shapes(&builder.network()).unwrap();
        let setting = setting(Window::Large, Settings::default(), 8);
        for packing in Packing::ALL {
            let chosen = shapes.iter().map(|shape| {
                let chosen = setting.choose(packing, &shape.layer);
                chosen.unwrap_or_else(|reason| panic!("{} {}: {reason}", builder.name, shape.name))
            });
            let chosen: Vec<Layer> = chosen.collect();
            let costs = setting.layers(packing, &chosen).unwrap();
            let mut total = Cost::default();
            costs.iter().for_each(|cost| total += &cost.cost);
            let total = total.counts.operations;
            let expected: usize = shapes.iter().map(|shape| shape.activations()).sum();
            // Nothing is computed twice and nothing is left out, however it is packed.
            assert_eq!(
                total.activations, expected as u64,
                "{} {packing:?}",
                builder.name
            );
            assert!(packing == Packing::Slot || total.key_switches == 0);
        }
    }
}

#[test]
fn the_choice_is_the_cheapest_for_the_link() {
    let layer = Layer {
        stride: 2,
        padding: 0,
        ..layer([3, 64], 31, Kernel::Square(3), 1)
    };
    let mut slow = setting(Window::Large, Settings::default(), 8);
    slow.link = LinkSpeed::named("uart").unwrap();
    let chosen = slow.choose(Packing::Segment, &layer).unwrap();
    // Where bytes are all that counts, it is the choice by bytes.
    assert_eq!(chosen, packing::fewest_bytes(layer, None, None).unwrap().0);
    let of =
        |layer: &Layer| slow.linear_seconds(Packing::Segment, &segment::linear(layer).unwrap());
    for other in packing::candidates(layer, None, None) {
        assert!(segment::linear(&other).is_err() || of(&other) >= of(&chosen));
    }
}
