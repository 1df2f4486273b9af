//! Check mode: a secure inference against the plaintext integers, layer by layer, from both
//! parties' shares. `core/docs/design.md#integer-model`.

use stria_core::arith::field::{ACC_BITS, T_MOD};
use stria_core::network::layer::Activation;

use crate::model::{Model, reference};

/// How far one layer of a secure inference is from the integers, given its actual inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LayerCheck {
    /// Largest distance of an output from the exact one, in units of an activation, without the
    /// outputs that are counted in `zeroed`.
    pub max_error_units: u32,
    /// Small positives that became zero, as they may where the comparison takes h < k bits.
    pub zeroed: usize,
}

impl LayerCheck {
    /// Adds the same layer of another inference.
    pub fn add(&mut self, other: Self) {
        self.max_error_units = self.max_error_units.max(other.max_error_units);
        self.zeroed += other.zeroed;
    }
}

/// Compares each layer's output with the layer's function of its inputs. `opened` holds what both
/// parties share, a tensor a layer, residues mod t; `h` is the number of bits that the comparison
/// took.
pub fn layers(
    model: &Model,
    image: &[i32],
    opened: &[Vec<u32>],
    logits: &[i32],
    h: u32,
) -> Vec<LayerCheck> {
    let k = ACC_BITS - model.shift;
    let small = if h < k { 1 << (k - h) } else { 0 };
    let mut tensors = vec![image.to_vec()];
    let mut checks = Vec::with_capacity(model.layers.len());
    for (i, layer) in model.layers.iter().enumerate() {
        let y = reference::sums(model, i, &tensors);
        let mut check = LayerCheck::default();
        let mut secure = match layer.layer.activation {
            Activation::Logits => logits.to_vec(),
            Activation::Relu | Activation::Linear => {
                let tensor = opened.get(i).map_or(&[][..], Vec::as_slice);
                tensor.iter().map(|&x| T_MOD.centered(x)).collect()
            }
        };
        for (&y, &got) in y.iter().zip(&secure) {
            let expected = match layer.layer.activation {
                Activation::Logits | Activation::Linear => y,
                Activation::Relu => (y >> model.shift).max(0),
            };
            let error = got.abs_diff(expected);
            if error > 1 && got == 0 && (0..=small).contains(&expected) {
                check.zeroed += 1;
            } else {
                check.max_error_units = check.max_error_units.max(error);
            }
        }
        if secure.len() != y.len() {
            check.max_error_units = u32::MAX;
            secure.resize(y.len(), 0);
        }
        checks.push(check);
        tensors.push(secure);
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Integers;

    /// Two layers of one weight, shift 8: a copy of the image, then its sum.
    fn model() -> Model {
        let network = serde_json::json!({
            "schema": 1, "name": "copy", "classes": ["sum"], "shift": 8, "logit_scale": 1,
            "input": {"channels": 1, "side": 3, "resize": 3, "mean": [0], "std": [1], "scale": 255},
            "layers": [
                {"name": "copy", "input": "image", "channels": [1, 1], "kernel": 1, "relu": true},
                {"name": "sum", "input": "copy", "channels": [1, 1], "kernel": 1, "pool": true,
                 "relu": false},
            ],
        });
        let integers = |weight| Integers {
            weights: vec![weight],
            bias: vec![0],
        };
        let network = serde_json::from_value(network).unwrap();
        Model::new(network, vec![integers(256), integers(1)]).unwrap()
    }

    /// The check of a run whose opened activations and logit are off by so much.
    fn check(activation: i32, logit: i32, h: u32) -> [LayerCheck; 2] {
        let image = [0, 9, 30, 100, 200, 255, 1, 2, 3];
        let mut copy = image;
        copy[2] += activation;
        let opened = [copy.map(|x| T_MOD.residue(x)).to_vec(), Vec::new()];
        let logits = [copy.iter().sum::<i32>() + logit];
        layers(&model(), &image, &opened, &logits, h)
            .try_into()
            .unwrap()
    }

    #[test]
    fn a_wrong_share_is_reported_where_it_is() {
        let found = |max_error_units, zeroed| LayerCheck {
            max_error_units,
            zeroed,
        };
        let good = found(0, 0);
        // Off by, h, what is found in each layer.
        for (activation, logit, h, expected) in [
            (0, 0, 12, [good, good]),
            (1, 0, 12, [found(1, 0), good]),
            (2, 0, 12, [found(2, 0), good]),
            (-2, 0, 8, [found(2, 0), good]),
            (0, 2, 12, [good, found(2, 0)]),
            // 30 is more than 2^(12 - 8), so zero is wrong; it is not more than 2^(12 - 7).
            (-30, 0, 8, [found(30, 0), good]),
            (-30, 0, 7, [found(0, 1), good]),
        ] {
            assert_eq!(
                check(activation, logit, h),
                expected,
                "{activation} {logit} {h}"
            );
        }
    }

    #[test]
    fn missing_shares_are_reported() {
        for opened in [vec![], vec![vec![0; 8]]] {
            let checks = layers(&model(), &[0; 9], &opened, &[0], 12);
            assert_eq!(checks[0].max_error_units, u32::MAX);
        }
    }
}
