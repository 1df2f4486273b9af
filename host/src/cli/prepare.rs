//! `stria prepare`: prepare inferences for later, without a picture.

use std::path::PathBuf;

use anyhow::Context;
use stria_host::report::{PhasePart, PrepareReport, text};
use stria_host::session::client::{Connection, TicketAbout, TicketFolder};

use super::client::{DEFAULT_ADDRESS, SessionArgs};
use super::output::{OutputArgs, progress, watch};

#[derive(clap::Args)]
pub struct Args {
    /// Folder for the tickets; made if there is none. Keep it secret, and do not copy it: a ticket
    /// serves one picture.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How many to prepare: one a picture.
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// The server: HOST:PORT, unix:PATH, or serial:DEVICE.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS)]
    connect: String,
    #[command(flatten)]
    session: SessionArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let options = args.session.options()?;
    let folder = TicketFolder::open(&args.out)
        .with_context(|| format!("cannot keep tickets in {}", args.out.display()))?;
    let owner = folder.owner().context("cannot make a client's name")?;
    let mut session = Connection::connect(&args.connect, options)
        .with_context(|| format!("no session with {}", args.connect))?;
    let network = session.welcome().map(|welcome| welcome.name.to_string());
    let network = network.unwrap_or_default();
    let bar = progress(args.count as usize, "tickets");
    session.watch(watch(&bar));
    let (mut tickets, mut parts) = (Vec::new(), Vec::new());
    for _ in 0..args.count {
        let (ticket, part) = session
            .prepare_ticket(owner)
            .context("cannot prepare a ticket")?;
        let about = TicketAbout::now(&args.connect, &network, session.classes(), &options);
        let path = folder.save(&about, &ticket);
        let path = path.context("cannot store a ticket; the server's half is lost")?;
        tickets.push(path.display().to_string());
        parts.push(part);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = PrepareReport {
        tickets,
        network,
        bytes_setup: session.setup_bytes(),
        seconds_setup: session.setup_seconds(),
        prepare: PhasePart::mean(parts.iter()),
    };
    session.finish()?;
    args.output.print(&report, text::prepare)
}
