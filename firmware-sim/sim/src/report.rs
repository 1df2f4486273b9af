//! What a run comes to, for people and for programs.

use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use stria_core::network::name::Shown;
use stria_host::Model;
use stria_host::model::logits::{softmax_in_place, top_k};
use stria_host::session::server::Ended;

use crate::firmware::{Board, Firmware};
use crate::machine::Told;

/// Instructions by phase, without interrupts and waiting.
#[derive(Clone, Serialize)]
pub struct Instructions {
    /// Two key pairs: one for the base transfers, and the session's.
    keygen: u64,
    /// Shares, packing, four limbs.
    encrypt_per_ciphertext: u64,
    decrypt_per_ciphertext: u64,
    base_ot: u64,
    prepare_per_activation: u64,
    answer_per_activation: u64,
    /// The link's packets, in all: checksums, windows.
    framing: u64,
    /// Interrupts of the line, in all.
    line: u64,
}

/// What was measured on a device.
#[derive(Clone, Serialize)]
pub struct Device {
    encryptions: u64,
    decryptions: u64,
    activations: u64,
    instructions: Instructions,
    ram_static: u64,
    ram_stack_peak: u64,
    ram_stack_size: u64,
    ram: u64,
    flash: u64,
    /// Tickets in flash at the end, where the board redeems them.
    #[serde(skip_serializing_if = "Option::is_none")]
    tickets_left: Option<u64>,
}

impl Device {
    /// Puts together what the program's file and the firmware tell.
    pub fn new(firmware: &Firmware, told: &Told) -> anyhow::Result<Self> {
        let value = |key: &str| told.value(key);
        let each = |sum: &str, count: &str| anyhow::Ok(value(sum)? / value(count)?.max(1));
        Ok(Self {
            encryptions: value("encryptions")?,
            decryptions: value("decryptions")?,
            activations: value("activations")?,
            instructions: Instructions {
                keygen: value("keygen")?,
                encrypt_per_ciphertext: each("encrypt", "encryptions")?,
                decrypt_per_ciphertext: each("decrypt", "decryptions")?,
                base_ot: value("base_ot")?,
                prepare_per_activation: each("prepare", "activations")?,
                answer_per_activation: each("answer", "activations")?,
                framing: value("framing")?,
                line: value("line")?,
            },
            ram_static: firmware.ram_static,
            ram_stack_peak: value("stack_peak")?,
            ram_stack_size: value("stack_size")?,
            ram: firmware.ram,
            flash: firmware.flash,
            tickets_left: firmware
                .tickets
                .as_ref()
                .map(|_| value("tickets_left"))
                .transpose()?,
        })
    }
}

/// What came out.
pub struct Outcome {
    top1: u64,
    /// By class: logit, probability in millionths.
    classes: Vec<(i32, u64)>,
    /// Why the device ended sessions before their time.
    errors: Vec<String>,
    device: Option<Device>,
}

impl Outcome {
    /// Of the client in this process.
    pub fn hosted(logits: &[i32], model: &Model) -> Self {
        let mut probabilities = vec![0.0; logits.len()];
        softmax_in_place(logits, model.logit_scale, &mut probabilities);
        let millionths = probabilities.iter().map(|p| (p * 1e6) as u64);
        Self {
            top1: top_k(logits, 1)[0] as u64,
            classes: logits.iter().copied().zip(millionths).collect(),
            errors: Vec::new(),
            device: None,
        }
    }

    /// Of a firmware.
    pub fn told(told: &Told, device: Option<Device>) -> anyhow::Result<Self> {
        Ok(Self {
            top1: told.value("top1")?,
            classes: told.classes.clone(),
            errors: told.errors.clone(),
            device,
        })
    }
}

/// One run.
#[derive(Serialize)]
pub struct Report {
    network: String,
    board: &'static str,
    secure_top1: u64,
    reference_top1: u64,
    wall_seconds: f64,
    server_seconds: f64,
    /// The session's, without the link's packets.
    bytes_up: u64,
    bytes_down: u64,
    /// All that went over the line.
    line_bytes_up: u64,
    line_bytes_down: u64,
    #[serde(flatten)]
    device: Option<Device>,
    /// Why sessions before the last ended: as the device saw it, and as the server did.
    device_errors: Vec<String>,
    server_errors: Vec<String>,
}

