//! `plan`, `design` and `bench --calibrate` as a user runs them.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stria_host::data::bundle;

use super::command::{failure, stria};

const COUNTS: [&str; 10] = [
    "ciphertexts_up",
    "ciphertexts_down",
    "products",
    "internal_rotations",
    "external_rotations",
    "key_switches",
    "activations",
    "bytes_up",
    "bytes_down",
    "rounds",
];

fn json(arguments: &[&str]) -> Value {
    super::command::json(&[arguments, &["--json"]].concat())
}

fn text(arguments: &[&str]) -> String {
    let output = stria(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A file that is removed when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str, content: &str) -> Self {
        let name = format!("stria-plan-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn bundled() -> String {
    bundle::model().unwrap().to_str().unwrap().into()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn the_plan_of_the_bundled_model_is_what_its_inference_counts() {
    let plan = json(&["plan", &bundled(), "--as-served"]);
    let inspected = json(&["inspect", &bundled()]);
    assert_eq!(plan["parameters"], inspected["parameters"]);
    let image = bundle::samples().unwrap().remove(0);
    let image = image.to_str().unwrap();
    let demo = json(&["demo", image]);
    for field in ["bytes_up", "bytes_down", "activations"] {
        assert_eq!(plan["totals"][field], demo[field], "{field}");
    }
    let layers = plan["layers"].as_array().unwrap();
    let counted = demo["layers"].as_array().unwrap();
    assert_eq!(layers.len(), counted.len());
    for (layer, counted) in layers.iter().zip(counted) {
        assert_eq!(layer["name"], counted["name"]);
        assert_eq!(layer["ciphertexts_up"], counted["input_ciphertexts"]);
        assert_eq!(layer["ciphertexts_down"], counted["output_ciphertexts"]);
        assert_eq!(layer["activations"], counted["activations"]);
    }
    assert_eq!(plan["constants"]["source"], "defaults");
}

#[test]
fn an_activation_of_the_papers_block_takes_few_bytes() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let model = models.join("strianet-c10-block.safetensors");
    let report = json(&["plan", model.to_str().unwrap(), "--as-served"]);
    let totals = &report["totals"];
    let bytes = number(&totals["bytes_up"]) + number(&totals["bytes_down"]);
    assert!(bytes <= 150 * number(&totals["activations"]), "{bytes}");
}

#[test]
fn totals_are_sums_in_every_packing() {
    for packing in ["segment", "coefficient", "slot"] {
        for network in ["strianet-cifar10", "resnet20", "mobilenetv2"] {
            let plan = json(&["plan", network, "--packing", packing]);
            let layers = plan["layers"].as_array().unwrap();
            for field in COUNTS {
                let sum: u64 = layers.iter().map(|layer| number(&layer[field])).sum();
                assert_eq!(plan["totals"][field], sum, "{network} {packing} {field}");
            }
            let seconds = layers
                .iter()
                .map(|layer| layer["seconds"].as_f64().unwrap());
            let difference = seconds.sum::<f64>() - plan["totals"]["seconds"].as_f64().unwrap();
            assert!(difference.abs() < 1e-6);
            let rotations = number(&plan["totals"]["key_switches"]);
            assert_eq!(rotations > 0, packing == "slot", "{network} {packing}");
        }
    }
}

#[test]
fn exrot_free_layers_rotate_for_taps_only() {
    let plan = json(&["plan", "strianet-cifar10", "--packing", "slot"]);
    for layer in plan["layers"].as_array().unwrap() {
        let internal = number(&layer["internal_rotations"]);
        assert_eq!(internal == 0, layer["kernel"] == "1x1", "{layer}");
    }
}

#[test]
fn the_link_decides_seconds_and_packing_but_not_the_network() {
    let of = |link: &str| json(&["plan", "strianet-cifar10", "--link", link]);
    let [lan, uart] = ["lan", "uart"].map(of);
    let seconds = |plan: &Value| plan["totals"]["seconds"].as_f64().unwrap();
    assert!(seconds(&uart) > 10.0 * seconds(&lan));
    let bytes =
        |plan: &Value| number(&plan["totals"]["bytes_up"]) + number(&plan["totals"]["bytes_down"]);
    assert!(bytes(&uart) <= bytes(&lan));
    assert_eq!(lan["totals"]["activations"], uart["totals"]["activations"]);

    let slow = json!({"name": "slow", "bits_per_second": 737280, "round_trip_ms": 1});
    let file = File::new("slow.json", &slow.to_string());
    let slow = json(&["plan", "strianet-cifar10", "--link-file", file.path()]);
    assert_eq!(slow["link"]["name"], "slow");
    assert_eq!(slow["totals"], uart["totals"]);
}

#[test]
fn a_small_window_takes_more_rounds() {
    let large = json(&["plan", "resnet20"]);
    let small = json(&["plan", "resnet20", "--small"]);
    let [few, many] = [&large, &small].map(|plan| number(&plan["totals"]["rounds"]));
    assert!(many > 10 * few);
    assert_eq!(large["totals"]["products"], small["totals"]["products"]);
}

#[test]
fn networks_say_where_they_depart_from_their_source() {
    let notes = |network: &str| json(&["plan", network])["deviations"].to_string();
    for network in ["vgg16", "resnet50"] {
        assert!(notes(network).contains("average pooling"), "{network}");
    }
    assert!(text(&["plan", "resnet50"]).contains("average pooling"));
    assert_eq!(notes("strianet-cifar10"), "[]");
}

#[test]
fn the_table_says_whose_constants_it_used() {
    let table = text(&["plan", "strianet-cifar10"]);
    assert!(table.contains("built-in defaults"));
    assert!(table.lines().any(|line| line.starts_with("total")));

    let plan = json(&["plan", "strianet-cifar10"]);
    let mut constants = plan["constants"].clone();
    constants.as_object_mut().unwrap().remove("source");
    constants["relu_server"] = json!(1.0);
    let file = File::new("constants.json", &constants.to_string());
    let slow = ["plan", "strianet-cifar10", "--constants", file.path()];
    assert!(!text(&slow).contains("built-in defaults"));
    let [own, slow] = [plan, json(&slow)].map(|plan| plan["totals"]["server_seconds"].clone());
    assert!(slow.as_f64().unwrap() > 1000.0 * own.as_f64().unwrap());
}

#[test]
fn calibration_writes_what_the_planner_reads() {
    let file = File::new("measured.json", "");
    let measured = json(&["bench", "--calibrate", "--constants", file.path()]);
    let stored: Value = serde_json::from_slice(&std::fs::read(&file.0).unwrap()).unwrap();
    assert_eq!(measured, stored);
    let number = |name: &str, value: &Value| {
        let value = value.as_f64().unwrap();
        // Nothing single takes half a second.
        assert!(value > 0.0 && (name == "cores" || value < 0.5), "{name}");
    };
    for (name, value) in measured.as_object().unwrap() {
        match value.as_object() {
            Some(ring) => ring.iter().for_each(|(name, value)| number(name, value)),
            None => number(name, value),
        }
    }
    let plan = json(&["plan", "resnet20", "--constants", file.path()]);
    assert_eq!(plan["constants"]["source"], json!({"file": file.path()}));
    assert_eq!(plan["constants"]["segment"], measured["segment"]);
}

#[test]
fn a_design_keeps_to_its_budget() {
    for (schedule, budget) in [("31,15,7,3", 100_000), ("63,31,15,7,3", 400_000)] {
        let budget_text = budget.to_string();
        let design = json(&[
            "design",
            "--schedule",
            schedule,
            "--activations",
            &budget_text,
        ]);
        let used = number(&design["totals"]["activations"]);
        assert!((budget * 3 / 4..=budget).contains(&used), "{used}");
        let mut before = 0;
        for stage in design["stages"].as_array().unwrap() {
            let c_n = number(&stage["channels_per_ciphertext"]);
            for field in ["width", "inner"] {
                assert_eq!(number(&stage[field]) % c_n, 0, "{stage}");
            }
            // Strong early, weak late.
            let ratio = number(&stage["bottleneck"]);
            assert!(before == 0 || ratio <= before, "{stage}");
            before = ratio;
            assert!(number(&stage["blocks"]) >= 1);
        }
        for layers in [&design["layers"], &design["constant_bottleneck"]["layers"]] {
            let layers = layers.as_array().unwrap();
            assert!(layers.iter().all(|layer| layer["dominant"].is_string()));
        }
        let constant = &design["constant_bottleneck"]["totals"];
        assert!(number(&constant["activations"]) <= budget);
        assert!(number(&constant["bytes_up"]) > 0);
    }
    let table = text(&["design", "--schedule", "31,15,7", "--activations", "60000"]);
    assert!(table.contains("proposed") && table.contains("everywhere"));
}

#[test]
fn groups_grow_as_maps_shrink_where_bytes_are_dear() {
    let design = [
        "design",
        "--schedule",
        "31,15,7,3",
        "--activations",
        "100000",
    ];
    let design = json(&[&design[..], &["--link", "usb"]].concat());
    let stages = design["stages"].as_array().unwrap();
    let groups: Vec<u64> = stages
        .iter()
        .map(|stage| number(&stage["groups"]))
        .collect();
    assert!(groups.is_sorted() && groups[0] < groups[2], "{groups:?}");
}

#[test]
fn bad_arguments_are_answered_in_a_sentence() {
    let unknown = failure(&["plan", "resnet19"]);
    assert!(unknown.contains("resnet19") && unknown.contains("resnet20"));
    assert!(failure(&["plan", "none.safetensors"]).contains("none.safetensors"));
    assert!(failure(&["plan", "resnet20", "--link", "wire"]).contains("uart"));

    let link = |content: &str| {
        let file = File::new("link.json", content);
        let error = failure(&["plan", "resnet20", "--link-file", file.path()]);
        assert!(error.contains(file.path()), "{error}");
        error
    };
    assert!(link("fast").contains("bits_per_second"));
    assert!(link(r#"{"name": "a", "bits_per_second": 1}"#).contains("round_trip_ms"));
    let none = r#"{"name": "a", "bits_per_second": 0, "round_trip_ms": 1}"#;
    assert!(link(none).contains("bits_per_second from 1 to 1e15"));
    let endless = r#"{"name": "a", "bits_per_second": 1, "round_trip_ms": 1e300}"#;
    assert!(link(endless).contains("round_trip_ms from 0 to 3600000"));
    let missing = failure(&["plan", "resnet20", "--link-file", "/none.json"]);
    assert!(missing.contains("/none.json"));

    let file = File::new("broken.json", "{}");
    let constants = ["plan", "resnet20", "--constants", file.path()];
    assert!(failure(&constants).contains("calibrate"));
    let unwritable = Path::new("/proc/none/constants.json").to_str().unwrap();
    let bench = ["bench", "--calibrate", "--constants", unwritable];
    assert!(failure(&bench).contains(unwritable));

    let design =
        |schedule, budget| failure(&["design", "--schedule", schedule, "--activations", budget]);
    assert!(design("31,15,8", "100000").contains("15 does not lead to 8"));
    assert!(design("31", "100000").contains("two sides"));
    assert!(design("31,15,7,3", "1000").contains("too few"));
}

#[test]
fn a_layer_that_no_packing_can_hold_is_named() {
    // 8192 channels in 8192 groups of a map that must be cut into 512 x 512 tiles of one pixel.
    let architecture = json!({
        "schema": 1, "name": "wide", "classes": ["a"], "shift": 8, "logit_scale": 1,
        "input": {"channels": 1, "side": 1024, "resize": 1024, "mean": [0.5], "std": [0.25],
                  "scale": 1},
        "layers": [
            {"name": "wide", "input": "image", "channels": [1, 8192], "kernel": 7, "relu": true},
            {"name": "fc", "input": "wide", "channels": [8192, 1], "kernel": 1, "pool": true,
             "relu": false}
        ],
    });
    let header = json!({"__metadata__": {"stria": architecture.to_string()}}).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    let file = File::new("wide.safetensors", "");
    std::fs::write(&file.0, bytes).unwrap();
    let error = failure(&["plan", file.path()]);
    assert!(error.contains("layer wide"), "{error}");
}
