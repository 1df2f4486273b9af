//! QEMU with a board, the firmware and its picture.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use stria_core::network::name::Shown;

use crate::firmware::{Board, Firmware};

/// A folder for one run, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("stria-sim-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing depends on it; it is in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A machine that runs.
pub struct Machine(Child);

/// What the firmware told on the debug channel.
pub struct Told {
    /// All of it.
    pub text: String,
    /// Lines `stria KEY VALUE`.
    values: HashMap<String, u64>,
    /// By class: logit, probability in millionths.
    pub classes: Vec<(i32, u64)>,
    /// Why sessions ended before their time.
    pub errors: Vec<String>,
}

impl Told {
    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["stria", "class", _, logit, p] => self.classes.push((logit.parse()?, p.parse()?)),
            ["stria", "error", ..] => self.errors.push(words[2..].join(" ")),
            ["stria", key, value] => {
                self.values.insert(key.into(), value.parse()?);
            }
            _ => eprintln!("{}", Shown(line)),
        }
        self.text += line;
        self.text.push('\n');
        Ok(())
    }

    /// One of the lines `stria KEY VALUE`.
    pub fn value(&self, key: &str) -> anyhow::Result<u64> {
        let value = self.values.get(key).copied();
        value.with_context(|| format!("the firmware did not tell `{key}`"))
    }
}

/// Starts the machine; its UART connects to the socket `line` in `folder`.
pub fn start(
    board: Board,
    firmware: &Firmware,
    folder: &Folder,
    page: &[u8],
    seed: &str,
) -> anyhow::Result<Machine> {
    let picture = folder.path().join("picture");
    std::fs::write(&picture, page)?;
    let mut qemu = match board {
        Board::Hosted => bail!("there is no machine for the hosted client"),
        Board::Mps2An386 => {
            let mut qemu = Command::new("qemu-system-arm");
            qemu.args(["-M", "mps2-an386", "-icount", "shift=6"]);
            qemu
        }
        Board::RiscvVirt => {
            let mut qemu = Command::new("qemu-system-riscv32");
            qemu.args(["-M", "virt", "-bios", "none", "-m", "16M"]);
            qemu.args(["-icount", "shift=0"]);
            qemu
        }
    };
    let line = folder.path().join("line");
    qemu.args(["-display", "none", "-monitor", "none"])
        .arg("-semihosting-config")
        .arg(format!("enable=on,target=native,arg=stria,arg=seed={seed}"))
        .arg("-chardev")
        .arg(format!(
            "socket,id=line,path={},reconnect=1",
            line.display()
        ))
        .args(["-serial", "chardev:line"])
        .arg("-device")
        .arg(format!(
            "loader,file={},addr={:#x},force-raw=on",
            picture.display(),
            firmware.picture
        ))
        .arg("-kernel")
        .arg(&firmware.elf)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let child = qemu.spawn();
    Ok(Machine(
        child.context("cannot start QEMU; see firmware-sim/setup.sh")?,
    ))
}

impl Machine {
    /// Waits for its end, no longer than `limit`, and reads what it tells.
    pub fn wait(mut self, limit: Duration) -> anyhow::Result<Told> {
        let mut told = Told {
            text: String::new(),
            values: HashMap::new(),
            classes: Vec::new(),
            errors: Vec::new(),
        };
        let Some(output) = self.0.stdout.take() else {
            bail!("QEMU has no output");
        };
        let (send, lines) = channel();
        // Ends with QEMU, whose end of the pipe it reads.
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) => told.take(&line?)?,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the firmware did not end in time; it said:\n{}", told.text)
                }
            }
        }
        let status = self.0.wait()?;
        if !status.success() {
            bail!("the firmware failed ({status}):\n{}", told.text);
        }
        Ok(told)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Gone already, where all went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
