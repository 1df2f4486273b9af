//! The commands as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use stria_host::bundle;

fn stria(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stria"))
        .args(arguments)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// The one JSON object that a command prints.
fn json(arguments: &[&str]) -> Value {
    let output = stria(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.is_empty(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a failing command says, in one line.
fn failure(arguments: &[&str]) -> String {
    let output = stria(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A folder that is removed when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("stria-cli-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn inspect_counts_activations_and_parameters() {
    let model = bundle::model().unwrap();
    let report = json(&["inspect", text(&model), "--json"]);
    let layers = report["layers"].as_array().unwrap();
    for field in ["activations", "parameters", "bytes_up", "input_ciphertexts"] {
        let sum: u64 = layers.iter().map(|l| l[field].as_u64().unwrap()).sum();
        assert_eq!(report[field], sum, "{field}");
    }
    let relu = &layers[0];
    let shape: Vec<u64> = serde_json::from_value(relu["output_shape"].clone()).unwrap();
    assert_eq!(relu["activations"], shape.iter().product::<u64>());
    assert_eq!(layers.last().unwrap()["activations"], 0);
    let evidence = &relu["bound"]["evidence"];
    assert!(evidence == "proved" || evidence == "calibrated");

    let table = stria(&["inspect", text(&model)]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        layers
            .iter()
            .all(|l| table.contains(l["name"].as_str().unwrap()))
    );
}

#[test]
fn eval_reads_a_folder_per_class() {
    let folder = Folder::new("classes");
    for path in bundle::samples().unwrap() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let class = folder.0.join(stem.split_once('-').unwrap().1);
        std::fs::create_dir_all(&class).unwrap();
        std::fs::copy(&path, class.join(path.file_name().unwrap())).unwrap();
    }
    let data = text(&folder.0);
    let report = json(&["eval", "--data", data, "--json"]);
    assert_eq!(report["images"], 20);
    let top1 = report["top1"].as_f64().unwrap();
    let top5 = report["top5"].as_f64().unwrap();
    assert!(10.0 < top1 && top1 <= top5 && top5 <= 100.0, "{report}");
    let report = json(&["eval", "--data", data, "--limit", "9", "--json"]);
    assert_eq!(report["images"], 9);

    let people = stria(&["eval", "--data", data]);
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(people.contains(&format!("{top1:.2} %")), "{people}");
}

#[test]
fn failures_are_one_sentence() {
    let folder = Folder::new("failures");
    let broken = folder.0.join("broken.safetensors");
    std::fs::write(&broken, b"nothing like a model").unwrap();
    let said = failure(&["inspect", text(&broken)]);
    assert!(
        said.contains("broken.safetensors") && said.contains("safetensors file"),
        "{said}"
    );
    let said = failure(&["inspect", "no-such-file"]);
    assert!(said.contains("no-such-file"), "{said}");
    let said = failure(&["eval", "--data", text(&folder.0)]);
    assert!(said.contains("test_batch.bin"), "{said}");
    let said = failure(&["demo", text(&broken)]);
    assert!(said.contains("decode") && said.contains("broken"), "{said}");
}
