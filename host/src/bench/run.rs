//! Runs a benchmark: a server and a client of this program as processes of their own, a pair for
//! every network, packing and link.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use stria_core::packing::Packing;

use super::process::{ServerProcess, client};
use crate::model::logits::top_k;
use crate::model::{Model, ModelLayer, packing, reference};
use crate::planner::{NamedLayer, Plan, Setting, formed};
use crate::report::{
    Counts, InferReport, Inference, InferredImage, Measured, MeasuredLayer, NetworkFacts,
    Operations, Outcome, PhasePart, PlannedLayer, Predicted, SessionReport,
};
use crate::transport::LinkSpeed;

/// A network that is measured.
pub struct Subject {
    /// What the report says of it.
    pub facts: NetworkFacts,
    /// What `--model` takes.
    pub argument: String,
    /// Its layers, without weights.
    layers: Vec<NamedLayer>,
    /// Logits of the plaintext reference, one vector an image.
    expected: Vec<Vec<i32>>,
}

impl Subject {
    /// A network and what it makes of the images, each [channels, side, side].
    pub fn new(facts: NetworkFacts, argument: String, model: &Model, images: &[Vec<i32>]) -> Self {
        let layer = |layer: &ModelLayer| (layer.name.clone(), layer.layer);
        let images: Vec<&[i32]> = images.iter().map(Vec::as_slice).collect();
        let batches = images.chunks(reference::LANES);
        let scored = batches.flat_map(|batch| reference::logits(model, batch));
        Self {
            facts,
            argument,
            layers: model.layers.iter().map(layer).collect(),
            expected: scored.map(|scored| scored.logits).collect(),
        }
    }
}

/// How runs are made.
pub struct Runner<'a> {
    /// This program.
    pub program: PathBuf,
    /// Image files, one an inference.
    pub images: &'a [PathBuf],
    /// The machine and the client, for the estimates; every run has its own link.
    pub setting: Setting,
}

impl Runner<'_> {
    /// Runs one network in one packing over one link, which `link_arguments` names.
    pub fn run(
        &self,
        subject: &Subject,
        packing: Packing,
        link: &LinkSpeed,
        link_arguments: &[String],
    ) -> Outcome {
        match self.measure(subject, packing, link, link_arguments) {
            Ok(measured) => Outcome::Measured(measured),
            Err(error) => Outcome::Failed {
                error: format!("{error:#}"),
            },
        }
    }

    fn measure(
        &self,
        subject: &Subject,
        packing: Packing,
        link: &LinkSpeed,
        link_arguments: &[String],
    ) -> anyhow::Result<Measured> {
        let setting = Setting {
            link: link.clone(),
            ..self.setting.clone()
        };
        let served = |layer: &_| packing::packed(layer, packing).map(|packed| packed.layer);
        let served = formed(subject.layers.clone(), served)?;
        let plan = setting.plan(packing, &served)?;
        let common = ["--packing".into(), packing.name().into(), "--json".into()];
        let arguments = [&common[..], link_arguments].concat();
        let server = ServerProcess::start(&self.program, &subject.argument, &arguments)?;
        let client = client(&self.program, &server.address, &arguments, self.images);
        let (served, client) = match client {
            Ok(client) => (server.session()?, client),
            // The server may know better why.
            Err(error) => return Err(server.blame(error)),
        };
        if let Some(error) = served.error {
            return Err(anyhow!("the server's session failed: {error}"));
        }
        measured(subject, &plan, &client, &served)
    }
}

/// Puts together what both processes and the planner say.
fn measured(
    subject: &Subject,
    plan: &Plan,
    client: &InferReport,
    served: &SessionReport,
) -> anyhow::Result<Measured> {
    let first = client.images.first().context("no inference")?;
    let planned = &plan.layers;
    ensure!(
        planned.len() == first.inference.layers.len() && planned.len() == served.layers.len(),
        "client, server and planner disagree on the number of layers"
    );
    let queries = u64::from(served.queries).max(1);
    let layers: Vec<MeasuredLayer> = (0..planned.len())
        .map(|i| layer(&planned[i], &client.images, i, &served.layers[i], queries))
        .collect();
    let mut counts = Counts::default();
    layers.iter().for_each(|layer| counts += &layer.counts);
    let seconds: Vec<f64> = client
        .images
        .iter()
        .map(|image| image.inference.seconds)
        .collect();
    let results = client.images.iter().zip(&subject.expected);
    let agrees = |(image, expected): &(&InferredImage, &Vec<i32>)| {
        top_k(&image.inference.logits, 1) == top_k(expected, 1)
    };
    Ok(Measured {
        median_seconds: median(seconds.clone()),
        seconds,
        setup_seconds: client.seconds_setup,
        setup_bytes: client.bytes_setup,
        galois_key_bytes: served.galois_key_bytes as u64,
        agree: results.clone().filter(agrees).count(),
        largest_logit_error: results
            .map(|(image, expected)| logit_error(&image.inference.logits, expected))
            .fold(0.0, f64::max),
        client_state_bytes: client.client_state_bytes,
        client_memory_bytes: client.memory_bytes,
        server_memory_bytes: served.memory_bytes,
        counts,
        prepare: phase(client, |inference| inference.prepare),
        answer: phase(client, |inference| inference.answer),
        predicted: Predicted {
            seconds: plan.totals.seconds,
            prepare: plan.totals.prepare,
            answer: plan.totals.answer,
            counts: plan.totals.counts,
        },
        layers,
    })
}

