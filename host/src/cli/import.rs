//! `stria import`: make a model file from a trained network in floating point.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use stria_host::data::{Dataset, picture};
use stria_host::import::{FloatLayer, Images, Trained};
use stria_host::model::ModelLayer;
use stria_host::report::{ImportReport, ImportedLayer, text};

use super::output::{OutputArgs, progress};

#[derive(clap::Args)]
pub struct Args {
    /// The float checkpoint, a safetensors file.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The architecture's JSON.
    #[arg(long, value_name = "FILE")]
    architecture: PathBuf,
    /// Folder with training pictures, in subfolders or not, or with CIFAR-10's data_batch_*.bin.
    #[arg(long, value_name = "FOLDER")]
    images: PathBuf,
    /// Bits that every ReLU layer drops; what the architecture says, else 8.
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u32).range(8..=12))]
    shift: Option<u32>,
    /// At most so many pictures, evenly spread over the folder.
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    limit: usize,
    /// The model file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let cannot = |what: &str, path: &PathBuf| format!("cannot {what} {}", path.display());
    let checkpoint =
        std::fs::read(&args.weights).with_context(|| cannot("read the weights", &args.weights))?;
    let architecture = std::fs::read_to_string(&args.architecture)
        .with_context(|| cannot("read the architecture", &args.architecture))?;
    let import = || cannot("import", &args.weights);
    let trained = Trained::read(&checkpoint, &architecture, args.shift).with_context(import)?;
    let data = Dataset::unlabelled(&args.images)?;
    let count = data.len().min(args.limit);
    anyhow::ensure!(count > 0, "--limit 0 leaves no images");

    // In floating point and in integers, and again where the integers do not fit at once.
    let bar = progress(2 * count, "images");
    let tensor = |i: usize| {
        bar.inc(1);
        // Files are in the order of their folders, which may be classes.
        let whole = data.image(i * data.len() / count)?;
        let pixels = picture::crop(&whole, trained.input())?;
        Ok(picture::normalised(&pixels, trained.input()))
    };
    let images = Images {
        count,
        tensor: &tensor,
    };
    let imported = trained.import(&images).with_context(import);
    bar.finish_and_clear();
    let imported = imported?;
    std::fs::write(&args.out, &imported.bytes)
        .with_context(|| cannot("write the model", &args.out))?;
    let file = args.out.display().to_string();
    let seconds = start.elapsed().as_secs_f64();
    let model = imported.model;
    let layers = trained.layers().iter().zip(&model.layers);
    let report = ImportReport {
        layers: layers
            .map(|(float, layer)| of_layer(float, layer))
            .collect(),
        name: model.name,
        file,
        bytes: imported.bytes.len(),
        images: count,
        shift: model.shift,
        logit_scale: model.logit_scale,
        seconds,
    };
    args.output.print(&report, text::import)
}

fn of_layer(float: &FloatLayer, layer: &ModelLayer) -> ImportedLayer {
    let largest = |values: &[i32]| values.iter().map(|v| v.unsigned_abs()).max();
    ImportedLayer {
        name: layer.name.clone(),
        float_weight: float.weights.iter().fold(0.0, |most, w| w.abs().max(most)),
        weight: largest(&layer.weights).unwrap_or(0),
        bias: largest(&layer.bias).unwrap_or(0),
        max_abs: layer.bound.max_abs.unwrap_or(0),
        allowed: layer.bound.allowed.magnitude(),
        evidence: layer.bound.evidence,
    }
}
