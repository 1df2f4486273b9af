//! `stria infer`: classify images privately with a server's model.

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::slice;

use anyhow::Context;
use indicatif::ProgressBar;
use stria_core::{Error, PeerError};
use stria_host::report::text::{self, Colours, Seen};
use stria_host::report::{InferReport, InferredImage, machine};
use stria_host::session::SessionError;
use stria_host::session::client::{ClientOptions, Connection, SavedTicket, TicketFolder};

use super::client::{DEFAULT_ADDRESS, SessionArgs};
use super::output::{OutputArgs, progress, watch};
use super::pictures::{Picture, guesses, pictures};

#[derive(clap::Args)]
pub struct Args {
    /// Images to classify.
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The server: HOST:PORT, unix:PATH, or serial:DEVICE.
    /// 127.0.0.1:7433, or where the tickets were prepared.
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<String>,
    /// Redeem a ticket of this folder for each picture, as `stria prepare` made them: only the answer
    /// is left to do. How a ticket's client runs was chosen when it was prepared.
    #[arg(long, value_name = "DIR")]
    tickets: Option<PathBuf>,
    #[command(flatten)]
    session: SessionArgs,
    /// How many of the most likely classes to show.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    top: usize,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let options = args.session.options()?;
    let mut report = InferReport {
        images: Vec::new(),
        bytes_setup: 0,
        seconds_setup: 0.0,
        client_state_bytes: 0,
        memory_bytes: None,
    };
    match &args.tickets {
        None => in_a_session(&args, options, &mut report)?,
        Some(folder) => with_tickets(&args, folder, options, &mut report)?,
    }
    report.memory_bytes = machine::peak_memory();
    args.output.print(&report, |out, report| {
        writeln!(out)?;
        text::infer(out, report)
    })
}

/// Prepares and answers, picture by picture.
fn in_a_session(
    args: &Args,
    options: ClientOptions,
    report: &mut InferReport,
) -> anyhow::Result<()> {
    let address = args.connect.as_deref().unwrap_or(DEFAULT_ADDRESS);
    let mut session = Connection::connect(address, options)
        .with_context(|| format!("no session with {address}"))?;
    let classes = session.classes().to_vec();
    let pictures = pictures(&args.images, &session.input()?, &classes)?;
    let bar = progress(pictures.len(), "images");
    session.watch(watch(&bar));
    for picture in pictures {
        let image = classify(args, &mut session, &bar, picture, &classes)?;
        report.images.push(image);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let state = session.state_bytes() as u64;
    report.add_session(session.setup_bytes(), session.setup_seconds(), state);
    Ok(session.finish()?)
}

/// Redeems a ticket for each picture.
fn with_tickets(
    args: &Args,
    folder: &Path,
    options: ClientOptions,
    report: &mut InferReport,
) -> anyhow::Result<()> {
    anyhow::ensure!(folder.is_dir(), "there is no folder {}", folder.display());
    let folder = TicketFolder::open(folder).context("cannot use the folder of tickets")?;
    let mut files = folder.files()?.into_iter();
    let bar = progress(args.images.len(), "images");
    let mut dropped = false;
    for image in &args.images {
        // A picture that cannot be used costs no ticket.
        let redeemed = loop {
            let file = files.next();
            let file = file.context("there are no tickets left: see `stria prepare`")?;
            let name = file.display();
            let skipped = |why: &dyn Display| {
                bar.suspend(|| eprintln!("stria: {name} is left out: {why}"));
            };
            let held = match TicketFolder::hold(&file) {
                Ok(Some(held)) => held,
                Ok(None) => continue,
                Err(error) => {
                    skipped(&error);
                    continue;
                }
            };
            let SavedTicket { about, bytes } = &held.ticket;
            let input = match held.ticket.input() {
                Ok(input) => input,
                Err(error) => {
                    skipped(&error);
                    continue;
                }
            };
            let picture = pictures(slice::from_ref(image), &input, &about.classes)?;
            let Some(picture) = picture.into_iter().next() else {
                continue;
            };
            let address = args.connect.as_ref().unwrap_or(&about.address);
            let mut session = Connection::redeeming(address, about.options(options))
                .with_context(|| format!("no session with {address}"))?;
            session.watch(watch(&bar));
            match session.redeem(bytes, || held.spend()) {
                Ok(()) => break (session, picture, about.classes.clone()),
                // A ticket that was used, but not taken away before a crash. One such is plausible: a
                // server that knows none of them is another one, or makes it up.
                Err(SessionError::Protocol(Error::Peer(reason @ PeerError::TicketUnknown)))
                    if *address == about.address && !dropped =>
                {
                    held.spend()?;
                    dropped = true;
                    bar.suspend(|| {
                        eprintln!("stria: {name} is dropped: the server says that {reason}");
                    });
                }
                Err(error) => Err(error).with_context(|| {
                    format!("cannot redeem {name}, which `stria tickets drop` destroys")
                })?,
            }
        };
        let (mut session, picture, classes) = redeemed;
        let image = classify(args, &mut session, &bar, picture, &classes)?;
        report.images.push(image);
        let state = session.state_bytes() as u64;
        report.add_session(session.setup_bytes(), session.setup_seconds(), state);
        session.finish()?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Classifies a picture, and shows it.
fn classify(
    args: &Args,
    session: &mut Connection,
    bar: &ProgressBar,
    picture: Picture,
    classes: &[String],
) -> anyhow::Result<InferredImage> {
    let scale = session.welcome().map_or(1.0, |welcome| welcome.logit_scale);
    anyhow::ensure!(
        scale.is_finite() && scale > 0.0,
        "the server's logits have no scale"
    );
    let inference = session
        .infer(&picture.tensor)
        .with_context(|| format!("cannot classify {}", picture.name))?;
    let top = guesses(&inference.logits, classes, scale, args.top);
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
    Ok(InferredImage {
        name: picture.name,
        top,
        bytes: inference.bytes_up + inference.bytes_down,
        inference,
    })
}
