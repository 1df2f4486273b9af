//! `stria inspect`: check a model file and show what its layers cost.

use std::path::PathBuf;

use stria_host::report::text;
use stria_host::report::InspectReport;

#[derive(clap::Args)]
pub struct Args {
    /// The model file.
    model: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let report = InspectReport::new(&super::load(&args.model)?);
    if args.json {
        return super::print_json(&report);
    }
    present::model(&mut std::io::stdout().lock(), &report)?;
    Ok(())
}
