//! `stria prepare`: prepare inferences for later, without a picture.

use std::path::PathBuf;

use anyhow::Context;
use stria_host::report::{PhasePart, PrepareReport, text};
use stria_host::session::client::{ClientOptions, Connection, TicketAbout, TicketFolder};
use stria_host::transport::serial::DEFAULT_BAUD;

use super::client::ClientArgs;
use super::output::{OutputArgs, progress, watch};
use super::setting::LinkArgs;

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
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    connect: String,
    /// Bits a second of a serial port.
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_BAUD)]
    baud: u32,
    /// Send as slowly as on this link, for measurements; the server needs the same.
    #[command(flatten)]
    link: LinkArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let options = ClientOptions {
        baud: args.baud,
        pace: args.link.pace()?,
        ..args.client.options()
    };
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
