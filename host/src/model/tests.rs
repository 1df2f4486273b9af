//! Every refusal, by breaking a small model file in one place at a time.

use std::path::Path;

use std::collections::{BTreeMap, HashMap};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::schema::Network;
use super::*;

/// A model file in parts.
#[derive(Clone)]
struct File {
    architecture: Value,
    tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
}

impl File {
    /// A stem, a Cross Kernel with a residual, and a classifier.
    fn sound() -> Self {
        let mut file = Self {
            architecture: json!({
                "schema": 1,
                "name": "tiny",
                "classes": ["cat", "dog"],
                "input": {"channels": 3, "side": 7, "resize": 8, "mean": [0.5, 0.5, 0.5],
                          "std": [0.25, 0.25, 0.25], "scale": 64},
                "shift": 8,
                "logit_scale": 1024,
                "layers": [
                    {"name": "stem", "input": "image", "channels": [3, 4], "kernel": 3,
                     "cross": false, "stride": 2, "padding": 0, "groups": 1, "shuffle": 1,
                     "pool": false, "skip": null, "relu": true, "max_abs": null},
                    {"name": "mix", "input": "stem", "channels": [4, 4], "kernel": 3,
                     "cross": true, "stride": 1, "padding": 1, "groups": 2, "shuffle": 2,
                     "pool": false, "skip": {"from": "stem", "factor": 256}, "relu": true,
                     "max_abs": 500000, "repeat": 2, "tile": 0},
                    {"name": "fc", "input": "mix", "channels": [4, 2], "kernel": 1,
                     "pool": true, "relu": false},
                ],
            }),
            tensors: BTreeMap::new(),
        };
        for (name, weight, bias) in [
            ("stem", vec![4, 3, 3, 3], 4),
            ("mix", vec![4, 2, 5], 4),
            ("fc", vec![2, 4, 1, 1], 2),
        ] {
            let count = weight.iter().product();
            file.weight(name, weight, &vec![-3; count]);
            file.bias(name, &vec![128; bias]);
        }
        file
    }

    fn weight(&mut self, layer: &str, shape: Vec<usize>, values: &[i16]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let name = format!("{layer}.weight");
        self.tensors.insert(name, (Dtype::I16, shape, bytes));
    }

    fn bias(&mut self, layer: &str, values: &[i32]) {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let name = format!("{layer}.bias");
        let tensor = (Dtype::I32, vec![values.len()], bytes);
        self.tensors.insert(name, tensor);
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_with(HashMap::from([(
            "stria".into(),
            self.architecture.to_string(),
        )]))
    }

    fn bytes_with(&self, metadata: HashMap<String, String>) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, (dtype, shape, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
            (name, view)
        });
        safetensors::serialize(views, Some(metadata)).unwrap()
    }

    fn load(&self) -> Result<Model, ModelError> {
        Model::from_bytes(&self.bytes())
    }
}

/// The error of the sound file after `break_it`.
fn refused(break_it: impl FnOnce(&mut File)) -> ModelError {
    let mut file = File::sound();
    break_it(&mut file);
    file.load().expect_err("a broken file was accepted")
}

/// The error after the field at `pointer` of the architecture was set.
fn refused_with(pointer: &str, value: Value) -> ModelError {
    refused(|file| set(file, pointer, value))
}

fn set(file: &mut File, pointer: &str, value: Value) {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = file.architecture.pointer_mut(parent).unwrap();
    match field.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[field] = value,
    }
}

macro_rules! assert_refused {
    ($error:expr, $pattern:pat $(if $guard:expr)?, $($part:expr),+) => {{
        let error = $error;
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
        let text = error.to_string();
        $(assert!(text.contains($part), "{text:?} lacks {:?}", $part);)+
    }};
}

#[test]
fn a_sound_file_loads() {
    let model = File::sound().load().unwrap();
    assert_eq!(model.layers.len(), 3);
    assert_eq!(model.activations(), 2 * 4 * 9);
    assert_eq!(model.parameters(), 108 + 4 + 40 + 4 + 8 + 2);
    assert_eq!(model.tensor_shape(0), [3, 7, 7]);
    assert_eq!(model.tensor_shape(2), [4, 3, 3]);
    assert_eq!(model.tensor_name(0), "image");
    assert_eq!(model.tensor_name(3), "fc");
    let [stem, mix, fc] = &model.layers[..] else {
        panic!("three layers");
    };
    assert_eq!(stem.bound.evidence, Evidence::Proved);
    // 27 weights of -3, pixels between -128 and 128.
    assert_eq!(
        stem.bound.worst,
        Range {
            low: 128 - 27 * 3 * 128,
            high: 128 + 27 * 3 * 128
        }
    );
    assert_eq!(mix.bound.evidence, Evidence::Calibrated);
    assert_eq!(
        mix.bound.worst,
        Range {
            low: 128 - 10 * 3 * 2047,
            high: 128 + 256 * 2047
        }
    );
    assert_eq!((mix.layer.repeat, mix.layer.input), (2, 1));
    assert_eq!(fc.bound.evidence, Evidence::Proved);
    assert_eq!(fc.bound.worst.low, 128 - 4 * 3 * 2047 * 9);
    assert_eq!(fc.activations(), 0);
}

