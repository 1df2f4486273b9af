//! What `stria import` reads: a checkpoint in floating point, and an architecture's JSON.

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use stria_host::import::{Images, Trained};
use stria_host::model::Shape;

use super::model::is_small;
use crate::input::Input;

/// The first byte says whether the checkpoint comes as it is or is made to fit the architecture, and
/// gives the shift; then the architecture behind its length; then the checkpoint, or a few of its
/// values. What is read is imported, on two images.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mode = input.byte();
    let shift = (mode & 2 != 0).then_some(u32::from(mode >> 2 & 15));
    let Ok(architecture) = std::str::from_utf8(input.piece()) else {
        return;
    };
    let fitting;
    let checkpoint = if mode & 1 == 0 {
        input.0
    } else {
        let Some(shapes) = shapes(architecture) else {
            // It says why it is none.
            assert!(Trained::read(&[], architecture, shift).is_err());
            return;
        };
        fitting = fit(&shapes, &mut input);
        &fitting
    };
    let Ok(trained) = Trained::read(checkpoint, architecture, shift) else {
        return;
    };
    let of = trained.input();
    let count = of.channels * of.side * of.side;
    if mode & 1 == 0 && count > 5000 {
        return;
    }
    let images = Images {
        count: 2,
        tensor: &|i| {
            Ok((0..count)
                .map(|at| (at * 37 % 255) as i32 - 127 + i as i32)
                .collect())
        },
    };
    if let Ok(imported) = trained.import(&images) {
        assert!(!imported.bytes.is_empty());
    }
}

/// The shapes that an architecture asks for, if they are small.
fn shapes(architecture: &str) -> Option<Vec<Shape>> {
    // The importer's own defaults, which need not be repeated here: its fields are the model file's.
    let mut network: serde_json::Value = serde_json::from_str(architecture).ok()?;
    let fields = network.as_object_mut()?;
    fields.insert("logit_scale".into(), 1.into());
    fields.entry("shift").or_insert(8.into());
    let input = fields.get_mut("input")?.as_object_mut()?;
    input.entry("scale").or_insert(64.into());
    for layer in fields.get_mut("layers")?.as_array_mut()? {
        if let Some(skip) = layer.get_mut("skip").and_then(|skip| skip.as_object_mut()) {
            skip.insert("factor".into(), 1.into());
        }
    }
    let network = serde_json::from_value(network).ok()?;
    let shapes = stria_host::model::shapes(&network).ok()?;
    shapes.iter().all(is_small).then_some(shapes)
}

/// A checkpoint of these shapes, whose values are repeated from a few of the input.
fn fit(shapes: &[Shape], input: &mut Input<'_>) -> Vec<u8> {
    let mut tensors = HashMap::new();
    for (i, shape) in shapes.iter().enumerate() {
        let layer = &shape.layer;
        let outputs = usize::from(layer.out_channels);
        let inputs = usize::from(layer.in_channels / layer.groups);
        let side = usize::from(layer.kernel.side());
        let has_norm = !input.byte().is_multiple_of(4);
        let mut add = |part: &str, shape: Vec<usize>| {
            let few: [f32; 4] = std::array::from_fn(|_| {
                // Of any size, but mostly such as weights have.
                let (value, form) = (input.word(), input.byte());
                match form {
                    0..240 => f32::from(value as i16) / f32::from(1 + u16::from(form)) / 256.0,
                    _ => f32::from_bits(u32::from(value) << 16),
                }
            });
            let count = shape.iter().product();
            let values = few.into_iter().cycle().take(count);
            let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
            tensors.insert(format!("layers.{i}.{part}"), (shape, bytes));
        };
        add("convolution.weight", vec![outputs, inputs, side, side]);
        if has_norm {
            for part in ["weight", "bias", "running_mean", "running_var"] {
                add(&format!("norm.{part}"), vec![outputs]);
            }
        } else {
            add("convolution.bias", vec![outputs]);
        }
    }
    let views = tensors.iter().map(|(name, (shape, bytes))| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("as many bytes as the shape has"))
    });
    safetensors::serialize(views, None).expect("a container")
}
