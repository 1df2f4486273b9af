//! Estimated costs as tables.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use super::demo::{PHASES, phase_text};
use super::table::{Pairs, Table};
use crate::report::numbers::bytes;
use crate::report::{
    Constants, Cost, DesignReport, LayerShape, PlanReport, PlannedLayer, Ring, Source,
};

/// Shows a plan, a line a layer.
pub fn plan(out: &mut impl Write, report: &PlanReport) -> io::Result<()> {
    layers(out, report)?;
    let mut rows = Pairs::default();
    rows.add("network", &report.network);
    rows.add("parameters", report.parameters);
    rows.add("packing", report.packing.name());
    for (name, phase) in PHASES
        .into_iter()
        .zip([&report.totals.prepare, &report.totals.answer])
    {
        rows.add(name, phase_text(phase));
    }
    add_setting(&mut rows, report);
    for text in &report.deviations {
        rows.add("note", text);
    }
    rows.write(out)
}

/// Shows a proposal: its stages, its layers, and what the usual bottleneck would cost.
pub fn design(out: &mut impl Write, report: &DesignReport) -> io::Result<()> {
    let mut table = Table::new("side, c_n, width, inner, ratio, groups, blocks, seconds, constant");
    for stage in &report.stages {
        let [own, constant] = stage.seconds.map(|seconds| format!("{seconds:.3}"));
        table.row(&[
            &stage.side,
            &stage.channels_per_ciphertext,
            &stage.width,
            &stage.inner,
            &stage.bottleneck,
            &stage.groups,
            &stage.blocks,
            &own,
            &constant,
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    layers(out, &report.plan)?;
    let cost = |cost: &Cost| {
        let (traffic, activations) = (cost.counts.bytes(), cost.counts.operations.activations);
        let each = traffic as f64 / activations.max(1) as f64;
        let (seconds, traffic) = (cost.seconds, bytes(traffic));
        format!("{seconds:.2} s, {traffic}, {activations} activations, {each:.1} bytes each")
    };
    let constant = &report.constant_bottleneck;
    let (ratio, groups) = (constant.bottleneck, constant.groups);
    let everywhere = format!("ratio {ratio}, {groups} groups everywhere");
    let mut rows = Pairs::default();
    rows.add("proposed", cost(&report.plan.totals));
    rows.add(&everywhere, cost(&constant.totals));
    add_setting(&mut rows, &report.plan);
    rows.write(out)
}

/// Shows what was measured and where it is.
pub fn constants(out: &mut impl Write, constants: &Constants, path: &Path) -> io::Result<()> {
    let time = |seconds: f64| format!("{:.2} us", 1e6 * seconds);
    let mut rows = Pairs::default();
    let mut both = |name: &str, of: fn(&Ring) -> f64| {
        let [segment, slot] = [&constants.segment, &constants.slot].map(|ring| time(of(ring)));
        rows.add(name, format!("{segment}, in slot packing {slot}"));
    };
    both("encrypt", |ring| ring.encrypt);
    both("receive", |ring| ring.receive);
    both("product", |ring| ring.product);
    both("product, fresh weights", |ring| ring.fresh_product);
    both("respond", |ring| ring.respond);
    both("decrypt", |ring| ring.decrypt);
    rows.add("decompose", time(constants.decompose));
    rows.add("key switch", time(constants.key_switch));
    rows.add("ReLU prepared, client", time(constants.relu_client));
    rows.add("ReLU prepared, server", time(constants.relu_server));
    rows.add("ReLU answered, client", time(constants.answer_client));
    rows.add("ReLU answered, server", time(constants.answer_server));
    let clear = 1e9 * constants.clear;
    rows.add("multiplication in the clear", format!("{clear:.3} ns"));
    rows.add("cores", constants.cores);
    rows.add("stored in", path.display());
    rows.write(out)
}

/// What an estimate is for.
fn add_setting(rows: &mut Pairs, report: &PlanReport) {
    let link = &report.link;
    let (rate, wait) = (link.bits_per_second / 1e6, link.round_trip_ms);
    rows.add("link", format!("{}, {rate} Mbit/s, {wait} ms", link.name));
    let constants = match &report.constants.source {
        Source::Defaults => {
            "built-in defaults, not of this machine: see `stria bench --calibrate`".into()
        }
        Source::File(path) => format!("from {}", path.display()),
    };
    rows.add("constants", constants);
}

/// A line a layer and their sum, and an empty line.
fn layers(out: &mut impl Write, report: &PlanReport) -> io::Result<()> {
    let mut table = Table::new(
        "layer, channels, side, kernel, groups, r, tile, in, out, products, internal, external, \
         ReLUs, up, down, rounds, seconds, most for",
    );
    for layer in &report.layers {
        let PlannedLayer {
            shape,
            repeat,
            tile,
            cost,
        } = layer;
        let LayerShape {
            name,
            side,
            kernel,
            groups,
            ..
        } = shape;
        let [inputs, outputs] = shape.channels;
        let channels = format!("{inputs}-{outputs}");
        let about: [&dyn Display; 7] = [name, &channels, side, kernel, groups, repeat, tile];
        row(&mut table, about, &cost.cost, cost.dominant.name());
    }
    let about: [&dyn Display; 7] = [&"total", &"", &"", &"", &"", &"", &""];
    row(&mut table, about, &report.totals, "");
    table.write(out)?;
    writeln!(out)
}

fn row(table: &mut Table, about: [&dyn Display; 7], cost: &Cost, dominant: &str) {
    let operations = &cost.counts.operations;
    let costs: [&dyn Display; 11] = [
        &operations.ciphertexts_up,
        &operations.ciphertexts_down,
        &operations.products,
        &operations.internal_rotations,
        &operations.external_rotations,
        &operations.activations,
        &bytes(cost.counts.bytes_up),
        &bytes(cost.counts.bytes_down),
        &cost.rounds,
        &format!("{:.3}", cost.seconds),
        &dominant,
    ];
    table.row(&[&about[..], &costs].concat());
}