#[test]
fn integers_in_memory_are_checked_too() {
    let file = File::sound();
    let network: Network = serde_json::from_value(file.architecture.clone()).unwrap();
    let integers: Vec<Integers> = file
        .load()
        .unwrap()
        .layers
        .into_iter()
        .map(|layer| Integers {
            weights: layer.weights,
            bias: layer.bias,
        })
        .collect();
    let model = Model::new(network.clone(), integers.clone()).unwrap();
    assert_eq!(model.activations(), 72);

    let fewer = integers[..2].to_vec();
    let error = Model::new(network.clone(), fewer).unwrap_err();
    assert_refused!(error, ModelError::MissingTensor(_), "fc.weight");
    let more = [&integers[..], &integers[..1]].concat();
    let error = Model::new(network.clone(), more).unwrap_err();
    assert_refused!(error, ModelError::SurplusTensor(_), "belongs to no layer");
    let mut short = integers;
    short[1].bias.pop();
    let error = Model::new(network, short).unwrap_err();
    assert_refused!(
        error,
        ModelError::TensorShape { .. },
        "mix.bias",
        "[3]",
        "[4]"
    );
}

#[test]
fn files_that_are_not_safetensors_are_refused() {
    let bytes = File::sound().bytes();
    for broken in [
        &b""[..],
        b"not a model file at all",
        &bytes[..bytes.len() - 1],
    ] {
        let error = Model::from_bytes(broken).unwrap_err();
        assert_refused!(error, ModelError::Container(_), "safetensors");
    }
    let error = Model::from_bytes(&File::sound().bytes_with(HashMap::new())).unwrap_err();
    assert_refused!(error, ModelError::NoArchitecture("stria"), "stria");
    let error = Model::load(Path::new("no/such/model.safetensors")).unwrap_err();
    assert_refused!(error, ModelError::Read { .. }, "no/such/model.safetensors");
}

#[test]
fn architectures_that_are_not_the_schema_are_refused() {
    for text in ["", "{", "[]", "{\"schema\":1}", "{\"schema\":\"one\"}"] {
        let metadata = HashMap::from([("stria".into(), text.into())]);
        let error = Model::from_bytes(&File::sound().bytes_with(metadata)).unwrap_err();
        assert_refused!(error, ModelError::Json(_), "schema");
    }
    for (pointer, value) in [
        ("/surprise", json!(1)),
        ("/layers/0/surprise", json!(1)),
        ("/layers/0/stride", json!(-1)),
        ("/layers/0/stride", json!(1.5)),
        ("/layers/0/relu", json!(null)),
        ("/layers/0/channels", json!([3, 4, 5])),
        ("/input/scale", json!("64")),
    ] {
        assert_refused!(refused_with(pointer, value), ModelError::Json(_), "schema");
    }
    let newer = refused_with("/schema", json!(2));
    assert_refused!(newer, ModelError::Schema { found: 2, .. }, "version 2");
    // One in memory is held to the same.
    let mut newer: Network = serde_json::from_value(File::sound().architecture).unwrap();
    newer.schema = 2;
    let refused = [
        Model::new(newer.clone(), vec![]).map(|_| ()),
        to_bytes(&newer, &[]).map(|_| ()),
        shapes(&newer).map(|_| ()),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert_refused!(error, ModelError::Schema { found: 2, .. }, "version 2");
    }
    assert_refused!(
        refused_with("/layers", json!([])),
        ModelError::NoLayers,
        "no layers"
    );
}

#[test]
fn names_must_be_unique() {
    for name in ["stem", "image", ""] {
        let error = refused_with("/layers/1/name", json!(name));
        assert_refused!(error, ModelError::Name { what: "layer", .. }, "layer");
    }
    for name in ["dog", ""] {
        let error = refused_with("/classes/0", json!(name));
        assert_refused!(error, ModelError::Name { what: "class", .. }, "class");
    }
    let error = refused_with("/name", json!(""));
    assert_refused!(
        error,
        ModelError::Name {
            what: "network",
            ..
        },
        "network"
    );
}

/// An error shows them as a terminal can.
#[test]
fn names_must_be_printable() {
    for bad in [
        '\u{1b}',
        '\u{202e}',
        '\u{200b}',
        '\u{2028}',
        '\u{ad}',
        '\u{feff}',
        '\u{e0001}',
    ] {
        for pointer in ["/name", "/classes/0", "/layers/1/name"] {
            let error = refused_with(pointer, json!(format!("a{bad}b")));
            assert_refused!(error, ModelError::Name { .. }, "a\u{fffd}b");
        }
    }
}

