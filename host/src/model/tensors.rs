//! The integers in the safetensors container, checked against the architecture.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use stria_core::arith::field::ACC_BITS;
use stria_core::network::layer::Kernel;

use super::checked::{Integers, Shape};
use super::error::ModelError;
use super::schema::{METADATA_KEY, Network, Version, check_version};

/// Biases stay below this magnitude, as every sum does.
const BIAS_LIMIT: i64 = (1 << (ACC_BITS - 1)) - 1;

/// Parses the container and the architecture in its metadata.
pub(super) fn open(bytes: &[u8]) -> Result<(Network, SafeTensors<'_>), ModelError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let text = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(METADATA_KEY))
        .ok_or(ModelError::NoArchitecture(METADATA_KEY))?;
    let Version { schema } = serde_json::from_str(text)?;
    check_version(schema)?;
    Ok((
        serde_json::from_str(text)?,
        SafeTensors::deserialize(bytes)?,
    ))
}

/// Reads every layer's weights and biases; no tensor may be left over.
pub(super) fn read(
    tensors: &SafeTensors<'_>,
    outlines: &[Shape],
) -> Result<Vec<Integers>, ModelError> {
    let mut left: std::collections::BTreeSet<&str> = tensors.names().into_iter().collect();
    let mut integers = Vec::with_capacity(outlines.len());
    for outline in outlines {
        let weight = format!("{}.weight", outline.name);
        let bias = format!("{}.bias", outline.name);
        let weights = values(tensors, &weight, Dtype::I16, &weight_shape(outline))?;
        let biases = values(tensors, &bias, Dtype::I32, &bias_shape(outline))?;
        left.remove(weight.as_str());
        left.remove(bias.as_str());
        integers.push(Integers {
            weights,
            bias: biases,
        });
    }
    if let Some(name) = left.first() {
        return Err(ModelError::SurplusTensor((*name).into()));
    }
    check_sizes(outlines, &integers)?;
    Ok(integers)
}

/// The container with the integers, of lengths and sizes that were checked.
pub(super) fn write(
    network: &Network,
    outlines: &[Shape],
    integers: &[Integers],
) -> Result<Vec<u8>, ModelError> {
    let mut tensors = Vec::with_capacity(2 * outlines.len());
    for (outline, Integers { weights, bias }) in outlines.iter().zip(integers) {
        // Weights have been found to fit 16 bits.
        let narrow = weights.iter().flat_map(|&w| (w as i16).to_le_bytes());
        let wide = bias.iter().flat_map(|b| b.to_le_bytes());
        let (weight, bias) = (weight_shape(outline), bias_shape(outline));
        let name = |part| format!("{}.{part}", outline.name);
        tensors.push((
            name("weight"),
            Dtype::I16,
            weight,
            narrow.collect::<Vec<u8>>(),
        ));
        tensors.push((name("bias"), Dtype::I32, bias, wide.collect()));
    }
    let views: Result<Vec<_>, safetensors::SafeTensorError> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect();
    let metadata = HashMap::from([(METADATA_KEY.into(), serde_json::to_string(network)?)]);
    Ok(safetensors::serialize(views?, Some(metadata))?)
}

/// Checks integers that came without a container.
pub(super) fn check_lengths(outlines: &[Shape], integers: &[Integers]) -> Result<(), ModelError> {
    for (i, outline) in outlines.iter().enumerate() {
        let weight = format!("{}.weight", outline.name);
        let Some(found) = integers.get(i) else {
            return Err(ModelError::MissingTensor(weight));
        };
        let bias = format!("{}.bias", outline.name);
        for (tensor, found, shape, dtype) in [
            (
                weight,
                found.weights.len(),
                weight_shape(outline),
                Dtype::I16,
            ),
            (bias, found.bias.len(), bias_shape(outline), Dtype::I32),
        ] {
            if found != shape.iter().product::<usize>() {
                return Err(mismatch(tensor, dtype, vec![found], dtype, &shape));
            }
        }
    }
    if integers.len() > outlines.len() {
        return Err(ModelError::SurplusTensor(format!("{}", outlines.len())));
    }
    check_sizes(outlines, integers)
}

fn weight_shape(outline: &Shape) -> Vec<usize> {
    let layer = &outline.layer;
    let mut shape = vec![
        usize::from(layer.out_channels),
        usize::from(layer.in_channels / layer.groups),
    ];
    match layer.kernel {
        Kernel::Square(side) => shape.extend([usize::from(side); 2]),
        Kernel::Cross => shape.push(layer.kernel.taps()),
    }
    shape
}

fn bias_shape(outline: &Shape) -> Vec<usize> {
    vec![usize::from(outline.layer.out_channels)]
}

fn values(
    tensors: &SafeTensors<'_>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<Vec<i32>, ModelError> {
    let view = tensors
        .tensor(name)
        .map_err(|_| ModelError::MissingTensor(name.into()))?;
    if view.dtype() != dtype || view.shape() != shape {
        let found = view.shape().to_vec();
        return Err(mismatch(name.into(), view.dtype(), found, dtype, shape));
    }
    let (narrow, _) = view.data().as_chunks();
    let (wide, _) = view.data().as_chunks();
    Ok(match dtype {
        Dtype::I16 => narrow
            .iter()
            .map(|&b| i16::from_le_bytes(b).into())
            .collect(),
        _ => wide.iter().map(|&b| i32::from_le_bytes(b)).collect(),
    })
}

fn mismatch(
    tensor: String,
    found: Dtype,
    found_shape: Vec<usize>,
    expected: Dtype,
    expected_shape: &[usize],
) -> ModelError {
    ModelError::TensorShape {
        tensor,
        found_type: format!("{found:?}"),
        found_shape,
        expected_type: if expected == Dtype::I16 { "I16" } else { "I32" },
        expected_shape: expected_shape.into(),
    }
}

/// Refuses single values that are too large.
fn check_sizes(outlines: &[Shape], integers: &[Integers]) -> Result<(), ModelError> {
    let check = |name: &str, part: &str, values: &[i32], limit: i64| {
        let too_large = |&(_, value): &(usize, i64)| value.abs() > limit;
        let wide = values.iter().map(|&v| i64::from(v));
        match wide.enumerate().find(too_large) {
            None => Ok(()),
            Some((index, value)) => Err(ModelError::TooLarge {
                tensor: format!("{name}.{part}"),
                index,
                value,
                limit,
            }),
        }
    };
    for (outline, Integers { weights, bias }) in outlines.iter().zip(integers) {
        check(&outline.name, "weight", weights, i16::MAX.into())?;
        check(&outline.name, "bias", bias, BIAS_LIMIT)?;
    }
    Ok(())
}
