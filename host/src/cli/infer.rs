//! `stria infer`: classify images privately with a server's model.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use stria_host::report::machine;
use stria_host::transport::serial::DEFAULT_BAUD;
use stria_host::report::text::{self, Colours, Seen};
use stria_host::report::{InferReport, InferredImage, guesses};

use super::costs::LinkOptions;
use super::session::{Options, Remote};

#[derive(clap::Args)]
pub struct Args {
    /// Images to classify.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The server: HOST:PORT, unix:PATH, or serial:DEVICE.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7433")]
    connect: String,
    /// Bits a second of a serial port.
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_BAUD)]
    baud: u32,
    /// Send as slowly as on this link, for measurements; the server needs the same.
    #[command(flatten)]
    link: LinkOptions,
    #[command(flatten)]
    options: Options,
    /// How many of the most likely classes to show.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    top: usize,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let pace = args.link.pace()?;
    let mut session = Remote::connect(&args.connect, args.baud, pace, &args.options)
        .with_context(|| format!("no session with {}", args.connect))?;
    let network = session.announced()?;
    let pictures = super::pictures(&args.images, &network.input, &network.classes)?;
    let bar = super::progress(pictures.len(), "images");
    let mut images = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let outcome = session
            .infer(&picture.tensor)
            .with_context(|| format!("cannot classify {}", picture.name))?;
        let scale = network.logit_scale;
        let top = guesses(&outcome.logits, &network.classes, scale, args.top);
        if !args.json {
            let seen = Seen {
                name: &picture.name,
                pixels: &picture.pixels,
                top: &top,
                label: None,
                reference: None,
                seconds: outcome.seconds,
            };
            let show =
                || present::image(&mut std::io::stdout().lock(), Colours::of_stdout(), &seen);
            bar.suspend(show)?;
        }
        images.push(InferredImage::new(picture.name, top, outcome));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let (bytes_setup, seconds_setup, client_state_bytes) = session.costs();
    session.finish()?;
    let report = InferReport {
        images,
        bytes_setup,
        seconds_setup,
        client_state_bytes,
        memory_bytes: machine::peak_memory(),
    };
    if args.json {
        return super::print_json(&report);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out)?;
    present::infer_costs(&mut out, &report)?;
    Ok(())
}
