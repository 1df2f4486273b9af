//! `stria plan`: what an inference of a network costs, without running it.

use stria_core::network::layer::Layer;
use stria_core::packing::Packing;
use stria_host::report::PlanReport;
use stria_host::{model, present};

use super::Named;
use super::costs::Options;

#[derive(clap::Args)]
pub struct Args {
    /// A model file, or the name of a network that is built with random weights.
    network: String,
    #[command(flatten)]
    options: Options,
    /// Keep the repetitions and tiles that serving the model uses, instead of the best for the link.
    #[arg(long)]
    as_served: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A network as far as its costs depend on it.
struct Subject {
    name: String,
    deviations: Vec<String>,
    shift: u32,
    layers: Vec<(String, Layer)>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let subject = subject(&args.network)?;
    let (setting, constants) = args.options.setting(subject.shift)?;
    let packing = args.options.packing;
    let mut layers = subject.layers;
    // In the other packings there is nothing to serve yet.
    if !args.as_served || packing != Packing::Segment {
        for (name, layer) in &mut layers {
            let chosen = setting.choose(packing, layer);
            *layer = chosen.map_err(|reason| unfit(name, reason))?;
        }
    }
    let costs = setting
        .layers(packing, layers.iter().map(|(_, layer)| layer))
        .map_err(|error| unfit(&layers[error.index].0, error.reason))?;
    let mut report = PlanReport::new(subject.name, packing, &setting, constants);
    report.deviations = subject.deviations;
    for ((name, layer), cost) in layers.into_iter().zip(costs) {
        report.push(name, &layer, cost);
    }
    if args.json {
        return super::print_json(&report);
    }
    present::costs::plan(&mut std::io::stdout().lock(), &report)?;
    Ok(())
}

fn unfit(layer: &str, reason: &str) -> anyhow::Error {
    anyhow::anyhow!("layer {layer} cannot be packed: {reason}")
}

/// The model file or the built network of that name, without weights.
fn subject(name: &str) -> anyhow::Result<Subject> {
    let builder = match super::named(name)? {
        Named::Builder(builder) => builder,
        Named::File(path) => {
            let model = super::load(&path)?;
            let layers = model.layers.into_iter();
            return Ok(Subject {
                name: model.name,
                deviations: Vec::new(),
                shift: model.shift,
                layers: layers.map(|layer| (layer.name, layer.layer)).collect(),
            });
        }
    };
    let network = builder.network();
    let shapes = model::shapes(&network)?.into_iter();
    Ok(Subject {
        name: network.name.clone(),
        deviations: builder.deviations.iter().map(|&text| text.into()).collect(),
        shift: network.shift,
        layers: shapes.map(|shape| (shape.name, shape.layer)).collect(),
    })
}
