//! `stria eval`: measure a model's accuracy on a data set.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use rayon::prelude::*;
use serde::Serialize;
use stria_host::data::{Dataset, picture};
use stria_host::model::Model;
use stria_host::model::logits::top_k;
use stria_host::model::reference::{self, Scored};
use stria_host::report::{EvalReport, text};
use stria_host::session::LogitPair;
use stria_host::session::local::Local;

use super::client::ClientArgs;
use super::models::ModelArgs;
use super::output::{OutputArgs, progress};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Folder with the CIFAR-10 binary files, or with one folder a class.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// Classify by the two-party protocol, and compare with the plaintext reference.
    #[arg(long)]
    secure: bool,
    #[command(flatten)]
    client: ClientArgs,
    /// Only the first so many images.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Write every image's logits to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    logits: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let model = args.model.load()?;
    let data = Dataset::open(&args.data, &model.classes)?;
    let images = data.len().min(args.limit.unwrap_or(usize::MAX));
    anyhow::ensure!(images > 0, "--limit 0 leaves no images");
    let mut file = LogitFile::create(args.logits.as_deref())?;
    let report = match args.secure {
        true => secure(&model, &data, images, &mut file, &args.client)?,
        false => plaintext(&model, &data, images, &mut file)?,
    };
    file.finish()?;
    args.output.print(&report, text::eval)
}

/// Batches of images that are scored before their logits are written.
const BLOCK: usize = 64;

/// A line of the file of logits.
#[derive(Serialize)]
struct LogitRecord<'a> {
    image: &'a str,
    label: usize,
    /// Of the plaintext reference.
    logits: &'a [i32],
    #[serde(skip_serializing_if = "Option::is_none")]
    secure: Option<&'a [i32]>,
}

/// Where logits go: a file, or nowhere.
struct LogitFile(Box<dyn Write>);

impl LogitFile {
    fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(Box::new(std::io::sink())));
        };
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()));
        Ok(Self(Box::new(BufWriter::new(file?))))
    }

    fn write(
        &mut self,
        data: &Dataset,
        i: usize,
        logits: &[i32],
        secure: Option<&[i32]>,
    ) -> anyhow::Result<()> {
        let record = LogitRecord {
            image: &data.name(i),
            label: data.label(i),
            logits,
            secure,
        };
        serde_json::to_writer(&mut self.0, &record).context("cannot write the logits")?;
        writeln!(self.0).context("cannot write the logits")
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.0.flush().context("cannot write the logits")
    }
}

/// Counts over some images.
#[derive(Clone, Copy, Default)]
struct Tally {
    top1: usize,
    top5: usize,
    out_of_range: usize,
}

impl Tally {
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
    let seen = picture::crop(&data.image(i)?, &model.input)?;
    Ok(picture::normalised(&seen, &model.input))
}

fn plaintext(
    model: &Model,
    data: &Dataset,
    images: usize,
    file: &mut LogitFile,
) -> anyhow::Result<EvalReport> {
    let start = Instant::now();
    let bar = progress(images, "images");
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
    let mut tally = Tally::default();
    // Logits of so many images are held at a time, and written in order.
    for block in batches.chunks(BLOCK) {
        let scored: Vec<_> = block.par_iter().map(score).collect::<anyhow::Result<_>>()?;
        for (i, scored) in block.iter().cloned().flatten().zip(scored.iter().flatten()) {
            tally.count(&scored.logits, data.label(i));
            tally.out_of_range += scored.out_of_range;
            file.write(data, i, &scored.logits, None)?;
        }
    }
    bar.finish_and_clear();
    Ok(tally.report(images, start.elapsed().as_secs_f64()))
}

fn secure(
    model: &Model,
    data: &Dataset,
    images: usize,
    file: &mut LogitFile,
    client: &ClientArgs,
) -> anyhow::Result<EvalReport> {
    let start = Instant::now();
    let mut local = Local::start(model, client.options())?;
    let bar = progress(images, "images");
    let mut tally = Tally::default();
    let mut pairs = Vec::with_capacity(images);
    for i in 0..images {
        let tensor = tensor(model, data, i)?;
        let (inference, _) = local
            .infer(&tensor, None)
            .with_context(|| format!("cannot classify image {i}"))?;
        tally.count(&inference.logits, data.label(i));
        for scored in reference::logits(model, &[&tensor]) {
            tally.out_of_range += scored.out_of_range;
            file.write(data, i, &scored.logits, Some(&inference.logits))?;
            pairs.push(LogitPair {
                reference: scored.logits,
                secure: inference.logits.clone(),
            });
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let agreed = pairs.iter().filter(|pair| pair.agrees()).count();
    Ok(EvalReport {
        agreement: Some(percent(agreed, images)),
        margins: LogitPair::margins(model, &pairs),
        ..tally.report(images, start.elapsed().as_secs_f64())
    })
}

fn percent(count: usize, images: usize) -> f64 {
    100.0 * count as f64 / images as f64
}
