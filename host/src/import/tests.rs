//! Imported integers against a forward pass in floating point, written from PyTorch's definitions;
//! and every refusal.

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::*;
use crate::model::schema::{IMAGE, Layer, Network, Pool};
use crate::model::{Model, ModelError, reference};

/// A checkpoint and its architecture, in parts.
struct File {
    architecture: Value,
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

/// Pseudo-random numbers in [-1, 1).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(99);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

impl File {
    /// Random tensors for an architecture: batch normalisation where there is a ReLU.
    fn new(layers: Value) -> Self {
        let architecture = json!({
            "schema": 1, "name": "tiny", "classes": ["cat", "dog", "eel"],
            "input": {"channels": 3, "side": 7, "resize": 8, "mean": [0.5, 0.5, 0.5],
                      "std": [0.25, 0.25, 0.25]},
            "layers": layers,
        });
        let mut file = Self {
            tensors: BTreeMap::new(),
            architecture,
        };
        let mut random = Random(3);
        for (i, layer) in file.network().layers.iter().enumerate() {
            let [inputs, outputs] = layer.channels.map(|c| c as usize);
            let (inputs, side) = (inputs / layer.groups as usize, layer.kernel as usize);
            let fan_in = (inputs * side * side) as f32;
            let mut add = |part: &str, shape: &[usize], size: f32, middle: f32| {
                let count = shape.iter().product();
                let values = (0..count).map(|_| middle + size * random.next());
                let name = format!("layers.{i}.{part}");
                file.tensors.insert(name, (shape.into(), values.collect()));
            };
            let shape = [outputs, inputs, side, side];
            add("convolution.weight", &shape, (3.0 / fan_in).sqrt(), 0.0);
            if layer.relu {
                add("norm.weight", &[outputs], 0.5, 1.0);
                add("norm.bias", &[outputs], 0.3, 0.1);
                add("norm.running_mean", &[outputs], 0.2, 0.0);
                add("norm.running_var", &[outputs], 0.5, 1.0);
            } else {
                add("convolution.bias", &[outputs], 0.5, 0.0);
            }
        }
        file
    }

    /// A stem; a shuffled Cross Kernel with a residual; a projection that is not truncated, and
    /// what it is added to; a classifier.
    fn sound() -> Self {
        Self::new(json!([
            {"name": "stem", "input": "image", "channels": [3, 8], "kernel": 3, "stride": 2,
             "padding": 1, "relu": true},
            {"name": "mix", "input": "stem", "channels": [8, 8], "kernel": 3, "cross": true,
             "padding": 1, "groups": 2, "shuffle": 4, "skip": {"from": "stem"}, "relu": true},
            {"name": "side", "input": "mix", "channels": [8, 12], "kernel": 1, "pool": 2,
             "relu": false},
            {"name": "join", "input": "mix", "channels": [8, 12], "kernel": 2, "stride": 2,
             "groups": 4, "shuffle": 2, "skip": {"from": "side"}, "relu": true, "max_abs": 7},
            {"name": "fc", "input": "join", "channels": [12, 3], "kernel": 1, "pool": true,
             "shuffle": 3, "relu": false},
        ]))
    }

    fn network(&self) -> Network {
        architecture::parse(&self.architecture.to_string(), None).unwrap()
    }

    fn values(&mut self, name: &str) -> &mut [f32] {
        &mut self.tensors.get_mut(name).unwrap().1
    }

