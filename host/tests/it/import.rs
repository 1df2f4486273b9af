//! `stria import` as a user runs it: from a float checkpoint to a model that classifies.

use std::collections::HashMap;

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use stria_host::data::bundle;

use super::command::{Folder, failure, json, stria};

/// A stem with batch normalisation and a classifier of ten classes.
fn architecture() -> Value {
    json!({
        "schema": 1, "name": "own", "shift": 9,
        "classes": ["airplane", "automobile", "bird", "cat", "deer",
                    "dog", "frog", "horse", "ship", "truck"],
        "input": {"channels": 3, "side": 15, "resize": 16, "mean": [0.5, 0.5, 0.5],
                  "std": [0.25, 0.25, 0.25]},
        "layers": [
            {"name": "stem", "input": "image", "channels": [3, 8], "kernel": 3, "stride": 2,
             "relu": true},
            {"name": "fc", "input": "stem", "channels": [8, 10], "kernel": 1, "pool": true,
             "relu": false},
        ],
    })
}

/// The checkpoint, without one of its tensors if it is named.
fn checkpoint(without: &str) -> Vec<u8> {
    let shapes: [(&str, &[usize]); 7] = [
        ("layers.0.convolution.weight", &[8, 3, 3, 3]),
        ("layers.0.norm.weight", &[8]),
        ("layers.0.norm.bias", &[8]),
        ("layers.0.norm.running_mean", &[8]),
        ("layers.0.norm.running_var", &[8]),
        ("layers.1.convolution.weight", &[10, 8, 1, 1]),
        ("layers.1.convolution.bias", &[10]),
    ];
    let values = |(name, shape): (&'static str, &'static [usize])| {
        let wave = |i: usize| (i as f32 * 1.7).sin() * 0.5;
        let variance = name.ends_with("running_var");
        let count: usize = shape.iter().product();
        let values = (0..count).map(|i| if variance { 1.0 } else { wave(i) });
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        (name, shape, bytes)
    };
    let tensors = shapes.map(values);
    let kept = tensors.iter().filter(|(name, ..)| *name != without);
    let views = kept.map(|(name, shape, bytes)| {
        (
            name,
            TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None::<HashMap<_, _>>).unwrap()
}

/// The files of the test, and what the command is given.
struct Files(Folder);

impl Files {
    fn path(&self, name: &str) -> String {
        self.0.0.join(name).to_str().unwrap().into()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Calls `run` with the arguments of an import.
    fn import<T>(
        &self,
        weights: &str,
        images: &str,
        more: &[&str],
        run: impl FnOnce(&[&str]) -> T,
    ) -> T {
        let [weights, images, net, out] =
            [weights, images, "net.json", "out.safetensors"].map(|name| self.path(name));
        let arguments = [
            "import",
            "--weights",
            &weights,
            "--architecture",
            &net,
            "--images",
            &images,
            "--out",
            &out,
        ];
        run(&[&arguments[..], more].concat())
    }
}

#[test]
fn a_checkpoint_becomes_a_model_that_classifies() {
    let files = Files(Folder::new("import"));
    files.write("float", &checkpoint(""));
    files.write("net.json", architecture().to_string().as_bytes());
    for folder in ["pictures", "classes/cat", "empty"] {
        std::fs::create_dir_all(files.path(folder)).unwrap();
    }
    for (i, sample) in bundle::samples().unwrap().iter().enumerate() {
        for folder in ["pictures", "classes/cat"] {
            std::fs::copy(sample, files.path(&format!("{folder}/{i}.png"))).unwrap();
        }
    }

    let report = files.import("float", "pictures", &["--json"], json);
    assert_eq!(
        (&report["images"], &report["shift"]),
        (&json!(20), &json!(9))
    );
    let out = files.path("out.safetensors");
    assert_eq!(report["bytes"], std::fs::read(&out).unwrap().len());
    let inspected = json(&["inspect", &out, "--json"]);
    assert_eq!(inspected["name"], "own");
    for i in [0, 1] {
        let (layer, inspected) = (&report["layers"][i], &inspected["layers"][i]);
        assert_eq!(layer["name"], inspected["name"]);
        assert_eq!(layer["max_abs"], inspected["bound"]["max_abs"]);
        assert!(layer["max_abs"].as_u64() <= layer["allowed"].as_u64());
    }
    let classes = files.path("classes");
    let eval = json(&["eval", "--model", &out, "--data", &classes, "--json"]);
    assert_eq!(
        (&eval["images"], &eval["out_of_range"]),
        (&json!(20), &json!(0))
    );

    // Again, from subfolders, in words; and with another shift.
    let shown = files.import("float", "classes", &["--limit", "5"], stria);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for part in ["stem", "fc", "calibrated on 5 images"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let ten = files.import("float", "pictures", &["--shift", "10", "--json"], json);
    assert_eq!(ten["shift"], 10);

    let said = files.import("float", "empty", &[], failure);
    assert!(said.contains("holds no images"), "{said}");
    let said = files.import("no-such-file", "pictures", &[], failure);
    assert!(said.contains("no-such-file"), "{said}");
    let missing = "layers.0.norm.running_mean";
    files.write("part", &checkpoint(missing));
    let said = files.import("part", "pictures", &[], failure);
    for part in ["part", "layer stem", missing] {
        assert!(said.contains(part), "{part}: {said}");
    }
    files.write("pictures/0.png", b"not a picture");
    let said = files.import("float", "pictures", &[], failure);
    assert!(said.contains("decode") && said.contains("0.png"), "{said}");
}