/// A phase of the session: median seconds, and what the first inference sent.
fn phase(client: &InferReport, of: fn(&Inference) -> PhasePart) -> PhasePart {
    let parts = client.images.iter().map(|image| of(&image.inference));
    PhasePart {
        seconds: median(parts.clone().map(|part| part.seconds).collect()),
        ..parts.clone().next().unwrap_or_default()
    }
}

/// One layer of the session; bytes are those of the first inference.
fn layer(
    planned: &PlannedLayer,
    images: &[InferredImage],
    index: usize,
    served: &Operations,
    queries: u64,
) -> MeasuredLayer {
    let passed = images
        .iter()
        .filter_map(|image| image.inference.layers.get(index));
    let first = passed.clone().next().copied().unwrap_or_default();
    MeasuredLayer {
        shape: planned.shape.clone(),
        seconds: median(passed.map(|layer| layer.seconds).collect()),
        counts: Counts {
            operations: served.of_each(queries),
            bytes_up: first.bytes_up,
            bytes_down: first.bytes_down,
            ciphertext_bytes: first.ciphertext_bytes,
        },
    }
}

/// The largest distance of two logits, in units of the spread of the expected ones.
fn logit_error(logits: &[i32], expected: &[i32]) -> f64 {
    let spread = expected.iter().max().zip(expected.iter().min());
    let spread = spread.map_or(0, |(&max, &min)| i64::from(max) - i64::from(min));
    let distance = |(&a, &b): (&i32, &i32)| (i64::from(a) - i64::from(b)).unsigned_abs();
    let largest = logits.iter().zip(expected).map(distance).max().unwrap_or(0);
    largest as f64 / spread.max(1) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::ClientTraffic;
    use crate::report::Constants;
    use crate::session::client::Window;
    use stria_core::network::layer::Layer;
    use stria_core::protocol::greeting::Settings;

    fn runner(program: &str) -> Runner<'static> {
        Runner {
            program: program.into(),
            images: &[],
            setting: Setting {
                constants: Constants::default(),
                link: LinkSpeed::loopback(),
                client: ClientTraffic::new(Window::Large, Settings::default(), 8).unwrap(),
            },
        }
    }

    fn error(program: &str, layers: Vec<(String, Layer)>) -> String {
        let subject = Subject {
            facts: NetworkFacts::default(),
            argument: "none".into(),
            layers,
            expected: Vec::new(),
        };
        let link = LinkSpeed::loopback();
        match runner(program).run(&subject, Packing::Slot, &link, &[]) {
            Outcome::Failed { error } => error,
            Outcome::Measured(_) => panic!("it ran"),
        }
    }

    #[test]
    fn a_run_that_cannot_be_made_says_why() {
        assert!(error("/nonexistent", vec![]).starts_with("cannot start a server process"));
        #[cfg(unix)]
        assert_eq!(error("true", vec![]), "the server process ended");
        let network = crate::model::networks::BUILDERS[0].network();
        let shapes = crate::model::shapes(&network).unwrap();
        let stem = Layer {
            in_side: 0,
            ..shapes[0].layer
        };
        let unfit = error("/nonexistent", vec![("stem".into(), stem)]);
        assert_eq!(
            unfit,
            "layer stem cannot be packed: a side of 0 pixels is not 1 to 1024"
        );
    }

    #[test]
    fn medians_of_few() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn logit_errors_are_relative_to_the_spread() {
        assert_eq!(logit_error(&[-50, 52], &[-50, 50]), 0.02);
        assert_eq!(logit_error(&[1, 1], &[1, 1]), 0.0);
        assert_eq!(
            logit_error(&[i32::MIN, i32::MAX], &[i32::MAX, i32::MIN]),
            1.0
        );
    }
}
