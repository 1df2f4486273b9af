//! `stria infer`: classify images privately with a server's model.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use stria_host::report::text::{self, Colours, Seen};
use stria_host::report::{InferReport, InferredImage, machine};
use stria_host::session::client::{ClientOptions, Connection};
use stria_host::transport::serial::DEFAULT_BAUD;

use super::client::ClientArgs;
use super::output::{OutputArgs, progress, watch};
use super::pictures::{guesses, pictures};
use super::setting::LinkArgs;

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
    link: LinkArgs,
    #[command(flatten)]
    client: ClientArgs,
    /// How many of the most likely classes to show.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    top: usize,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let options = ClientOptions {
        baud: args.baud,
        pace: args.link.pace()?,
        ..args.client.options()
    };
    let mut session = Connection::connect(&args.connect, options)
        .with_context(|| format!("no session with {}", args.connect))?;
    let scale = session.welcome().map_or(1.0, |welcome| welcome.logit_scale);
    anyhow::ensure!(
        scale.is_finite() && scale > 0.0,
        "the server's logits have no scale"
    );
    let classes = session.classes().to_vec();
    let pictures = pictures(&args.images, &session.input()?, &classes)?;
    let bar = progress(pictures.len(), "images");
    session.watch(watch(&bar));
    let mut images = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let inference = session
            .infer(&picture.tensor)
            .with_context(|| format!("cannot classify {}", picture.name))?;
        let top = guesses(&inference.logits, &classes, scale, args.top);
        if !args.output.json {
            let seen = Seen {
                name: &picture.name,
                pixels: &picture.pixels,
                top: &top,
                label: None,
                reference: None,
                seconds: inference.seconds,
            };
            let colours = Colours::of_stdout();
            bar.suspend(|| text::picture(&mut std::io::stdout().lock(), colours, &seen))?;
        }
        images.push(InferredImage {
            name: picture.name,
            top,
            bytes: inference.bytes_up + inference.bytes_down,
            inference,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    let report = InferReport {
        images,
        bytes_setup: session.setup_bytes(),
        seconds_setup: session.setup_seconds(),
        client_state_bytes: session.state_bytes() as u64,
        memory_bytes: machine::peak_memory(),
    };
    session.finish()?;
    args.output.print(&report, |out, report| {
        writeln!(out)?;
        text::infer(out, report)
    })
}
