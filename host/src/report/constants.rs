//! How long single operations take on a machine: what turns counts into seconds.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Seconds of single operations. The server's work on a layer is spread over all cores: its times are
/// wall-clock seconds over operations done side by side, as many as keep all cores busy.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// Cores that it was measured with.
    pub cores: usize,
    /// Segment and coefficient packing: N = 4096.
    pub segment: Ring,
    /// Slot packing: N = 8192.
    pub slot: Ring,
    /// Slot packing, server: one ciphertext split into digits, once for all its rotations.
    pub decompose: f64,
    /// Slot packing, server: one rotation of a ciphertext that is split.
    pub key_switch: f64,
    /// Client: one activation prepared, at k_s = 4 and h = 8. Seconds of other settings are not
    /// estimated.
    pub relu_client: f64,
    /// Server: the same.
    pub relu_server: f64,
    /// Client: one activation answered.
    pub answer_client: f64,
    /// Server: the same.
    pub answer_server: f64,
    /// Server: one multiplication of its convolution in the clear, on all cores.
    pub clear: f64,
}

/// Seconds of what is done with ciphertexts of one ring.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// Client: one ciphertext packed, encrypted and written.
    pub encrypt: f64,
    /// Server: one ciphertext transformed, its share packed and added; on one core.
    pub receive: f64,
    /// Server: one product of a ciphertext with a transformed plaintext, added up.
    pub product: f64,
    /// Server: the same where weights are transformed in every inference.
    pub fresh_product: f64,
    /// Server: one response masked, flooded and switched.
    pub respond: f64,
    /// Client: one response read and decrypted.
    pub decrypt: f64,
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
    /// What `stria bench --calibrate` found, rounded, on a two-core x86-64 machine with nothing else
    /// running.
    fn default() -> Self {
        Self {
            cores: 2,
            segment: Ring {
                encrypt: 4.8e-4,
                receive: 2.2e-4,
                product: 1.4e-5,
                fresh_product: 1.0e-4,
                respond: 5.3e-4,
                decrypt: 1.2e-4,
            },
            slot: Ring {
                encrypt: 1.45e-3,
                receive: 4.8e-4,
                product: 2.7e-5,
                fresh_product: 2.5e-4,
                respond: 1.3e-3,
                decrypt: 6.0e-4,
            },
            decompose: 5.2e-4,
            key_switch: 3.9e-4,
            relu_client: 2.0e-6,
            relu_server: 2.6e-6,
            answer_client: 1.0e-7,
            answer_server: 2.4e-7,
            clear: 8.6e-11,
        }
    }
}

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
        let times = constants.seconds();
        if constants.cores >= 1 && times.iter().all(|&x| x.is_finite() && x > 0.0) {
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

    fn seconds(&self) -> Vec<f64> {
        let ring = |ring: &Ring| {
            [
                ring.encrypt,
                ring.receive,
                ring.product,
                ring.fresh_product,
                ring.respond,
                ring.decrypt,
            ]
        };
        let rings = [&self.segment, &self.slot].map(ring).concat();
        let others = [
            self.decompose,
            self.key_switch,
            self.relu_client,
            self.relu_server,
        ];
        [rings.as_slice(), &others].concat()
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
