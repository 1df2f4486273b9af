//! What an inference has cost so far, to tell its layers' parts apart.

use std::time::Instant;

use stria_core::protocol::frame::{Frame, HEADER, Kind};

use crate::report::LayerPart;

/// A moment of an inference.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub sent: u64,
    pub received: u64,
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

/// Bytes of a frame that is part of a ciphertext.
pub(super) fn ciphertext(frame: Frame<'_>) -> u64 {
    match frame.kind {
        Kind::Seed | Kind::Limb | Kind::ResponseC1 | Kind::ResponseC0 => {
            (HEADER + frame.payload.len()) as u64
        }
        _ => 0,
    }
}
