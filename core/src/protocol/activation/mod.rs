//! The ReLU of one window of activations: what both parties share here, their sides in `client`
//! and `server`.
//! `docs/design.md#relu`; the mathematics is in [`crate::relu`].
//!
//! | message | from | bits per activation, at h = 8 and k_s = 4 |
//! |---|---|---|
//! | `ReverseCorrection` | server | 2 x 128/k_s = 64 |
//! | `Residues` | client | 3 x 23 |
//! | `ForwardCorrection` | client | 56 + 60 for the digits, 128/k_s = 32 for a bit |
//! | `Answers` | server | 48 + 1 + 23 |
//! | `Replies` | client | 1 + 23 |
//!
//! Until the answers nothing depends on the server's share.

mod client;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod traffic;

pub use client::{ClientContext, ClientWindow, SCRATCH_WORDS};
#[cfg(feature = "server")]
pub use server::ServerWindow;
#[cfg(feature = "server")]
pub use traffic::WindowTraffic;

use core::ops::Range;

use super::corrections::Call;
use super::frame::MAX_PAYLOAD;
use crate::ot::{Code, Direction, LANE};
use crate::relu::{Digit, ReluParams};

/// Activations that are worked on together: one row each in a lane.
pub const CHUNK: usize = LANE;

/// What the rows of a lane of a forward extension are for.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// The client's value of a digit.
    Digit(Digit),
    /// The client's beta.
    Beta,
}

/// How a window's activations are split into chunks and frames; the same on both sides.
#[derive(Clone, Copy, Debug)]
struct Shape {
    relu: ReluParams,
    k_s: u32,
    total: usize,
}

impl Shape {
    fn chunks(&self) -> usize {
        self.total.div_ceil(CHUNK)
    }

    fn chunk_len(&self, chunk: usize) -> usize {
        self.total.saturating_sub(chunk * CHUNK).min(CHUNK)
    }

    /// The reverse extension of a chunk: tau in the first lane, d_s in the second.
    fn reverse(&self, chunk: usize) -> Call {
        Call {
            direction: Direction::Reverse,
            k_s: self.k_s,
            codes: [Code::Bit; 2],
            rows: self.chunk_len(chunk),
        }
    }

    /// Forward extensions of a chunk: two lanes each, for the digits and beta.
    fn calls(&self) -> usize {
        (self.relu.digits().count() + 1).div_ceil(2)
    }

    /// What the lanes of a forward extension are for.
    fn rows(&self, call: usize) -> [Option<Row>; 2] {
        let digits = self.relu.digits().map(Row::Digit);
        let mut rows = digits.chain([Row::Beta]).skip(2 * call);
        [(); 2].map(|()| rows.next())
    }

    /// A forward extension of a chunk.
    fn forward(&self, chunk: usize, call: usize) -> Call {
        let code = |row| match row {
            Some(Row::Digit(digit)) => Code::Digit(digit.width),
            Some(Row::Beta) => Code::Bit,
            None => Code::Unused,
        };
        Call {
            direction: Direction::Forward,
            k_s: self.k_s,
            codes: self.rows(call).map(code),
            rows: self.chunk_len(chunk),
        }
    }

    /// Activations in a frame of residues, answers or replies.
    fn piece(&self) -> usize {
        if 64 * self.relu.answer_bytes() <= MAX_PAYLOAD {
            64
        } else {
            32
        }
    }

    fn pieces(&self, chunk: usize) -> usize {
        self.chunk_len(chunk).div_ceil(self.piece())
    }

    /// Activations of the chunk that are in a frame.
    fn piece_range(&self, chunk: usize, piece: usize) -> Range<usize> {
        let size = self.piece();
        piece * size..((piece + 1) * size).min(self.chunk_len(chunk))
    }
}

/// Where a window stands. Client and server step through the same list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Idle,
    Reverse {
        chunk: usize,
        frame: usize,
    },
    Residues {
        chunk: usize,
        piece: usize,
    },
    Forward {
        chunk: usize,
        call: usize,
        frame: usize,
    },
    Answers {
        chunk: usize,
        piece: usize,
    },
    Replies {
        chunk: usize,
        piece: usize,
    },
}

const FIRST: Step = Step::Reverse { chunk: 0, frame: 0 };

/// The next step after `step`, where a window has `shape`.
fn advance(step: Step, shape: &Shape) -> Step {
    let next_chunk = |chunk: usize, here: fn(usize) -> Step, then: Step| {
        if chunk + 1 < shape.chunks() {
            here(chunk + 1)
        } else {
            then
        }
    };
    let residues = |chunk| Step::Residues { chunk, piece: 0 };
    match step {
        Step::Idle => Step::Idle,
        Step::Reverse { chunk, frame } if frame + 1 < shape.reverse(chunk).frames() => {
            Step::Reverse {
                chunk,
                frame: frame + 1,
            }
        }
        Step::Reverse { chunk, .. } => next_chunk(
            chunk,
            |chunk| Step::Reverse { chunk, frame: 0 },
            residues(0),
        ),
        Step::Residues { chunk, piece } if piece + 1 < shape.pieces(chunk) => Step::Residues {
            chunk,
            piece: piece + 1,
        },
        Step::Residues { chunk, .. } => Step::Forward {
            chunk,
            call: 0,
            frame: 0,
        },
        Step::Forward { chunk, call, frame } if frame + 1 < shape.forward(chunk, call).frames() => {
            Step::Forward {
                chunk,
                call,
                frame: frame + 1,
            }
        }
        Step::Forward { chunk, call, .. } if call + 1 < shape.calls() => Step::Forward {
            chunk,
            call: call + 1,
            frame: 0,
        },
        Step::Forward { chunk, .. } => {
            let answers = Step::Answers { chunk: 0, piece: 0 };
            next_chunk(chunk, |chunk| Step::Residues { chunk, piece: 0 }, answers)
        }
        Step::Answers { chunk, piece } if piece + 1 < shape.pieces(chunk) => Step::Answers {
            chunk,
            piece: piece + 1,
        },
        Step::Answers { chunk, .. } => next_chunk(
            chunk,
            |chunk| Step::Answers { chunk, piece: 0 },
            Step::Replies { chunk: 0, piece: 0 },
        ),
        Step::Replies { chunk, piece } if piece + 1 < shape.pieces(chunk) => Step::Replies {
            chunk,
            piece: piece + 1,
        },
        Step::Replies { chunk, .. } => {
            next_chunk(chunk, |chunk| Step::Replies { chunk, piece: 0 }, Step::Idle)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests;
