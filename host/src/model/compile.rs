//! From the file's description to layers that can be run: names, shapes, packing and ranges.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use stria_core::arith::field::ACC_BITS;
use stria_core::network::input::normalise;
use stria_core::network::layer::{Activation, Kernel, Layer, MAX_SIDE, Pool, Skip, TensorId};
use stria_core::network::name::is_clean;

use super::bound::Range;
use super::checked::{Integers, Model, ModelLayer, Shape};
use super::error::ModelError;
use super::schema::{self, IMAGE, Input, Network};
use super::{packing, proof};

/// Largest number of layers: tensors are named by 16 bits, and 0 is the image.
const MAX_LAYERS: usize = TensorId::MAX as usize;

/// Checks everything that does not need the weights, and chooses the packing.
pub(super) fn outline(network: &Network) -> Result<Vec<Shape>, ModelError> {
    check_network(network)?;
    let mut tensors = HashMap::from([(
        IMAGE,
        Tensor {
            id: 0,
            channels: network.input.channels as u64,
            side: network.input.side as u64,
        },
    )]);
    let mut outlines = Vec::with_capacity(network.layers.len());
    let last = network.layers.len() - 1;
    for (i, layer) in network.layers.iter().enumerate() {
        if layer.relu && i == last {
            return Err(ModelError::Logits {
                layer: layer.name.clone(),
            });
        }
        let activation = match layer.relu {
            true => Activation::Relu,
            false if i == last => Activation::Logits,
            false => Activation::Linear,
        };
        let (outline, output) = outline_layer(layer, activation, &tensors)?;
        let output = Tensor {
            id: i as TensorId + 1,
            ..output
        };
        if i == last && (output.side != 1 || output.channels != network.classes.len() as u64) {
            return Err(ModelError::Classes {
                layer: layer.name.clone(),
                found: [output.channels, output.side],
                classes: network.classes.len(),
            });
        }
        tensors.insert(&layer.name, output);
        outlines.push(outline);
    }
    Ok(outlines)
}

/// Adds the integers, and proves every layer's range or takes its calibration.
pub(super) fn finish(
    network: Network,
    outlines: Vec<Shape>,
    integers: Vec<Integers>,
) -> Result<Model, ModelError> {
    let shift = network.shift;
    let mut layers: Vec<ModelLayer> = Vec::with_capacity(outlines.len());
    for (outline, Integers { weights, bias }) in outlines.into_iter().zip(integers) {
        let Shape {
            name,
            layer,
            layout,
            max_abs,
        } = outline;
        let ranges = |tensor: TensorId| match usize::from(tensor).checked_sub(1) {
            None => image_ranges(&network.input),
            Some(i) => {
                let layer: &ModelLayer = &layers[i];
                let range = match layer.layer.activation {
                    Activation::Relu => proof::activations(shift),
                    Activation::Logits | Activation::Linear => layer.bound.reached(),
                };
                vec![range; usize::from(layer.layer.out_channels)]
            }
        };
        let worst = proof::worst_case(
            &layer,
            &layout,
            &weights,
            &bias,
            &ranges(layer.input),
            layer.skip.map(|skip| ranges(skip.tensor)).as_deref(),
        );
        let allowed = proof::allowed(layer.activation, shift);
        let bound = proof::prove_or_calibrate(&name, worst, allowed, max_abs)?;
        layers.push(ModelLayer {
            name,
            layer,
            layout,
            weights,
            bias,
            bound,
        });
    }
    Ok(Model {
        name: network.name,
        classes: network.classes,
        input: network.input,
        shift,
        logit_scale: network.logit_scale,
        layers,
    })
}

/// What later layers need to know of an earlier output.
#[derive(Clone, Copy)]
struct Tensor {
    id: TensorId,
    channels: u64,
    side: u64,
}

