//! `stria tickets`: the tickets of a client's folder.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use stria_host::report::{ListedTicket, TicketsReport, text};
use stria_host::session::client::TicketFolder;

use super::output::OutputArgs;

#[derive(clap::Subcommand)]
pub enum Args {
    /// Show the tickets of a folder.
    List {
        /// The folder.
        folder: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Move a ticket out of a folder, into a file for another device. Whoever has it can open the picture
    /// that it serves.
    Export {
        /// The folder.
        folder: PathBuf,
        /// File in it, as `list` names it.
        file: PathBuf,
        /// Where to put it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Destroy tickets. The server drops its halves when they are too old.
    Drop {
        /// The folder.
        folder: PathBuf,
        /// Files in it, as `list` names them; all tickets if there is none.
        files: Vec<PathBuf>,
        /// Destroy all tickets of the folder.
        #[arg(long, required_unless_present = "files", conflicts_with = "files")]
        all: bool,
    },
}

pub fn run(args: Args) -> anyhow::Result<()> {
    match args {
        Args::List { folder, output } => {
            let tickets = open(&folder)?.files()?;
            let tickets = tickets.iter().map(|path| listed(path)).collect();
            output.print(&TicketsReport { tickets }, text::tickets)
        }
        Args::Export { folder, file, out } => {
            let _folder = open(&folder)?;
            let path = folder.join(file);
            let shown = path.display();
            let held = TicketFolder::hold(&path).with_context(|| format!("cannot use {shown}"))?;
            let held =
                held.with_context(|| format!("there is no ticket {shown}, or it is in use"))?;
            let moved = held.export(&out);
            let moved = moved.with_context(|| format!("cannot write {}", out.display()))?;
            anyhow::ensure!(moved, "somebody else has used {shown}");
            Ok(())
        }
        Args::Drop { folder, files, all } => {
            let known = open(&folder)?.files()?;
            let files = match all {
                true => known,
                false => files.iter().map(|file| folder.join(file)).collect(),
            };
            for path in files {
                let shown = path.display();
                let is_ticket = path.extension().is_some_and(|end| end == "ticket");
                let dropped = is_ticket && TicketFolder::spend(&path)?;
                anyhow::ensure!(dropped, "there is no ticket {shown}");
            }
            Ok(())
        }
    }
}

fn open(folder: &Path) -> anyhow::Result<TicketFolder> {
    anyhow::ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    TicketFolder::open(folder).with_context(|| format!("cannot use {}", folder.display()))
}

fn listed(path: &Path) -> ListedTicket {
    let file = path.file_name().unwrap_or_default();
    let file = file.to_string_lossy().into_owned();
    match TicketFolder::read(path) {
        Ok(ticket) => {
            let made = UNIX_EPOCH + Duration::from_secs(ticket.about.made);
            let age = SystemTime::now().duration_since(made).unwrap_or_default();
            ListedTicket {
                file,
                network: Some(ticket.about.network),
                address: Some(ticket.about.address),
                small: Some(ticket.about.small),
                age_seconds: Some(age.as_secs()),
                bytes: Some(ticket.bytes.len() as u64),
                error: None,
            }
        }
        Err(error) => ListedTicket {
            file,
            error: Some(error.to_string()),
            ..ListedTicket::default()
        },
    }
}
