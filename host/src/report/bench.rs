//! `stria bench`: what `bench.json` holds.

use serde::{Deserialize, Serialize};

use super::counts::Counts;
use super::infer::PhasePart;
use super::layer::LayerShape;
use super::machine::Machine;
use crate::transport::LinkSpeed;

/// What `bench.json` holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Bench {
    /// Version of this program.
    pub version: String,
    /// Where it ran.
    pub machine: Machine,
    /// The networks, in the order of the command line.
    pub networks: Vec<NetworkFacts>,
    /// The links, in the order of the command line.
    pub links: Vec<LinkSpeed>,
    /// The runs: network by network, packing by packing, link by link.
    pub runs: Vec<Run>,
}

impl Bench {
    /// The run of a network in a packing on a link, if it came to its end.
    pub fn measured(&self, network: &str, packing: &str, link: &str) -> Option<&Measured> {
        self.runs.iter().find_map(|run| match &run.outcome {
            Outcome::Measured(measured)
                if run.network == network && run.packing == packing && run.link == link =>
            {
                Some(measured)
            }
            _ => None,
        })
    }

    /// A run to take counts and bytes from, which are the same on every link: that on the link
    /// "wan", or else the first.
    pub fn any_link(&self, network: &str, packing: &str) -> Option<&Measured> {
        let links = self.links.iter().map(|link| link.name.as_str());
        std::iter::once("wan")
            .chain(links)
            .find_map(|link| self.measured(network, packing, link))
    }
}

/// A network of a benchmark.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// Its name: a builder's, or the one in a model file.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Where it departs from its source.
    pub deviations: Vec<String>,
    /// Whether its weights are random, so that its classes mean nothing.
    pub random_weights: bool,
    /// Weights and biases; a Cross Kernel counts five taps.
    pub parameters: usize,
    /// ReLU evaluations of an inference.
    pub activations: usize,
    /// Side of the input in pixels.
    pub side: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Secure inferences of one network in one packing over one link, in one session.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Name of the network.
    pub network: String,
    /// "segment", "coefficient" or "slot".
    pub packing: String,
    /// Name of the link.
    pub link: String,
    /// What came out.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came out of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "a handful of runs")]
pub enum Outcome {
    /// All images were classified.
    Measured(Measured),
    /// It came to no end.
    Failed {
        /// Why, in one sentence.
        error: String,
    },
}

/// What a run took, measured where the work happens. Counts and bytes are one inference's.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Seconds of each inference, from its first frame to its logits; one an image.
    pub seconds: Vec<f64>,
    /// Median of `seconds`.
    pub median_seconds: f64,
    /// What needs no image: median seconds, bytes of the first inference.
    pub prepare: PhasePart,
    /// And what follows it.
    pub answer: PhasePart,
    /// Seconds from connecting to the end of the set-up.
    pub setup_seconds: f64,
    /// Bytes of the set-up, both ways; Galois keys are part of it.
    pub setup_bytes: u64,
    /// Bytes of Galois keys.
    pub galois_key_bytes: u64,
    /// Images for which secure and plaintext inference name the same class.
    pub agree: usize,
    /// Largest distance of a secure logit from the plaintext one, over all images, in units of the
    /// spread of the plaintext logits (largest minus smallest).
    pub largest_logit_error: f64,
    /// Bytes of the client's whole state.
    pub client_state_bytes: u64,
    /// Most memory that the client's process had resident, where the system tells it.
    pub client_memory_bytes: Option<u64>,
    /// Most memory that the server's process had resident, where the system tells it.
    pub server_memory_bytes: Option<u64>,
    /// Counts and bytes of the first inference.
    #[serde(flatten)]
    pub counts: Counts,
    /// What the planner says to the same plan on this link.
    pub predicted: Predicted,
    /// The layers, in execution order; the first has the frame that opens an inference.
    pub layers: Vec<MeasuredLayer>,
}

/// An estimate to compare with.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Predicted {
    /// Seconds of an inference.
    pub seconds: f64,
    /// What needs no image.
    pub prepare: PhasePart,
    /// And what follows it.
    pub answer: PhasePart,
    /// Counts and bytes of the first inference of a session.
    #[serde(flatten)]
    pub counts: Counts,
}

/// One layer of a run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct MeasuredLayer {
    /// What it computes.
    #[serde(flatten)]
    pub shape: LayerShape,
    /// Seconds from its first frame to the next layer's, as the client saw them; the median over
    /// the images.
    pub seconds: f64,
    /// Counts and bytes.
    #[serde(flatten)]
    pub counts: Counts,
}
