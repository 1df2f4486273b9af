//! The device's client without QEMU, on lines of all kinds.

use super::common::{agreed, models, number, run};

/// A model and one of its pictures.
fn nano() -> [String; 4] {
    let model = models().join("strianet-fmnist-nano.safetensors");
    let image = models().join("samples-fmnist/01-trouser.png");
    [
        "--model",
        model.to_str().unwrap(),
        "--image",
        image.to_str().unwrap(),
    ]
    .map(String::from)
}

#[test]
fn the_nano_network_over_a_uart() {
    let nano = nano();
    let mut arguments: Vec<&str> = nano.iter().map(String::as_str).collect();
    arguments.extend(["--board", "hosted", "--baud", "8000000"]);
    let report = run(&arguments);
    assert_eq!(agreed(&report), 1);
    assert_eq!(report["board"], "hosted");
    // A model for slow lines: two MB an inference, of which the link takes a tenth at most.
    let [up, down] = ["/bytes_up", "/bytes_down"].map(|path| number(&report, path));
    assert!(up + down < 2_500_000, "{up} up, {down} down");
    let line = number(&report, "/line_bytes_up") + number(&report, "/line_bytes_down");
    assert!(
        line > up + down && line < (up + down) * 11 / 10,
        "{line} bytes"
    );
    // Ten bits a byte.
    let seconds = report["wall_seconds"].as_f64().unwrap();
    assert!(seconds > 10.0 * number(&report, "/line_bytes_up") as f64 / 8e6);
    // What only a board has is left out, not made up.
    assert!(report.get("instructions").is_none() && report.get("flash").is_none());
}

#[test]
fn losses_noise_and_a_pulled_line_change_nothing() {
    let plain = run(&["--board", "hosted"]);
    let faults = ["--loss", "100", "--noise", "100", "--pull", "100000"];
    let mut arguments = vec!["--board", "hosted", "--pull-seconds", "0.5"];
    arguments.extend(faults);
    let bad = run(&arguments);
    assert_eq!(agreed(&plain), agreed(&bad));
    for path in ["/bytes_up", "/bytes_down"] {
        assert_eq!(number(&plain, path), number(&bad, path));
    }
    // Some of it was sent again.
    assert!(number(&bad, "/line_bytes_up") > number(&plain, "/line_bytes_up") * 21 / 20);
    assert_eq!(bad["server_errors"].as_array().unwrap().len(), 0);
}
