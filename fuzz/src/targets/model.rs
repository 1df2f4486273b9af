//! Model files: the container as it is, or an architecture whose integers are made to fit it.

use serde_json::from_slice;
use stria_host::model::schema::Network;
use stria_host::model::{self, Integers, Model, Shape, packing};
use stria_host::session::server;

use crate::input::Input;
use crate::prelude::*;

/// Most weights and most pixels of a layer that a target works with.
const MOST: usize = 20_000;

/// The first byte says which.
pub fn run(bytes: &[u8]) {
    let Some((mode, bytes)) = bytes.split_first() else {
        return;
    };
    if mode % 2 == 0 {
        if let Ok(model) = Model::from_bytes(bytes) {
            check(&model);
        }
        return;
    }
    let mut input = Input(bytes);
    let Ok(network) = from_slice::<Network>(input.piece()) else {
        return;
    };
    let Ok(shapes) = model::shapes(&network) else {
        return;
    };
    for shape in &shapes {
        for way in Packing::ALL {
            let _ = packing::packed(&shape.layer, way);
        }
    }
    if !shapes.iter().all(is_small) {
        return;
    }
    let integers: Vec<Integers> = shapes
        .iter()
        .map(|shape| integers(shape, &mut input))
        .collect();
    let Ok(model) = Model::new(network.clone(), integers.clone()) else {
        return;
    };
    check(&model);
    // What is accepted can be written, and comes back the same.
    let file = model::to_bytes(&network, &integers).expect("a model");
    let again = Model::from_bytes(&file).expect("a model file");
    assert_eq!(again.name, model.name);
    for (layer, again) in model.layers.iter().zip(&again.layers) {
        assert!(layer.weights == again.weights && layer.bias == again.bias);
        assert_eq!(layer.layer, again.layer);
    }
}

/// Whether it takes little time to make up its weights and to run it.
pub(crate) fn is_small(shape: &Shape) -> bool {
    let layer = &shape.layer;
    let per_output = usize::from(layer.in_channels / layer.groups) * layer.kernel.taps();
    let pixels = usize::from(layer.in_side)
        .pow(2)
        .max(shape.layout.out_side().pow(2));
    usize::from(layer.out_channels) * per_output <= MOST
        && usize::from(layer.in_channels.max(layer.out_channels)) * pixels <= MOST
}

/// As many as the shape asks for, repeated from a few of the input.
fn integers(shape: &Shape, input: &mut Input<'_>) -> Integers {
    let layer = &shape.layer;
    let outputs = usize::from(layer.out_channels);
    let per_output = usize::from(layer.in_channels / layer.groups) * layer.kernel.taps();
    let some: [i32; 4] = std::array::from_fn(|_| (input.word() as i16).into());
    let repeat = |count| some.into_iter().cycle().take(count).collect();
    Integers {
        weights: repeat(outputs * per_output),
        bias: repeat(outputs),
    }
}

/// What a server says of the model is accepted by a client.
fn check(model: &Model) {
    let names = model.classes.iter().chain([&model.name]);
    assert!(
        names
            .chain(model.layers.iter().map(|l| &l.name))
            .all(|name| is_clean(name))
    );
    let about = server::about(model);
    let welcome = Welcome {
        version: VERSION,
        nonce: [0; 32],
        model: [0; 16],
        name: about.name,
        shift: about.shift,
        layers: model.layers.len() as u16,
        layers_hash: [0; 32],
        classes: about.classes.len() as u16,
        logit_scale: about.logit_scale,
        input: about.input,
        batch: 0,
    };
    let acceptable = model.layers.len() <= 4096 && model.classes.len() <= 8192;
    assert_eq!(welcome.check(&Settings::default()).is_ok(), acceptable);
}
