//! `stria eval`: measure a model's accuracy on a data set.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use rayon::prelude::*;
use serde::Serialize;
use stria_host::data::dataset::Dataset;
use stria_host::model::logits::top_k;
use stria_host::model::reference::{self, Scored};
use stria_host::report::{EvalReport, Margins, Pair};
use stria_host::{Model, image};

use super::session::{InProcess, Options};

#[derive(clap::Args)]
pub struct Args {
    /// The model file, or the name of a network that is built with random weights; the bundled
    /// model by default.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// Folder with the CIFAR-10 binary files, or with one folder a class.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Classify by the two-party protocol, and compare with the plaintext reference.
    #[arg(long)]
    secure: bool,
    #[command(flatten)]
    options: Options,
    /// Only the first so many images.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Write every image's logits to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let model = super::load_model(args.model.as_deref())?;
    let data = Dataset::open(&args.data, &model.classes)?;
    let images = data.len().min(args.limit.unwrap_or(usize::MAX));
    anyhow::ensure!(images > 0, "--limit 0 leaves no images");
    let mut lines = Lines::create(args.logits.as_deref())?;
    let report = match args.secure {
        true => secure(&model, &data, images, &mut lines, &args.options)?,
        false => plaintext(&model, &data, images, &mut lines)?,
    };
    lines.finish()?;
    if args.json {
        return super::print_json(&report);
    }
    print(&report)
}

/// Batches of images that are scored before their logits are written.
const BLOCK: usize = 64;

/// A line of the file of logits.
#[derive(Serialize)]
struct Line<'a> {
    image: &'a str,
    label: usize,
    /// Of the plaintext reference.
    logits: &'a [i32],
    #[serde(skip_serializing_if = "Option::is_none")]
    secure: Option<&'a [i32]>,
}

/// The file of logits, if one is wanted.
struct Lines(Option<BufWriter<File>>);

impl Lines {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("cannot create {}", path.display()))
        };
        Ok(Self(path.map(create).transpose()?.map(BufWriter::new)))
    }

    fn write(
        &mut self,
        data: &Dataset,
        i: usize,
        logits: &[i32],
        secure: Option<&[i32]>,
    ) -> anyhow::Result<()> {
        let Some(file) = &mut self.0 else {
            return Ok(());
        };
        let line = Line {
            image: &data.name(i),
            label: data.label(i),
            logits,
            secure,
        };
        serde_json::to_writer(&mut *file, &line).context("cannot write the logits")?;
        writeln!(file).context("cannot write the logits")
    }

    fn finish(self) -> anyhow::Result<()> {
        match self.0 {
            Some(mut file) => file.flush().context("cannot write the logits"),
            None => Ok(()),
        }
    }
}

/// Counts over some images.
#[derive(Clone, Copy, Default)]
struct Counts {
    top1: usize,
    top5: usize,
    out_of_range: usize,
}

impl Counts {
    fn report(self, images: usize, seconds: f64) -> EvalReport {
        EvalReport {
            images,
            top1: percent(self.top1, images),
            top5: percent(self.top5, images),
            out_of_range: self.out_of_range,
            agreement: None,
            margins: None,
            seconds,
        }
    }

    fn count(&mut self, logits: &[i32], label: usize) {
        let best = top_k(logits, 5);
        self.top1 += usize::from(best.first() == Some(&label));
        self.top5 += usize::from(best.contains(&label));
    }
}

/// The first tensor of an image of the data set.
fn tensor(model: &Model, data: &Dataset, i: usize) -> anyhow::Result<Vec<i32>> {
    let seen = image::crop(&data.image(i)?, &model.input)?;
    Ok(image::normalised(&seen, &model.input))
}

