//! Check mode: a secure inference against the plaintext integers, layer by layer, from both
//! parties' shares. DESIGN section 7.

use stria_core::layer::Activation;
use stria_core::params::{ACC_BITS, T_MOD};
use stria_core::share::SharePrf;

use crate::{Model, reference};

/// How far one layer of a secure inference is from the integers, given its actual inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LayerCheck {
    /// Largest distance of an output from the exact one, in units of an activation, without the
    /// outputs that are counted in `zeroed`.
    pub max_error_units: u32,
    /// Small positives that became zero, as they may where the comparison takes h < k bits.
    pub zeroed: usize,
}

/// Opens every tensor of an inference and compares each layer's output with the layer's function
/// of its opened inputs. `server` holds the server's shares, a tensor a layer; `h` is the number
/// of bits that the comparison took.
pub fn layers(
    model: &Model,
    image: &[i32],
    client: &mut SharePrf,
    server: &[Vec<u32>],
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
        let secure = match layer.layer.activation {
            Activation::Logits => logits.to_vec(),
            Activation::Relu => open(i, layer.layout.out_side, client, &server[i]),
        };
        for (&y, &got) in y.iter().zip(&secure) {
            let expected = match layer.layer.activation {
                Activation::Logits => y,
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
        }
        checks.push(check);
        tensors.push(secure);
    }
    checks
}

/// Adds both parties' shares of layer `layer`'s output.
fn open(layer: usize, side: usize, client: &mut SharePrf, server: &[u32]) -> Vec<i32> {
    let area = side * side;
    let mut value = |(i, &share): (usize, &u32)| {
        let own = client.value(layer as u16 + 1, (i / area) as u16, (i % area) as u32);
        T_MOD.centered(T_MOD.add(own, share))
    };
    server.iter().enumerate().map(&mut value).collect()
}
