//! The plan of a network: every layer with its estimated cost, and their sum.

use stria_core::network::LayerError;
use stria_core::network::layer::Layer;
use stria_core::packing::Packing;

use super::setting::{Setting, Unfit};
use crate::model::kernel_name;
use crate::report::{ConstantsUsed, Cost, LayerCost, LayerShape, PlanReport, PlannedLayer};

/// A layer with its name.
pub type NamedLayer = (String, Layer);

/// What an inference of a network costs.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Weights and biases; a Cross Kernel counts five taps.
    pub parameters: usize,
    /// The layers in execution order.
    pub layers: Vec<PlannedLayer>,
    /// Their sum.
    pub totals: Cost,
}

/// A layer that a packing cannot hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("layer {layer} cannot be packed: {reason}")]
pub struct UnfitLayer {
    /// Its name.
    pub layer: String,
    /// Why not.
    pub reason: LayerError,
}

/// Gives every layer the form that `form` makes of it.
pub fn formed(
    layers: Vec<NamedLayer>,
    form: impl Fn(&Layer) -> Result<Layer, LayerError>,
) -> Result<Vec<NamedLayer>, UnfitLayer> {
    let formed = |(name, layer): NamedLayer| match form(&layer) {
        Ok(layer) => Ok((name, layer)),
        Err(reason) => Err(UnfitLayer {
            layer: name,
            reason,
        }),
    };
    layers.into_iter().map(formed).collect()
}

impl Setting {
    /// Estimates an inference of the layers as they are.
    pub fn plan(&self, packing: Packing, layers: &[NamedLayer]) -> Result<Plan, UnfitLayer> {
        let costs = self.layers(packing, layers.iter().map(|(_, layer)| layer));
        let costs = costs.map_err(|Unfit { index, reason }| UnfitLayer {
            layer: layers[index].0.clone(),
            reason,
        })?;
        let mut totals = Cost::default();
        costs.iter().for_each(|cost| totals += &cost.cost);
        let planned = layers.iter().zip(costs);
        Ok(Plan {
            parameters: layers.iter().map(|(_, layer)| parameters(layer)).sum(),
            layers: planned
                .map(|((name, layer), cost)| planned_layer(name, layer, cost))
                .collect(),
            totals,
        })
    }

    /// Estimates an inference of the layers, each in its best form for the link.
    pub fn best_plan(&self, packing: Packing, layers: Vec<NamedLayer>) -> Result<Plan, UnfitLayer> {
        let best = formed(layers, |layer| self.choose(packing, layer))?;
        self.plan(packing, &best)
    }

    /// A plan with what it was made for.
    pub fn report(
        &self,
        plan: Plan,
        network: String,
        packing: Packing,
        constants: ConstantsUsed,
    ) -> PlanReport {
        PlanReport {
            network,
            parameters: plan.parameters,
            deviations: Vec::new(),
            packing,
            link: self.link.clone(),
            constants,
            layers: plan.layers,
            totals: plan.totals,
        }
    }
}

fn parameters(layer: &Layer) -> usize {
    let per_output = layer.weights_per_output();
    usize::from(layer.out_channels) * (per_output + 1)
}

fn planned_layer(name: &str, layer: &Layer, cost: LayerCost) -> PlannedLayer {
    PlannedLayer {
        shape: LayerShape {
            name: name.into(),
            channels: [layer.in_channels, layer.out_channels],
            side: layer.in_side,
            kernel: kernel_name(layer.kernel),
            stride: layer.stride,
            groups: layer.groups,
        },
        repeat: layer.repeat,
        tile: layer.tile,
        cost,
    }
}
