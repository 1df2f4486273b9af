//! Corpora to start from: frames of real sessions, packets of a real connection, small model files.

use std::path::Path;

use serde_json::{Value, json};
use stria_host::model::{self, Integers, schema::Network};
use stria_tests::replay::Recording;

use super::party;

/// Writes the seeds of a target into the folder that the environment names, if it names one.
pub fn write(target: &str) {
    let Some(folder) = std::env::var_os("STRIA_FUZZ_SEEDS") else {
        return;
    };
    let seeds = match target {
        "frames" => frames(),
        "packets" => packets(),
        "model" => models(),
        "checkpoint" => checkpoints(),
        _ => parties(),
    };
    for (i, seed) in seeds.iter().enumerate() {
        let path = Path::new(&folder).join(format!("seed-{i}"));
        std::fs::write(path, seed).expect("a folder for seeds");
    }
}

/// A piece behind its length, as [`crate::input::Input::piece`] takes it.
fn piece(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

/// The first of each length of each kind, alone and all in a row.
fn frames() -> Vec<Vec<u8>> {
    let [tiny, slots] = [
        [&Recording::tiny().up, &Recording::tiny().down],
        [&Recording::slots().up, &Recording::slots().down],
    ];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for frame in tiny.into_iter().chain(slots).flatten() {
        if !seeds
            .iter()
            .any(|seed| seed[0] == frame[0] && seed.len() == frame.len())
        {
            seeds.push(frame.clone());
        }
    }
    seeds.push(seeds.concat());
    seeds
}

/// Connections that carry bytes both ways, with losses and without.
fn packets() -> Vec<Vec<u8>> {
    let deliver = |lost: u8| [[15, lost], [0x8f, lost]].concat();
    let send = |end: u8| [vec![end | 4], piece(&[end; 130]), vec![end | 5]].concat();
    let read = |end: u8| vec![end | 6, 200];
    let wait = |time: u16| [&[7][..], &time.to_le_bytes()].concat();
    let exchange = |lost: u8| {
        let step = [deliver(lost), send(0), send(0x80), deliver(lost), wait(600)].concat();
        [step, deliver(0), read(0), read(0x80), deliver(0)].concat()
    };
    let stranger = |kind: u8| {
        let packet = [&[9, kind, 0][..], &[0; 6], &[4, 1, 64, 0, 4]].concat();
        [exchange(0), packet, deliver(0)].concat()
    };
    let close = [exchange(0), vec![2], deliver(0)].concat();
    let dead = [exchange(0), wait(20_000).repeat(3), deliver(0xff)].concat();
    let mut seeds = vec![exchange(0), exchange(0b101), exchange(0xff), close, dead];
    seeds.extend((1..8).map(stranger));
    seeds
}

/// All kinds of layers in as few weights as they take.
fn architecture() -> Value {
    json!({
        "schema": 1, "name": "seed", "classes": ["cat", "dog", "eel"],
        "input": {"channels": 3, "side": 7, "resize": 8, "mean": [0.5, 0.5, 0.5],
                  "std": [0.25, 0.25, 0.25], "scale": 64},
        "shift": 8, "logit_scale": 1024,
        "layers": [
            {"name": "stem", "input": "image", "channels": [3, 8], "kernel": 3, "stride": 2,
             "padding": 1, "relu": true},
            {"name": "mix", "input": "stem", "channels": [8, 8], "kernel": 3, "cross": true,
             "padding": 1, "groups": 2, "shuffle": 4, "skip": {"from": "stem", "factor": 256},
             "relu": true, "max_abs": 500000, "repeat": 2, "tile": 0},
            {"name": "side", "input": "mix", "channels": [8, 12], "kernel": 1, "pool": 2,
             "relu": false, "max_abs": 500000},
            {"name": "join", "input": "mix", "channels": [8, 12], "kernel": 2, "stride": 2,
             "groups": 4, "shuffle": 2, "skip": {"from": "side", "factor": 1}, "relu": true,
             "max_abs": 500000},
            {"name": "fc", "input": "join", "channels": [12, 3], "kernel": 1, "pool": true,
             "shuffle": 3, "relu": false, "max_abs": 500000},
        ],
    })
}

/// The same with two layers.
fn short() -> Value {
    let mut short = architecture();
    let layers = short["layers"].as_array_mut().expect("it has layers");
    layers.drain(1..4);
    layers[1]["input"] = "stem".into();
    layers[1]["channels"] = json!([8, 3]);
    layers[1]["shuffle"] = 1.into();
    short
}

fn models() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for architecture in [architecture(), short()] {
        let text = architecture.to_string();
        let network: Network = serde_json::from_value(architecture).expect("the schema");
        let shapes = model::shapes(&network).expect("a network");
        let integers: Vec<Integers> = shapes
            .iter()
            .map(|shape| {
                let layer = &shape.layer;
                let outputs = usize::from(layer.out_channels);
                let inputs = usize::from(layer.in_channels / layer.groups);
                Integers {
                    weights: vec![-3; outputs * inputs * layer.kernel.taps()],
                    bias: vec![128; outputs],
                }
            })
            .collect();
        let file = model::to_bytes(&network, &integers).expect("a model");
        seeds.push([vec![0], file].concat());
        seeds.push(
            [
                vec![1],
                piece(text.as_bytes()),
                [1, 0, 0xfd, 0xff, 9, 0].repeat(20),
            ]
            .concat(),
        );
    }
    seeds
}

fn checkpoints() -> Vec<Vec<u8>> {
    // Weights of about 0.1, means of 0.1, variances of 1.
    let values = [
        0x00, 0x20, 100, 0x00, 0xe8, 90, 0x00, 0x30, 80, 0x00, 0xf0, 70, 1,
    ]
    .repeat(30);
    let mut seeds = Vec::new();
    for architecture in [architecture(), short()] {
        let text = piece(architecture.to_string().as_bytes());
        for mode in [0, 1, 1 | 2 | 9 << 2] {
            seeds.push([vec![mode], text.clone(), values.clone()].concat());
        }
    }
    seeds
}

/// Every place with an honest frame or two and a damaged one.
fn parties() -> Vec<Vec<u8>> {
    let honest = [0, 0, 0];
    let changed = [&[2][..], &piece(&[3, 0, 1])].concat();
    let content = [&[1][..], &piece(&[0; 40])].concat();
    let mut seeds = Vec::new();
    for kind in 0..party::KINDS as u8 {
        for nth in 0..3 {
            let damage = if nth == 1 { &changed } else { &content };
            seeds.push([&[kind, nth][..], &honest, damage, &honest].concat());
        }
    }
    seeds
}