fn check_network(network: &Network) -> Result<(), ModelError> {
    schema::check_version(network.schema)?;
    if network.layers.is_empty() {
        return Err(ModelError::NoLayers);
    }
    if network.layers.len() > MAX_LAYERS {
        let layers = network.layers.len() as u64;
        return Err(field("network", "layers", layers, 1..=MAX_LAYERS as u64));
    }
    names("network", [&network.name], None)?;
    names("class", &network.classes, None)?;
    names("layer", network.layers.iter().map(|l| &l.name), Some(IMAGE))?;
    let shift = u64::from(network.shift);
    if !(8..=12).contains(&shift) {
        return Err(field("network", "shift", shift, 8..=12));
    }
    positive("network", "logit_scale", network.logit_scale)?;
    check_input(&network.input)
}

fn names<'a>(
    what: &'static str,
    names: impl IntoIterator<Item = &'a String>,
    reserved: Option<&str>,
) -> Result<(), ModelError> {
    let mut seen = HashSet::new();
    for name in names {
        let fits = !name.is_empty() && reserved != Some(name) && is_clean(name);
        if !fits || !seen.insert(name) {
            return Err(ModelError::Name {
                what,
                name: name.clone(),
            });
        }
    }
    Ok(())
}

fn check_input(input: &Input) -> Result<(), ModelError> {
    let at = "input";
    let channels = input.channels;
    if !matches!(channels, 1 | 3) {
        return Err(refused(at, "channels", channels, "1 or 3"));
    }
    let largest = usize::from(MAX_SIDE);
    within(at, "side", input.side, 1..=largest)?;
    within(at, "resize", input.resize, input.side..=largest)?;
    for (field, values) in [("mean", &input.mean), ("std", &input.std)] {
        if values.len() != channels {
            let allowed = format!("one number for each of {channels} channels");
            return Err(refused(at, field, format!("{values:?}"), allowed));
        }
    }
    if let Some(mean) = input.mean.iter().find(|mean| !mean.is_finite()) {
        return Err(refused(at, "mean", mean, "finite"));
    }
    for &std in &input.std {
        positive(at, "std", std)?;
    }
    positive(at, "scale", input.scale)?;
    let ranges = image_ranges(input).into_iter();
    let largest = ranges.map(|range| range.high.max(-range.low)).max();
    if largest >= Some(1 << (ACC_BITS - 1)) {
        let allowed = "so small that normalised pixels stay below 2^19";
        return Err(refused(at, "scale", input.scale, allowed));
    }
    Ok(())
}

/// What normalisation can give, per channel.
fn image_ranges(input: &Input) -> Vec<Range> {
    let range = |(&mean, &std)| {
        let [low, high] = [0, 255].map(|pixel| normalise(pixel, mean, std, input.scale));
        Range::new(low.into(), high.into())
    };
    input.mean.iter().zip(&input.std).map(range).collect()
}

