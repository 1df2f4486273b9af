//! Networks by their name on the command line.

use std::path::{Path, PathBuf};

use anyhow::Context;
use stria_host::Model;
use stria_host::data::bundle;
use stria_host::model::networks::{self, Builder};

/// Seed of the random weights of a built network.
const WEIGHTS_SEED: u64 = 1;

/// What the name of a network on the command line means.
pub enum Named {
    /// A model file.
    File(PathBuf),
    /// A network of this program, with random weights.
    Builder(Builder),
}

/// The model file of that path, if the name looks like one, or the network of that name.
pub fn named(name: &str) -> anyhow::Result<Named> {
    let path = Path::new(name);
    Ok(if path.is_file() || path.extension().is_some() {
        Named::File(path.into())
    } else {
        Named::Builder(networks::find(name)?)
    })
}

/// Loads the named model file, builds the named network, or loads the bundled model.
pub fn load_model(name: Option<&str>) -> anyhow::Result<Model> {
    let (model, from) = match name.map(named).transpose()? {
        Some(Named::Builder(builder)) => {
            let model = builder.model(WEIGHTS_SEED);
            let model = model.with_context(|| format!("cannot build {}", builder.name))?;
            (model, format!("{} with random weights", builder.name))
        }
        Some(Named::File(path)) => (load(&path)?, path.display().to_string()),
        None => {
            let path = bundle::model()?;
            (load(&path)?, path.display().to_string())
        }
    };
    tracing::info!(
        model = from,
        layers = model.layers.len(),
        activations = model.activations(),
        "loaded"
    );
    Ok(model)
}

pub fn load(path: &Path) -> anyhow::Result<Model> {
    Model::load(path).with_context(|| format!("cannot use the model {}", path.display()))
}

/// The network to run.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// The model file, or the name of a network that is built with random weights; the bundled
    /// model by default.
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

impl ModelArgs {
    /// Loads or builds it.
    pub fn load(&self) -> anyhow::Result<Model> {
        load_model(self.model.as_deref())
    }
}