fn plaintext(
    model: &Model,
    data: &Dataset,
    images: usize,
    lines: &mut Lines,
) -> anyhow::Result<EvalReport> {
    let start = Instant::now();
    let bar = super::progress(images, "images");
    let score = |batch: &Range<usize>| -> anyhow::Result<Vec<Scored>> {
        let tensors: Result<Vec<_>, _> = batch.clone().map(|i| tensor(model, data, i)).collect();
        let tensors = tensors?;
        let tensors: Vec<&[i32]> = tensors.iter().map(Vec::as_slice).collect();
        let scored = reference::logits(model, &tensors);
        bar.inc(batch.len() as u64);
        Ok(scored)
    };
    let batches: Vec<Range<usize>> = (0..images)
        .step_by(reference::LANES)
        .map(|first| first..images.min(first + reference::LANES))
        .collect();
    let mut counts = Counts::default();
    // Logits of so many images are held at a time, and written in order.
    for block in batches.chunks(BLOCK) {
        let scored: Vec<_> = block.par_iter().map(score).collect::<anyhow::Result<_>>()?;
        for (i, scored) in block.iter().cloned().flatten().zip(scored.iter().flatten()) {
            counts.count(&scored.logits, data.label(i));
            counts.out_of_range += scored.out_of_range;
            lines.write(data, i, &scored.logits, None)?;
        }
    }
    bar.finish_and_clear();
    Ok(counts.report(images, start.elapsed().as_secs_f64()))
}

fn secure(
    model: &Model,
    data: &Dataset,
    images: usize,
    lines: &mut Lines,
    options: &Options,
) -> anyhow::Result<EvalReport> {
    let start = Instant::now();
    let mut session = InProcess::start(model, options)?;
    let bar = super::progress(images, "images");
    let mut counts = Counts::default();
    let mut pairs = Vec::with_capacity(images);
    for i in 0..images {
        let tensor = tensor(model, data, i)?;
        let outcome = session
            .infer(&tensor, None)
            .with_context(|| format!("cannot classify image {i}"))?;
        counts.count(&outcome.logits, data.label(i));
        for scored in reference::logits(model, &[&tensor]) {
            counts.out_of_range += scored.out_of_range;
            lines.write(data, i, &scored.logits, Some(&outcome.logits))?;
            pairs.push(Pair {
                reference: scored.logits,
                secure: outcome.logits.clone(),
            });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let agreed = pairs.iter().filter(|pair| pair.agrees()).count();
    Ok(EvalReport {
        agreement: Some(percent(agreed, images)),
        margins: Margins::new(model, &pairs),
        ..counts.report(images, start.elapsed().as_secs_f64())
    })
}

fn percent(count: usize, images: usize) -> f64 {
    100.0 * count as f64 / images as f64
}

fn print(report: &EvalReport) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "images        {}", report.images)?;
    writeln!(out, "top 1         {:.2} %", report.top1)?;
    writeln!(out, "top 5         {:.2} %", report.top5)?;
    if let Some(agreement) = report.agreement {
        writeln!(out, "agreement     {agreement:.2} %")?;
    }
    if let Some(margins) = &report.margins {
        print_margins(&mut out, margins)?;
    }
    writeln!(out, "out of range  {} sums", report.out_of_range)?;
    writeln!(out, "seconds       {:.1}", report.seconds)?;
    Ok(())
}

/// Margins of the plaintext reference, and the images that secure inference sees otherwise.
fn print_margins(out: &mut impl Write, margins: &Margins) -> anyhow::Result<()> {
    let Margins {
        smallest,
        tenth,
        median,
        spread,
        ..
    } = margins;
    writeln!(
        out,
        "margins       smallest {smallest:.3}, a tenth below {tenth:.3}, median {median:.3}; \
         logits spread by {spread:.3}"
    )?;
    writeln!(
        out,
        "logit error   {:.3} root mean square, {:.3} at most",
        margins.error, margins.largest_error
    )?;
    for differs in &margins.disagreements {
        writeln!(
            out,
            "  image {}: {}, securely {}; margin {:.3} = {:.3} spreads, {:.1} % have a smaller one",
            differs.image,
            differs.reference,
            differs.secure,
            differs.margin,
            differs.spreads,
            differs.percent_below
        )?;
    }
    Ok(())
}
