//! Runs of `stria-sim`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What `stria-sim --json` says of a run with these arguments.
pub fn run(arguments: &[&str]) -> Value {
    let output = start(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs it to its end.
pub fn start(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stria-sim"))
        .arg("--json")
        .args(arguments)
        .output()
        .unwrap()
}

/// The folder of the bundled models.
pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// The secure and the reference class agree; gives the first.
pub fn agreed(report: &Value) -> u64 {
    assert_eq!(report["secure_top1"], report["reference_top1"], "{report}");
    report["secure_top1"].as_u64().unwrap()
}

/// A number of a report, by its path.
pub fn number(report: &Value, path: &str) -> u64 {
    let value = report.pointer(path).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("no {path} in {report}"))
}
