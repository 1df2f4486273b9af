//! `stria import`: what became of a trained network.

use serde::Serialize;

use crate::model::Evidence;

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
