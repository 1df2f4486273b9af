//! The page, section by section.

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};
use plotters::style::RGBColor;

use super::draw::{self, Plot, PlotError};
use super::plots;
use super::tables::{layer_table, runs};
use crate::report::claims::{Claim, NOT_MEASURED, claims};
use crate::report::numbers::{bytes, count, seconds};
use crate::report::{Bench, Measured, NetworkFacts, Outcome, Run};
use crate::transport::LinkSpeed;

const STYLE: &str = include_str!("report.css");
/// Nothing is loaded and nothing runs, whatever a name in a model file holds.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
pub fn html(bench: &Bench) -> Result<String, PlotError> {
    let page = markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Stria benchmark" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Stria benchmark" }
                p.faint { "Private CNN inference, measured: stria bench " (bench.version) }
                (circumstances(bench))
                h2 { "Claims of the paper" }
                p {
                    "From the abstract of arXiv 2601.21287. Ratios are given as they come out, also where a claim is \
                     not reproduced."
                }
                (claims_table(&claims(bench)))
                h2 { "Time" }
                p {
                    "Median seconds of an inference, from its first frame to its logits, without the session's \
                     set-up."
                }
                (legend())
                (plot_per_link(bench, "time", "Time of an inference", "", plots::time)?)
                h2 { "Traffic" }
                (traffic(bench)?)
                h2 { "Prediction" }
                p {
                    "What " code { "stria plan" } " estimates for the same plan on the same link, beside what was measured; \
                     the numbers say how many times the estimate it took."
                }
                (plot_per_link(bench, "prediction", "Measured and estimated time",
                    "; a dot is measured, a ring is estimated", plots::prediction)?)
                h2 { "Layers" }
                (layers(bench)?)
                h2 { "All runs" }
                (runs(bench))
                h2 { "Notes" }
                (notes(bench))
            }
        }
    };
    Ok(page.into_string())
}

/// Where it ran, and how it was measured.
fn circumstances(bench: &Bench) -> Markup {
    let machine = &bench.machine;
    let images = measured(bench).map(|(_, run)| run.seconds.len());
    let images = images.clone().min().zip(images.max());
    markup! {
        dl.facts {
            dt { "Machine" }
            dd {
                (machine.processor.as_deref().unwrap_or("processor unknown")) ", "
                (machine.cores) @if machine.cores == 1 { " core" } @else { " cores" }
                @if let Some(memory) = machine.memory_bytes { ", " (bytes(memory)) " of memory" }
            }
            dt { "Parties" }
            dd { "client and server, two processes that share this machine's cores" }
            dt { "Links" }
            dd {
                @if bench.links.is_empty() { "none" }
                @for (i, link) in bench.links.iter().enumerate() {
                    @if i > 0 { "; " }
                    (link.name) ": " (rate(link))
                }
                ". What the processes send is paced and delayed as on these"
            }
            dt { "Images" }
            dd {
                @match images {
                    None => "no run came to its end",
                    Some((least, most)) => {
                        (least) @if most > least { " to " (most) }
                        " a run, one after the other in one session; times are medians, counts and bytes those of \
                         the first"
                    }
                }
            }
        }
    }
}

fn rate(link: &LinkSpeed) -> String {
    if *link == LinkSpeed::loopback() {
        return "not slowed down".into();
    }
    let rate = match link.bits_per_second {
        rate @ 1e9.. => format!("{} Gbit/s", rate / 1e9),
        rate @ 1e6.. => format!("{} Mbit/s", rate / 1e6),
        rate => format!("{} kbit/s", rate / 1e3),
    };
    format!("{rate} each way, round trip {} ms", link.round_trip_ms)
}

fn measured(bench: &Bench) -> impl Iterator<Item = (&Run, &Measured)> + Clone {
    bench.runs.iter().filter_map(|run| match &run.outcome {
        Outcome::Measured(measured) => Some((run, measured)),
        Outcome::Failed { .. } => None,
    })
}

fn claims_table(claims: &[Claim]) -> Markup {
    markup! {
        table.claims #claims {
            thead { tr {
                th.text { "claim" } th.text { "what it means here" } th.text { "measured here" }
            } }
            tbody { @for claim in claims { tr {
                td.text { (claim.claim) }
                td.text { (claim.meaning) }
                td.text {
                    @match claim.measured.as_slice() {
                        [one] => span.absent[one == NOT_MEASURED] { (one) },
                        many => ul { @for line in many { li { (line) } } },
                    }
                }
            } } }
        }
    }
}

fn css(RGBColor(r, g, b): RGBColor) -> String {
    format!("background: rgb({r}, {g}, {b})")
}

