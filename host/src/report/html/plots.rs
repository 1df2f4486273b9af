//! What the plots of the report show.

use super::draw::{Group, Marks, Plot, PlotError, Row, draw_layers, draw_rows, packings};
use crate::report::numbers::{count, seconds, short};
use crate::report::{Bench, Measured, Outcome};

/// Seconds of an inference on a link, per network and packing.
pub(super) fn time(bench: &Bench, link: &str) -> Result<Option<Plot>, PlotError> {
    let groups = groups(bench, |network, packing| {
        let run = bench
            .runs
            .iter()
            .find(|run| run.network == network && run.packing == packing && run.link == link)?;
        Some(match &run.outcome {
            Outcome::Measured(run) => (vec![run.median_seconds], seconds(run.median_seconds)),
            Outcome::Failed { .. } => (Vec::new(), "failed".into()),
        })
    });
    draw_rows(&groups, Marks::Bars, "seconds an inference")
}

/// Bytes up and down of an inference, per network and packing.
pub(super) fn traffic(bench: &Bench) -> Result<Option<Plot>, PlotError> {
    let groups = groups(bench, |network, packing| {
        let counts = bench.any_link(network, packing)?.counts;
        let mib =
            [counts.bytes_up, counts.bytes_down].map(|bytes| bytes as f64 / f64::from(1 << 20));
        Some((
            mib.to_vec(),
            format!("{} + {}", short(mib[0]), short(mib[1])),
        ))
    });
    draw_rows(&groups, Marks::Bars, "MiB an inference")
}

/// Internal and external rotations of an inference in slot packing, beside segment packing's none.
/// Nothing where no network was measured in slot packing.
pub(super) fn rotations(bench: &Bench) -> Result<Option<Plot>, PlotError> {
    let groups = groups(bench, |network, packing| {
        bench.any_link(network, "slot")?;
        if packing == "coefficient" {
            return None;
        }
        let counts = bench.any_link(network, packing)?.counts.operations;
        let both = [counts.internal_rotations, counts.external_rotations];
        let note = match both {
            [0, 0] => "0".into(),
            [internal, external] => format!("{} + {}", count(internal), count(external)),
        };
        Some((both.map(|count| count as f64).to_vec(), note))
    });
    draw_rows(&groups, Marks::LinearBars, "rotations an inference")
}

/// Measured seconds of an inference on a link beside those that the planner estimates.
pub(super) fn prediction(bench: &Bench, link: &str) -> Result<Option<Plot>, PlotError> {
    let groups = groups(bench, |network, packing| {
        let run = bench.measured(network, packing, link)?;
        let (measured, predicted) = (run.median_seconds, run.predicted.seconds);
        let note = if predicted > 0.0 {
            format!("{:.2} × {}", measured / predicted, seconds(predicted))
        } else {
            "no estimate".into()
        };
        Some((vec![measured, predicted], note))
    });
    draw_rows(&groups, Marks::Dots, "seconds an inference")
}

/// A group for each network with what `values` gives to a network and a packing: values, and a
/// note.
fn groups(bench: &Bench, values: impl Fn(&str, &str) -> Option<(Vec<f64>, String)>) -> Vec<Group> {
    let mut groups = Vec::new();
    for network in &bench.networks {
        let rows: Vec<_> = packings()
            .filter_map(|packing| {
                let (values, note) = values(&network.name, packing)?;
                Some(Row {
                    packing,
                    values,
                    note,
                })
            })
            .collect();
        if !rows.is_empty() {
            groups.push(Group {
                name: shortened(&network.name),
                rows,
            });
        }
    }
    groups
}

/// A name that fits a plot.
fn shortened(name: &str) -> String {
    const MOST: usize = 60;
    match name.chars().count() {
        ..=MOST => name.into(),
        _ => name.chars().take(MOST - 1).chain(['…']).collect(),
    }
}

/// Seconds of each layer of a run, in execution order; nothing where no layer took any time.
pub(super) fn layers(run: &Measured, packing: &str) -> Result<Option<Plot>, PlotError> {
    let seconds: Vec<f64> = run.layers.iter().map(|layer| layer.seconds).collect();
    draw_layers(&seconds, packing)
}
