//! The subcommands, one a module.

mod bench;
mod client;
mod demo;
mod design;
mod eval;
mod import;
mod infer;
mod inspect;
mod models;
mod output;
mod pictures;
mod plan;
mod prepare;
mod results;
mod serve;
mod setting;
mod tickets;

use std::io::IsTerminal;

use clap::Parser;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use stria_core::packing::Packing;
use tracing_subscriber::EnvFilter;

/// Private inference: the client keeps its image, the server keeps its network.
#[derive(Parser)]
#[command(name = "stria", version)]
pub enum Command {
    /// Classify images privately, server and client in one process.
    Demo(demo::Args),
    /// Serve a model to clients.
    Serve(serve::Args),
    /// Classify images privately with a server's model.
    Infer(infer::Args),
    /// Prepare inferences for later, when there are pictures: tickets.
    Prepare(prepare::Args),
    /// Show or destroy tickets.
    #[command(subcommand)]
    Tickets(tickets::Args),
    /// Check a model file and show what its layers cost.
    Inspect(inspect::Args),
    /// Measure a model's accuracy on a data set.
    Eval(eval::Args),
    /// Make a model file from a trained network in floating point.
    Import(import::Args),
    /// Estimate what a network's inference costs, in each packing and on a link.
    Plan(plan::Args),
    /// Propose a StriaNet for a budget of activations and a link.
    Design(design::Args),
    /// Measure this machine.
    Bench(bench::Args),
    /// Make the page of results from what other commands measured.
    Results(results::Args),
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Demo(args) => demo::run(args),
            Self::Serve(args) => serve::run(args),
            Self::Infer(args) => infer::run(args),
            Self::Prepare(args) => prepare::run(args),
            Self::Tickets(args) => tickets::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Import(args) => import::run(args),
            Self::Plan(args) => plan::run(args),
            Self::Design(args) => design::run(args),
            Self::Bench(args) => bench::run(args),
            Self::Results(args) => results::run(args),
        }
    }
}

/// Sends logs to standard error, as `RUST_LOG` says; a server tells more by itself.
pub fn log(command: &Command) {
    let default = match command {
        Command::Serve(_) => "info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Patience, from a second to a day.
fn seconds() -> RangedU64ValueParser {
    RangedU64ValueParser::new().range(1..=86_400)
}

/// Names of packings.
fn packing() -> impl TypedValueParser<Value = Packing> {
    let named = |name: String| Packing::ALL.into_iter().find(|p| p.name() == name);
    PossibleValuesParser::new(Packing::ALL.map(Packing::name))
        .map(move |name| named(name).unwrap_or_default())
}
