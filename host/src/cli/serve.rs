//! `stria serve`: serve a model to clients.

use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use stria_host::net::server::{Ended, Options, network, serve};

#[derive(clap::Args)]
pub struct Args {
    /// The model file; the bundled one by default.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    listen: String,
    /// Sessions that may run at the same time.
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..))]
    sessions: u16,
    /// Seconds to wait for a silent client.
    #[arg(long, value_name = "SECONDS", default_value_t = 30,
          value_parser = super::seconds())]
    timeout: u64,
    /// Inferences that one client address may start. Enough of them let a malicious client copy the
    /// network: see the README.
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    queries: u32,
    /// Print one JSON object a line for every session that ends.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let model = super::load_model(args.model)?;
    let network = Arc::new(network(&model).context("cannot prepare the model")?);
    drop(model);
    let listener = TcpListener::bind(&args.listen)
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // A second signal ends the program at once.
        signal_hook::flag::register_conditional_default(signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    tracing::info!(address = %listener.local_addr()?, "listening");
    let options = Options {
        sessions: args.sessions.into(),
        timeout: Duration::from_secs(args.timeout),
        queries: args.queries,
    };
    serve(&listener, &network, options, &stop, |ended| {
        if args.json {
            print(&ended);
        }
    })?;
    tracing::info!("stopped");
    Ok(())
}

fn print(ended: &Ended) {
    let line = serde_json::json!({
        "peer": ended.peer.to_string(),
        "queries": ended.counters.queries,
        "bytes_up": ended.bytes_up,
        "bytes_down": ended.bytes_down,
        "seconds": ended.seconds,
        "error": ended.error.as_ref().map(ToString::to_string),
    });
    // Nobody may be listening to standard output any more; serving goes on.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
