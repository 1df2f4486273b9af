//! A tiny network with random weights, for a run that takes seconds.

use stria_host::Model;
use stria_host::model::Integers;
use stria_host::model::schema::Network;

/// One channel of 15x15, a strided stem, a block with its residual, five classes.
const ARCHITECTURE: &str = r#"{
    "schema": 1, "name": "tiny", "classes": ["a", "b", "c", "d", "e"],
    "input": {"channels": 1, "side": 15, "resize": 15, "mean": [0.5], "std": [0.25], "scale": 32},
    "shift": 8, "logit_scale": 1024,
    "layers": [
        {"name": "stem", "input": "image", "channels": [1, 16], "kernel": 3, "stride": 2,
         "relu": true, "repeat": 8},
        {"name": "cross", "input": "stem", "channels": [16, 16], "kernel": 3, "cross": true,
         "padding": 1, "groups": 4, "shuffle": 4, "skip": {"from": "stem", "factor": 64},
         "relu": true},
        {"name": "classes", "input": "cross", "channels": [16, 5], "kernel": 1, "pool": true,
         "relu": false, "repeat": 16, "max_abs": 500000}
    ]
}"#;

/// The network; the same every time.
pub fn tiny() -> anyhow::Result<Model> {
    let network: Network = serde_json::from_str(ARCHITECTURE)?;
    let mut state = 1u32;
    let mut random = |bound: i32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as i32 % (2 * bound + 1) - bound
    };
    let mut integers = |weights: usize, bias: usize, bound: i32| Integers {
        weights: (0..weights).map(|_| random(bound)).collect(),
        bias: (0..bias).map(|_| random(5000)).collect(),
    };
    let integers = vec![
        integers(16 * 9, 16, 100),
        integers(16 * 4 * 5, 16, 10),
        integers(5 * 16, 5, 3),
    ];
    Ok(Model::new(network, integers)?)
}
