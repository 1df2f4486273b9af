//! What to estimate for: the link, the machine and the client.

use std::path::{Path, PathBuf};

use anyhow::Context;
use stria_core::packing::Packing;
use stria_core::protocol::greeting::Settings;
use stria_host::planner::{ClientTraffic, Setting};
use stria_host::report::{Constants, ConstantsUsed, Source};
use stria_host::session::client::Window;
use stria_host::transport::{LinkSpeed, Pace};

/// A link.
#[derive(clap::Args)]
pub struct LinkArgs {
    /// A link: lan, wan, usb, uart or loopback.
    #[arg(long, value_name = "NAME")]
    link: Option<String>,
    /// A JSON file with another link: name, bits_per_second, round_trip_ms.
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    link_file: Option<PathBuf>,
}

impl LinkArgs {
    /// The link, if one is given.
    pub fn link(&self) -> anyhow::Result<Option<LinkSpeed>> {
        match (&self.link, &self.link_file) {
            (_, Some(path)) => load_link(path).map(Some),
            (Some(name), None) => Ok(Some(LinkSpeed::named(name)?)),
            (None, None) => Ok(None),
        }
    }

    /// What a side sends at the pace of; nothing is slowed down without a link or on loopback.
    pub fn pace(&self) -> anyhow::Result<Option<Pace>> {
        let link = self.link()?.filter(|link| *link != LinkSpeed::loopback());
        Ok(link.as_ref().map(Pace::new))
    }
}

/// Reads a link file.
pub fn load_link(path: &Path) -> anyhow::Result<LinkSpeed> {
    LinkSpeed::load(path).with_context(|| format!("cannot use the link file {}", path.display()))
}

/// The constants of a file, of the one in the configuration folder, or the built-in ones.
pub fn constants(path: Option<&Path>) -> anyhow::Result<ConstantsUsed> {
    let load = |path: &Path| {
        let what = || format!("cannot use the constants {}", path.display());
        let values = Constants::load(path).with_context(what)?;
        let source = Source::File(path.into());
        Ok(ConstantsUsed { source, values })
    };
    match (path, Constants::default_path()) {
        (Some(path), _) => load(path),
        (None, Some(path)) if path.exists() => load(&path),
        _ => Ok(ConstantsUsed {
            source: Source::Defaults,
            values: Constants::default(),
        }),
    }
}

/// What to estimate for.
#[derive(clap::Args)]
pub struct SettingArgs {
    /// How channels are put into ciphertexts.
    #[arg(long, value_name = "PACKING", default_value = Packing::Segment.name(),
          value_parser = super::packing())]
    pub packing: Packing,
    /// The link to estimate for; lan if none is given.
    #[command(flatten)]
    link: LinkArgs,
    /// The file that `stria bench --calibrate` wrote, if not the one in the configuration folder.
    #[arg(long, value_name = "FILE")]
    constants: Option<PathBuf>,
    /// A client with the window of a microcontroller.
    #[arg(long)]
    small: bool,
}

impl SettingArgs {
    /// The setting for a network that drops `shift` bits, and where its constants come from.
    pub fn setting(&self, shift: u32) -> anyhow::Result<(Setting, ConstantsUsed)> {
        let link = match self.link.link()? {
            Some(link) => link,
            None => LinkSpeed::named("lan")?,
        };
        let used = constants(self.constants.as_deref())?;
        let setting = Setting {
            constants: used.values.clone(),
            link,
            client: ClientTraffic::new(Window::small_if(self.small), Settings::default(), shift)?,
        };
        Ok((setting, used))
    }
}
