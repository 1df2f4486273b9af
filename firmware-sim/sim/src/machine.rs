//! QEMU with a board, the firmware and its picture.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use stria_core::network::name::Shown;
use zeroize::Zeroizing;

use crate::firmware::{Facts, Firmware};

/// A folder for one run, removed at its end.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("stria-sim-{}", std::process::id()));
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true);
        // Seeds and tickets are for their user alone.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&path)?;
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

/// What is in a board's flash beside the program.
pub struct Flash<'a> {
    /// The picture's page.
    pub picture: &'a [u8],
    /// Tickets, where the board redeems them.
    pub tickets: &'a [Zeroizing<Vec<u8>>],
}

impl Flash<'_> {
    /// Its parts with their addresses.
    fn parts(&self, firmware: &Firmware) -> anyhow::Result<Vec<(u64, Zeroizing<Vec<u8>>)>> {
        let mut parts = vec![(firmware.picture, self.picture.to_vec().into())];
        if let Some(place) = &firmware.tickets {
            ensure!(self.tickets.len() <= place.count, "too many tickets");
            for (i, ticket) in self.tickets.iter().enumerate() {
                ensure!(
                    ticket.len() + 2 <= place.page,
                    "a ticket longer than a page"
                );
                let bytes = [&(ticket.len() as u16).to_le_bytes()[..], ticket].concat();
                parts.push((place.at + (i * place.page) as u64, bytes.into()));
            }
            // As the rest is when it was erased.
            let free = place.page * (place.count - self.tickets.len());
            let at = place.at + (self.tickets.len() * place.page) as u64;
            parts.push((at, vec![0xFF; free].into()));
        }
        Ok(parts)
    }
}

/// Starts the machine; its UART connects to the socket `line` in `folder`.
pub fn start(
    facts: &Facts,
    firmware: &Firmware,
    folder: &Folder,
    flash: &Flash<'_>,
    seed: &str,
) -> anyhow::Result<Machine> {
    let line = folder.path().join("line");
    let Some((program, arguments)) = facts.qemu.split_first() else {
        bail!("the list of boards names no machine for {}", facts.name);
    };
    let mut qemu = Command::new(program);
    qemu.args(arguments)
        .args(["-display", "none", "-monitor", "none"])
        .arg("-semihosting-config")
        .arg(format!("enable=on,target=native,arg=stria,arg=seed={seed}"))
        .arg("-chardev")
        .arg(format!(
            "socket,id=line,path={},reconnect=1",
            line.display()
        ))
        .args(["-serial", "chardev:line"])
        .arg("-kernel")
        .arg(&firmware.elf)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for (i, (address, bytes)) in flash.parts(firmware)?.into_iter().enumerate() {
        let file = folder.path().join(format!("flash-{i}"));
        std::fs::write(&file, bytes)?;
        let file = file.display();
        qemu.arg("-device")
            .arg(format!("loader,file={file},addr={address:#x},force-raw=on"));
    }
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
