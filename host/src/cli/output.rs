//! What commands print: reports on standard output, progress on standard error.

use std::io::{IsTerminal, StdoutLock, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// Whom a report is for.
#[derive(clap::Args)]
pub struct OutputArgs {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

impl OutputArgs {
    /// Prints a report as JSON, or as `show` shows it to people.
    pub fn print<T: Serialize>(
        &self,
        report: &T,
        show: impl FnOnce(&mut StdoutLock<'static>, &T) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, report)?;
            writeln!(out)?;
        } else {
            show(&mut out, report)?;
        }
        Ok(())
    }
}

/// A bar on standard error, or nothing where that is not a terminal.
pub fn progress(length: usize, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    let template = "{prefix} {wide_bar} {pos}/{len} {elapsed} (left {eta})";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_prefix(what)
}
