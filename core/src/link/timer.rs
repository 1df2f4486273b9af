//! Timer: how long to wait before sending again, and when to give the line up.
//! Round trips are estimated as in RFC 6298; times in milliseconds.

/// Times that fit the line and the longest computation of the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// Retransmission time before the first round trip was measured.
    pub first: u32,
    /// Shortest retransmission time.
    pub min: u32,
    /// Longest retransmission time.
    pub max: u32,
    /// A side that has nothing under way asks the other for a sign of life this often.
    pub keepalive: u32,
    /// A peer that gives no sign of life for so long is dead. The peer cannot give one while it
    /// computes without calling [`LinkIo::pump`](super::LinkIo::pump).
    pub dead: u32,
}

impl Timing {
    /// For serial lines of any usual speed.
    pub const DEFAULT: Self = Self {
        first: 500,
        min: 20,
        max: 2_000,
        keepalive: 2_000,
        dead: 30_000,
    };
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a timer that ran out asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Expired {
    /// Try again.
    Retry,
    /// Give up.
    Dead,
}

/// The one timer of a connection.
pub(super) struct Timer {
    timing: Timing,
    /// Smoothed round trip times 8 and its mean deviation times 4, once measured.
    estimate: Option<(u32, u32)>,
    /// Times that the timer ran out without progress.
    backoff: u32,
    since: u64,
    /// Time waited since the last sign of life. Only time in which the line was looked at counts.
    silence: u32,
}

impl Timer {
    pub fn new(timing: Timing) -> Self {
        Self {
            timing,
            estimate: None,
            backoff: 0,
            since: 0,
            silence: 0,
        }
    }

    /// Begins anew with a connection; what is known of the line stays.
    pub fn reset(&mut self, now: u64) {
        self.backoff = 0;
        self.silence = 0;
        self.since = now;
    }

    /// Waits from now on.
    pub fn restart(&mut self, now: u64) {
        self.since = now;
    }

    /// The peer is alive.
    pub fn heard(&mut self) {
        self.silence = 0;
    }

    /// The peer has got something that was not acknowledged before.
    pub fn progress(&mut self, now: u64) {
        self.backoff = 0;
        self.since = now;
    }

    /// A packet that was sent once took `rtt` to be acknowledged.
    pub fn measured(&mut self, rtt: u64) {
        let rtt = rtt.min(1 << 24) as u32;
        self.estimate = Some(match self.estimate {
            None => (8 * rtt, 2 * rtt),
            Some((mean, deviation)) => (
                mean - mean / 8 + rtt,
                deviation - deviation / 4 + rtt.abs_diff(mean / 8),
            ),
        });
    }

    fn interval(&self, waiting: bool) -> u32 {
        let timing = &self.timing;
        let interval = if waiting {
            // Twice the round trip, where RFC 6298 has it once: on a serial line deviations are so
            // small that one lost acknowledgement would look like a lost packet.
            let base = self
                .estimate
                .map_or(timing.first, |(mean, deviation)| mean / 4 + deviation);
            base.max(timing.min)
                .saturating_mul(1 << self.backoff)
                .min(timing.max)
        } else {
            timing.keepalive
        };
        interval
            .min(timing.dead.saturating_sub(self.silence))
            .max(1)
    }

    /// When the timer runs out. `waiting`: an acknowledgement is due.
    pub fn deadline(&self, waiting: bool) -> u64 {
        self.since + u64::from(self.interval(waiting))
    }

    /// Looks at the clock.
    pub fn expire(&mut self, now: u64, waiting: bool) -> Option<Expired> {
        if now < self.deadline(waiting) {
            return None;
        }
        self.silence = self.silence.saturating_add(self.interval(waiting));
        self.since = now;
        self.backoff = (self.backoff + u32::from(waiting)).min(8);
        Some(if self.silence >= self.timing.dead {
            Expired::Dead
        } else {
            Expired::Retry
        })
    }
}
