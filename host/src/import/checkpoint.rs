//! The float checkpoint: tensors of a PyTorch state dictionary in the safetensors container.

use std::collections::BTreeSet;

use safetensors::{Dtype, SafeTensors};
use stria_core::network::layer::Kernel;

use super::error::ImportError;
use super::fold::{Convolution, FloatLayer, Norm, fold};
use crate::model::Shape;

/// PyTorch's count of training steps: not needed.
const STEPS: &str = "norm.num_batches_tracked";

/// Every layer of the checkpoint, batch normalisation folded in; no tensor may be left over.
pub(super) fn read(bytes: &[u8], shapes: &[Shape]) -> Result<Vec<FloatLayer>, ImportError> {
    let tensors = SafeTensors::deserialize(bytes)?;
    let mut left: BTreeSet<&str> = tensors.names().into_iter().collect();
    let mut layers = Vec::with_capacity(shapes.len());
    for (index, shape) in shapes.iter().enumerate() {
        let mut source = Source {
            tensors: &tensors,
            left: &mut left,
            layer: &shape.name,
            index,
        };
        let convolution = source.convolution(shape)?;
        let norm = source.norm(shape)?;
        source.left.remove(source.name(STEPS).as_str());
        if convolution.bias.is_none() && norm.is_none() {
            return Err(ImportError::NoBias {
                layer: shape.name.clone(),
                bias: source.name("convolution.bias"),
                norm: source.name("norm.weight"),
            });
        }
        layers.push(fold(shape, &convolution, norm.as_ref()));
    }
    match left.first() {
        Some(name) => Err(ImportError::Surplus((*name).into())),
        None => Ok(layers),
    }
}

/// Where one layer's tensors come from.
struct Source<'a, 'b> {
    tensors: &'a SafeTensors<'a>,
    left: &'b mut BTreeSet<&'a str>,
    layer: &'a str,
    index: usize,
}

impl Source<'_, '_> {
    fn name(&self, part: &str) -> String {
        format!("layers.{}.{part}", self.index)
    }

    fn convolution(&mut self, shape: &Shape) -> Result<Convolution, ImportError> {
        let layer = &shape.layer;
        let [outputs, inputs] = [layer.out_channels, layer.in_channels / layer.groups];
        // PyTorch has no Cross Kernel: it is a square one whose corners are masked.
        let side = match layer.kernel {
            Kernel::Square(side) => usize::from(side),
            Kernel::Cross => 3,
        };
        let weight = [outputs.into(), inputs.into(), side, side];
        let weight = self.needed("convolution.weight", &weight)?;
        let bias = self.values("convolution.bias", &[outputs.into()])?;
        Ok(Convolution { weight, bias, side })
    }

    /// All four tensors of it, or none.
    fn norm(&mut self, shape: &Shape) -> Result<Option<Norm>, ImportError> {
        let parts = ["weight", "bias", "running_mean", "running_var"].map(|p| format!("norm.{p}"));
        let has = |part: &String| self.left.contains(self.name(part).as_str());
        if !parts.iter().any(has) {
            return Ok(None);
        }
        let channels = [usize::from(shape.layer.out_channels)];
        let [weight, bias, mean, variance] = &parts;
        let norm = Norm {
            weight: self.needed(weight, &channels)?,
            bias: self.needed(bias, &channels)?,
            mean: self.needed(mean, &channels)?,
            variance: self.needed(variance, &channels)?,
        };
        self.check(variance, &norm.variance, "0 or more", |v| v >= 0.0)?;
        Ok(Some(norm))
    }

    fn needed(&mut self, part: &str, shape: &[usize]) -> Result<Vec<f32>, ImportError> {
        self.values(part, shape)?
            .ok_or_else(|| ImportError::Missing {
                layer: self.layer.into(),
                tensor: self.name(part),
            })
    }

    /// The values of a tensor, if it is there.
    fn values(&mut self, part: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, ImportError> {
        let name = self.name(part);
        if !self.left.remove(name.as_str()) {
            return Ok(None);
        }
        let view = self.tensors.tensor(&name)?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(ImportError::TensorShape {
                layer: self.layer.into(),
                tensor: name,
                found_type: format!("{:?}", view.dtype()),
                found_shape: view.shape().to_vec(),
                expected_shape: shape.into(),
            });
        }
        let (bytes, _) = view.data().as_chunks();
        let values: Vec<f32> = bytes.iter().map(|&b| f32::from_le_bytes(b)).collect();
        self.check(part, &values, "finite", f32::is_finite)?;
        Ok(Some(values))
    }

    fn check(
        &self,
        part: &str,
        values: &[f32],
        allowed: &'static str,
        is_allowed: impl Fn(f32) -> bool,
    ) -> Result<(), ImportError> {
        match values.iter().position(|&value| !is_allowed(value)) {
            None => Ok(()),
            Some(index) => Err(ImportError::Value {
                layer: self.layer.into(),
                tensor: self.name(part),
                index,
                value: values[index],
                allowed,
            }),
        }
    }
}
