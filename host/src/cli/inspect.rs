//! `stria inspect`: check a model file and show what its layers cost.

use std::path::PathBuf;

use stria_core::packing::Places;
use stria_core::packing::segment::SegmentLayout;
use stria_host::model::{Model, ModelLayer, kernel_name, packing};
use stria_host::report::{InspectReport, InspectedLayer, text};

use super::models;
use super::output::OutputArgs;

#[derive(clap::Args)]
pub struct Args {
    /// The model file.
    model: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let report = inspect(&models::load(&args.model)?);
    args.output.print(&report, text::inspect)
}

fn inspect(model: &Model) -> InspectReport {
    let layers = model.layers.iter().enumerate();
    let layers: Vec<_> = layers
        .map(|(i, layer)| inspected(model, i, layer))
        .collect();
    let sum = |of: fn(&InspectedLayer) -> usize| layers.iter().map(of).sum();
    InspectReport {
        name: model.name.clone(),
        classes: model.classes.clone(),
        input: model.tensor_shape(0),
        shift: model.shift,
        activations: model.activations(),
        parameters: model.parameters(),
        input_ciphertexts: sum(|layer| layer.input_ciphertexts),
        output_ciphertexts: sum(|layer| layer.output_ciphertexts),
        bytes_up: sum(|layer| layer.bytes_up),
        bytes_down: sum(|layer| layer.bytes_down),
        layers,
    }
}

fn inspected(model: &Model, index: usize, layer: &ModelLayer) -> InspectedLayer {
    let (shape, layout): (_, &SegmentLayout) = (&layer.layer, &layer.layout);
    let (bytes_up, bytes_down) = packing::ciphertext_bytes(layout);
    InspectedLayer {
        name: layer.name.clone(),
        input: model.tensor_name(shape.input).into(),
        input_shape: model.tensor_shape(shape.input),
        output_shape: model.tensor_shape(index as u16 + 1),
        kernel: kernel_name(shape.kernel),
        stride: shape.stride,
        padding: shape.padding,
        groups: shape.groups,
        shuffle: shape.shuffle,
        pool: shape.pool_side(),
        skip: shape.skip.map(|skip| model.tensor_name(skip.tensor).into()),
        repeat: shape.repeat,
        tile: layout.tiles.side,
        depth: layout.depth,
        g: layout.blocks,
        input_ciphertexts: layout.inputs(),
        output_ciphertexts: layout.outputs(),
        bytes_up,
        bytes_down,
        activations: layer.activations(),
        parameters: layer.parameters(),
        bound: layer.bound,
    }
}
