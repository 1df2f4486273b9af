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
    /// How many to prepare together: that takes less time than one after the other. As many as the
    /// server does, if nothing is said.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
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
    let welcome = session.welcome();
    let (network, most) = welcome.map_or_else(Default::default, |welcome| {
        (welcome.name.to_string(), welcome.batch)
    });
    // Of a server that keeps none, one is asked for: it says so.
    let together = args.batch.unwrap_or(u16::MAX).min(most).max(1);
    let bar = progress(args.count as usize, "tickets");
    session.watch(watch(&bar));
    let (mut tickets, mut parts) = (Vec::new(), Vec::new());
    let mut left = args.count;
    while left > 0 {
        let count = u16::try_from(left).unwrap_or(u16::MAX).min(together);
        session
            .prepare_tickets(owner, count)
            .context("cannot prepare tickets")?;
        let mut part = PhasePart::default();
        for _ in 0..count {
            let ticket;
            (ticket, part) = session.ticket().context("cannot prepare a ticket")?;
            let about = TicketAbout::now(&args.connect, &network, session.classes(), &options);
            let path = folder.save(&about, &ticket);
            let path = path.context("cannot store a ticket; the server's half is lost")?;
            tickets.push(path.display().to_string());
            bar.inc(1);
        }
        parts.push(part);
        left -= u32::from(count);
    }
    bar.finish_and_clear();
    let report = PrepareReport {
        tickets,
        network,
        bytes_setup: session.setup_bytes(),
        seconds_setup: session.setup_seconds(),
        together: u16::try_from(args.count).map_or(together, |count| count.min(together)),
        prepare: PhasePart::shared(parts.iter(), args.count as usize),
    };
    session.finish()?;
    args.output.print(&report, text::prepare)
}
