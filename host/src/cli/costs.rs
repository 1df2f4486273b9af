//! What `plan` and `design` have in common: the link, the machine and the client to estimate for.

use std::path::{Path, PathBuf};

use anyhow::Context;
use stria_core::packing::Packing;
use stria_core::protocol::greeting::Settings;
use stria_host::cost::constants::Source;
use stria_host::cost::{Client, Constants, Link, Setting};
use stria_host::net::client::Window;
use stria_host::report::ConstantsUsed;

/// What to estimate for.
#[derive(clap::Args)]
pub struct Options {
    /// How channels are put into ciphertexts.
    #[arg(long, value_name = "PACKING", default_value = Packing::Segment.name(),
          value_parser = super::packing())]
    pub packing: Packing,
    /// The link: lan, wan, usb or uart.
    #[arg(long, value_name = "NAME", default_value = "lan")]
    link: String,
    /// A JSON file with another link: name, bits_per_second, round_trip_ms.
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    link_file: Option<PathBuf>,
    /// The file that `stria bench --calibrate` wrote, if not the one in the configuration folder.
    #[arg(long, value_name = "FILE")]
    constants: Option<PathBuf>,
    /// A client with the window of a microcontroller.
    #[arg(long)]
    small: bool,
}

impl Options {
    /// The setting for a network that drops `shift` bits, and where its constants come from.
    pub fn setting(&self, shift: u32) -> anyhow::Result<(Setting, ConstantsUsed)> {
        let link = match &self.link_file {
            None => Link::named(&self.link)?,
            Some(path) => {
                let what = || format!("cannot use the link file {}", path.display());
                Link::load(path).with_context(what)?
            }
        };
        let (constants, source) = self.constants()?;
        let window = if self.small {
            Window::Small
        } else {
            Window::Large
        };
        let used = ConstantsUsed {
            source,
            values: constants.clone(),
        };
        let setting = Setting {
            constants,
            link,
            client: Client::new(window, Settings::default(), shift)?,
        };
        Ok((setting, used))
    }

    fn constants(&self) -> anyhow::Result<(Constants, Source)> {
        let load = |path: &Path| {
            let what = || format!("cannot use the constants {}", path.display());
            let constants = Constants::load(path).with_context(what)?;
            Ok((constants, Source::File(path.into())))
        };
        match (&self.constants, Constants::default_path()) {
            (Some(path), _) => load(path),
            (None, Some(path)) if path.exists() => load(&path),
            _ => Ok((Constants::default(), Source::Defaults)),
        }
    }
}
