//! `stria plan` and `stria design`: estimated costs.

use serde::Serialize;
use stria_core::layer::{Kernel, Layer};

use crate::planner::constants::Source;
use stria_core::packing::Packing;

use crate::planner::{Constants, Cost, LayerCost, Link, Setting};

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
    pub link: Link,
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
    /// Name of the layer.
    pub name: String,
    /// Channels in and out.
    pub channels: [u16; 2],
    /// Side of the input maps in pixels.
    pub side: u16,
    /// Like "3x3", "1x1" or "cross".
    pub kernel: String,
    /// Stride.
    pub stride: u8,
    /// Groups of channels.
    pub groups: u16,
    /// Repetitions in segment packing.
    pub repeat: u16,
    /// Side of an output tile; 0 for the whole map.
    pub tile: u16,
    /// What it costs.
    #[serde(flatten)]
    pub cost: LayerCost,
}

impl PlanReport {
    /// Without any layer yet.
    pub fn new(
        network: String,
        packing: Packing,
        setting: &Setting,
        constants: ConstantsUsed,
    ) -> Self {
        Self {
            network,
            parameters: 0,
            deviations: Vec::new(),
            packing,
            link: setting.link.clone(),
            constants,
            layers: Vec::new(),
            totals: Cost::default(),
        }
    }

    /// Adds the next layer.
    pub fn push(&mut self, name: String, layer: &Layer, cost: LayerCost) {
        let per_output = usize::from(layer.in_channels / layer.groups) * layer.kernel.taps();
        self.parameters += usize::from(layer.out_channels) * (per_output + 1);
        self.totals += &cost.cost;
        self.layers.push(PlannedLayer::new(name, layer, cost));
    }
}

impl PlannedLayer {
    /// Describes a layer with its cost.
    pub fn new(name: String, layer: &Layer, cost: LayerCost) -> Self {
        Self {
            name,
            channels: [layer.in_channels, layer.out_channels],
            side: layer.in_side,
            kernel: match layer.kernel {
                Kernel::Square(side) => format!("{side}x{side}"),
                Kernel::Cross => "cross".into(),
            },
            stride: layer.stride,
            groups: layer.groups,
            repeat: layer.repeat,
            tile: layer.tile,
            cost,
        }
    }
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
