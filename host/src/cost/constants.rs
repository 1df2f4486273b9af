//! How long single operations take on a machine: what turns counts into seconds.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::linear::Linear;
use stria_core::packing::Packing;

use super::slot;
use stria_core::params::N;

/// Seconds of single operations. The server's work on a layer is spread over all cores: its times are
/// wall-clock seconds over operations done side by side.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// Cores that it was measured with.
    pub cores: usize,
    /// Client: one ciphertext packed, encrypted and written.
    pub encrypt: f64,
    /// Server: one ciphertext read, transformed, its share added; on one core.
    pub receive: f64,
    /// Server: one product of a ciphertext with a transformed plaintext, added up.
    pub product: f64,
    /// Server: one response masked, flooded and switched.
    pub respond: f64,
    /// Client: one response read and decrypted.
    pub decrypt: f64,
    /// Client: one activation, at k_s = 4 and h = 8.
    pub relu_client: f64,
    /// Server: the same.
    pub relu_server: f64,
    /// One transform of one limb at N = 4096, on one core.
    pub transform: f64,
}

/// Where constants come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nobody has measured this machine.
    Defaults,
    /// This file, which `stria bench --calibrate` wrote.
    File(PathBuf),
}

impl Default for Constants {
    /// What `stria bench --calibrate` found, rounded, on the two-core machine that this was written on.
    fn default() -> Self {
        Self {
            cores: 2,
            encrypt: 8.5e-4,
            receive: 3.2e-4,
            product: 3.9e-5,
            respond: 1.8e-3,
            decrypt: 1.9e-4,
            relu_client: 3.8e-6,
            relu_server: 4.7e-6,
            transform: 4.0e-5,
        }
    }
}

/// Seconds of the linear part of a layer, by who works.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Work {
    /// Client: all ciphertexts up.
    pub encrypt: f64,
    /// Server: the same.
    pub receive: f64,
    /// Server: products.
    pub products: f64,
    /// Server: rotations for taps.
    pub internal_rotations: f64,
    /// Server: rotations for channels.
    pub external_rotations: f64,
    /// Server: responses.
    pub respond: f64,
    /// Client: all ciphertexts down.
    pub decrypt: f64,
}

impl Work {
    /// Server: all that it does between the ciphertexts up and down.
    pub fn compute(&self) -> f64 {
        self.products + self.internal_rotations + self.external_rotations + self.respond
    }
}

/// Transforms of N = 4096 and one limb that one rotation at N = 8192 takes: 4 digits to 4 further
/// limbs each, the division of both results by the special prime (10), 4 to begin with, each of
/// twice the size and 13/12 of the depth.
const ROTATION: f64 = 30.0 * 2.0 * 13.0 / 12.0;

impl Constants {
    /// The file that commands read where none is named.
    pub fn default_path() -> Option<PathBuf> {
        let of = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let config = of("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| Some(PathBuf::from(of("HOME")?).join(".config")));
        Some(config?.join("stria").join("constants.json"))
    }

    /// Reads what [`Constants::save`] wrote.
    pub fn load(path: &Path) -> Result<Self, ConstantsError> {
        let constants: Self = serde_json::from_slice(&std::fs::read(path)?)?;
        if constants.cores >= 1
            && constants
                .seconds()
                .iter()
                .all(|&x| x.is_finite() && x > 0.0)
        {
            Ok(constants)
        } else {
            Err(ConstantsError::Numbers)
        }
    }

    /// Writes them as JSON.
    pub fn save(&self, path: &Path) -> Result<(), ConstantsError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self)?;
        Ok(std::fs::write(path, text + "\n")?)
    }

    fn seconds(&self) -> [f64; 8] {
        [
            self.encrypt,
            self.receive,
            self.product,
            self.respond,
            self.decrypt,
            self.relu_client,
            self.relu_server,
            self.transform,
        ]
    }

    /// Seconds of the linear part of a layer. In slot packing they are derived, not measured: from
    /// the ring's size and the transforms of a rotation.
    pub fn linear(&self, packing: Packing, linear: &Linear) -> Work {
        let (inputs, outputs) = (linear.inputs as f64, linear.outputs() as f64);
        // Polynomials of twice the size.
        let size = match packing {
            Packing::Segment | Packing::Coefficient => 1.0,
            Packing::Slot => slot::SLOTS as f64 / N as f64,
        };
        let rotation = ROTATION * self.transform / self.cores as f64;
        Work {
            encrypt: inputs * self.encrypt * size,
            receive: inputs * self.receive * size,
            products: linear.products as f64 * self.product * size,
            internal_rotations: linear.internal_rotations as f64 * rotation,
            external_rotations: linear.external_rotations as f64 * rotation,
            respond: outputs * self.respond * size,
            decrypt: outputs * self.decrypt * size,
        }
    }
}

/// Why constants cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConstantsError {
    /// The file cannot be read or written.
    #[error("cannot read or write it")]
    File(#[from] std::io::Error),
    /// The file is not what it should be.
    #[error("it is not what `stria bench --calibrate` writes")]
    Json(#[from] serde_json::Error),
    /// A time that nothing takes.
    #[error("its times must all be above 0")]
    Numbers,
}
