//! What both threads of a line and its stream share.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stria_core::link::{Link, Timing};

use super::port::{GLANCE, Writer};

/// Bytes of the longest packet; a device's own limit may be lower, and counts.
pub(super) const MTU: usize = 1024;
/// Packets under way at once.
const WINDOW: usize = 16;
/// A device that computes does not answer for a tenth of a second: nothing is sent again before.
const TIMING: Timing = Timing {
    min: 250,
    ..Timing::DEFAULT
};

/// What the threads of a line share.
pub(super) struct Shared {
    start: Instant,
    end: Mutex<End>,
    /// Something in `end` has changed.
    pub changed: Condvar,
}

/// This end of the line.
pub(super) struct End {
    pub link: Link<MTU, WINDOW>,
    /// The port to write to, put here by the thread that opened it.
    pub writer: Option<Writer>,
    /// Reading or writing has failed. The port is opened again once neither thread holds it: until
    /// then the system may keep its name for it.
    pub lost: bool,
    /// The sender has let go of a lost port.
    pub released: bool,
    /// A session uses the connection.
    pub taken: bool,
    /// The line is given up.
    pub stopped: bool,
    pub read_limit: Duration,
    pub write_limit: Duration,
}

impl Shared {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            end: Mutex::new(End {
                link: Link::new(TIMING),
                writer: None,
                lost: false,
                released: true,
                taken: false,
                stopped: false,
                read_limit: GLANCE,
                write_limit: GLANCE,
            }),
            changed: Condvar::new(),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, End> {
        // A panic elsewhere cannot leave it half changed: the link never panics.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Waits until `done` gives something; the last look decides.
    pub fn wait<R>(
        &self,
        limit: Duration,
        mut done: impl FnMut(&mut End) -> Option<R>,
    ) -> Option<R> {
        let deadline = Instant::now() + limit;
        let mut end = self.lock();
        loop {
            if let Some(result) = done(&mut end) {
                self.changed.notify_all();
                return Some(result);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(end, left);
            end = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