#[test]
fn numbers_must_be_in_range() {
    for (pointer, value, field) in [
        ("/shift", json!(7), "shift"),
        ("/shift", json!(13), "shift"),
        ("/logit_scale", json!(0), "logit_scale"),
        ("/logit_scale", json!(1e39), "logit_scale"),
        ("/input/channels", json!(2), "channels"),
        ("/input/side", json!(0), "side"),
        ("/input/side", json!(2000), "side"),
        ("/input/resize", json!(6), "resize"),
        ("/input/resize", json!(1025), "resize"),
        ("/input/mean", json!([0.5, 0.5]), "mean"),
        ("/input/mean/1", json!(-1e39), "mean"),
        ("/input/std", json!([]), "std"),
        ("/input/std/2", json!(0), "std"),
        ("/input/std/2", json!(-0.25), "std"),
        ("/input/std/0", json!(1e39), "std"),
        ("/input/scale", json!(0), "scale"),
        ("/input/scale", json!(1e39), "scale"),
        ("/input/scale", json!(1e6), "scale"),
    ] {
        let error = refused_with(pointer, value);
        assert_refused!(&error, ModelError::Field { field: f, .. } if *f == field, field);
    }
    for (field, value) in [
        ("kernel", json!(0)),
        ("kernel", json!(256)),
        ("stride", json!(0)),
        ("stride", json!(300)),
        ("padding", json!(300)),
        ("groups", json!(0)),
        ("groups", json!(70_000)),
        ("shuffle", json!(0)),
        ("repeat", json!(0)),
        ("tile", json!(70_000)),
        ("channels", json!([3, 0])),
        ("channels", json!([3, 70_000])),
    ] {
        let error = refused_with(&format!("/layers/0/{field}"), value);
        assert_refused!(error, ModelError::Field { .. }, "stem");
    }
    for factor in [0, 1 << 19] {
        let error = refused_with("/layers/1/skip/factor", json!(factor));
        assert_refused!(error, ModelError::Field { .. }, "mix", "skip factor");
    }
    let error = refused_with("/layers/1/kernel", json!(5));
    assert_refused!(error, ModelError::Field { .. }, "mix", "cross", "5");
}

#[test]
fn tensors_must_be_known_and_fit() {
    for name in ["nothing", "mix", "fc"] {
        let error = refused_with("/layers/1/input", json!(name));
        let expected = matches!(&error, ModelError::UnknownTensor { what: "input", .. });
        assert!(expected, "{error:?}");
        assert!(error.to_string().contains(name));
        let error = refused_with("/layers/1/skip/from", json!(name));
        let expected = matches!(&error, ModelError::UnknownTensor { what: "skip", .. });
        assert!(expected, "{error:?}");
    }
    let error = refused_with("/layers/2/channels/0", json!(8));
    assert_refused!(
        error,
        ModelError::InputChannels { .. },
        "fc",
        "mix",
        "8",
        "4"
    );
    let error = refused_with("/layers/1/skip/from", json!("image"));
    assert_refused!(
        error,
        ModelError::SkipShape { .. },
        "mix",
        "[3, 7]",
        "[4, 3]"
    );
    let error = refused_with("/layers/1/channels/1", json!(8));
    assert_refused!(
        error,
        ModelError::SkipShape { .. },
        "mix",
        "[4, 3]",
        "[8, 3]"
    );
}

#[test]
fn layers_that_cannot_be_packed_are_refused() {
    for (pointer, value) in [
        ("/layers/0/stride", json!(5)),
        ("/layers/0/kernel", json!(8)),
        ("/layers/0/padding", json!(3)),
        ("/layers/0/groups", json!(2)),
        ("/layers/0/repeat", json!(3)),
        ("/layers/0/repeat", json!(4096)),
        ("/layers/0/shuffle", json!(2)),
        ("/layers/0/tile", json!(4)),
        ("/layers/1/padding", json!(3)),
        ("/layers/1/groups", json!(8)),
        ("/layers/2/kernel", json!(2)),
    ] {
        let error = refused_with(pointer, value);
        assert!(
            matches!(&error, ModelError::Layout { .. }),
            "{pointer}: {error:?}"
        );
    }
    // A map that does not fit: the whole map of 1024 x 1024 in one ciphertext.
    let error = refused(|file| {
        set(file, "/input/side", json!(1024));
        set(file, "/input/resize", json!(1024));
        set(file, "/layers/0/tile", json!(0));
    });
    assert_refused!(error, ModelError::Layout { .. }, "stem", "fit");
}