    fn bytes(&self, extra: Option<(&str, Dtype, &[u8])>) -> Vec<u8> {
        let raw = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let bytes: Vec<Vec<u8>> = self.tensors.values().map(|(_, v)| raw(v)).collect();
        let mut views: Vec<(&str, TensorView<'_>)> = Vec::new();
        for ((name, (shape, _)), bytes) in self.tensors.iter().zip(&bytes) {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
            views.push((name, view));
        }
        if let Some((name, dtype, bytes)) = extra {
            views.push((name, TensorView::new(dtype, vec![], bytes).unwrap()));
        }
        safetensors::serialize(views, None::<HashMap<_, _>>).unwrap()
    }

    fn read(&self) -> Result<Trained, ImportError> {
        Trained::read(&self.bytes(None), &self.architecture.to_string(), None)
    }

    fn import(&self) -> Result<Imported, ImportError> {
        self.read()?.import(&Images {
            count: 50,
            tensor: &|i| Ok(image(i)),
        })
    }
}

/// An image's integers, at 64 per standard deviation.
fn image(i: usize) -> Vec<i32> {
    let mut random = Random(i as u64 + 1000);
    (0..3 * 7 * 7)
        .map(|_| (128.0 * random.next()) as i32)
        .collect()
}

/// A tensor as nested lists: [channel][row][col].
type Maps = Vec<Vec<Vec<f64>>>;

/// y of layer `index`, with the normalisation as its own step and the corners masked.
fn forward(file: &File, index: usize, layer: &Layer, x: &Maps, skip: Option<&Maps>) -> Maps {
    let tensor = |part: &str, i: usize| {
        let tensor = file.tensors.get(&format!("layers.{index}.{part}"));
        tensor.map(|(_, values)| f64::from(values[i]))
    };
    // The shuffle: [G, c/G] is transposed.
    let (groups, rows) = (layer.shuffle as usize, x.len() / layer.shuffle as usize);
    let shuffled: Maps = (0..rows)
        .flat_map(|a| (0..groups).map(move |b| x[b * rows + a].clone()))
        .collect();
    let pool = match layer.pool {
        Pool::Map(false) => 1,
        Pool::Map(true) => x[0].len(),
        Pool::Window(side) => side as usize,
    };
    let side = x[0].len() / pool;
    let mean = |map: &Vec<Vec<f64>>, r: usize, c: usize| {
        let rows = map[r * pool..][..pool].iter();
        let sum: f64 = rows.flat_map(|row| &row[c * pool..][..pool]).sum();
        sum / (pool * pool) as f64
    };
    let pixel = |channel: usize, r: i64, c: i64| {
        let inside = |i: i64| (0..side as i64).contains(&i);
        match inside(r) && inside(c) {
            true => mean(&shuffled[channel], r as usize, c as usize),
            false => 0.0,
        }
    };
    let [inputs, outputs] = layer.channels.map(|c| c as usize);
    let (inputs, outputs_each) = (
        inputs / layer.groups as usize,
        outputs / layer.groups as usize,
    );
    let (kernel, stride, padding) = (
        layer.kernel as usize,
        layer.stride as i64,
        layer.padding as i64,
    );
    let out_side = (side as i64 + 2 * padding - kernel as i64) / stride + 1;
    let sum = |out: usize, r: i64, c: i64| {
        let mut y = tensor("convolution.bias", out).unwrap_or(0.0);
        for n in 0..inputs * kernel * kernel {
            let (channel, i, j) = (n / kernel / kernel, n / kernel % kernel, n % kernel);
            if !layer.cross || i == 1 || j == 1 {
                let place = out * inputs * kernel * kernel + n;
                let source = out / outputs_each * inputs + channel;
                let (r, c) = (r * stride + i as i64, c * stride + j as i64);
                let x = pixel(source, r - padding, c - padding);
                y += tensor("convolution.weight", place).unwrap() * x;
            }
        }
        if let Some(mean) = tensor("norm.running_mean", out) {
            let variance = tensor("norm.running_var", out).unwrap() + 1e-5;
            let normal = (y - mean) / variance.sqrt();
            y = normal * tensor("norm.weight", out).unwrap() + tensor("norm.bias", out).unwrap();
        }
        y + skip.map_or(0.0, |skip| skip[out][r as usize][c as usize])
    };
    let row = |out, r| (0..out_side).map(|c| sum(out, r, c)).collect();
    let map = |out| (0..out_side).map(|r| row(out, r)).collect();
    (0..outputs).map(map).collect()
}

/// The float logits of an image, less their mean.
fn logits(file: &File, image: &[i32]) -> Vec<f64> {
    let network = file.network();
    let row = |row: &[i32]| row.iter().map(|&v| f64::from(v) / 64.0).collect();
    let map = |map: &[i32]| map.chunks(7).map(row).collect();
    let mut outputs: HashMap<String, Maps> = HashMap::new();
    outputs.insert(IMAGE.into(), image.chunks(49).map(map).collect());
    let mut logits = Vec::new();
    for (i, layer) in network.layers.iter().enumerate() {
        let skip = layer.skip.as_ref().map(|skip| &outputs[&skip.from]);
        let mut y = forward(file, i, layer, &outputs[&layer.input], skip);
        logits = y.iter().map(|map| map[0][0]).collect();
        if layer.relu {
            y.iter_mut()
                .flatten()
                .flatten()
                .for_each(|y| *y = y.max(0.0));
        }
        outputs.insert(layer.name.clone(), y);
    }
    let mean = logits.iter().sum::<f64>() / logits.len() as f64;
    logits.iter().map(|logit| logit - mean).collect()
}

/// Largest difference between imported and float logits, on images that were not calibrated on,
/// as a part of the float logits' root mean square.
fn error(file: &File, model: &Model) -> f64 {
    let (mut largest, mut squares) = (0.0f64, 0.0);
    for i in 100..120 {
        let trace = reference::checked(model, &image(i)).unwrap();
        let integers = trace.logits().iter().map(|&l| f64::from(l));
        let float = logits(file, &image(i));
        for (integer, float) in integers.zip(&float) {
            largest = largest.max((integer / f64::from(model.logit_scale) - float).abs());
            squares += float * float;
        }
    }
    largest / (squares / 60.0).sqrt()
}

#[test]
fn imported_logits_are_the_float_ones() {
    let file = File::sound();
    let imported = file.import().unwrap();
    let model = &imported.model;
    let error = error(&file, model);
    assert!(error < 0.03, "{error}");
    let factor = |i: usize| model.layers[i].layer.skip.unwrap().factor;
    assert_eq!((factor(1), factor(3)), (256, 1));
    for layer in &model.layers {
        // The range is used, and sums that a residual joins share their scale.
        let max_abs = layer.bound.max_abs.unwrap() as i64;
        assert!(
            (1000..=layer.bound.allowed.high).contains(&max_abs),
            "{layer:?}"
        );
    }
    assert_eq!(imported.bytes, file.import().unwrap().bytes);
}

#[test]
fn a_skip_from_the_image_has_an_integer_factor() {
    let file = File::new(json!([
        {"name": "stem", "input": "image", "channels": [3, 3], "kernel": 3, "padding": 1,
         "skip": {"from": "image"}, "relu": true},
        {"name": "fc", "input": "stem", "channels": [3, 3], "kernel": 7, "relu": false},
    ]));
    let model = file.import().unwrap().model;
    assert!(model.layers[0].layer.skip.unwrap().factor > 256);
    let error = error(&file, &model);
    assert!(error < 0.06, "{error}");
}

/// Sums that are not truncated share the range with the weights that read them: few bits each.
#[test]
fn bottlenecks_leave_range_to_their_readers() {
    let file = File::new(json!([
        {"name": "stem", "input": "image", "channels": [3, 8], "kernel": 3, "relu": true},
        {"name": "linear", "input": "stem", "channels": [8, 4], "kernel": 1, "relu": false},
        {"name": "fc", "input": "linear", "channels": [4, 3], "kernel": 5, "relu": false},
    ]));
    let model = file.import().unwrap().model;
    assert!(model.layers[1].bound.max_abs.unwrap() < 1 << 16);
    let error = error(&file, &model);
    assert!(error < 0.6, "{error}");
}

macro_rules! assert_refused {
    ($result:expr, $pattern:pat, $($part:expr),+) => {{
        let error = $result.err().expect("it was accepted");
        assert!(matches!(&error, $pattern), "{error:?}");
        let text = error.to_string();
        $(assert!(text.contains($part), "{text:?} lacks {:?}", $part);)+
    }};
}

#[test]
fn tensors_must_be_those_of_the_layers() {
    let without = |names: &[&str]| {
        let mut file = File::sound();
        names
            .iter()
            .for_each(|name| drop(file.tensors.remove(*name)));
        file.read()
    };
    let (weight, variance) = ("layers.2.convolution.weight", "layers.1.norm.running_var");
    assert_refused!(
        without(&[weight]),
        ImportError::Missing { .. },
        "side",
        weight
    );
    assert_refused!(
        without(&[variance]),
        ImportError::Missing { .. },
        "mix",
        variance
    );
    let bias = "layers.4.convolution.bias";
    assert_refused!(without(&[bias]), ImportError::NoBias { .. }, "fc", bias);

    let mut file = File::sound();
    let weight = "layers.1.convolution.weight";
    file.tensors.get_mut(weight).unwrap().0 = vec![8, 4, 9];
    assert_refused!(
        file.read(),
        ImportError::TensorShape { .. },
        "mix",
        "[8, 4, 9]",
        "[8, 4, 3, 3]"
    );
    let mut file = File::sound();
    file.tensors
        .insert("layers.5.norm.bias".into(), (vec![1], vec![0.0]));
    assert_refused!(file.read(), ImportError::Surplus(_), "layers.5.norm.bias");

    let mut file = File::sound();
    let text = file.architecture.to_string();
    let steps = ("layers.1.norm.num_batches_tracked", Dtype::I64, &[0; 8][..]);
    Trained::read(&file.bytes(Some(steps)), &text, None).unwrap();
    file.tensors.remove(variance);
    let integers = (variance, Dtype::I64, &[0; 8][..]);
    let read = Trained::read(&file.bytes(Some(integers)), &text, None);
    assert_refused!(read, ImportError::TensorShape { .. }, "mix", "I64", "F32");
    let read = Trained::read(b"nothing", &text, None);
    assert_refused!(read, ImportError::Container(_), "safetensors");
}

#[test]
fn values_must_be_numbers() {
    let with = |name: &str, value: f32| {
        let mut file = File::sound();
        file.values(name)[2] = value;
        file.read()
    };
    let weight = "layers.0.convolution.weight";
    assert_refused!(
        with(weight, f32::NAN),
        ImportError::Value { index: 2, .. },
        "stem",
        weight,
        "NaN"
    );
    assert_refused!(
        with(weight, f32::INFINITY),
        ImportError::Value { .. },
        "stem",
        "inf"
    );
    let variance = "layers.3.norm.running_var";
    assert_refused!(
        with(variance, -1.0),
        ImportError::Value { .. },
        "join",
        variance,
        "0 or more"
    );
}

#[test]
fn architectures_must_follow_the_schema() {
    let with = |pointer: &str, value: Value| {
        let mut file = File::sound();
        *file.architecture.pointer_mut(pointer).unwrap() = value;
        Trained::read(&[], &file.architecture.to_string(), None)
    };
    assert_refused!(
        with("/layers/1/kernel", json!("x")),
        ImportError::Layer { .. },
        "layer mix"
    );
    assert_refused!(
        with("/layers/1/name", json!(5)),
        ImportError::Layer { .. },
        "layer number 1"
    );
    assert_refused!(
        with("/layers/3/input", json!("fc")),
        ImportError::Model(_),
        "join",
        "fc"
    );
    assert_refused!(
        with("/input", json!(5)),
        ImportError::Architecture(_),
        "schema"
    );
    assert_refused!(
        with("/schema", json!(2)),
        ImportError::Model(ModelError::Schema { .. }),
        "2"
    );
    let text = File::sound().architecture.to_string();
    let read = Trained::read(&[], &text, Some(13));
    assert_refused!(
        read,
        ImportError::Model(ModelError::Field { .. }),
        "shift",
        "13"
    );
    assert_eq!(architecture::parse(&text, Some(10)).unwrap().shift, 10);
}

#[test]
fn sums_must_fit() {
    let mut file = File::sound();
    file.values("layers.0.norm.weight").fill(0.0);
    file.values("layers.0.norm.bias").fill(0.0);
    assert_refused!(file.import(), ImportError::Silent { .. }, "stem");
    let mut file = File::sound();
    file.values("layers.1.convolution.weight").fill(f32::MAX);
    assert_refused!(file.import(), ImportError::Infinite { .. }, "mix");

    // Two channels that are equal, and a layer that takes far too much of their difference.
    let mut file = File::sound();
    file.values("layers.0.convolution.weight")
        .copy_within(..27, 27);
    for part in ["weight", "bias", "running_mean", "running_var"] {
        file.values(&format!("layers.0.norm.{part}"))
            .copy_within(..1, 1);
    }
    file.architecture["layers"][2]["input"] = json!("stem");
    let side = file.values("layers.2.convolution.weight");
    (side[0], side[1]) = (1e5, -1e5);
    let too_large = file.import();
    assert_refused!(
        too_large,
        ImportError::Model(ModelError::TooLarge { .. }),
        "side.weight"
    );

    let trained = File::sound().read().unwrap();
    let none = Images {
        count: 0,
        tensor: &|i| Ok(image(i)),
    };
    assert_refused!(trained.import(&none), ImportError::NoImages, "images");
}
