//! `stria demo`: classify images privately, server and client in one process.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use stria_host::model::logits::top_k;
use stria_host::report::text::{self, Colours, Seen};
use stria_host::report::{DemoImage, DemoReport, guesses};
use stria_host::{Model, bundle, reference};

use super::Picture;
use super::session::{InProcess, Options};

#[derive(clap::Args)]
pub struct Args {
    /// Images to classify; the bundled samples by default.
    images: Vec<PathBuf>,
    /// The model file, or the name of a network that is built with random weights; the bundled
    /// model by default.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let model = super::load_model(args.model.as_deref())?;
    let images = match args.images.is_empty() {
        true => bundle::samples()?,
        false => args.images,
    };
    let pictures = super::pictures(&images, &model.input, &model.classes)?;
    let mut session = InProcess::start(&model, &args.options)?;
    let bar = super::progress(pictures.len(), "images");
    let mut images = Vec::with_capacity(pictures.len());
    for picture in &pictures {
        let image = classify(&model, &mut session, picture)
            .with_context(|| format!("cannot classify {}", picture.name))?;
        if !args.json {
            bar.suspend(|| show(&model, picture, &image))?;
        }
        images.push(image);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = DemoReport::new(&model, images, &session.measured()?);
    if args.json {
        return super::print_json(&report);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    present::demo_costs(&mut out, &report)?;
    Ok(())
}

fn classify(
    model: &Model,
    session: &mut InProcess,
    picture: &Picture,
) -> anyhow::Result<DemoImage> {
    let trace = reference::checked(model, &picture.tensor)?;
    let outcome = session.infer(&picture.tensor, Some(model))?;
    let class = |logits: &[i32]| {
        let best = top_k(logits, 1).into_iter().next();
        best.and_then(|i| model.classes.get(i))
            .cloned()
            .unwrap_or_default()
    };
    Ok(DemoImage {
        name: picture.name.clone(),
        label: picture.label.clone(),
        secure_top1: class(&outcome.logits),
        reference_top1: class(trace.logits()),
        outcome,
    })
}

fn show(model: &Model, picture: &Picture, image: &DemoImage) -> std::io::Result<()> {
    let seen = Seen {
        name: &image.name,
        pixels: &picture.pixels,
        top: &guesses(&image.outcome.logits, &model.classes, model.logit_scale, 3),
        label: image.label.as_deref(),
        reference: Some(&image.reference_top1),
        seconds: image.outcome.seconds,
    };
    present::image(&mut std::io::stdout().lock(), Colours::of_stdout(), &seen)
}
