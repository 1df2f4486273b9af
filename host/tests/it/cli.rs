//! The commands as a user runs them.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use serde_json::{Value, json};
use stria_host::data::{bundle, picture};

use super::command::{Folder, command, failure, json, only_json, stria};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A bundled image.
fn sample(index: usize) -> String {
    text(&bundle::samples().unwrap()[index]).into()
}

/// A server of the bundled model, as a process.
struct Server {
    process: Child,
    address: String,
    log: BufReader<ChildStderr>,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut process = command(&["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it does not listen");
        }
        let (_, address) = line.trim_end().split_once("address=").unwrap();
        Self {
            address: address.into(),
            process,
            log,
        }
    }

    /// Asks it to end, and gives its exit code, standard output and log.
    fn terminate(mut self) -> (Option<i32>, String, String) {
        let pid = self.process.id().to_string();
        let kill = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(kill.unwrap().success());
        let (mut out, mut log) = (String::new(), String::new());
        let mut stdout = self.process.stdout.take().unwrap();
        stdout.read_to_string(&mut out).unwrap();
        self.log.read_to_string(&mut log).unwrap();
        (self.process.wait().unwrap().code(), out, log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Where a test failed; one that went well has waited for its server.
        let _ = self.process.kill();
    }
}

#[test]
fn inspect_counts_activations_and_parameters() {
    let model = bundle::model().unwrap();
    let report = json(&["inspect", text(&model), "--json"]);
    let layers = report["layers"].as_array().unwrap();
    for field in ["activations", "parameters", "bytes_up", "input_ciphertexts"] {
        let sum: u64 = layers.iter().map(|l| l[field].as_u64().unwrap()).sum();
        assert_eq!(report[field], sum, "{field}");
    }
    let relu = &layers[0];
    let shape: Vec<u64> = serde_json::from_value(relu["output_shape"].clone()).unwrap();
    assert_eq!(relu["activations"], shape.iter().product::<u64>());
    assert_eq!(layers.last().unwrap()["activations"], 0);
    let evidence = &relu["bound"]["evidence"];
    assert!(evidence == "proved" || evidence == "calibrated");

    let table = stria(&["inspect", text(&model)]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        layers
            .iter()
            .all(|l| table.contains(l["name"].as_str().unwrap()))
    );
}

#[test]
fn eval_reads_a_folder_per_class() {
    let folder = Folder::new("classes");
    for path in bundle::samples().unwrap() {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let class = folder.0.join(stem.split_once('-').unwrap().1);
        std::fs::create_dir_all(&class).unwrap();
        std::fs::copy(&path, class.join(path.file_name().unwrap())).unwrap();
    }
    let data = text(&folder.0);
    let report = json(&["eval", "--data", data, "--json"]);
    assert_eq!(report["images"], 20);
    let top1 = report["top1"].as_f64().unwrap();
    let top5 = report["top5"].as_f64().unwrap();
    assert!(10.0 < top1 && top1 <= top5 && top5 <= 100.0, "{report}");
    let lines = folder.0.join(".logits");
    let report = json(&[
        "eval",
        "--data",
        data,
        "--limit",
        "9",
        "--logits",
        text(&lines),
        "--json",
    ]);
    assert_eq!(report["images"], 9);
    let recorded = bundle::samples().unwrap()[0].with_file_name("logits.json");
    let recorded: Value = serde_json::from_slice(&std::fs::read(recorded).unwrap()).unwrap();
    let lines = std::fs::read_to_string(lines).unwrap();
    assert_eq!(lines.lines().count(), 9);
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let (class, stem) = line["image"].as_str().unwrap().split_once('/').unwrap();
        assert!(stem.ends_with(class), "{line}");
        assert_eq!(line["logits"], recorded[format!("{stem}.png")]);
    }

    let people = stria(&["eval", "--data", data]);
    let people = String::from_utf8(people.stdout).unwrap();
    assert!(people.contains(&format!("{top1:.2} %")), "{people}");
}

