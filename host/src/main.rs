//! The command `stria`: private inference of convolutional networks.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![deny(clippy::unreachable, clippy::todo, clippy::unimplemented)]

use std::process::ExitCode;

use clap::Parser;
use stria_core::network::name::Shown;

mod cli;

fn main() -> ExitCode {
    let command = cli::Command::parse();
    cli::log(&command);
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // It may cite a file.
            eprintln!("stria: {}", Shown(format_args!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// Whether whoever read standard output went away, as `head` does.
fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let kind = cause.downcast_ref().map(std::io::Error::kind).or_else(|| {
            cause
                .downcast_ref()
                .and_then(serde_json::Error::io_error_kind)
        });
        kind == Some(std::io::ErrorKind::BrokenPipe)
    })
}
