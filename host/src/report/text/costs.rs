//! Estimated costs as tables.

use std::io::{self, Write};
use std::path::Path;

use super::{bytes, pairs, table};
use crate::planner::constants::{Ring, Source};
use crate::planner::{Constants, Cost};
use crate::report::{DesignReport, PlanReport, PlannedLayer};

/// Shows a plan, a line a layer.
pub fn plan(out: &mut impl Write, report: &PlanReport) -> io::Result<()> {
    layers(out, &report.layers, &report.totals)?;
    writeln!(out)?;
    let mut rows = vec![
        ("network".into(), report.network.clone()),
        ("parameters".into(), report.parameters.to_string()),
        (
            "packing".into(),
            format!("{:?}", report.packing).to_lowercase(),
        ),
    ];
    rows.extend(setting(report));
    rows.extend(
        report
            .deviations
            .iter()
            .map(|text| ("note".into(), text.clone())),
    );
    pairs(out, &rows)
}

/// Shows a proposal: its stages, its layers, and what the usual bottleneck would cost.
pub fn design(out: &mut impl Write, report: &DesignReport) -> io::Result<()> {
    let header = [
        "side", "c_n", "width", "inner", "ratio", "groups", "blocks", "seconds", "constant",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    for stage in &report.stages {
        let [own, constant] = stage.seconds;
        rows.push(vec![
            stage.side.to_string(),
            stage.channels_per_ciphertext.to_string(),
            stage.width.to_string(),
            stage.inner.to_string(),
            stage.bottleneck.to_string(),
            stage.groups.to_string(),
            stage.blocks.to_string(),
            format!("{own:.3}"),
            format!("{constant:.3}"),
        ]);
    }
    table(out, &rows)?;
    writeln!(out)?;
    layers(out, &report.plan.layers, &report.plan.totals)?;
    writeln!(out)?;
    let constant = &report.constant_bottleneck;
    let cost = |cost: &Cost| {
        let (traffic, activations) = (cost.counts.bytes(), cost.counts.operations.activations);
        format!(
            "{:.2} s, {}, {} activations, {:.1} bytes each",
            cost.seconds,
            bytes(traffic),
            activations,
            traffic as f64 / activations.max(1) as f64
        )
    };
    let mut rows = vec![
        ("proposed".into(), cost(&report.plan.totals)),
        (
            format!(
                "ratio {}, {} groups everywhere",
                constant.bottleneck, constant.groups
            ),
            cost(&constant.totals),
        ),
    ];
    rows.extend(setting(&report.plan));
    pairs(out, &rows)
}

/// Shows what was measured and where it is.
pub fn constants(out: &mut impl Write, constants: &Constants, path: &Path) -> io::Result<()> {
    let time = |seconds: f64| format!("{:.2} us", 1e6 * seconds);
    let pair = |name: &str, seconds| (name.into(), time(seconds));
    let both = |name: &str, of: fn(&Ring) -> f64| {
        let [segment, slot] = [&constants.segment, &constants.slot].map(|ring| time(of(ring)));
        (name.into(), format!("{segment}, in slot packing {slot}"))
    };
    pairs(
        out,
        &[
            both("encrypt", |ring| ring.encrypt),
            both("receive", |ring| ring.receive),
            both("product", |ring| ring.product),
            both("product, fresh weights", |ring| ring.fresh_product),
            both("respond", |ring| ring.respond),
            both("decrypt", |ring| ring.decrypt),
            pair("decompose", constants.decompose),
            pair("key switch", constants.key_switch),
            pair("ReLU, client", constants.relu_client),
            pair("ReLU, server", constants.relu_server),
            ("cores".into(), constants.cores.to_string()),
            ("stored in".into(), path.display().to_string()),
        ],
    )
}

/// What an estimate is for.
fn setting(report: &PlanReport) -> [(String, String); 2] {
    let link = &report.link;
    let rate = link.bits_per_second / 1e6;
    let constants = match &report.constants.source {
        Source::Defaults => {
            "built-in defaults, not of this machine: see `stria bench --calibrate`".into()
        }
        Source::File(path) => format!("from {}", path.display()),
    };
    let wait = link.round_trip_ms;
    [
        (
            "link".into(),
            format!("{}, {rate} Mbit/s, {wait} ms", link.name),
        ),
        ("constants".into(), constants),
    ]
}

fn layers(out: &mut impl Write, layers: &[PlannedLayer], totals: &Cost) -> io::Result<()> {
    let header = [
        "layer", "channels", "side", "kernel", "groups", "r", "tile", "in", "out", "products",
        "internal", "external", "ReLUs", "up", "down", "rounds", "seconds", "most for",
    ];
    let mut rows = vec![header.map(String::from).to_vec()];
    for layer in layers {
        let [inputs, outputs] = layer.channels;
        let shape = [
            layer.name.clone(),
            format!("{inputs}-{outputs}"),
            layer.side.to_string(),
            layer.kernel.clone(),
            layer.groups.to_string(),
            layer.repeat.to_string(),
            layer.tile.to_string(),
        ];
        let dominant = layer.cost.dominant.name();
        rows.push(row(shape, &layer.cost.cost, dominant));
    }
    let shape = ["total", "", "", "", "", "", ""].map(String::from);
    rows.push(row(shape, totals, ""));
    table(out, &rows)
}

fn row(shape: [String; 7], cost: &Cost, dominant: &str) -> Vec<String> {
    let mut row = shape.to_vec();
    let operations = &cost.counts.operations;
    row.extend([
        operations.ciphertexts_up.to_string(),
        operations.ciphertexts_down.to_string(),
        operations.products.to_string(),
        operations.internal_rotations.to_string(),
        operations.external_rotations.to_string(),
        operations.activations.to_string(),
        bytes(cost.counts.bytes_up),
        bytes(cost.counts.bytes_down),
        cost.rounds.to_string(),
        format!("{:.3}", cost.seconds),
        dominant.into(),
    ]);
    row
}
