//! Runs the device's client against a server in this process, over an emulated serial line, and
//! reports what came out and what it took. The client is the firmware in QEMU, or, where there is no
//! QEMU, the same client in this process.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::unreachable, clippy::todo, clippy::unimplemented)]

mod cable;
mod client;
mod firmware;
mod gateway;
mod machine;
mod model;
mod picture;
mod report;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use stria_core::network::name::Shown;
use stria_core::packing::Packing;
use stria_core::protocol::server::Tickets;
use stria_host::model::logits::top_k;
use stria_host::model::reference;
use stria_host::session::server::{MemoryTickets, Served, TicketLimits, network};
use stria_host::transport::wire::Quality;

use cable::{Cable, Pull};
use firmware::{Board, Incomplete};
use machine::Flash;
use report::{Device, Outcome, Report};
use server::ServerThread;

/// A microcontroller in QEMU classifies a picture privately.
#[derive(Parser)]
struct Args {
    /// Model file; without it, a tiny network with random weights.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Picture; without it, random pixels.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Board.
    #[arg(long, value_name = "NAME", default_value = "mps2-an386", value_parser = board())]
    board: Board,
    /// Tickets that a board which redeems them finds in its flash.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    tickets: usize,
    /// Tickets of another server that it finds before them.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    stale: usize,
    /// The firmware's entropy, 64 hexadecimal digits, for runs that can be repeated; without it,
    /// the operating system's.
    #[arg(long, value_name = "HEX")]
    seed: Option<String>,
    /// Bits a second of the line; without it, what QEMU's UART can do.
    #[arg(long, value_name = "RATE", default_value_t = 0)]
    baud: u32,
    /// Bytes of a million that the line loses.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    loss: u32,
    /// Bytes of a million that the line changes.
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    noise: u32,
    /// Pull the line out once, after so many bytes from the device; garbage is on it before the
    /// first byte and when it is plugged in again.
    #[arg(long, value_name = "BYTES")]
    pull: Option<u64>,
    /// How long it stays out.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pull_seconds: Duration,
    /// Seconds that the server waits for a silent device.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Seconds after which a device that has not ended is stopped.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    limit: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

/// The boards of the list.
fn board() -> impl TypedValueParser<Value = Board> {
    let names = PossibleValuesParser::new(Board::all().map(Board::name));
    names.try_map(|name| name.parse())
}

/// The exit code that says that the firmware's toolchain or QEMU is missing.
const INCOMPLETE: u8 = 77;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may cite a file, or lines of the device.
            for line in format!("stria-sim: {error:#}").lines() {
                eprintln!("{}", Shown(line));
            }
            match error.downcast_ref::<Incomplete>() {
                Some(_) => ExitCode::from(INCOMPLETE),
                None => ExitCode::FAILURE,
            }
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let model = match &args.model {
        Some(path) => stria_host::Model::load(path)
            .with_context(|| format!("cannot use the model {}", path.display()))?,
        None => model::tiny()?,
    };
    let network = Arc::new(network(&model, Packing::Segment)?);
    let picture = picture::load(args.image.as_deref(), &model.input)?;
    let reference = reference::trace(&model, &picture.tensor);
    let firmware = match args.board {
        Board::Hosted => None,
        Board::Emulated(facts) => Some((facts, firmware::build(facts)?)),
    };
    let kept: Option<Arc<dyn Tickets>> = match args.board.redeems() {
        true => Some(Arc::new(MemoryTickets::new(TicketLimits::default())?)),
        false => None,
    };
    let mut tickets = Vec::new();
    if let Some(kept) = &kept {
        let other: Arc<dyn Tickets> = Arc::new(MemoryTickets::new(TicketLimits::default())?);
        tickets = gateway::prepare(&network, &other, args.stale)?;
        tickets.extend(gateway::prepare(&network, kept, args.tickets)?);
    }
    let served = Served {
        network,
        tickets: kept,
    };
    let seed = match &args.seed {
        Some(seed) => seed.clone(),
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
            seed.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    };

    let folder = machine::Folder::new()?;
    let (near, far) = (folder.path().join("line"), folder.path().join("server"));
    let bar = report::progress(args.json, model.activations());
    let server = ServerThread::start(&far, served, Duration::from_secs(args.timeout), bar)?;
    let quality = Quality {
        baud: args.baud,
        loss: args.loss,
        noise: args.noise,
    };
    let pull = args.pull.map(|after| Pull {
        after,
        time: args.pull_seconds,
    });
    let cable = Cable::new(&near, &far, quality, pull)?;
    let start = Instant::now();
    let limit = Duration::from_secs(args.limit);
    let ran = match &firmware {
        None => client::classify(&near, &picture.tensor).map(Ran::Hosted),
        Some((facts, firmware)) => {
            let flash = Flash {
                picture: &picture.page,
                tickets: &tickets,
            };
            machine::start(facts, firmware, &folder, &flash, &seed)
                .and_then(|machine| machine.wait(limit).map(Ran::Emulated))
        }
    };
    let wall = start.elapsed();
    let bytes = cable.end();
    let sessions = server.stop(ran.is_ok())?;
    let outcome = match ran? {
        Ran::Hosted(logits) => Outcome::hosted(&logits, &model),
        Ran::Emulated(told) => {
            let device = firmware.map(|(_, firmware)| Device::new(&firmware, &told));
            Outcome::told(&told, device.transpose()?)
                .with_context(|| format!("the firmware said:\n{}", told.text))?
        }
    };
    let best = top_k(reference.logits(), 1)[0];
    let report = Report::new(
        &model.name,
        args.board,
        &outcome,
        best,
        wall,
        bytes,
        &sessions,
    )?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report::show(&report, &outcome, &model.classes);
    }
    Ok(())
}

/// What a device has said.
enum Ran {
    /// Its logits.
    Hosted(Vec<i32>),
    /// Everything that the firmware told.
    Emulated(machine::Told),
}
