//! The architecture's JSON: the model file's description, without what calibration decides.

use serde_json::{Map, Value, json};

use super::error::ImportError;
use crate::model::schema::{Layer, Network, check_version};

/// Bits that ReLU layers drop where nothing says otherwise.
const SHIFT: u32 = 8;
/// Integers per standard deviation of pixels, where nothing says otherwise.
const INPUT_SCALE: f32 = 64.0;

/// The description, with logit scale and skip factors of 1 and no calibrated maxima.
pub(super) fn parse(text: &str, shift: Option<u32>) -> Result<Network, ImportError> {
    let mut network: Map<String, Value> = serde_json::from_str(text)?;
    if let Some(found) = network.get("schema").and_then(Value::as_u64) {
        check_version(found)?;
    }
    network.insert("logit_scale".into(), json!(1));
    match shift {
        Some(shift) => drop(network.insert("shift".into(), json!(shift))),
        None => drop(network.entry("shift").or_insert(json!(SHIFT))),
    }
    if let Some(input) = network.get_mut("input").and_then(Value::as_object_mut) {
        input.entry("scale").or_insert(json!(INPUT_SCALE));
    }
    let layers = network.get_mut("layers").and_then(Value::as_array_mut);
    for (i, layer) in layers.into_iter().flatten().enumerate() {
        if let Some(layer) = layer.as_object_mut() {
            layer.remove("max_abs");
        }
        if let Some(skip) = layer.get_mut("skip").and_then(Value::as_object_mut) {
            skip.insert("factor".into(), json!(1));
        }
        // Read once more with the network; here to name the layer.
        if let Err(source) = serde_json::from_value::<Layer>(layer.clone()) {
            let name = layer.get("name").and_then(Value::as_str);
            return Err(ImportError::Layer {
                layer: name.map_or_else(|| format!("number {i}"), String::from),
                source,
            });
        }
    }
    Ok(serde_json::from_value(Value::Object(network))?)
}