#[test]
fn failures_are_one_sentence() {
    let folder = Folder::new("failures");
    let broken = folder.0.join("broken.safetensors");
    std::fs::write(&broken, b"nothing like a model").unwrap();
    let said = failure(&["inspect", text(&broken)]);
    assert!(
        said.contains("broken.safetensors") && said.contains("safetensors file"),
        "{said}"
    );
    // A field whose name clears the screen.
    let architecture = json!({"stria": r#"{"schema": 1, "\u001b[2J": 0}"#});
    let header = json!({"__metadata__": architecture}).to_string();
    let bytes = [&header.len().to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(&broken, bytes).unwrap();
    let said = failure(&["inspect", text(&broken)]);
    assert!(said.contains("\u{fffd}[2J"), "{said:?}");
    let said = failure(&["inspect", "no-such-file"]);
    assert!(said.contains("no-such-file"), "{said}");
    let said = failure(&["eval", "--data", text(&folder.0)]);
    assert!(said.contains("test_batch.bin"), "{said}");
    let said = failure(&["demo", text(&broken)]);
    assert!(said.contains("decode") && said.contains("broken"), "{said}");
}

#[test]
fn demo_runs_in_every_packing() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let model = models.join("strianet-fmnist-nano.safetensors");
    let image = models.join("samples-fmnist/00-t-shirt.png");
    let mut bytes = Vec::new();
    for packing in ["segment", "coefficient", "slot"] {
        let (model, image) = (text(&model), text(&image));
        let report = json(&[
            "demo",
            "--json",
            "--packing",
            packing,
            "--model",
            model,
            image,
        ]);
        assert_eq!(report["packing"], packing);
        assert_eq!(report["agree"], 1, "{packing}");
        let number = |of: &Value, field: &str| of[field].as_u64().unwrap();
        let layers = report["layers"].as_array().unwrap();
        for field in ["internal_rotations", "external_rotations", "key_switches"] {
            let sum: u64 = layers.iter().map(|layer| number(layer, field)).sum();
            assert_eq!(number(&report, field), sum);
            assert_eq!(sum > 0, packing == "slot", "{packing}: {field}");
        }
        assert_eq!(
            number(&report, "rotations"),
            number(&report, "key_switches")
        );
        // 32 bytes of seed and 20 polynomials of 8192 x 30 bits each.
        let keys = number(&report, "galois_key_bytes");
        assert!(keys.is_multiple_of(614_432) && (keys > 0) == (packing == "slot"));
        assert!(number(&report, "bytes_setup") > keys);
        for layer in layers {
            assert!(number(layer, "max_error_units") <= 1, "{packing}: {layer}");
        }
        bytes.push(number(&report, "bytes_up") + number(&report, "bytes_down"));
    }
    assert!(bytes[0] < bytes[1], "{bytes:?}");
    let said = failure(&[
        "demo",
        "--packing",
        "slot",
        "--small",
        "--model",
        text(&model),
    ]);
    assert!(said.contains("no room for slot packing"), "{said}");
    let unknown = stria(&["demo", "--packing", "dense"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("coefficient"));
}

#[test]
fn demo_reports_what_it_measured() {
    let report = json(&["demo", "--json", &sample(3), &sample(0)]);
    assert_eq!(
        report["images"],
        json!(["03-automobile.png", "00-airplane.png"])
    );
    assert_eq!(report["labels"], json!(["automobile", "airplane"]));
    let top1 = |list: &str| serde_json::from_value::<[String; 2]>(report[list].clone()).unwrap();
    let (secure, reference) = (top1("secure_top1"), top1("reference_top1"));
    let agreeing = secure.iter().zip(&reference).filter(|(s, r)| s == r);
    assert_eq!(report["agree"], agreeing.count());
    assert_eq!(report["rotations"], 0);
    assert_eq!(report["galois_key_bytes"], 0);

    // What was counted is what the plan of the model file says.
    let model = bundle::model().unwrap();
    let plan = json(&["inspect", "--json", text(&model)]);
    assert_eq!(report["activations"], plan["activations"]);
    let layers = report["layers"].as_array().unwrap().iter();
    let planned = plan["layers"].as_array().unwrap();
    assert_eq!(layers.len(), planned.len());
    for (layer, planned) in layers.zip(planned) {
        for field in [
            "name",
            "depth",
            "g",
            "input_ciphertexts",
            "output_ciphertexts",
            "activations",
        ] {
            assert_eq!(layer[field], planned[field], "{field}: {layer}");
        }
        assert!(layer["max_error_units"].as_u64().unwrap() <= 1, "{layer}");
        assert!(layer["zeroed"].is_u64(), "{layer}");
    }
    for field in [
        "bytes_up",
        "bytes_down",
        "bytes_setup",
        "client_state_bytes",
    ] {
        assert!(report[field].as_u64().unwrap() > 0, "{field}");
    }
    for field in ["seconds_setup", "seconds_per_image"] {
        assert!(report[field].as_f64().unwrap() > 0.0, "{field}");
    }
    let security = &report["security"];
    assert_eq!(
        (&security["n"], &security["t"]),
        (&json!(4096), &json!(7340033))
    );
    assert!(security["flood_bits"].is_u64());
    assert!((105.0..106.0).contains(&security["log2_q"].as_f64().unwrap()));
}

#[test]
fn demo_shows_people_classes_and_costs() {
    let output = stria(&["demo", "--small", &sample(0)]);
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    let parts = [
        "00-airplane.png",
        "label: airplane",
        "plaintext network",
        "%",
        "rotations",
        "bytes each",
    ];
    for part in parts {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(
        !shown.contains('\u{1b}'),
        "colours on what is not a terminal"
    );
}

/// The bundled images as records of the classic CIFAR-10 files: label, then three planes.
fn cifar_records(count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (i, path) in bundle::samples().unwrap()[..count].iter().enumerate() {
        // Two of each class, in the order of the classes.
        bytes.push(i as u8 / 2);
        let pixels = picture::open(path).unwrap();
        for channel in 0..3 {
            bytes.extend(pixels.pixels().map(|pixel| pixel.0[channel]));
        }
    }
    bytes
}

#[test]
fn eval_classifies_cifar_files_securely() {
    let folder = Folder::new("secure");
    std::fs::write(folder.0.join("test_batch.bin"), cifar_records(3)).unwrap();
    let arguments = ["eval", "--data", text(&folder.0), "--limit", "2", "--json"];
    let plain = json(&arguments);
    let secure = json(&[&arguments[..], &["--secure"]].concat());
    assert!(plain.get("agreement").is_none() && plain.get("margins").is_none());
    // A photograph between two classes may fall to either side.
    let agreement = secure["agreement"].as_f64().unwrap();
    assert!(agreement == 100.0 || agreement == 50.0);
    let margins = &secure["margins"];
    let differing = margins["disagreements"].as_array().unwrap();
    assert_eq!(differing.len() as f64, 2.0 - agreement / 50.0);
    let [smallest, median, spread, error] =
        ["smallest", "median", "spread", "error"].map(|field| margins[field].as_f64().unwrap());
    // Secure logits are off by little, and not by nothing: signs are compared on 8 bits.
    assert!(0.0 < error && error < spread / 4.0, "{margins}");
    assert!(0.0 <= smallest && smallest <= median && median < 20.0);
    for image in differing {
        assert_ne!(image["secure"], image["reference"]);
        assert!(image["margin"].as_f64().unwrap() < spread, "{image}");
    }
    for report in [&plain, &secure] {
        assert_eq!(
            (&report["images"], &report["out_of_range"]),
            (&json!(2), &json!(0))
        );
        let (top1, top5) = (report["top1"].as_f64(), report["top5"].as_f64());
        assert!(top1 <= top5 && top5 == Some(100.0), "{report}");
    }
}

#[test]
#[cfg(unix)]
fn serve_and_infer_work_together() {
    // Without any memory for weights, which then are transformed as they are needed.
    let server = Server::start(&["--json", "--queries", "2", "--weight-memory", "0"]);
    let arguments = [
        "infer",
        "--json",
        "--top",
        "2",
        "--connect",
        &server.address,
    ];
    let report = json(&[&arguments[..], &[&sample(0)]].concat());
    let image = &report["images"][0];
    assert_eq!(image["name"], "00-airplane.png");
    let top = image["top"].as_array().unwrap();
    let probability = |i: usize| top[i]["probability"].as_f64().unwrap();
    assert_eq!(top.len(), 2);
    assert!(0.0 < probability(1) && probability(1) <= probability(0) && probability(0) <= 1.0);
    assert!(image["seconds"].as_f64().unwrap() > 0.0);
    let bytes = |value: &Value| value.as_u64().unwrap();
    let sum = bytes(&image["bytes_up"]) + bytes(&image["bytes_down"]);
    assert_eq!(bytes(&image["bytes"]), sum);

    let said = failure(&[&arguments[..], &[&sample(0), &sample(1)]].concat());
    // The budget is the client's, not the session's.
    let limit = "cannot classify 01-airplane.png: the peer ended the session because the budget";
    assert!(said.contains(limit), "{said}");

    let server_address = server.address.clone();
    let (code, out, log) = server.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
    let mut lines = out.lines().map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(lines.next(), Some(json!({"listening": [server_address]})));
    let sessions: Vec<Value> = lines.collect();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["error"], Value::Null);
    assert_eq!(sessions[0]["queries"], 1);
    assert!(bytes(&sessions[0]["bytes_up"]) > bytes(&image["bytes_up"]));
    assert!(
        sessions[1]["error"]
            .as_str()
            .unwrap()
            .contains("budget of queries")
    );
}

#[test]
fn infer_without_a_server_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let said = failure(&["infer", "--connect", &address, &sample(0)]);
    let expected = format!("no session with {address}: cannot connect to {address}: ");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn values_out_of_range_are_refused_at_once() {
    let image = sample(0);
    let commands: [&[&str]; 7] = [
        &["serve", "--timeout", "0", "--listen", "nowhere"],
        &[
            "serve",
            "--timeout",
            "18446744073709551615",
            "--listen",
            "nowhere",
        ],
        &["serve", "--sessions", "0", "--listen", "nowhere"],
        &["infer", "--patience", "0", &image],
        &["demo", "--ks", "3", &image],
        &["demo", "--exactness", "4", &image],
        &["demo", "--exactness", "13", &image],
    ];
    for arguments in commands {
        let output = stria(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(arguments[1]), "{said}");
    }
}

/// What a demo counted, without its timings.
fn seeded(seed: &str) -> Value {
    let mut demo = command(&["demo", "--json", &sample(0)]);
    let mut report = only_json(demo.env("STRIA_TEST_SEED", seed).output().unwrap());
    let fields = report.as_object_mut().unwrap();
    fields.retain(|name, _| !name.starts_with("seconds"));
    for phase in ["prepare", "answer"] {
        fields[phase].as_object_mut().unwrap().remove("seconds");
    }
    report
}

/// Which of the small values become zero depends on every share, so equal counts in every layer
/// are equal runs.
#[test]
fn only_a_test_build_obeys_a_seed() {
    let first = seeded("1");
    assert_eq!(first == seeded("1"), cfg!(feature = "test-seed"));
    if cfg!(feature = "test-seed") {
        assert_ne!(first, seeded("2"));
    }
}
