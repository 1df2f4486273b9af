//! The bundled model on the bundled images, against logits that another executor recorded.

use std::collections::BTreeMap;

use stria_host::Model;
use stria_host::data::{bundle, picture};
use stria_host::model::reference;

#[test]
fn the_reference_gives_the_recorded_logits() {
    let model = Model::load(&bundle::model().unwrap()).unwrap();
    let samples = bundle::samples().unwrap();
    assert_eq!(samples.len(), 20);
    let recorded = samples[0].with_file_name("logits.json");
    let recorded: BTreeMap<String, Vec<i32>> =
        serde_json::from_slice(&std::fs::read(recorded).unwrap()).unwrap();
    for path in &samples {
        let seen = picture::crop(&picture::open(path).unwrap(), &model.input).unwrap();
        let tensor = picture::normalised(&seen, &model.input);
        let trace = reference::checked(&model, &tensor).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(trace.logits(), recorded[name], "{name}");
        assert!(bundle::label(path, &model.classes).is_some(), "{name}");
    }
}
