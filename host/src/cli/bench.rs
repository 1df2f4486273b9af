//! `stria bench`: measure this machine.

use std::path::PathBuf;

use anyhow::Context;
use stria_host::cost::{Constants, calibrate};
use stria_host::present;

#[derive(clap::Args)]
pub struct Args {
    /// Measure single operations, for the estimates of `stria plan`.
    #[arg(long, required = true)]
    calibrate: bool,
    /// Where to write them, if not into the configuration folder.
    #[arg(long, value_name = "FILE")]
    constants: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let path = args.constants.or_else(Constants::default_path);
    let path = path.context("no folder for the constants: name a file with --constants")?;
    let constants = calibrate::calibrate()?;
    constants
        .save(&path)
        .with_context(|| format!("cannot store the constants in {}", path.display()))?;
    if args.json {
        return super::print_json(&constants);
    }
    present::costs::constants(&mut std::io::stdout().lock(), &constants, &path)?;
    Ok(())
}
