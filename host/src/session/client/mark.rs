//! What an inference has cost so far, to tell its layers' parts apart.

use std::time::Instant;

use stria_core::Observer;
use stria_core::protocol::frame::{Frame, HEADER, Kind};

use super::progress::Watched;
use crate::report::LayerPart;
use crate::transport::FrameSocket;

/// A moment of a session: bytes of frames until then.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub sent: u64,
    pub received: u64,
    /// Of both, bytes of ciphertexts.
    pub ciphertexts: u64,
    pub at: Instant,
}

impl Mark {
    pub fn to(&self, next: &Self) -> LayerPart {
        LayerPart {
            bytes_up: next.sent - self.sent,
            bytes_down: next.received - self.received,
            ciphertext_bytes: next.ciphertexts - self.ciphertexts,
            seconds: (next.at - self.at).as_secs_f64(),
        }
    }
}

/// Counts a session's frames.
#[derive(Default)]
pub(super) struct Marks {
    sent: u64,
    received: u64,
    ciphertexts: u64,
    /// Where the layers of the inference under way began.
    pub layers: Vec<Mark>,
    pub watched: Watched,
}

impl Marks {
    /// This moment.
    pub fn now(&self) -> Mark {
        Mark {
            sent: self.sent,
            received: self.received,
            ciphertexts: self.ciphertexts,
            at: Instant::now(),
        }
    }

    /// A frame's bytes.
    fn count(&mut self, frame: Frame<'_>) -> u64 {
        let len = (HEADER + frame.payload.len()) as u64;
        if let Kind::Seed | Kind::Limb | Kind::ResponseC1 | Kind::ResponseC0 = frame.kind {
            self.ciphertexts += len;
        }
        len
    }
}

impl<P: ?Sized> Observer<P, FrameSocket> for Marks {
    fn sent(&mut self, frame: Frame<'_>) {
        self.watched.frame(frame.kind);
        self.sent += self.count(frame);
    }
    fn received(&mut self, frame: Frame<'_>) {
        self.watched.frame(frame.kind);
        if frame.kind == Kind::Layer {
            self.layers.push(self.now());
        }
        self.received += self.count(frame);
    }
    fn waits(&mut self, _party: &P, line: &mut FrameSocket) {
        self.watched.waits();
        line.await_frame(false);
    }
}
