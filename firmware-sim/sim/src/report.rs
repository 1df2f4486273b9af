//! What a run comes to, for people and for programs.

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::firmware::{Board, Firmware};
use crate::machine::Told;
use crate::serve::Served;

/// Instructions by phase, without interrupts and waiting.
#[derive(Serialize)]
pub struct Instructions {
    /// Two key pairs: one for the base transfers, and the session's.
    keygen: u64,
    /// Shares, packing, four limbs.
    encrypt_per_ciphertext: u64,
    decrypt_per_ciphertext: u64,
    base_ot: u64,
    per_activation: u64,
    /// Interrupts of the line, in all.
    line: u64,
}

/// One run.
#[derive(Serialize)]
pub struct Report {
    board: &'static str,
    secure_top1: u64,
    reference_top1: u64,
    wall_seconds: f64,
    server_seconds: f64,
    bytes_up: u64,
    bytes_down: u64,
    encryptions: u64,
    decryptions: u64,
    activations: u64,
    instructions: Instructions,
    ram_static: u64,
    ram_stack_peak: u64,
    ram_stack_size: u64,
    flash: u64,
}

impl Report {
    /// Puts together what all sides measured.
    pub fn new(
        board: Board,
        firmware: &Firmware,
        told: &Told,
        served: &Served,
        reference_top1: usize,
        wall_seconds: f64,
    ) -> anyhow::Result<Self> {
        let value = |key: &str| {
            let value = told.values.get(key).copied();
            value.with_context(|| format!("the firmware did not tell `{key}`"))
        };
        let each = |sum: &str, count: &str| anyhow::Ok(value(sum)? / value(count)?.max(1));
        Ok(Self {
            board: board.name(),
            secure_top1: value("top1")?,
            reference_top1: reference_top1 as u64,
            wall_seconds,
            server_seconds: served.seconds_at_work,
            bytes_up: served.bytes_up,
            bytes_down: served.bytes_down,
            encryptions: value("encryptions")?,
            decryptions: value("decryptions")?,
            activations: value("activations")?,
            instructions: Instructions {
                keygen: value("keygen")?,
                encrypt_per_ciphertext: each("encrypt", "encryptions")?,
                decrypt_per_ciphertext: each("decrypt", "decryptions")?,
                base_ot: value("base_ot")?,
                per_activation: each("activation", "activations")?,
                line: value("line")?,
            },
            ram_static: firmware.ram_static,
            ram_stack_peak: value("stack_peak")?,
            ram_stack_size: value("stack_size")?,
            flash: firmware.flash,
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
pub fn show(report: &Report, told: &Told, served: &Served, classes: &[String]) {
    let name = |class: u64| classes.get(class as usize).map_or("?", String::as_str);
    println!(
        "{}: {} (reference: {})",
        report.board,
        name(report.secure_top1),
        name(report.reference_top1)
    );
    let mut order: Vec<usize> = (0..told.classes.len()).collect();
    order.sort_by_key(|&class| std::cmp::Reverse(told.classes[class].0));
    for &class in order.iter().take(3) {
        let (logit, p) = told.classes[class];
        println!(
            "  {:<12} {:5.1} %  {logit}",
            name(class as u64),
            p as f64 / 1e4
        );
    }
    println!(
        "{:.1} s ({:.1} s of them the server's work), {} bytes up, {} down",
        report.wall_seconds, report.server_seconds, report.bytes_up, report.bytes_down
    );
    let i = &report.instructions;
    let rows = [
        ("key generation", i.keygen, "2 key pairs".to_owned()),
        ("base transfers", i.base_ot, "both directions".into()),
        (
            "encryption",
            i.encrypt_per_ciphertext,
            format!("each of {}", report.encryptions),
        ),
        (
            "decryption",
            i.decrypt_per_ciphertext,
            format!("each of {}", report.decryptions),
        ),
        (
            "transfers and ReLU",
            i.per_activation,
            format!("each of {}", report.activations),
        ),
        ("interrupts", i.line, "in all".into()),
    ];
    println!("instructions");
    for (what, count, of) in rows {
        println!("  {what:<20} {count:>12}  {of}");
    }
    println!(
        "RAM: {} static + {} stack at most (of {}) = {} of 65536; flash: {}",
        report.ram_static,
        report.ram_stack_peak,
        report.ram_stack_size,
        report.ram_static + report.ram_stack_peak,
        report.flash
    );
    for error in &served.errors {
        println!("a session before ended: {error}");
    }
}