fn outline_layer(
    layer: &schema::Layer,
    activation: Activation,
    tensors: &HashMap<&str, Tensor>,
) -> Result<(Shape, Tensor), ModelError> {
    let at = &layer.name;
    let find = |what, name: &String| {
        let unknown = || ModelError::UnknownTensor {
            layer: at.clone(),
            what,
            name: name.clone(),
        };
        tensors.get(name.as_str()).copied().ok_or_else(unknown)
    };
    let input = find("input", &layer.input)?;
    let [in_channels, out_channels] = layer.channels;
    if in_channels != input.channels {
        return Err(ModelError::InputChannels {
            layer: at.clone(),
            input: layer.input.clone(),
            expects: in_channels,
            found: input.channels,
        });
    }
    let kernel = match (layer.cross, layer.kernel) {
        (true, 3) => Kernel::Cross,
        (true, side) => return Err(field(at, "kernel of a cross", side, 3..=3)),
        (false, side) => Kernel::Square(number(at, "kernel", side, 1..=u8::MAX.into())?),
    };
    let skip = match &layer.skip {
        None => None,
        Some(skip) => Some((find("skip", &skip.from)?, skip)),
    };
    let word = 1..=u64::from(u16::MAX);
    let any = 0..=u64::from(u16::MAX);
    let factor = 1..=(1 << (ACC_BITS - 1)) - 1;
    let described = Layer {
        input: input.id,
        in_channels: number(at, "channels in", in_channels, word.clone())?,
        in_side: number(at, "side", input.side, word.clone())?,
        pool: match layer.pool {
            schema::Pool::Map(false) => Pool::None,
            schema::Pool::Map(true) => Pool::Map,
            schema::Pool::Window(side) => {
                Pool::Window(number(at, "pool", side, 1..=u8::MAX.into())?)
            }
        },
        shuffle: number(at, "shuffle", layer.shuffle, word.clone())?,
        out_channels: number(at, "channels out", out_channels, word.clone())?,
        kernel,
        stride: number(at, "stride", layer.stride, 1..=u8::MAX.into())?,
        padding: number(at, "padding", layer.padding, 0..=u8::MAX.into())?,
        groups: number(at, "groups", layer.groups, word.clone())?,
        repeat: 1,
        tile: 0,
        skip: skip
            .map(|(tensor, skip)| {
                Ok::<_, ModelError>(Skip {
                    tensor: tensor.id,
                    factor: number(at, "skip factor", skip.factor, factor)?,
                })
            })
            .transpose()?,
        activation,
    };
    let repeat = given(at, "repeat", layer.repeat, word)?;
    let tile = given(at, "tile", layer.tile, any)?;
    let (described, layout) =
        packing::fewest_bytes(described, repeat, tile).map_err(|reason| ModelError::Layout {
            layer: at.clone(),
            reason,
        })?;
    let output = Tensor {
        id: 0,
        channels: out_channels,
        side: layout.geometry.out_side as u64,
    };
    if let Some((tensor, skip)) = skip
        && (tensor.channels, tensor.side) != (output.channels, output.side)
    {
        return Err(ModelError::SkipShape {
            layer: at.clone(),
            skip: skip.from.clone(),
            expects: [output.channels, output.side],
            found: [tensor.channels, tensor.side],
        });
    }
    let outline = Shape {
        name: layer.name.clone(),
        layer: described,
        layout,
        max_abs: layer.max_abs,
    };
    Ok((outline, output))
}

fn given(
    at: &str,
    name: &'static str,
    value: Option<u64>,
    allowed: RangeInclusive<u64>,
) -> Result<Option<u16>, ModelError> {
    value.map(|v| number(at, name, v, allowed)).transpose()
}

/// The value in the type that the layer holds it in, if it is allowed.
fn number<T: TryFrom<u64>>(
    at: &str,
    name: &'static str,
    value: u64,
    allowed: RangeInclusive<u64>,
) -> Result<T, ModelError> {
    within(at, name, value, allowed.clone())?;
    T::try_from(value).map_err(|_| field(at, name, value, allowed))
}

fn within<T: PartialOrd + ToString>(
    at: &str,
    name: &'static str,
    value: T,
    allowed: RangeInclusive<T>,
) -> Result<(), ModelError> {
    match allowed.contains(&value) {
        true => Ok(()),
        false => Err(field(at, name, value, allowed)),
    }
}

fn positive(at: &str, name: &'static str, value: f32) -> Result<(), ModelError> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(refused(at, name, value, "finite and above 0")),
    }
}

fn field<T: ToString>(
    at: &str,
    name: &'static str,
    value: T,
    allowed: RangeInclusive<T>,
) -> ModelError {
    let [low, high] = [allowed.start(), allowed.end()].map(T::to_string);
    refused(at, name, value, format!("{low}..={high}"))
}

fn refused(
    at: &str,
    field: &'static str,
    value: impl ToString,
    allowed: impl Into<String>,
) -> ModelError {
    ModelError::Field {
        at: at.into(),
        field,
        value: value.to_string(),
        allowed: allowed.into(),
    }
}
