//! The two processes of a run: a server and a client of this program.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, anyhow, ensure};
use serde::de::DeserializeOwned;

use crate::report::{InferReport, Listening, SessionReport};

/// Seconds that each side waits for a silent peer: a layer of a large network takes a while.
const PATIENCE: &str = "900";

/// A server process, which is ended with this value.
pub(super) struct ServerProcess {
    process: Child,
    out: BufReader<ChildStdout>,
    log: Option<JoinHandle<String>>,
    pub address: String,
}

impl ServerProcess {
    /// Starts it, and waits until it listens.
    pub fn start(program: &Path, model: &str, arguments: &[String]) -> anyhow::Result<Self> {
        let mut process = Command::new(program)
            .args(["serve", "--model", model, "--listen", "127.0.0.1:0"])
            .args(["--prepare-first", "--sessions", "1", "--timeout", PATIENCE])
            .args(arguments)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a server process")?;
        let (out, log) = (process.stdout.take(), process.stderr.take());
        let (out, log) = out.zip(log).context("a server process without output")?;
        let mut server = Self {
            process,
            out: BufReader::new(out),
            log: Some(thread::spawn(move || read(log))),
            address: String::new(),
        };
        match server.line::<Listening>() {
            Ok(ready) => {
                server.address = ready.listening.into_iter().next().unwrap_or_default();
                Ok(server)
            }
            Err(error) => Err(server.blame(error)),
        }
    }

    /// The next line that it prints.
    fn line<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        ensure!(!line.is_empty(), "the server process ended");
        Ok(serde_json::from_str(&line)?)
    }

    /// What it says of its session, after the client's end.
    pub fn session(mut self) -> anyhow::Result<SessionReport> {
        self.line()
    }

    /// What it complained of last, if it did.
    pub fn blame(mut self, error: anyhow::Error) -> anyhow::Error {
        let _ = self.process.kill();
        let log = self.log.take().and_then(|log| log.join().ok());
        match log.as_deref().and_then(last_line) {
            Some(line) => anyhow!("{line}"),
            None => error,
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It has ended by itself, or has nothing more to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(mut log: ChildStderr) -> String {
    let mut text = Vec::new();
    let _ = log.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The last line of a log, without the program's name.
fn last_line(log: &str) -> Option<&str> {
    let line = log.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.strip_prefix("stria: ").unwrap_or(line))
}

/// Runs a client to its end.
pub(super) fn client(
    program: &Path,
    address: &str,
    arguments: &[String],
    images: &[PathBuf],
) -> anyhow::Result<InferReport> {
    let output = Command::new(program)
        .args(["infer", "--connect", address, "--patience", PATIENCE])
        .args(arguments)
        .arg("--")
        .args(images)
        .stdin(Stdio::null())
        .output()
        .context("cannot start a client process")?;
    let log = String::from_utf8_lossy(&output.stderr);
    let reason = || anyhow!("{}", last_line(&log).unwrap_or("the client process failed"));
    ensure!(output.status.success(), reason());
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complaint_counts() {
        let log = "WARN something\nstria: cannot prepare the model: no\n\n";
        assert_eq!(last_line(log), Some("cannot prepare the model: no"));
        assert_eq!(last_line("\n"), None);
    }
}
