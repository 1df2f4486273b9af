//! `stria bench` as a user runs it: two processes, shaped links, bench.json and the report.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stria_host::report::{Bench, Counts, Measured, Outcome};

use super::command::{Folder, failure, json, stria};

/// The smallest model that comes with the source.
fn nano() -> String {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    text(&models.join("strianet-fmnist-nano.safetensors"))
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

fn file(folder: &Folder, name: &str, content: &Value) -> PathBuf {
    let path = folder.0.join(name);
    std::fs::write(&path, content.to_string()).unwrap();
    path
}

fn measured(outcome: &Outcome) -> &Measured {
    match outcome {
        Outcome::Measured(measured) => measured,
        Outcome::Failed { error } => panic!("{error}"),
    }
}

#[test]
fn every_packing_is_measured_as_it_was_planned() {
    let folder = Folder::new("bench");
    let radio = json!({"name": "radio", "bits_per_second": 4e7, "round_trip_ms": 4});
    let radio = text(&file(&folder, "radio.json", &radio));
    let out = folder.0.join("out");
    let (links, model) = (format!("loopback,{radio}"), nano());
    let printed = json(&[
        "bench",
        "--networks",
        &model,
        "--links",
        &links,
        "--images",
        "2",
        "--out",
        &text(&out),
        "--json",
    ]);
    let stored: Value =
        serde_json::from_slice(&std::fs::read(out.join("bench.json")).unwrap()).unwrap();
    assert_eq!(printed, stored);
    let bench: Bench = serde_json::from_value(printed).unwrap();
    assert_eq!(bench.networks.len(), 1);
    assert!(!bench.networks[0].random_weights);
    assert_eq!(bench.runs.len(), 6);
    for run in &bench.runs {
        let measured = measured(&run.outcome);
        assert_eq!(
            measured.counts, measured.predicted.counts,
            "{}",
            run.packing
        );
        let mut sum = Counts::default();
        measured
            .layers
            .iter()
            .for_each(|layer| sum += &layer.counts);
        assert_eq!(sum, measured.counts);
        assert_eq!(measured.seconds.len(), 2);
        // Logits of this network are millions apart; a unit at every activation is far less.
        assert_eq!(measured.agree, 2);
        assert!(
            measured.largest_logit_error < 0.05,
            "{}",
            measured.largest_logit_error
        );
        let rotations = measured.counts.operations.rotations();
        assert_eq!(rotations > 0, run.packing == "slot");
        assert_eq!(measured.galois_key_bytes > 0, run.packing == "slot");
        if run.link == "radio" {
            // No inference is faster than its bytes, which go both ways, and one way at a time for
            // the larger part.
            let bytes = measured.counts.bytes_up.max(measured.counts.bytes_down);
            let least = 8.0 * bytes as f64 / 4e7 * 0.9;
            assert!(
                measured.median_seconds > least,
                "{}",
                measured.median_seconds
            );
        }
    }
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("radio") && report.contains("strianet-fmnist-nano"));

    // The same report again, without running anything.
    let again = folder.0.join("again");
    let from = text(&out.join("bench.json"));
    let output = stria(&[
        "bench",
        "--from",
        &from,
        "--from",
        &from,
        "--out",
        &text(&again),
    ]);
    assert!(output.status.success());
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 7, "{table}");
    assert_eq!(
        std::fs::read_to_string(again.join("report.html")).unwrap(),
        report
    );
}

#[test]
fn bad_arguments_are_answered_in_a_sentence() {
    let folder = Folder::new("bench-arguments");
    let out = text(&folder.0.join("out"));
    let bad = text(&file(&folder, "bad.json", &json!({"name": "slow"})));
    let model = text(&file(&folder, "empty.safetensors", &json!({})));
    let still = json!({"name": "still", "bits_per_second": 0, "round_trip_ms": 1});
    let still = text(&file(&folder, "still.json", &still));
    let cases = [
        (&["--networks", &model][..], "cannot use the model"),
        (
            &["--networks", "alexnet"],
            "there is no network \"alexnet\"",
        ),
        (&["--links", "moon"], "there is no link \"moon\""),
        (&["--links", &bad], "cannot use the link file"),
        (
            &["--links", &still],
            "a link needs bits_per_second from 1 to 1e15",
        ),
        (&["--from", &bad], "it is not what `stria bench` writes"),
        (&["--images", "400"], "there are 20 bundled images"),
    ];
    for (arguments, expected) in cases {
        let said = failure(&[&["bench", "--out", &out], arguments].concat());
        assert!(said.contains(expected), "{said}");
    }
}
