//! A model's layers, as `stria inspect` shows them.

use std::io::{self, Write};

use super::table::{Pairs, Table};
use crate::model::Evidence;
use crate::report::InspectReport;
use crate::report::numbers::bytes;

/// Shows a model, a line a layer.
pub fn inspect(out: &mut impl Write, report: &InspectReport) -> io::Result<()> {
    let shape = |[c, h, w]: [usize; 3]| format!("{c}x{h}x{w}");
    let header = "layer, reads, shape, kernel, groups, r, d, g, in, out, up, down, ReLUs, weights, worst |y|, bound";
    let mut table = Table::new(header);
    for layer in &report.layers {
        let bound = layer.bound;
        let evidence = match (bound.evidence, bound.max_abs) {
            (Evidence::Calibrated, Some(max)) => format!("calibrated {max}"),
            _ => "proved".into(),
        };
        table.row(&[
            &layer.name,
            &layer.input,
            &shape(layer.output_shape),
            &layer.kernel,
            &layer.groups,
            &layer.repeat,
            &layer.depth,
            &layer.g,
            &layer.input_ciphertexts,
            &layer.output_ciphertexts,
            &bytes(layer.bytes_up as u64),
            &bytes(layer.bytes_down as u64),
            &layer.activations,
            &layer.parameters,
            &bound.worst.high.max(-bound.worst.low),
            &evidence,
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    let mut rows = Pairs::default();
    rows.add("network", &report.name);
    rows.add("input", shape(report.input));
    rows.add("classes", report.classes.join(", "));
    rows.add("activations", report.activations);
    rows.add("parameters", report.parameters);
    let [up, down] = [report.bytes_up, report.bytes_down].map(|count| bytes(count as u64));
    let (inputs, outputs) = (report.input_ciphertexts, report.output_ciphertexts);
    let ciphertexts = format!("{inputs} up ({up}), {outputs} down ({down})");
    rows.add("ciphertexts", ciphertexts);
    rows.write(out)
}
