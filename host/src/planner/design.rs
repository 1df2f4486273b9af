//! Proposes a StriaNet for a schedule of resolutions, a budget of activations and a link.
//! `core/docs/design.md#focused-constraint` and `#packing-aware-scaling`; the rules that turn the
//! two principles into numbers are this project's.
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

use stria_core::packing::Packing;
use stria_core::rlwe::ring::ring4096::N;

use super::plan::{Plan, UnfitLayer};
use super::setting::Setting;
use crate::model::networks::strianet::{Stage, StriaNet};
use crate::model::{ModelError, schema, shapes};
use crate::report::{ConstantBottleneck, ConstantsUsed, DesignReport, DesignedStage, PlannedLayer};

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
    #[error(transparent)]
    Packing(#[from] UnfitLayer),
    /// A network that cannot be built.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// c_n: channels of a map of this side, with its row and column of zeros, in a ciphertext.
fn channels_per_ciphertext(side: u64) -> u64 {
    let block = ((side + 1) * (side + 1)).next_power_of_two();
    (N as u64 / block).max(1)
}

/// Proposes a network; `constants` are the setting's, with their source.
pub fn propose(
    request: Request,
    setting: &Setting,
    packing: Packing,
    constants: ConstantsUsed,
) -> Result<DesignReport, DesignError> {
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
    let plan = planned(&network.network(), setting, packing)?;
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
        seconds: [&plan, &usual].map(|plan| blocks_seconds(plan, i)),
    });
    Ok(DesignReport {
        stages: stages.collect(),
        constant_bottleneck: ConstantBottleneck {
            bottleneck: STRONGEST,
            groups,
            layers: usual.layers,
            totals: usual.totals,
        },
        plan: setting.report(plan, network.name, packing, constants),
        budget,
        schedule: request.schedule,
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
        let plan = planned(&candidate.network(), setting, packing)?;
        let linear = linear_seconds(&plan, stage);
        let all = blocks_seconds(&plan, stage);
        if linear <= LINEAR * all {
            return Ok(1 << log);
        }
        if best.is_none_or(|(least, _)| linear < least) {
            best = Some((linear, 1 << log));
        }
    }
    Ok(best.map_or(1, |(_, groups)| groups))
}

/// Every layer in its best form, with its cost.
fn planned(
    network: &schema::Network,
    setting: &Setting,
    packing: Packing,
) -> Result<Plan, DesignError> {
    let shapes = shapes(network)?.into_iter();
    let layers = shapes.map(|shape| (shape.name, shape.layer)).collect();
    Ok(setting.best_plan(packing, layers)?)
}

/// The layers of a stage's blocks.
fn blocks(plan: &Plan, stage: usize) -> impl Iterator<Item = &PlannedLayer> {
    let prefix = format!("s{}b", stage + 1);
    let layers = plan.layers.iter();
    layers.filter(move |layer| layer.shape.name.starts_with(&prefix))
}

fn blocks_seconds(plan: &Plan, stage: usize) -> f64 {
    let seconds = blocks(plan, stage).map(|layer| layer.cost.cost.seconds);
    seconds.sum()
}

fn linear_seconds(plan: &Plan, stage: usize) -> f64 {
    let seconds = blocks(plan, stage).map(|layer| layer.cost.linear_seconds);
    seconds.sum()
}