fn legend() -> Markup {
    let about = |packing| match packing {
        "segment" => "segment: ExRot-Free convolutions, no rotation",
        "coefficient" => "coefficient: as Cheetah packs",
        _ => "slot: SIMD slots with rotations, as CrypTFlow2",
    };
    markup! {
        p.legend { @for packing in draw::packings() {
            span {
                span.swatch style=(css(draw::colour(packing))) {}
                (about(packing))
            }
        } }
    }
}

fn traffic(bench: &Bench) -> Result<Markup, PlotError> {
    let traffic = plots::traffic(bench)?;
    let key = match &traffic {
        Some(plot) if plot.dots => "a dot is up, a ring is down",
        _ => "up, then down in the lighter colour",
    };
    let traffic = figure(
        "traffic",
        "Traffic up and down",
        key,
        traffic,
        "no inference came to its end.",
    );
    let rotations = figure(
        "rotations",
        "Rotations in slot packing, against none in segment packing",
        "internal, then external in the lighter colour",
        plots::rotations(bench)?,
        "no network with rotations was measured in slot packing.",
    );
    Ok(markup! {
        p { "Bytes of an inference, frame headers included, without the session's set-up. Rotations are the server's." }
        div.plots { (traffic) (rotations) }
    })
}

/// A plot with the number of values in it, or the sentence that says why there is none.
fn figure(id: &str, caption: &str, key: &str, plot: Option<Plot>, otherwise: &str) -> Markup {
    markup! {
        @match plot {
            Some(plot) => figure.plot id=(id) data-points=(plot.points) {
                figcaption { (caption) span { (key) } }
                (PreEscaped(plot.svg))
            },
            None => p.none id=(id) { (caption) ": " (otherwise) },
        }
    }
}

fn plot_per_link(
    bench: &Bench,
    id: &str,
    caption: &str,
    key: &str,
    draw: impl Fn(&Bench, &str) -> Result<Option<Plot>, PlotError>,
) -> Result<Markup, PlotError> {
    let mut figures = Vec::new();
    for (i, link) in bench.links.iter().enumerate() {
        figures.push(figure(
            &format!("{id}-{}", i + 1),
            &format!("{caption} on {}", link.name),
            &format!("{}{key}", rate(link)),
            draw(bench, &link.name)?,
            "no inference came to its end on this link.",
        ));
    }
    Ok(markup! { div.plots { @for figure in figures { (figure) } } })
}

/// For each network and packing a plot and a table of its layers.
fn layers(bench: &Bench) -> Result<Markup, PlotError> {
    let mut parts = Vec::new();
    for (i, network) in bench.networks.iter().enumerate() {
        let (mut figures, mut tables) = (Vec::new(), Vec::new());
        for packing in draw::packings() {
            let runs = bench.links.iter().filter_map(|link| {
                let run = bench.measured(&network.name, packing, &link.name)?;
                Some((link.name.as_str(), run))
            });
            let runs: Vec<_> = runs.collect();
            let Some((link, first)) = runs.first() else {
                continue;
            };
            figures.push(figure(
                &format!("layers-{}-{packing}", i + 1),
                &format!("{packing} packing on {link}"),
                &format!("{} in all", seconds(first.median_seconds)),
                plots::layers(first, packing)?,
                "no layer took any time.",
            ));
            tables.push(layer_table(packing, &runs, first));
        }
        if !figures.is_empty() {
            parts.push(markup! {
                h3 { (network.name) }
                div.plots.small { @for figure in figures { (figure) } }
                @for table in tables { (table) }
            });
        }
    }
    Ok(markup! {
        @if parts.is_empty() {
            p.none { "No inference came to its end, so there are no layers to show." }
        } @else {
            p {
                "Seconds of a layer as the client sees them, until the next layer's first frame. Each plot has \
                 its own scale; the numbers of layers are those of the tables below them."
            }
        }
        @for part in parts { (part) }
    })
}

fn notes(bench: &Bench) -> Markup {
    markup! {
        @for network in &bench.networks {
            h3 { (network.name) }
            (network_notes(network))
        }
    }
}

fn network_notes(network: &NetworkFacts) -> Markup {
    markup! {
        p { (network.about) }
        p.faint {
            (count(network.parameters as u64)) " parameters, " (count(network.activations as u64)) " ReLUs, input "
            (network.side) "x" (network.side) ", " (network.classes) " classes"
        }
        @if network.random_weights || !network.deviations.is_empty() {
            ul {
                @if network.random_weights {
                    li { "random weights: times, traffic and counts are those of a trained network, classes mean nothing" }
                }
                @for deviation in &network.deviations { li { (deviation) } }
            }
        }
    }
}
