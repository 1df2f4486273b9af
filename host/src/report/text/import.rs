//! What became of a trained network, as `stria import` shows it.

use std::io::{self, Write};

use crate::report::ImportReport;

/// Shows an imported network, a line a layer.
pub fn import(out: &mut impl Write, report: &ImportReport) -> io::Result<()> {
    let name = report.layers.iter().map(|layer| layer.name.len()).max();
    let name = name.unwrap_or(0).max("layer".len());
    let (weight, allowed) = ("weight", "allowed");
    writeln!(
        out,
        "{:name$}  {weight:>7}  {:>7}  max |y|  {allowed}",
        "layer", "bias"
    )?;
    for layer in &report.layers {
        let evidence = format!("{:?}", layer.evidence).to_lowercase();
        let (weight, bias) = (layer.weight, layer.bias);
        let (max_abs, allowed) = (layer.max_abs, layer.allowed);
        writeln!(
            out,
            "{:name$}  {weight:>7}  {bias:>7}  {max_abs:>7}  {allowed:>7}  {evidence}",
            layer.name
        )?;
    }
    writeln!(
        out,
        "{}: {} bytes, shift {}, calibrated on {} images in {:.1} s",
        report.file, report.bytes, report.shift, report.images, report.seconds
    )?;
    Ok(())
}