impl Report {
    /// Puts together what all sides measured. `bytes`: of the line, up and down.
    pub fn new(
        network: &str,
        board: Board,
        outcome: &Outcome,
        reference_top1: usize,
        wall: Duration,
        bytes: [u64; 2],
        sessions: &[Ended],
    ) -> anyhow::Result<Self> {
        let good = sessions.iter().rfind(|end| end.error.is_none());
        let good = good.context("the server saw no session to its end")?;
        let errors = sessions.iter().filter_map(|end| end.error.as_ref());
        Ok(Self {
            network: network.into(),
            board: board.name(),
            secure_top1: outcome.top1,
            reference_top1: reference_top1 as u64,
            wall_seconds: wall.as_secs_f64(),
            server_seconds: good.seconds - good.seconds_waited,
            bytes_up: good.bytes_up,
            bytes_down: good.bytes_down,
            line_bytes_up: bytes[0],
            line_bytes_down: bytes[1],
            device: outcome.device.clone(),
            device_errors: outcome.errors.clone(),
            server_errors: errors.map(ToString::to_string).collect(),
        })
    }
}

/// A progress line, if a person looks.
pub fn progress(quiet: bool, activations: usize) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{elapsed} {wide_bar} {pos}/{len} activations");
    let bar = ProgressBar::new(activations as u64);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Shows a run to a person.
pub fn show(report: &Report, outcome: &Outcome, classes: &[String]) {
    let name = |class: usize| classes.get(class).map_or("?", String::as_str);
    println!(
        "{}: {} (reference: {})",
        report.board,
        name(report.secure_top1 as usize),
        name(report.reference_top1 as usize)
    );
    let logits: Vec<i32> = outcome.classes.iter().map(|(logit, _)| *logit).collect();
    for class in top_k(&logits, 3) {
        let (logit, p) = outcome.classes[class];
        println!("  {:<12} {:5.1} %  {logit}", name(class), p as f64 / 1e4);
    }
    println!(
        "{:.1} s ({:.1} s of them the server's work), {} bytes up, {} down; on the line {} and {}",
        report.wall_seconds,
        report.server_seconds,
        report.bytes_up,
        report.bytes_down,
        report.line_bytes_up,
        report.line_bytes_down
    );
    if let Some(device) = &report.device {
        show_device(device);
    }
    for error in &report.device_errors {
        println!("the device ended a session: {}", Shown(error));
    }
    for error in &report.server_errors {
        println!("the server ended a session: {}", Shown(error));
    }
}

fn show_device(device: &Device) {
    let i = &device.instructions;
    let each = |count: u64| format!("each of {count}");
    let rows = [
        ("key generation", i.keygen, "a key pair".into()),
        ("base transfers", i.base_ot, "both directions".into()),
        (
            "encryption",
            i.encrypt_per_ciphertext,
            each(device.encryptions),
        ),
        (
            "decryption",
            i.decrypt_per_ciphertext,
            each(device.decryptions),
        ),
        (
            "transfers",
            i.prepare_per_activation,
            each(device.activations),
        ),
        ("ReLU", i.answer_per_activation, each(device.activations)),
        ("packets of the line", i.framing, "in all".into()),
        ("interrupts", i.line, "in all".into()),
    ];
    println!("instructions");
    for (what, count, of) in rows {
        // A board that redeems tickets does some of it only.
        if count > 0 {
            println!("  {what:<20} {count:>12}  {of}");
        }
    }
    println!(
        "RAM: {} static + {} stack at most (of {}) = {} of {}; flash: {}",
        device.ram_static,
        device.ram_stack_peak,
        device.ram_stack_size,
        device.ram_static + device.ram_stack_peak,
        device.ram,
        device.flash
    );
    if let Some(left) = device.tickets_left {
        println!("tickets left: {left}");
    }
}