#[test]
fn the_last_layer_gives_logits() {
    let error = refused_with("/layers/2/relu", json!(true));
    assert_refused!(error, ModelError::Logits { .. }, "fc");
    let error = refused_with("/layers/2/pool", json!(false));
    assert_refused!(error, ModelError::Classes { .. }, "fc", "[2, 3]");
    let error = refused_with("/classes", json!(["cat"]));
    assert_refused!(
        error,
        ModelError::Classes { classes: 1, .. },
        "fc",
        "[2, 1]"
    );
}

#[test]
fn tensors_must_be_exactly_those_of_the_layers() {
    for name in ["stem.weight", "mix.bias"] {
        let error = refused(|file| {
            file.tensors.remove(name);
        });
        assert_refused!(&error, ModelError::MissingTensor(found) if found == name, name);
    }
    let error = refused(|file| file.bias("other", &[1]));
    assert_refused!(error, ModelError::SurplusTensor(_), "other.bias");
    let error = refused(|file| file.bias("mix", &[0; 5]));
    assert_refused!(
        error,
        ModelError::TensorShape { .. },
        "mix.bias",
        "[5]",
        "[4]"
    );
    // A cross as a square, a square as a cross, a transposed kernel.
    let error = refused(|file| file.weight("mix", vec![4, 2, 3, 3], &[0; 72]));
    assert_refused!(
        error,
        ModelError::TensorShape { .. },
        "mix.weight",
        "[4, 2, 5]"
    );
    let error = refused(|file| file.weight("stem", vec![4, 3, 5], &[0; 60]));
    assert_refused!(
        error,
        ModelError::TensorShape { .. },
        "stem.weight",
        "[4, 3, 3, 3]"
    );
    let error = refused(|file| file.weight("fc", vec![4, 2, 1, 1], &[0; 8]));
    assert_refused!(
        error,
        ModelError::TensorShape { .. },
        "fc.weight",
        "[2, 4, 1, 1]"
    );
    let error = refused(|file| {
        let bytes = vec![0; 16];
        let tensor = (Dtype::F32, vec![4], bytes);
        file.tensors.insert("mix.bias".into(), tensor);
    });
    assert_refused!(
        error,
        ModelError::TensorShape { .. },
        "mix.bias",
        "F32",
        "I32"
    );
}

#[test]
fn values_that_are_too_large_are_refused() {
    let error = refused(|file| file.bias("mix", &[0, 0, -(1 << 19), 0]));
    assert_refused!(
        error,
        ModelError::TooLarge { index: 2, .. },
        "mix.bias",
        "-524288"
    );
    let error = refused(|file| file.bias("fc", &[i32::MIN, 0]));
    assert_refused!(error, ModelError::TooLarge { index: 0, .. }, "fc.bias");
    let error = refused(|file| file.weight("fc", vec![2, 4, 1, 1], &[i16::MIN; 8]));
    assert_refused!(error, ModelError::TooLarge { .. }, "fc.weight", "-32768");
    // 4 channels of 9 pixels of 2047 at 32767 are 2.4e9; a calibration does not help.
    let error = refused(|file| {
        file.weight("fc", vec![2, 4, 1, 1], &[i16::MAX; 8]);
        set(file, "/layers/2/max_abs", json!(1000));
    });
    assert_refused!(error, ModelError::Accumulator { .. }, "fc", "32 bits");
}

#[test]
fn ranges_must_be_proved_or_calibrated() {
    let error = refused_with("/layers/1/max_abs", json!(null));
    assert_refused!(error, ModelError::NotCalibrated { .. }, "mix", "524160");
    // -2^19 + 2^12 + 2^8 is the smallest sum that every comparison handles.
    let most = (1 << 19) - (1 << 12) - (1 << 8);
    let error = refused_with("/layers/1/max_abs", json!(most + 1));
    assert_refused!(error, ModelError::Calibration { .. }, "mix", "519937");
    let error = refused_with("/layers/1/max_abs", json!(u64::MAX));
    assert_refused!(error, ModelError::Calibration { .. }, "mix");
    let mut file = File::sound();
    set(&mut file, "/layers/1/max_abs", json!(most));
    file.load().unwrap();

    // Logits may be larger: weights of 8 reach 589,664.
    let wide = |max_abs: Value| {
        let mut file = File::sound();
        file.weight("fc", vec![2, 4, 1, 1], &[8; 8]);
        set(&mut file, "/layers/2/max_abs", max_abs);
        file.load()
    };
    let error = wide(json!(null)).unwrap_err();
    assert_refused!(error, ModelError::NotCalibrated { .. }, "fc", "589664");
    wide(json!((1 << 19) - 1)).unwrap();
    let error = wide(json!(1 << 19)).unwrap_err();
    assert_refused!(error, ModelError::Calibration { .. }, "fc");
}
