//! One end of a serial line, with its threads.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::port::Port;
use super::shared::Shared;
use super::threads::{receive, send};

/// One end of a serial line. Dropping it ends the line's threads.
pub struct Serial {
    name: String,
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Serial {
    pub(super) fn open(name: &str, baud: u32, answer: bool) -> io::Result<Self> {
        let port = Port::new(name, baud, answer)?;
        // What cannot be opened at all is an error now; what goes away later may come back.
        let halves = port.open()?;
        let shared = Arc::new(Shared::new());
        let spawn = |work: Box<dyn FnOnce() + Send>| thread::Builder::new().spawn(work);
        let mut serial = Self {
            name: name.into(),
            shared: shared.clone(),
            threads: Vec::new(),
        };
        let (receiver, sender) = (shared.clone(), shared);
        let label = serial.name.clone();
        let receive = move || receive(&receiver, &port, halves, &label);
        serial.threads.push(spawn(Box::new(receive))?);
        serial.threads.push(spawn(Box::new(move || send(&sender)))?);
        Ok(serial)
    }

    /// Waits on a line for clients. `name`: a serial port, or `unix:PATH`, a socket whose every
    /// connection in turn is the line.
    pub fn listen(name: &str, baud: u32) -> io::Result<Self> {
        let serial = Self::open(name, baud, true)?;
        serial.shared.lock().link.listen(serial.shared.now());
        Ok(serial)
    }

    /// Where the line is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Serial {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // They do not panic; if one did, the line is at its end all the same.
            let _ = thread.join();
        }
    }
}
