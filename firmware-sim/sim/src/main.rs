//! Runs the client's firmware in QEMU against a server in this process, over an emulated serial
//! line, and reports what came out and what it took.

mod firmware;
mod machine;
mod model;
mod picture;
mod report;
mod serve;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use stria_host::input::top_k;
use stria_host::net::server::network;
use stria_host::reference;

use firmware::Board;

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
    #[arg(long, value_enum, default_value_t = Board::Mps2An386)]
    board: Board,
    /// The firmware's entropy, 64 hexadecimal digits, for runs that can be repeated; without it,
    /// the operating system's.
    #[arg(long, value_name = "HEX")]
    seed: Option<String>,
    /// Pull the line out once, after so many frames of the client, and plug it in again with
    /// garbage on it.
    #[arg(long, value_name = "FRAMES")]
    cut: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let model = match &args.model {
        Some(path) => stria_host::Model::load(path)
            .with_context(|| format!("cannot use the model {}", path.display()))?,
        None => model::tiny()?,
    };
    let network = Arc::new(network(&model)?);
    let picture = picture::load(args.image.as_deref(), &model.input)?;
    let expected = reference::trace(&model, &picture.tensor);
    let firmware = firmware::build(args.board)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|e| anyhow::anyhow!("no randomness: {e}"))?;
            seed.iter().map(|byte| format!("{byte:02x}")).collect()
        }
    };

    let folder = machine::Folder::new()?;
    let line = serve::Listener::new(&folder.path().join("line"))?;
    let start = Instant::now();
    let machine = machine::start(args.board, &firmware.elf, &folder, &picture.page, &seed)?;
    let bar = report::progress(args.json, model.activations());
    let told = std::thread::scope(|scope| {
        let served = scope.spawn(|| serve::serve(&line, &network, args.cut, &bar));
        let told = machine.wait();
        line.stop();
        let served = served.join().expect("the server's thread does not panic");
        bar.finish_and_clear();
        Ok::<_, anyhow::Error>((told?, served))
    });
    let (told, served) = told?;
    let report = report::Report::new(
        args.board,
        &firmware,
        &told,
        &served,
        top_k(expected.logits(), 1)[0],
        start.elapsed().as_secs_f64(),
    )
    .with_context(|| format!("the firmware said:\n{}", told.text))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report::show(&report, &told, &served, &model.classes);
    }
    Ok(())
}
