//! The line between the device and the server, and what happens to it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use stria_host::transport::wire::{Quality, Wire};

/// What is on a line that somebody plugs in: no delimiter among it, so that it swallows a packet.
const GARBAGE: [u8; 3000] = [0xA5; 3000];

/// Somebody pulls the line out once.
#[derive(Clone, Copy)]
pub struct Pull {
    /// Bytes from the device after which it happens.
    pub after: u64,
    /// How long it stays out.
    pub time: Duration,
}

/// The line.
pub struct Cable {
    wire: Arc<Wire>,
    ended: Arc<AtomicBool>,
    hand: Option<JoinHandle<()>>,
}

impl Cable {
    /// A line from the device's socket to the server's.
    pub fn new(
        device: &Path,
        server: &Path,
        quality: Quality,
        pull: Option<Pull>,
    ) -> anyhow::Result<Self> {
        let wire = Wire::new(device, server, quality).context("cannot make the line")?;
        let (wire, ended) = (Arc::new(wire), Arc::new(AtomicBool::new(false)));
        let hand = pull.map(|pull| {
            let (wire, ended) = (wire.clone(), ended.clone());
            wire.disturb(&GARBAGE);
            thread::spawn(move || {
                while wire.bytes()[0] < pull.after {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                wire.plug(false);
                thread::sleep(pull.time);
                wire.disturb(&GARBAGE);
                wire.plug(true);
            })
        });
        Ok(Self { wire, ended, hand })
    }

    /// Takes it away; gives the bytes that went from the device and to it, the link's included.
    pub fn end(self) -> [u64; 2] {
        self.ended.store(true, Ordering::Relaxed);
        // A hand that panicked pulls no more, and has said so on standard error.
        let _ = self.hand.map(JoinHandle::join);
        self.wire.bytes()
    }
}
