//! `stria serve`: serve a model to clients.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use stria_core::packing::Packing;
use stria_core::protocol::server::Tickets;
use stria_host::report::Listening;
use stria_host::session::server::{
    Ended, FolderTickets, MemoryTickets, Served, ServerOptions, TicketLimits, WEIGHT_MEMORY,
    network_within, serve,
};
use stria_host::transport::Listener;
use stria_host::transport::serial::DEFAULT_BAUD;

use super::client::DEFAULT_ADDRESS;
use super::models::ModelArgs;
use super::setting::LinkArgs;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Address and port to listen on; may be given more than once. 127.0.0.1:7433 if there is
    /// nothing else to listen on.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Unix socket to listen on; may be given more than once.
    #[cfg(unix)]
    #[arg(long, value_name = "SOCKET")]
    unix: Vec<PathBuf>,
    /// Serial port of a device, or unix:PATH, a socket that stands for one, as emulators have them;
    /// may be given more than once. Bytes that such a line loses or changes are sent again.
    #[arg(long, value_name = "DEVICE")]
    serial: Vec<String>,
    /// Bits a second of the serial ports.
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_BAUD)]
    baud: u32,
    /// How activations are packed: segment, coefficient, or slot (with rotations and Galois keys, for
    /// clients that announce it).
    #[arg(long, value_name = "PACKING", default_value = Packing::Segment.name(),
          value_parser = super::packing())]
    packing: Packing,
    /// MiB of memory for transformed weights. Layers beyond it transform theirs in every inference
    /// or batch of tickets, which takes longer.
    #[arg(long, value_name = "MIB", default_value_t = (WEIGHT_MEMORY >> 20) as u32)]
    weight_memory: u32,
    /// Sessions that may run at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..))]
    sessions: u16,
    /// Seconds to wait for a silent client.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = super::seconds())]
    timeout: u64,
    /// Inferences that one client address, one Unix socket or one serial line may start. Enough of them let a malicious client copy the
    /// network: see the README.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    queries: u32,
    /// Folder in which clients' tickets outlast the server; made if there is none. Never copy it back
    /// from a backup. Without it they are in memory.
    #[arg(long, value_name = "DIR")]
    tickets: Option<PathBuf>,
    /// Tickets that are kept at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 4096)]
    max_tickets: usize,
    /// Tickets of one client of them.
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    client_tickets: usize,
    /// MiB that all tickets may take.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    ticket_space: u32,
    /// Days after which a ticket is dropped.
    #[arg(long, value_name = "DAYS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..))]
    ticket_days: u32,
    /// MiB that each session may take for tickets while they are prepared together, which decides how
    /// many may be. Layers beyond the memory for weights transform theirs once for up to 16 of them.
    #[arg(long, value_name = "MIB",
          default_value_t = (ServerOptions::default().batch_memory >> 20) as u32)]
    batch_memory: u32,
    /// Send as slowly as on this link, for measurements; the client needs the same.
    #[command(flatten)]
    link: LinkArgs,
    /// Listen only when all weights are transformed; otherwise that goes on beside the first sessions.
    #[arg(long)]
    prepare_first: bool,
    /// Print one JSON object a line: where it listens, then every session that ends.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let pace = args.link.pace()?;
    let model = args.model.load()?;
    let memory = (args.weight_memory as usize).saturating_mul(1 << 20);
    let network = network_within(&model, args.packing, memory);
    let network = Arc::new(network.context("cannot prepare the model")?);
    drop(model);
    let limits = TicketLimits {
        tickets: args.max_tickets,
        of_client: args.client_tickets,
        bytes: u64::from(args.ticket_space) << 20,
        life: Duration::from_secs(u64::from(args.ticket_days) * 86_400),
    };
    let tickets: Arc<dyn Tickets> = match &args.tickets {
        None => Arc::new(MemoryTickets::new(limits)?),
        Some(folder) => {
            let tickets = FolderTickets::open(folder, &network, limits);
            let shown = folder.display();
            Arc::new(tickets.with_context(|| format!("cannot keep tickets in {shown}"))?)
        }
    };
    let prepare = {
        let network = network.clone();
        move || {
            let start = Instant::now();
            network.prepare();
            tracing::info!(seconds = start.elapsed().as_secs_f64(), "weights are ready");
        }
    };
    if args.prepare_first {
        prepare();
    } else {
        thread::spawn(prepare);
    }
    let listeners = listeners(&args)?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A second signal ends the program at once.
        signal_hook::flag::register_conditional_default(signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let mut addresses = Vec::new();
    for listener in &listeners {
        let address = listener.address()?;
        tracing::info!(%address, "listening");
        addresses.push(address.to_string());
    }
    if args.json {
        print(&Listening {
            listening: addresses,
        });
    }
    let options = ServerOptions {
        sessions: args.sessions.into(),
        timeout: Duration::from_secs(args.timeout),
        queries: args.queries,
        batch_memory: (args.batch_memory as usize).saturating_mul(1 << 20),
        pace,
    };
    let ended = |ended: Ended| {
        if args.json {
            print(&ended.report());
        }
    };
    let served = Served {
        network,
        tickets: Some(tickets),
    };
    serve(&listeners, &served, options, &stop, &ended)?;
    tracing::info!("stopped");
    Ok(())
}

fn listeners(args: &Args) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    #[cfg(unix)]
    for path in &args.unix {
        let listener =
            Listener::unix(path).with_context(|| format!("cannot listen on {}", path.display()))?;
        listeners.push(listener);
    }
    for name in &args.serial {
        let listener = Listener::serial(name, args.baud)
            .with_context(|| format!("cannot use the serial line {name}"))?;
        listeners.push(listener);
    }
    let default = [DEFAULT_ADDRESS.to_string()];
    let addresses = match (args.listen.is_empty(), listeners.is_empty()) {
        (true, true) => &default[..],
        _ => &args.listen,
    };
    for address in addresses {
        let listener =
            Listener::tcp(address).with_context(|| format!("cannot listen on {address}"))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn print(report: &impl Serialize) {
    let Ok(line) = serde_json::to_string(report) else {
        return;
    };
    // Nobody may be listening to standard output any more; serving goes on.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
