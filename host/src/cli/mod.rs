//! The subcommands, one a module.

mod bench;
mod costs;
mod demo;
mod design;
mod eval;
mod import;
mod infer;
mod inspect;
mod plan;
mod serve;
mod session;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use ::image::RgbImage;
use anyhow::Context;
use clap::Parser;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use stria_core::packing::Packing;
use stria_host::model::Input;
use stria_host::model::networks::{self, Builder};
use stria_host::{Model, bundle, image};
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
}

impl Command {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Demo(args) => demo::run(args),
            Self::Serve(args) => serve::run(args),
            Self::Infer(args) => infer::run(args),
            Self::Inspect(args) => inspect::run(args),
            Self::Eval(args) => eval::run(args),
            Self::Import(args) => import::run(args),
            Self::Plan(args) => plan::run(args),
            Self::Design(args) => design::run(args),
            Self::Bench(args) => bench::run(args),
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

/// Seed of the random weights of a built network.
const WEIGHTS_SEED: u64 = 1;

/// What the name of a network on the command line means.
enum Named {
    /// A model file.
    File(PathBuf),
    /// A network of this program, with random weights.
    Builder(Builder),
}

/// The model file of that path, if the name looks like one, or the network of that name.
fn named(name: &str) -> anyhow::Result<Named> {
    let path = Path::new(name);
    Ok(if path.is_file() || path.extension().is_some() {
        Named::File(path.into())
    } else {
        Named::Builder(networks::find(name)?)
    })
}

/// Loads the named model file, builds the named network, or loads the bundled model.
fn load_model(name: Option<&str>) -> anyhow::Result<Model> {
    let (model, from) = match name.map(named).transpose()? {
        Some(Named::Builder(builder)) => {
            let model = builder.model(WEIGHTS_SEED);
            let model = model.with_context(|| format!("cannot build {}", builder.name))?;
            (model, format!("{} with random weights", builder.name))
        }
        Some(Named::File(path)) => (load(&path)?, path.display().to_string()),
        None => {
            let path = bundle::model()?;
            (load(&path)?, path.display().to_string())
        }
    };
    tracing::info!(
        model = from,
        layers = model.layers.len(),
        activations = model.activations(),
        "loaded"
    );
    Ok(model)
}

fn load(path: &Path) -> anyhow::Result<Model> {
    Model::load(path).with_context(|| format!("cannot use the model {}", path.display()))
}

/// A bar on standard error, or nothing where that is not a terminal.
fn progress(length: usize, what: &'static str) -> ProgressBar {
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

/// Prints one JSON object on standard output.
fn print_json(report: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, report)?;
    writeln!(out)?;
    Ok(())
}

/// An image as a command needs it.
struct Picture {
    /// File name without its folders.
    name: String,
    /// True class, where the file name tells it.
    label: Option<String>,
    /// The pixels that the network sees.
    pixels: RgbImage,
    /// The first tensor, [channels, side, side].
    tensor: Vec<i32>,
}

/// Reads images as a network sees them.
fn pictures(paths: &[PathBuf], input: &Input, classes: &[String]) -> anyhow::Result<Vec<Picture>> {
    let picture = |path: &PathBuf| {
        let pixels = image::crop(&image::open(path)?, input)
            .with_context(|| format!("cannot use the image {}", path.display()))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Picture {
            name: name.to_string_lossy().into_owned(),
            label: bundle::label(path, classes).map(String::from),
            tensor: image::normalised(&pixels, input),
            pixels,
        })
    };
    paths.iter().map(picture).collect()
}
