//! `stria design`: a StriaNet for a budget.

use stria_host::planner::design::{Request, propose};
use stria_host::report::text;

use super::output::OutputArgs;
use super::setting::SettingArgs;

/// s of the networks that are proposed.
const SHIFT: u32 = 8;

#[derive(clap::Args)]
pub struct Args {
    /// Sides of the input and of every stage in pixels, like 31,15,7,3.
    #[arg(long, value_name = "SIDES", value_delimiter = ',', required = true,
          value_parser = clap::value_parser!(u64).range(1..=1024))]
    schedule: Vec<u64>,
    /// The most activations.
    #[arg(long, value_name = "COUNT")]
    activations: usize,
    /// Number of classes.
    #[arg(long, value_name = "COUNT", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(1..=8192))]
    classes: u16,
    #[command(flatten)]
    setting: SettingArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let (setting, constants) = args.setting.setting(SHIFT)?;
    let request = Request {
        schedule: args.schedule,
        budget: args.activations,
        classes: args.classes.into(),
    };
    let report = propose(request, &setting, args.setting.packing, constants)?;
    args.output.print(&report, text::design)
}
