//! `stria plan` and `stria design`: estimated costs.

use serde::Serialize;
use stria_core::packing::Packing;

use super::constants::{Constants, Source};
use super::cost::{Cost, LayerCost};
use super::layer::LayerShape;
use crate::transport::LinkSpeed;

/// The constants of an estimate.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ConstantsUsed {
    /// Where they come from.
    pub source: Source,
    /// Seconds of single operations.
    #[serde(flatten)]
    pub values: Constants,
}

fn by_name<S: serde::Serializer>(packing: &Packing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(packing.name())
}

/// `stria plan --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PlanReport {
    /// Name of the network.
    pub network: String,
    /// Weights and biases; a Cross Kernel counts five taps.
    pub parameters: usize,
    /// Where a built network departs from its source.
    pub deviations: Vec<String>,
    /// How channels are put into ciphertexts.
    #[serde(serialize_with = "by_name")]
    pub packing: Packing,
    /// The line.
    pub link: LinkSpeed,
    /// The machine.
    pub constants: ConstantsUsed,
    /// The layers in execution order; the first has the frame that opens an inference.
    pub layers: Vec<PlannedLayer>,
    /// Their sum.
    pub totals: Cost,
}

/// One layer of `stria plan`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PlannedLayer {
    /// What it computes.
    #[serde(flatten)]
    pub shape: LayerShape,
    /// Repetitions in segment packing.
    pub repeat: u16,
    /// Side of an output tile; 0 for the whole map.
    pub tile: u16,
    /// What it costs.
    #[serde(flatten)]
    pub cost: LayerCost,
}

/// `stria design --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DesignReport {
    /// Sides of the input and of every stage, in pixels.
    pub schedule: Vec<u64>,
    /// The most activations that were allowed.
    pub budget: usize,
    /// The proposal, a stage an entry.
    pub stages: Vec<DesignedStage>,
    /// What it costs.
    #[serde(flatten)]
    pub plan: PlanReport,
    /// The same widths and budget with one bottleneck ratio and as many groups in all stages.
    pub constant_bottleneck: ConstantBottleneck,
}

/// One stage of `stria design`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct DesignedStage {
    /// Side of its maps in pixels.
    pub side: u64,
    /// c_n: channels that fit a ciphertext.
    pub channels_per_ciphertext: u64,
    /// Channels between blocks.
    pub width: u64,
    /// Channels inside a block.
    pub inner: u64,
    /// width / inner.
    pub bottleneck: u64,
    /// Groups of every layer of a block.
    pub groups: u64,
    /// Blocks.
    pub blocks: usize,
    /// Estimated seconds of its blocks, and with the constant bottleneck.
    pub seconds: [f64; 2],
}

/// What a network costs whose bottlenecks do not follow its maps.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ConstantBottleneck {
    /// width / inner in every stage.
    pub bottleneck: u64,
    /// Groups in every stage.
    pub groups: u64,
    /// Its layers, in the same order as the proposal's.
    pub layers: Vec<PlannedLayer>,
    /// Their sum.
    pub totals: Cost,
}
