//! The server, unmodified, at the other end of the line; and what is seen of it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::ProgressBar;
use stria_core::protocol::server::Server;
use stria_host::session::server::{Ended, Observer, Served, ServerOptions, serve};
use stria_host::transport::Listener;

/// How long a goodbye that the device has sent may take.
const MOMENT: Duration = Duration::from_secs(10);

/// A server in a thread.
pub struct ServerThread {
    stop: Arc<AtomicBool>,
    view: Arc<View>,
    thread: JoinHandle<std::io::Result<()>>,
}

/// What is seen of it.
struct View {
    bar: ProgressBar,
    ended: Mutex<Vec<Ended>>,
}

impl View {
    fn has_good_end(&self) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.iter().any(|end| end.error.is_none())
    }
}

impl Observer for View {
    fn moved(&self, server: &Server) {
        let layers = &server.counters().layers;
        let done = layers.iter().map(|layer| layer.activations as u64).sum();
        self.bar.set_position(done);
    }

    fn ended(&self, end: Ended) {
        self.ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(end);
    }
}

impl ServerThread {
    /// Serves the line whose socket is at `path`, for whoever is silent no longer than `timeout`.
    pub fn start(
        path: &Path,
        served: Served,
        timeout: Duration,
        bar: ProgressBar,
    ) -> anyhow::Result<Self> {
        let listener = Listener::serial(&format!("unix:{}", path.display()), 0)
            .context("cannot listen on the line")?;
        let stop = Arc::new(AtomicBool::new(false));
        let view = Arc::new(View {
            bar,
            ended: Mutex::default(),
        });
        let options = ServerOptions {
            timeout,
            ..ServerOptions::default()
        };
        let (stopped, observer) = (stop.clone(), view.clone());
        let thread =
            thread::spawn(move || serve(&[listener], &served, options, &stopped, &*observer));
        Ok(Self { stop, view, thread })
    }

    /// Stops it; gives the sessions that it had, in order of their end. With `good`, the last one
    /// has ended well for the device, and has a moment to do so here.
    pub fn stop(self, good: bool) -> anyhow::Result<Vec<Ended>> {
        let deadline = Instant::now() + MOMENT;
        while good && !self.view.has_good_end() && Instant::now() < deadline {
            thread::sleep(MOMENT / 500);
        }
        self.stop.store(true, Ordering::Relaxed);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the server panicked"))??;
        self.view.bar.finish_and_clear();
        let mut ended = self
            .view
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut ended))
    }
}
