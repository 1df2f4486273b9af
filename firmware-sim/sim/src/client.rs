//! The device's client in this process: the same small client, in the same settings, on the same
//! line, for machines without QEMU.

use std::path::Path;
use std::time::Duration;

use stria_core::protocol::greeting::Settings;
use stria_host::session::client::{ClientOptions, Connection, Window};

/// As the firmware's.
pub const SETTINGS: Settings = Settings {
    k_s: 2,
    h: 8,
    labels: false,
};
/// How long the server may stay silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Classifies a picture, [channels, rows, cols], over the line whose socket is at `path`; gives the
/// logits by class.
pub fn classify(path: &Path, picture: &[i32]) -> anyhow::Result<Vec<i32>> {
    let options = ClientOptions {
        window: Window::Small,
        settings: SETTINGS,
        timeout: PATIENCE,
        ..ClientOptions::default()
    };
    let mut session = Connection::connect(&format!("serial:unix:{}", path.display()), options)?;
    let inference = session.infer(picture)?;
    session.finish()?;
    Ok(inference.logits)
}
