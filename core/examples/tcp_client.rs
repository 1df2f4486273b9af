//! Classifies a picture with a server's network, over TCP.
//!
//!     cargo run --release -p stria-core --example tcp_client -- HOST:PORT PICTURE
//!
//! The server is `stria serve`. PICTURE is a file of bytes, `[channels, rows, cols]`, in the size of
//! the network's input.

use std::net::TcpStream;

use chacha20::ChaCha20Rng;
use embedded_io_adapters::std::FromStd;
use rand_core::SeedableRng;
use stria_core::{Application, InputSpec, Settings, SmallClient, drive, normalise};

/// A picture, the network's classes, and their logits.
#[derive(Default)]
struct Picture {
    bytes: Vec<u8>,
    input: Option<InputSpec>,
    classes: Vec<String>,
    logits: Vec<i32>,
}

impl Application for Picture {
    fn pixel(&mut self, channel: usize, row: usize, col: usize) -> i32 {
        let Some(input) = &self.input else { return 0 };
        let side = usize::from(input.side);
        let pixel = self.bytes[(channel * side + row) * side + col];
        normalise(pixel, input.mean[channel], input.std[channel], input.scale)
    }
    fn label(&mut self, _class: u16, name: &str) {
        self.classes.push(name.into());
    }
    fn logit(&mut self, _class: u16, value: i32) {
        self.logits.push(value);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: tcp_client HOST:PORT PICTURE".into());
    };
    let picture = Picture {
        bytes: std::fs::read(path)?,
        ..Picture::default()
    };
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let settings = Settings {
        labels: true,
        ..Settings::default()
    };
    let client = SmallClient::new(settings, &mut ChaCha20Rng::from_seed(seed));
    let mut session = (Box::new(client), picture);
    let mut line = FromStd::new(TcpStream::connect(address)?);
    // Room for many frames: a turn goes out in few writes.
    let mut buffer = vec![0; 1 << 16];

    drive(&mut session, &mut line, &mut buffer, &mut ())?;
    let input = session.0.welcome().ok_or("no greeting")?.input;
    let size = usize::from(input.channels) * usize::from(input.side).pow(2);
    if session.1.bytes.len() != size {
        return Err(format!("the network takes pictures of {size} bytes").into());
    }
    session.1.input = Some(input);
    session.0.start()?;
    drive(&mut session, &mut line, &mut buffer, &mut ())?;
    session.0.finish()?;
    drive(&mut session, &mut line, &mut buffer, &mut ())?;

    for (name, logit) in session.1.classes.iter().zip(&session.1.logits) {
        println!("{logit:>9} {name}");
    }
    Ok(())
}
