//! How the client of a session runs, as the commands take it.

use std::time::Duration;

use stria_core::packing::Packing;
use stria_core::protocol::greeting::Settings;
use stria_host::session::client::{ClientOptions, Window};
use stria_host::transport::serial::DEFAULT_BAUD;

use super::setting::LinkArgs;

/// Where a server listens if nobody says so.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7433";

/// How the client of one session runs, and its line.
#[derive(clap::Args)]
pub struct SessionArgs {
    /// Bits a second of a serial port.
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_BAUD)]
    baud: u32,
    /// Send as slowly as on this link, for measurements; the server needs the same.
    #[command(flatten)]
    link: LinkArgs,
    #[command(flatten)]
    client: ClientArgs,
}

impl SessionArgs {
    /// The same for a session.
    pub fn options(&self) -> anyhow::Result<ClientOptions> {
        Ok(ClientOptions {
            baud: self.baud,
            pace: self.link.pace()?,
            ..self.client.options()
        })
    }
}

/// How the client runs.
#[derive(clap::Args)]
pub struct ClientArgs {
    /// Run the client that fits a microcontroller, with its window of 256 activations.
    #[arg(long)]
    small: bool,
    /// How activations are packed: segment, coefficient, or slot (with rotations and Galois keys). A
    /// server chooses by itself between the first two, which take the same client.
    #[arg(long, value_name = "PACKING", default_value = Packing::Segment.name(),
          value_parser = super::packing())]
    packing: Packing,
    /// k_s of the oblivious transfer extension: 1, 2, 4 or 8. More is less traffic and more work.
    #[arg(long, value_name = "BITS", default_value_t = 4, value_parser = k_s)]
    ks: u8,
    /// h: bits that a ReLU compares, from 5 to the shares' 20 - shift (exact). Fewer are less traffic,
    /// and take more small positive values for zero.
    #[arg(long, value_name = "BITS", default_value_t = 8, alias = "compare",
          value_parser = clap::value_parser!(u8).range(5..=12))]
    exactness: u8,
    /// Seconds to wait for a silent server.
    #[arg(long, value_name = "SECONDS", default_value_t = 120,
          value_parser = super::seconds())]
    patience: u64,
}

impl ClientArgs {
    /// The same for a session.
    pub fn options(&self) -> ClientOptions {
        ClientOptions {
            window: Window::small_if(self.small),
            packing: self.packing,
            settings: Settings {
                k_s: self.ks,
                h: self.exactness,
                labels: true,
            },
            timeout: Duration::from_secs(self.patience),
            ..ClientOptions::default()
        }
    }
}

fn k_s(text: &str) -> Result<u8, &'static str> {
    match text.parse() {
        Ok(k_s @ (1 | 2 | 4 | 8)) => Ok(k_s),
        _ => Err("not 1, 2, 4 or 8"),
    }
}
