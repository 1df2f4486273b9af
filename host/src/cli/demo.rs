//! `stria demo`: classify images privately, server and client in one process.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use stria_core::packing::Packing;
use stria_host::data::bundle;
use stria_host::model::logits::top_k;
use stria_host::model::packing::packed;
use stria_host::model::{Model, ModelLayer, reference};
use stria_host::report::text::{self, Colours, Seen};
use stria_host::report::{DemoLayer, DemoReport, Inference, Operations, PhasePart, Security};
use stria_host::session::SessionError;
use stria_host::session::check::LayerCheck;
use stria_host::session::local::Local;

use super::client::ClientArgs;
use super::models::ModelArgs;
use super::output::{OutputArgs, progress, watch};
use super::pictures::{Picture, guesses, pictures};

#[derive(clap::Args)]
pub struct Args {
    /// Images to classify; the bundled samples by default.
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What became of one picture.
struct Classified {
    secure_top1: String,
    reference_top1: String,
    inference: Inference,
    checks: Vec<LayerCheck>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let model = args.model.load()?;
    let images = match args.images.is_empty() {
        true => bundle::samples()?,
        false => args.images,
    };
    let pictures = pictures(&images, &model.input, &model.classes)?;
    let mut local = Local::start(&model, args.client.options())?;
    let bar = progress(pictures.len(), "images");
    local.watch(watch(&bar));
    let mut all = Vec::with_capacity(pictures.len());
    for picture in &pictures {
        let classified = classify(&model, &mut local, picture)
            .with_context(|| format!("cannot classify {}", picture.name))?;
        if !args.output.json {
            bar.suspend(|| show(&model, picture, &classified))?;
        }
        all.push(classified);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = report(&model, &pictures, &all, &local)?;
    args.output.print(&report, |out, report| {
        writeln!(out)?;
        text::demo(out, report)
    })
}

fn classify(model: &Model, local: &mut Local, picture: &Picture) -> anyhow::Result<Classified> {
    let trace = reference::checked(model, &picture.tensor)?;
    let (inference, checks) = local.infer(&picture.tensor, Some(model))?;
    let class = |logits: &[i32]| {
        let best = top_k(logits, 1).into_iter().next();
        let class = best.and_then(|i| model.classes.get(i));
        class.cloned().unwrap_or_default()
    };
    Ok(Classified {
        secure_top1: class(&inference.logits),
        reference_top1: class(trace.logits()),
        inference,
        checks,
    })
}

fn show(model: &Model, picture: &Picture, classified: &Classified) -> std::io::Result<()> {
    let inference = &classified.inference;
    let seen = Seen {
        name: &picture.name,
        pixels: &picture.pixels,
        top: &guesses(&inference.logits, &model.classes, model.logit_scale, 3),
        label: picture.label.as_deref(),
        reference: Some(&classified.reference_top1),
        seconds: inference.seconds,
    };
    text::picture(&mut std::io::stdout().lock(), Colours::of_stdout(), &seen)
}

/// Sums up a session over its images.
fn report(
    model: &Model,
    pictures: &[Picture],
    all: &[Classified],
    local: &Local,
) -> Result<DemoReport, SessionError> {
    let count = all.len().max(1) as u64;
    let mean = |of: fn(&Inference) -> u64| {
        let sum: u64 = all.iter().map(|image| of(&image.inference)).sum();
        sum / count
    };
    let seconds: f64 = all.iter().map(|image| image.inference.seconds).sum();
    let agrees = |image: &&Classified| image.secure_top1 == image.reference_top1;
    let (session, counters) = (local.session()?, local.counters());
    let mut total = Operations::default();
    let layers = model.layers.iter().zip(&counters.layers).enumerate();
    let layers = layers.map(|(i, (layer, counted))| {
        let operations = Operations::from(counted).of_each(count);
        total += &operations;
        let mut check = LayerCheck::default();
        let checks = all.iter().filter_map(|image| image.checks.get(i));
        checks.for_each(|&one| check.add(one));
        demo_layer(layer, local.packing(), &operations, check)
    });
    let layers = layers.collect();
    Ok(DemoReport {
        images: pictures.iter().map(|image| image.name.clone()).collect(),
        secure_top1: all.iter().map(|image| image.secure_top1.clone()).collect(),
        reference_top1: all
            .iter()
            .map(|image| image.reference_top1.clone())
            .collect(),
        labels: pictures.iter().map(|image| image.label.clone()).collect(),
        agree: all.iter().filter(agrees).count(),
        layers,
        packing: local.packing().name(),
        rotations: total.rotations(),
        internal_rotations: total.internal_rotations,
        external_rotations: total.external_rotations,
        key_switches: total.key_switches,
        galois_key_bytes: counters.galois_key_bytes() as u64,
        activations: total.activations,
        bytes_up: mean(|inference| inference.bytes_up),
        bytes_down: mean(|inference| inference.bytes_down),
        bytes_setup: session.setup_bytes(),
        seconds_setup: session.setup_seconds(),
        seconds_per_image: seconds / count as f64,
        prepare: PhasePart::mean(all.iter().map(|image| &image.inference.prepare)),
        answer: PhasePart::mean(all.iter().map(|image| &image.inference.answer)),
        client_state_bytes: session.state_bytes() as u64,
        security: Security::of(local.packing()),
    })
}

fn demo_layer(
    layer: &ModelLayer,
    packing: Packing,
    operations: &Operations,
    check: LayerCheck,
) -> DemoLayer {
    // The layer ran, so that it has a layout.
    let packed = packed(&layer.layer, packing);
    DemoLayer {
        name: layer.name.clone(),
        depth: packed.map_or(0, |packed| packed.depth),
        g: packed.map_or(0, |packed| packed.g),
        input_ciphertexts: operations.ciphertexts_up,
        output_ciphertexts: operations.ciphertexts_down,
        activations: operations.activations,
        products: operations.products,
        internal_rotations: operations.internal_rotations,
        external_rotations: operations.external_rotations,
        key_switches: operations.key_switches,
        max_error_units: check.max_error_units,
        zeroed: check.zeroed as u64,
    }
}
