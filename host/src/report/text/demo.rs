//! What inferences cost, as `stria demo` and `stria infer` show it.

use std::io::{self, Write};

use super::table::Pairs;
use crate::report::numbers::bytes;
use crate::report::{DemoReport, InferReport, PhasePart};

/// Shows what the demo's inferences cost and how well the two executors agree.
pub fn demo(out: &mut impl Write, report: &DemoReport) -> io::Result<()> {
    let images = report.images.len();
    let right = |classes: &[String]| {
        let pairs = classes.iter().zip(&report.labels);
        let right = pairs.filter(|(class, label)| Some(*class) == label.as_ref());
        right.count()
    };
    let labelled = report.labels.iter().flatten().count();
    let errors = report.layers.iter().map(|layer| layer.max_error_units);
    let mut rows = Pairs::default();
    let agree = format!("{} of {images} images", report.agree);
    rows.add("secure = plaintext", agree);
    if labelled > 0 {
        let [secure, plaintext] = [&report.secure_top1, &report.reference_top1].map(|of| right(of));
        let right = format!("{secure} of {labelled}, plaintext {plaintext}");
        rows.add("right", right);
    }
    let error = errors.max().unwrap_or(0);
    rows.add("largest error", format!("{error} units"));
    add_costs(
        &mut rows,
        [report.seconds_per_image, report.seconds_setup],
        [report.bytes_up, report.bytes_down, report.bytes_setup],
        [&report.prepare, &report.answer],
    );
    let activations = report.activations;
    let each = (report.bytes_up + report.bytes_down) as f64 / activations.max(1) as f64;
    rows.add(
        "activations",
        format!("{activations}, {each:.1} bytes each"),
    );
    rows.add("client state", bytes(report.client_state_bytes));
    let keys = bytes(report.galois_key_bytes);
    let (internal, external) = (report.internal_rotations, report.external_rotations);
    let rotations = match report.rotations {
        0 => "0".into(),
        all => format!("{all} an image ({internal} internal, {external} external)"),
    };
    rows.add("rotations", format!("{rotations}, {keys} of Galois keys"));
    let security = &report.security;
    let (n, log2_q, t, flood) = (security.n, security.log2_q, security.t, security.flood_bits);
    let security = format!("N = {n}, log2 q = {log2_q:.2}, t = {t}, flood 2^{flood}");
    rows.add("security", security);
    rows.write(out)
}

/// Shows what a client's inferences cost.
pub fn infer(out: &mut impl Write, report: &InferReport) -> io::Result<()> {
    let count = report.images.len().max(1) as u64;
    let images = || report.images.iter().map(|image| &image.inference);
    let seconds: f64 = images().map(|image| image.seconds).sum();
    let up: u64 = images().map(|image| image.bytes_up).sum();
    let down: u64 = images().map(|image| image.bytes_down).sum();
    let mut rows = Pairs::default();
    add_costs(
        &mut rows,
        [seconds / count as f64, report.seconds_setup],
        [up / count, down / count, report.bytes_setup],
        [
            &PhasePart::mean(report.images.iter().map(|image| &image.inference.prepare)),
            &PhasePart::mean(report.images.iter().map(|image| &image.inference.answer)),
        ],
    );
    rows.write(out)
}

/// Seconds of an image and of the set-up; bytes of an image up and down, and of the set-up; what is
/// prepared before there is a picture, and what follows it.
fn add_costs(
    rows: &mut Pairs,
    [image, setup]: [f64; 2],
    traffic: [u64; 3],
    phases: [&PhasePart; 2],
) {
    rows.add("seconds", format!("{image:.2} an image, {setup:.2} set-up"));
    let [up, down, setup] = traffic.map(bytes);
    let traffic = format!("{up} up, {down} down an image, {setup} set-up");
    rows.add("traffic", traffic);
    for (name, phase) in PHASES.into_iter().zip(phases) {
        rows.add(name, phase_text(phase));
    }
}

/// What the phases are called.
pub(super) const PHASES: [&str; 2] = ["before the picture", "picture to label"];

pub(super) fn phase_text(phase: &PhasePart) -> String {
    let [up, down] = [phase.bytes_up, phase.bytes_down].map(bytes);
    let PhasePart {
        seconds, messages, ..
    } = phase;
    format!("{seconds:.2} s, {up} up, {down} down, {messages} messages in series")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Security;

    #[test]
    fn the_demo_tells_its_costs() {
        let report = DemoReport {
            images: ["a", "b"].map(String::from).to_vec(),
            secure_top1: ["cat", "dog"].map(String::from).to_vec(),
            reference_top1: ["cat", "cat"].map(String::from).to_vec(),
            labels: vec![Some("dog".into()), Some("dog".into())],
            agree: 1,
            layers: Vec::new(),
            packing: "segment",
            rotations: 0,
            internal_rotations: 0,
            external_rotations: 0,
            key_switches: 0,
            galois_key_bytes: 0,
            activations: 1000,
            bytes_up: 70_000,
            bytes_down: 30_000,
            bytes_setup: 2048,
            seconds_setup: 0.25,
            seconds_per_image: 1.5,
            prepare: PhasePart {
                seconds: 1.4,
                bytes_up: 69_000,
                bytes_down: 20_000,
                messages: 3,
            },
            answer: PhasePart {
                seconds: 0.1,
                bytes_up: 1000,
                bytes_down: 10_000,
                messages: 22,
            },
            client_state_bytes: 51_200,
            security: Security::of(stria_core::packing::Packing::Segment),
        };
        let mut out = Vec::new();
        demo(&mut out, &report).unwrap();
        let out = String::from_utf8(out).unwrap();
        for line in [
            "secure = plaintext  1 of 2 images\n",
            "right               1 of 2, plaintext 0\n",
            "seconds             1.50 an image, 0.25 set-up\n",
            "before the picture  1.40 s, 67.4 KiB up, 19.5 KiB down, 3 messages in series\n",
            "picture to label    0.10 s, 1000 B up, 9.8 KiB down, 22 messages in series\n",
            "traffic             68.4 KiB up, 29.3 KiB down an image, 2.0 KiB set-up\n",
            "activations         1000, 100.0 bytes each\n",
            "client state        50.0 KiB\n",
            "security            N = 4096, log2 q = 105.98, t = 7340033, flood 2^78\n",
        ] {
            assert!(out.contains(line), "{out} lacks {line}");
        }
    }
}
