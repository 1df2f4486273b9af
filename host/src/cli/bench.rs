//! `stria bench`: measure networks, packings and links, or this machine's single operations.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use stria_core::packing::Packing;
use stria_core::protocol::greeting::Settings;
use stria_host::Model;
use stria_host::bench::{self, Runner, Subject, calibrate};
use stria_host::data::bundle;
use stria_host::planner::{ClientTraffic, Setting};
use stria_host::report::{Bench, Constants, Machine, NetworkFacts, Outcome, Run, html, text};
use stria_host::session::client::Window;
use stria_host::transport::LinkSpeed;

use super::models::{Named, load_model, named};
use super::output::{OutputArgs, progress};
use super::pictures::pictures;
use super::setting;

#[derive(clap::Args)]
pub struct Args {
    /// Networks to run, separated by commas: names of built networks or model files.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',',
          default_values = ["strianet-cifar10", "resnet20"])]
    networks: Vec<String>,
    /// Packings to run them in.
    #[arg(long, value_name = "PACKING", value_delimiter = ',',
          default_values = Packing::ALL.map(Packing::name), value_parser = super::packing())]
    packings: Vec<Packing>,
    /// Links to run them over: lan, wan, usb, uart, loopback (not slowed down), or link files.
    #[arg(long, value_name = "LINK", value_delimiter = ',', default_values = ["lan", "wan"])]
    links: Vec<String>,
    /// Inferences of every session, each with another of the bundled images.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..))]
    images: u16,
    /// Folder for bench.json and report.html.
    #[arg(long, value_name = "FOLDER", default_value = "bench")]
    out: PathBuf,
    /// Make the report of these files instead of running anything: bench.json of earlier runs.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["networks", "packings", "links", "images"])]
    from: Vec<PathBuf>,
    /// Measure single operations, for the estimates of `stria plan`.
    #[arg(long, conflicts_with_all = ["networks", "packings", "links", "images", "out", "from"])]
    calibrate: bool,
    /// The file with the times of single operations, if not the one in the configuration folder.
    #[arg(long, value_name = "FILE")]
    constants: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    if args.calibrate {
        return calibrate(args);
    }
    let bench = match args.from.is_empty() {
        true => measure(&args)?,
        false => merge(&args.from)?,
    };
    store(&bench, &args.out)?;
    args.output.print(&bench, text::bench)?;
    let runs = bench.runs.iter();
    let failed = runs.filter(|run| matches!(run.outcome, Outcome::Failed { .. }));
    match failed.count() {
        0 => Ok(()),
        count => anyhow::bail!("{count} of {} runs failed", bench.runs.len()),
    }
}

fn calibrate(args: Args) -> anyhow::Result<()> {
    let path = args.constants.or_else(Constants::default_path);
    let path = path.context("no folder for the constants: name a file with --constants")?;
    let constants = calibrate::calibrate()?;
    constants
        .save(&path)
        .with_context(|| format!("cannot store the constants in {}", path.display()))?;
    let show = |out: &mut _, constants: &_| text::constants(out, constants, &path);
    args.output.print(&constants, show)
}

/// A link, and the arguments that name it to both parties.
struct LinkArgument {
    link: LinkSpeed,
    arguments: Vec<String>,
}

fn link(name: &str) -> anyhow::Result<LinkArgument> {
    let path = Path::new(name);
    let (link, option) = match path.is_file() || path.extension().is_some() {
        true => (setting::load_link(path)?, "--link-file"),
        false => (LinkSpeed::named(name)?, "--link"),
    };
    Ok(LinkArgument {
        link,
        arguments: vec![option.into(), name.into()],
    })
}

fn measure(args: &Args) -> anyhow::Result<Bench> {
    let links: Vec<LinkArgument> = args
        .links
        .iter()
        .map(|name| link(name))
        .collect::<Result<_, _>>()?;
    // All names before the first run, which may take long.
    for name in &args.networks {
        named(name)?;
    }
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make the folder {}", args.out.display()))?;
    let mut images = bundle::samples()?;
    let count = usize::from(args.images);
    ensure!(
        count <= images.len(),
        "there are {} bundled images",
        images.len()
    );
    images.truncate(count);
    let constants = setting::constants(args.constants.as_deref())?.values;
    let mut bench = Bench {
        version: env!("CARGO_PKG_VERSION").into(),
        machine: Machine::this(),
        networks: Vec::new(),
        links: links.iter().map(|link| link.link.clone()).collect(),
        runs: Vec::new(),
    };
    let runs = args.networks.len() * args.packings.len() * links.len();
    let bar = progress(runs, "runs");
    for name in &args.networks {
        let (subject, shift) = subject(name, &images)?;
        bench.networks.push(subject.facts.clone());
        let setting = Setting {
            constants: constants.clone(),
            link: LinkSpeed::loopback(),
            client: ClientTraffic::new(Window::Large, Settings::default(), shift)?,
        };
        let runner = Runner {
            program: std::env::current_exe().context("where is this program?")?,
            images: &images,
            setting,
        };
        for &packing in &args.packings {
            for LinkArgument { link, arguments } in &links {
                bench.runs.push(Run {
                    network: subject.facts.name.clone(),
                    packing: packing.name().into(),
                    link: link.name.clone(),
                    outcome: runner.run(&subject, packing, link, arguments),
                });
                // What was measured stays, whatever happens to the rest.
                store_json(&bench, &args.out)?;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(bench)
}

/// A network with what it makes of the images, and its shift.
fn subject(name: &str, images: &[PathBuf]) -> anyhow::Result<(Subject, u32)> {
    let named = named(name)?;
    let model = load_model(Some(name))?;
    let tensors = pictures(images, &model.input, &model.classes)?;
    let tensors: Vec<Vec<i32>> = tensors.into_iter().map(|picture| picture.tensor).collect();
    let facts = facts(&named, &model);
    Ok((
        Subject::new(facts, name.into(), &model, &tensors),
        model.shift,
    ))
}

fn facts(named: &Named, model: &Model) -> NetworkFacts {
    let (about, deviations, random_weights) = match named {
        Named::File(path) => {
            let file = path.file_name().unwrap_or(path.as_os_str());
            (
                format!("model file {}", file.to_string_lossy()),
                Vec::new(),
                false,
            )
        }
        Named::Builder(builder) => {
            let deviations = builder.deviations.iter().map(|&text| text.into());
            (builder.about.into(), deviations.collect(), true)
        }
    };
    NetworkFacts {
        name: model.name.clone(),
        about,
        deviations,
        random_weights,
        parameters: model.parameters(),
        activations: model.activations(),
        side: model.input.side,
        classes: model.classes.len(),
    }
}

/// Earlier runs in one; of the same network, packing and link the last one counts.
fn merge(files: &[PathBuf]) -> anyhow::Result<Bench> {
    let load = |path: &PathBuf| -> anyhow::Result<Bench> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    };
    let mut all: Option<Bench> = None;
    for path in files {
        let what = || {
            format!(
                "cannot use {}: it is not what `stria bench` writes",
                path.display()
            )
        };
        let bench = load(path).with_context(what)?;
        all = Some(match all {
            None => bench,
            Some(all) => bench::merge(all, bench)
                .map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))?,
        });
    }
    all.context("no file")
}

fn store(bench: &Bench, folder: &Path) -> anyhow::Result<()> {
    store_json(bench, folder)?;
    let path = folder.join("report.html");
    let text = html::html(bench).context("cannot draw the report")?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn store_json(bench: &Bench, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let path = folder.join("bench.json");
    let mut text = serde_json::to_string_pretty(bench)?;
    text.push('\n');
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
