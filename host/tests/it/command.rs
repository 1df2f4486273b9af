//! The program `stria` as a user runs it, where nobody has measured the machine.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stria"));
    command.args(arguments);
    command.env_remove("RUST_LOG").env_remove("STRIA_TEST_SEED");
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

pub fn stria(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// The one JSON object that a command prints.
pub fn json(arguments: &[&str]) -> Value {
    only_json(stria(arguments))
}

pub fn only_json(output: Output) -> Value {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.is_empty(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a failing command says, in one line.
pub fn failure(arguments: &[&str]) -> String {
    let output = stria(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// A folder that is removed when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let name = format!("stria-{name}-{}", std::process::id());
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
