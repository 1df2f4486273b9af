//! `stria import`: what became of a trained network.

use serde::Serialize;

use crate::import::{FloatLayer, Imported};
use crate::model::{Evidence, ModelLayer};

/// `stria import --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ImportReport {
    /// Name of the network.
    pub name: String,
    /// The model file.
    pub file: String,
    /// Its size.
    pub bytes: usize,
    /// Images that it was calibrated on.
    pub images: usize,
    /// Bits that every ReLU layer drops.
    pub shift: u32,
    /// Integer logits per unit of real logit.
    pub logit_scale: f32,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// The layers in execution order.
    pub layers: Vec<ImportedLayer>,
}

/// One layer of `stria import`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ImportedLayer {
    /// Name of the layer.
    pub name: String,
    /// Largest magnitude of a weight in the checkpoint, with batch normalisation folded in.
    pub float_weight: f64,
    /// Largest magnitude of a weight in the model file.
    pub weight: u32,
    /// Largest magnitude of a bias in the model file.
    pub bias: u32,
    /// Largest |y| of the calibration images, with headroom.
    pub max_abs: u64,
    /// Largest |y| that the protocol computes correctly on either side of 0.
    pub allowed: u64,
    /// Whether the range is proved or only calibrated.
    pub evidence: Evidence,
}

impl ImportReport {
    /// Of an imported model and the layers that it came from.
    pub fn new(
        layers: &[FloatLayer],
        imported: &Imported,
        images: usize,
        file: String,
        seconds: f64,
    ) -> Self {
        let model = &imported.model;
        let pairs = layers.iter().zip(&model.layers);
        Self {
            name: model.name.clone(),
            file,
            bytes: imported.bytes.len(),
            images,
            shift: model.shift,
            logit_scale: model.logit_scale,
            seconds,
            layers: pairs
                .map(|(float, layer)| ImportedLayer::new(float, layer))
                .collect(),
        }
    }
}

impl ImportedLayer {
    fn new(float: &FloatLayer, layer: &ModelLayer) -> Self {
        let largest = |values: &[i32]| values.iter().map(|v| v.unsigned_abs()).max();
        let allowed = layer.bound.allowed;
        Self {
            name: layer.name.clone(),
            float_weight: float.weights.iter().fold(0.0, |most, w| w.abs().max(most)),
            weight: largest(&layer.weights).unwrap_or(0),
            bias: largest(&layer.bias).unwrap_or(0),
            max_abs: layer.bound.max_abs.unwrap_or(0),
            allowed: allowed.low.unsigned_abs().min(allowed.high.unsigned_abs()),
            evidence: layer.bound.evidence,
        }
    }
}
