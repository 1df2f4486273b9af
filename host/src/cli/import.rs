//! `stria import`: make a model file from a trained network in floating point.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use stria_host::data::dataset::Dataset;
use stria_host::image;
use stria_host::import::{Images, Trained};
use stria_host::report::ImportReport;

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
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
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
    let bar = super::progress(2 * count, "images");
    let tensor = |i: usize| {
        bar.inc(1);
        // Files are in the order of their folders, which may be classes.
        let picture = data.image(i * data.len() / count)?;
        let pixels = image::crop(&picture, trained.input())?;
        Ok(image::normalised(&pixels, trained.input()))
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
    let report = ImportReport::new(trained.layers(), &imported, count, file, seconds);
    if args.json {
        return super::print_json(&report);
    }
    print(&report)
}

fn print(report: &ImportReport) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let name = report.layers.iter().map(|layer| layer.name.len()).max();
    let name = name.unwrap_or(0).max("layer".len());
    let (weight, allowed) = ("weight", "allowed");
    writeln!(
        out,
        "{:name$}  {weight:>7}  {:>7}  max |y|  {allowed}",
        "layer", "bias"
    )?;
    for layer in &report.layers {
        let evidence = format!("{:?}", layer.evidence).to_lowercase();
        let (weight, bias) = (layer.weight, layer.bias);
        let (max_abs, allowed) = (layer.max_abs, layer.allowed);
        writeln!(
            out,
            "{:name$}  {weight:>7}  {bias:>7}  {max_abs:>7}  {allowed:>7}  {evidence}",
            layer.name
        )?;
    }
    writeln!(
        out,
        "{}: {} bytes, shift {}, calibrated on {} images in {:.1} s",
        report.file, report.bytes, report.shift, report.images, report.seconds
    )?;
    Ok(())
}
