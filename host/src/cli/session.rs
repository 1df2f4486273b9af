//! A client's session with a server, as the commands see it: remote, or in this process.

use std::time::Duration;

use stria_core::packing::Packing;
use stria_core::protocol::greeting::Settings;
use stria_host::Model;
use stria_host::session::check::LayerCheck;
use stria_host::report::Operations;
use stria_host::model::Input;
use stria_host::session::client::{self, Inference, Window};
use stria_host::session::local::Local;
use stria_host::transport::pace::Pace;
use stria_host::report::{Measured, MeasuredLayer, Outcome};

/// How the client runs.
#[derive(clap::Args)]
pub struct Options {
    /// Run the client that fits a microcontroller, with its window of 56 activations.
    #[arg(long)]
    small: bool,
    /// How activations are packed: segment, coefficient, or slot (with rotations and Galois keys). A
    /// server chooses by itself between the first two, which take the same client.
    #[arg(long, value_name = "PACKING", default_value = Packing::Segment.name(),
          value_parser = super::packing())]
    pub packing: Packing,
    /// k_s of the oblivious transfer extension: 1, 2, 4 or 8. More is less traffic and more work.
    #[arg(long, value_name = "BITS", default_value_t = 4, value_parser = k_s)]
    ks: u8,
    /// h: bits that a comparison takes, from 8 to the shares' 20 - shift (exact).
    #[arg(long, value_name = "BITS", default_value_t = 8,
          value_parser = clap::value_parser!(u8).range(8..=12))]
    compare: u8,
    /// Seconds to wait for a silent server.
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = super::seconds())]
    patience: u64,
}

impl Options {
    fn client(&self) -> client::Options {
        client::Options {
            window: if self.small {
                Window::Small
            } else {
                Window::Large
            },
            packing: self.packing,
            settings: Settings {
                k_s: self.ks,
                h: self.compare,
                labels: true,
            },
            timeout: Duration::from_secs(self.patience),
            ..client::Options::default()
        }
    }
}

fn k_s(text: &str) -> Result<u8, &'static str> {
    match text.parse() {
        Ok(k_s @ (1 | 2 | 4 | 8)) => Ok(k_s),
        _ => Err("not 1, 2, 4 or 8"),
    }
}

/// What a server tells of its network.
pub struct Announced {
    /// Class names, in the order of the logits.
    pub classes: Vec<String>,
    /// How a picture becomes the first tensor.
    pub input: Input,
    /// Integer logits per unit of real logit.
    pub logit_scale: f32,
}

/// A session with a server elsewhere, whose set-up is done.
pub struct Remote(client::Session);

impl Remote {
    /// Connects to a server; `baud` is a serial line's, `pace` a link's to send as slowly as.
    pub fn connect(
        address: &str,
        baud: u32,
        pace: Option<Pace>,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let options = client::Options {
            baud,
            pace,
            ..options.client()
        };
        Ok(Self(client::Session::connect(address, options)?))
    }

    /// The server's network.
    pub fn announced(&self) -> anyhow::Result<Announced> {
        let welcome = self.0.welcome();
        let logit_scale = welcome.map_or(1.0, |welcome| welcome.logit_scale);
        anyhow::ensure!(
            logit_scale.is_finite() && logit_scale > 0.0,
            "the server's logits have no scale"
        );
        Ok(Announced {
            classes: self.0.classes().to_vec(),
            input: self.0.input()?,
            logit_scale,
        })
    }

    /// Classifies one image, [channels, side, side].
    pub fn infer(&mut self, image: &[i32]) -> anyhow::Result<Outcome> {
        Ok(outcome(self.0.infer(image)?))
    }

    /// Bytes and seconds of the set-up, and bytes of the client's state.
    pub fn costs(&self) -> (u64, f64, u64) {
        costs(&self.0)
    }

    /// Says goodbye.
    pub fn finish(self) -> anyhow::Result<()> {
        Ok(self.0.finish()?)
    }
}

/// Client and server in this process, over a loopback socket.
pub struct InProcess {
    local: Local,
    checks: Vec<LayerCheck>,
    inferences: u64,
}

impl InProcess {
    /// Starts a server, and connects to it.
    pub fn start(model: &Model, options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            local: Local::start(model, options.client())?,
            checks: vec![LayerCheck::default(); model.layers.len()],
            inferences: 0,
        })
    }

    /// Classifies one image, [channels, side, side]. With `check`, every layer is compared with
    /// that model's integers, from both parties' shares.
    pub fn infer(&mut self, image: &[i32], check: Option<&Model>) -> anyhow::Result<Outcome> {
        let (inference, checks) = self.local.infer(image, check)?;
        self.inferences += 1;
        for (sum, check) in self.checks.iter_mut().zip(checks) {
            sum.max_error_units = sum.max_error_units.max(check.max_error_units);
            sum.zeroed += check.zeroed;
        }
        Ok(outcome(inference))
    }

    /// What was counted so far.
    pub fn measured(&self) -> anyhow::Result<Measured> {
        let counters = self.local.counters();
        let (bytes_setup, seconds_setup, client_state_bytes) = costs(self.local.session()?);
        let layers = counters.layers.iter().zip(&self.checks);
        Ok(Measured {
            packing: self.local.packing(),
            bytes_setup,
            seconds_setup,
            client_state_bytes,
            galois_key_bytes: counters.galois_key_bytes() as u64,
            layers: layers
                .map(|(counted, check)| MeasuredLayer {
                    operations: Operations::from(counted).of_each(self.inferences),
                    max_error_units: check.max_error_units,
                    zeroed: check.zeroed as u64,
                })
                .collect(),
        })
    }
}

fn outcome(inference: Inference) -> Outcome {
    Outcome {
        logits: inference.logits,
        bytes_up: inference.bytes_up,
        bytes_down: inference.bytes_down,
        seconds: inference.seconds,
        layers: inference.layers,
    }
}

fn costs(session: &client::Session) -> (u64, f64, u64) {
    (
        session.setup_bytes(),
        session.setup_seconds(),
        session.state_bytes() as u64,
    )
}
