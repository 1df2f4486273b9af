//! What commands print: reports on standard output, progress on standard error.

use std::io::{IsTerminal, StdoutLock, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use stria_host::session::client::Watch;

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

/// Template of a bar.
const BAR: &str = "{prefix} {wide_bar} {pos}/{len} {elapsed} (left {eta})";

/// A bar on standard error, or nothing where that is not a terminal.
pub fn progress(length: usize, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(BAR) {
        bar.set_style(style);
    }
    // From the first moment, and while nothing happens.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar.with_prefix(what)
}

/// Shows where each inference is, below the bar.
pub fn watch(bar: &ProgressBar) -> Watch {
    let bar = bar.clone();
    if let Ok(style) = ProgressStyle::with_template(&format!("{BAR}\n{{msg}}")) {
        bar.set_style(style);
    }
    Box::new(move |progress| bar.set_message(progress.to_string()))
}
