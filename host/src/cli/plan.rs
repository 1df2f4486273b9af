//! `stria plan`: what an inference of a network costs, without running it.

use stria_core::packing::Packing;
use stria_host::model::{packing::packed, shapes};
use stria_host::planner::{NamedLayer, formed};
use stria_host::report::text;

use super::models::{Named, load, named};
use super::output::OutputArgs;
use super::setting::SettingArgs;

#[derive(clap::Args)]
pub struct Args {
    /// A model file, or the name of a network that is built with random weights.
    network: String,
    #[command(flatten)]
    setting: SettingArgs,
    /// Keep the repetitions and tiles that serving the model uses, instead of the best for the link.
    #[arg(long)]
    as_served: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// A network as far as its costs depend on it.
struct Planned {
    name: String,
    deviations: Vec<String>,
    shift: u32,
    layers: Vec<NamedLayer>,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let planned = planned(&args.network)?;
    let (setting, constants) = args.setting.setting(planned.shift)?;
    let packing = args.setting.packing;
    let layers = formed(planned.layers, |layer| match (args.as_served, packing) {
        (true, Packing::Segment | Packing::Coefficient) => {
            packed(layer, packing).map(|packed| packed.layer)
        }
        // Slot packing has no repetitions or tiles to choose.
        _ => setting.choose(packing, layer),
    })?;
    let plan = setting.plan(packing, &layers)?;
    let mut report = setting.report(plan, planned.name, packing, constants);
    report.deviations = planned.deviations;
    args.output.print(&report, text::plan)
}

/// The model file or the built network of that name, without weights.
fn planned(name: &str) -> anyhow::Result<Planned> {
    let builder = match named(name)? {
        Named::Builder(builder) => builder,
        Named::File(path) => {
            let model = load(&path)?;
            let layers = model.layers.into_iter();
            return Ok(Planned {
                name: model.name,
                deviations: Vec::new(),
                shift: model.shift,
                layers: layers.map(|layer| (layer.name, layer.layer)).collect(),
            });
        }
    };
    let network = builder.network();
    let shapes = shapes(&network)?.into_iter();
    Ok(Planned {
        name: network.name.clone(),
        deviations: builder.deviations.iter().map(|&text| text.into()).collect(),
        shift: network.shift,
        layers: shapes.map(|shape| (shape.name, shape.layer)).collect(),
    })
}
