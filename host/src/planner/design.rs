//! Proposes a StriaNet for a schedule of resolutions, a budget of activations and a link.
//! DESIGN section 9: Focused Constraint, Channel Packing-Aware Scaling; the rules that turn the two
//! principles into numbers are this project's.
//!
//! * **Widths** are multiples of c_n, the channels that fit a ciphertext, and double from stage to
//!   stage: fewer channels would leave ciphertexts half empty.
//! * **Bottlenecks** are as strong as [`STRONGEST`], but never narrower than c_n: so they are strong
//!   early and weak late.
//! * **Groups** are as few as they can be (mixing is what accuracy needs) while the linear layers of a
//!   block take at most [`LINEAR`] of its time: activations are the factor that dominates, and the
//!   one that the budget constrains. So groups grow as maps shrink.
//! * **Blocks** take what is left of the budget, one a stage in turn, from the smallest maps.
//!
//! What it is compared with adapts nothing to the maps: the same widths and budget, one bottleneck
//! ratio and one number of groups in all stages.

use stria_core::layer::Layer;
use stria_core::params::N;

use stria_core::packing::Packing;

use crate::planner::{Cost, LayerCost, LayerError, Setting};
use crate::model::{self, schema};
use crate::model::networks::strianet::{Stage, StriaNet};
use crate::report::{ConstantBottleneck, DesignedStage, PlannedLayer};

/// The strongest bottleneck, which is also the constant one that is compared with: ResNet's.
pub const STRONGEST: u64 = 4;
/// The part of a block's seconds that its linear layers may take.
pub const LINEAR: f64 = 0.25;
/// Most blocks of a stage.
const MOST_BLOCKS: usize = 16;
/// Widths of the first stage that are tried: up to c_n times this power of two.
const DOUBLINGS: u32 = 9;

/// What a network shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Sides of the input and of every stage, in pixels.
    pub schedule: Vec<u64>,
    /// The most activations.
    pub budget: usize,
    /// Classes.
    pub classes: usize,
}

/// Why there is no proposal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DesignError {
    /// A side that the one before does not lead to.
    #[error(
        "a schedule needs two sides or more, each (side - 1) / 2 of the one before, or (side - 3) / 4 after the input: {from} does not lead to {to}"
    )]
    Schedule {
        /// The side before.
        from: u64,
        /// The side.
        to: u64,
    },
    /// Fewer activations than the smallest network has.
    #[error("{budget} activations are too few: the narrowest network has {least}")]
    Budget {
        /// The budget.
        budget: usize,
        /// Activations of one block a stage.
        least: usize,
    },
    /// A layer that cannot be packed.
    #[error("layer {layer} cannot be packed: {reason}")]
    Packing {
        /// The layer.
        layer: String,
        /// Why not.
        reason: &'static str,
    },
    /// A network that cannot be built.
    #[error(transparent)]
    Model(#[from] model::ModelError),
}

/// A proposal.
#[derive(Clone, PartialEq, Debug)]
pub struct Proposal {
    /// The network in numbers.
    pub network: StriaNet,
    /// Its stages with their costs.
    pub stages: Vec<DesignedStage>,
    /// Its layers as they are packed.
    pub layers: Vec<(String, Layer, LayerCost)>,
    /// What would be built without looking at the maps.
    pub constant: ConstantBottleneck,
}

/// c_n: channels of a map of this side, with its row and column of zeros, in a ciphertext.
fn channels_per_ciphertext(side: u64) -> u64 {
    let block = ((side + 1) * (side + 1)).next_power_of_two();
    (N as u64 / block).max(1)
}

/// Proposes a network.
pub fn propose(
    request: &Request,
    setting: &Setting,
    packing: Packing,
) -> Result<Proposal, DesignError> {
    let (kernel, stride, sides) = stem(&request.schedule)?;
    let mut chosen: Option<Vec<Stage>> = None;
    let mut least = usize::MAX;
    for log in 0..DOUBLINGS {
        let stages = scaled(sides, channels_per_ciphertext(sides[0]) << log);
        let count = activations(sides, &stages);
        least = least.min(count);
        if count <= request.budget {
            chosen = Some(stages);
        }
    }
    let budget = request.budget;
    let mut stages = chosen.ok_or(DesignError::Budget { budget, least })?;
    spend(sides, &mut stages, budget);

    let mut network = StriaNet {
        name: "strianet".into(),
        classes: request.classes,
        side: request.schedule[0],
        resize: request.schedule[0] + 1,
        stem_kernel: kernel,
        stem_stride: stride,
        stem_width: stages[0].width,
        stages,
    };
    for stage in 0..network.stages.len() {
        let groups = groups(&network, stage, setting, packing)?;
        network.stages[stage].groups = groups;
    }
    let mut usual = network.clone();
    let groups = network.stages[0].groups;
    for stage in &mut usual.stages {
        stage.inner = (stage.width / STRONGEST).next_multiple_of(groups);
        (stage.groups, stage.blocks) = (groups, 1);
    }
    spend(sides, &mut usual.stages, budget);
    let layers = planned(&network.network(), setting, packing)?;
    let usual = planned(&usual.network(), setting, packing)?;
    let stages = network.stages.iter().zip(sides).enumerate();
    let stages = stages.map(|(i, (stage, &side))| DesignedStage {
        side,
        channels_per_ciphertext: channels_per_ciphertext(side),
        width: stage.width,
        inner: stage.inner,
        bottleneck: stage.width / stage.inner,
        groups: stage.groups,
        blocks: stage.blocks,
        seconds: [&layers, &usual].map(|layers| blocks_seconds(layers, i)),
    });
    Ok(Proposal {
        stages: stages.collect(),
        constant: constant(usual, groups),
        network,
        layers,
    })
}

