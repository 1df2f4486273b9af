//! The tables of the page: layers and runs.

use maud::{Markup, html as markup};

use crate::report::numbers::{bytes, count, seconds, short};
use crate::report::{Bench, Counts, Measured, Outcome, PhasePart};

/// The layers of a network in a packing: seconds on each link, counts of the first run.
pub(super) fn layer_table(packing: &str, runs: &[(&str, &Measured)], first: &Measured) -> Markup {
    markup! {
        details {
            summary { (packing) " packing, " (first.layers.len()) " layers" }
            div.scroll { table {
                thead { tr {
                    th { "" } th.name { "layer" } th { "channels" } th { "side" } th { "kernel" } th { "stride" }
                    th { "groups" }
                    @for (link, _) in runs { th { "s, " (link) } }
                    (count_headings())
                } }
                tbody { @for (i, layer) in first.layers.iter().enumerate() { tr {
                    td { (i + 1) }
                    td.name { (layer.shape.name) }
                    td { (layer.shape.channels[0]) " → " (layer.shape.channels[1]) }
                    td { (layer.shape.side) }
                    td { (layer.shape.kernel) }
                    td { (layer.shape.stride) }
                    td { (layer.shape.groups) }
                    @for (_, run) in runs {
                        td { @if let Some(layer) = run.layers.get(i) { (short(layer.seconds)) } }
                    }
                    (count_cells(&layer.counts))
                } } }
            } }
        }
    }
}

fn count_headings() -> Markup {
    const HEADINGS: [&str; 9] = [
        "up",
        "down",
        "ciphertexts up",
        "ciphertexts down",
        "products",
        "internal rotations",
        "external rotations",
        "key switches",
        "ReLUs",
    ];
    markup! { @for heading in HEADINGS { th { (heading) } } }
}

fn count_cells(counts: &Counts) -> Markup {
    let operations = &counts.operations;
    markup! {
        td { (bytes(counts.bytes_up)) } td { (bytes(counts.bytes_down)) }
        @for value in [
            operations.ciphertexts_up, operations.ciphertexts_down, operations.products, operations.internal_rotations,
            operations.external_rotations, operations.key_switches, operations.activations,
        ] { td { (count(value)) } }
    }
}

pub(super) fn runs(bench: &Bench) -> Markup {
    let memory = |value: Option<u64>| value.map_or("-".into(), bytes);
    let table = |headings: Markup, columns: usize, cells: &dyn Fn(&Measured) -> Markup| {
        markup! {
            div.scroll { table.runs {
                thead { tr { th.name { "network" } th { "packing" } th { "link" } (headings) } }
                tbody { @for run in &bench.runs {
                    tr.failed[matches!(run.outcome, Outcome::Failed { .. })] {
                        td.name { (run.network) } td { (run.packing) } td { (run.link) }
                        @match &run.outcome {
                            Outcome::Measured(measured) => (cells(measured)),
                            Outcome::Failed { error } => td.text colspan=(columns) { "failed: " (error) },
                        }
                    }
                } }
            } }
        }
    };
    markup! {
        h3 { "Time, memory and agreement" }
        p {
            "Agreement is the number of images for which secure and plaintext inference name the same class. The \
             logit error is the largest distance of a secure logit from the plaintext one, over the spread of the \
             plaintext logits. Memory is the most that a process had resident."
        }
        (table(markup! {
            th { "median" } th { "fastest" } th { "slowest" } th { "estimated" } th { "agree" } th { "logit error" }
            th { "set-up" } th { "set-up bytes" } th { "Galois keys" } th { "client state" } th { "client memory" }
            th { "server memory" }
        }, 12, &|run| markup! {
            td { (seconds(run.median_seconds)) }
            td { (end(run, f64::min)) }
            td { (end(run, f64::max)) }
            td { (seconds(run.predicted.seconds)) }
            td { (run.agree) " of " (run.seconds.len()) }
            td { (format!("{:.4}", run.largest_logit_error)) }
            td { (seconds(run.setup_seconds)) }
            td { (bytes(run.setup_bytes)) }
            td { (bytes(run.galois_key_bytes)) }
            td { (bytes(run.client_state_bytes)) }
            td { (memory(run.client_memory_bytes)) }
            td { (memory(run.server_memory_bytes)) }
        }))
        h3 { "The two phases" }
        p {
            "All that is heavy needs no image and can be done before. Seconds are medians, bytes those of the first \
             inference; messages are one-way and in series."
        }
        (table(markup! {
            th { "s before the image" } th { "up" } th { "down" } th { "messages" }
            th { "s from image to label" } th { "up" } th { "down" } th { "messages" }
        }, 8, &|run| markup! { (phase_cells(&run.prepare)) (phase_cells(&run.answer)) }))
        h3 { "Counts of an inference" }
        p { "Of the first inference of a session; the last column compares them with those of " code { "stria plan" } "." }
        (table(markup! { (count_headings()) th { "as planned" } }, 10, &|run| markup! {
            (count_cells(&run.counts))
            td { @if run.counts == run.predicted.counts { "yes" } @else { "no" } }
        }))
    }
}

fn phase_cells(phase: &PhasePart) -> Markup {
    markup! {
        td { (seconds(phase.seconds)) }
        td { (bytes(phase.bytes_up)) }
        td { (bytes(phase.bytes_down)) }
        td { (count(phase.messages)) }
    }
}

/// The fastest or slowest inference of a run.
fn end(run: &Measured, pick: impl Fn(f64, f64) -> f64) -> String {
    let end = run.seconds.iter().copied().reduce(pick);
    end.map_or("-".into(), seconds)
}