/// Kernel and stride of the stem, and the sides of the stages, if the schedule can be run.
fn stem(schedule: &[u64]) -> Result<(u64, u64, &[u64]), DesignError> {
    let refuse = |from, to| Err(DesignError::Schedule { from, to });
    let [input, sides @ ..] = schedule else {
        return refuse(0, 0);
    };
    let Some(&first) = sides.first() else {
        return refuse(*input, 0);
    };
    let down = |from: u64, to: u64| to >= 1 && 2 * to + 1 == from;
    for pair in sides.windows(2) {
        if !down(pair[0], pair[1]) {
            return refuse(pair[0], pair[1]);
        }
    }
    if down(*input, first) {
        Ok((3, 2, sides))
    } else if 4 * first + 3 == *input {
        Ok((7, 4, sides))
    } else {
        refuse(*input, first)
    }
}

/// One block a stage, on widths that double.
fn scaled(sides: &[u64], first: u64) -> Vec<Stage> {
    let stage = |(i, &side): (usize, &u64)| {
        let c_n = channels_per_ciphertext(side);
        let width = (first << i).next_multiple_of(c_n);
        Stage {
            width,
            inner: (width / STRONGEST).next_multiple_of(c_n),
            groups: 1,
            blocks: 1,
        }
    };
    sides.iter().enumerate().map(stage).collect()
}

fn block_activations(side: u64, stage: &Stage) -> usize {
    (side * side * (2 * stage.inner + stage.width)) as usize
}

fn activations(sides: &[u64], stages: &[Stage]) -> usize {
    let of = |(&side, stage): (&u64, &Stage)| {
        let first = (side * side * stage.width) as usize;
        first + stage.blocks * block_activations(side, stage)
    };
    sides.iter().zip(stages).map(of).sum()
}

/// Adds blocks while the budget lasts.
fn spend(sides: &[u64], stages: &mut [Stage], budget: usize) {
    let mut left = budget - activations(sides, stages);
    loop {
        let before = left;
        for (&side, stage) in sides.iter().zip(stages.iter_mut()).rev() {
            let more = block_activations(side, stage);
            if more <= left && stage.blocks < MOST_BLOCKS {
                stage.blocks += 1;
                left -= more;
            }
        }
        if left == before {
            return;
        }
    }
}

/// The fewest groups with which the linear layers of a stage's blocks take no more than their part;
/// where there are none, those with which they take the least.
fn groups(
    network: &StriaNet,
    stage: usize,
    setting: &Setting,
    packing: Packing,
) -> Result<u64, DesignError> {
    let Stage { width, inner, .. } = network.stages[stage];
    let mut best: Option<(f64, u64)> = None;
    for log in 0..=width.min(inner).trailing_zeros() {
        let mut candidate = network.clone();
        candidate.stages[stage].groups = 1 << log;
        let layers = planned(&candidate.network(), setting, packing)?;
        let linear = linear_seconds(&layers, stage);
        let all = blocks_seconds(&layers, stage);
        if linear <= LINEAR * all {
            return Ok(1 << log);
        }
        if best.is_none_or(|(least, _)| linear < least) {
            best = Some((linear, 1 << log));
        }
    }
    Ok(best.map_or(1, |(_, groups)| groups))
}

type Planned = Vec<(String, Layer, LayerCost)>;

/// Every layer in its best plan, with its cost.
fn planned(
    network: &schema::Network,
    setting: &Setting,
    packing: Packing,
) -> Result<Planned, DesignError> {
    let shapes = model::shapes(network)?;
    let unfit = |layer: &str, reason| DesignError::Packing {
        layer: layer.into(),
        reason,
    };
    let mut layers = Vec::with_capacity(shapes.len());
    for shape in &shapes {
        let chosen = setting.choose(packing, &shape.layer);
        layers.push(chosen.map_err(|reason| unfit(&shape.name, reason))?);
    }
    let costs = setting.layers(packing, &layers);
    let costs = costs.map_err(|LayerError { index, reason }| unfit(&shapes[index].name, reason))?;
    let names = shapes.into_iter().map(|shape| shape.name);
    let layers = names.zip(layers).zip(costs);
    Ok(layers
        .map(|((name, layer), cost)| (name, layer, cost))
        .collect())
}

/// The layers of a stage's blocks.
fn blocks(layers: &Planned, stage: usize) -> impl Iterator<Item = &(String, Layer, LayerCost)> {
    let prefix = format!("s{}b", stage + 1);
    layers
        .iter()
        .filter(move |(name, ..)| name.starts_with(&prefix))
}

fn blocks_seconds(layers: &Planned, stage: usize) -> f64 {
    let seconds = blocks(layers, stage).map(|(.., cost)| cost.cost.seconds);
    seconds.sum()
}

fn linear_seconds(layers: &Planned, stage: usize) -> f64 {
    let seconds = blocks(layers, stage).map(|(.., cost)| cost.linear_seconds);
    seconds.sum()
}

fn constant(layers: Planned, groups: u64) -> ConstantBottleneck {
    let mut totals = Cost::default();
    for (.., cost) in &layers {
        totals += &cost.cost;
    }
    let layers = layers.into_iter();
    ConstantBottleneck {
        bottleneck: STRONGEST,
        groups,
        layers: layers
            .map(|(name, layer, cost)| PlannedLayer::new(name, &layer, cost))
            .collect(),
        totals,
    }
}
