//! The ReLU of one window of activations: what both parties share here, their sides in `client`
//! and `server`.
//! `docs/design.md#relu`; the mathematics is in [`crate::relu`].
//!
//! | message | from | per activation, at h = 8 |
//! |---|---|---|
//! | `ForwardCorrection` | client | 128/k_s trees x 9 bits |
//! | `ReverseCorrection`, when the supply runs out | server | 128/k_s bits |
//! | `Tables` | server | 128 bits |
//! | `Reply` | client | 2 + 23 bits |
//! | `Entries` | server | 4 x 23 bits |
//! | `Reshare` | client | 23 bits |

mod client;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod traffic;

pub use client::{ClientContext, ClientWindow};
#[cfg(feature = "server")]
pub use server::ServerWindow;
#[cfg(feature = "server")]
pub use traffic::WindowTraffic;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::frame::{Frame, FrameBuf, Kind, MAX_PAYLOAD, write};
use crate::Error;
use crate::arith::bits::{pack, packed_len, unpack};
use crate::arith::field::{T, T_BITS, T_MOD};
use crate::ot::{
    CALL, COLUMNS, Correction, ReceiverTrees, SenderTrees, correlated_pads_sender, scratch_words,
};
use crate::random::{Seed, Stream};
use crate::relu::{ClientChunk, MAX_CHUNK, ReluParams};

/// Corrections of this many trees share a frame.
const TREES_PER_FRAME: usize = 16;
/// Words of scratch of a window: an extension, and the corrections it hands out.
pub const SCRATCH_WORDS: usize = 4104;

const _: () = {
    let mut k_s = 1;
    while k_s <= 8 {
        assert!(scratch_words(k_s) + 16 * COLUMNS / k_s as usize <= SCRATCH_WORDS);
        k_s *= 2;
    }
};

/// How a window's activations are split into chunks and frames; the same on both sides.
#[derive(Clone, Copy, Debug)]
struct Shape {
    relu: ReluParams,
    total: usize,
    trees: usize,
}

impl Shape {
    fn chunks(&self) -> usize {
        self.total.div_ceil(self.relu.chunk())
    }

    fn chunk_len(&self, chunk: usize) -> usize {
        let size = self.relu.chunk();
        self.total.saturating_sub(chunk * size).min(size)
    }

    /// Bytes of a forward correction: h + 1 bits for each activation of a full chunk.
    fn correction_len(&self) -> usize {
        packed_len(self.relu.chunk(), self.relu.h() + 1)
    }

    /// Bits of a forward correction's last byte that are used.
    fn last_byte(&self) -> u8 {
        let unused = 8 * self.correction_len() - self.relu.chunk() * (self.relu.h() as usize + 1);
        0xff >> unused
    }

    fn correction_frames(&self) -> usize {
        self.trees.div_ceil(TREES_PER_FRAME)
    }

    /// Trees in a frame of corrections.
    fn trees_in(&self, frame: usize) -> core::ops::Range<usize> {
        frame * TREES_PER_FRAME..((frame + 1) * TREES_PER_FRAME).min(self.trees)
    }

    fn tables_per_frame(&self) -> usize {
        MAX_PAYLOAD / self.relu.table_bytes()
    }

    fn table_frames(&self, chunk: usize) -> usize {
        self.chunk_len(chunk).div_ceil(self.tables_per_frame())
    }

    /// Activations of the chunk whose tables are in a frame.
    fn tables_in(&self, chunk: usize, frame: usize) -> core::ops::Range<usize> {
        let size = self.tables_per_frame();
        frame * size..((frame + 1) * size).min(self.chunk_len(chunk))
    }
}

/// How many reverse transfers are left; both sides count alike.
#[derive(Clone, Copy, Default, Debug)]
struct Supply {
    /// Transfers that the last calls made.
    stock: usize,
    /// Those of them that are not used yet.
    left: usize,
    calls: u64,
}

impl Supply {
    /// Takes `count` transfers; gives the number of extension calls that must come first. What
    /// was left is given up where it is not enough.
    fn take(&mut self, count: usize) -> usize {
        let calls = if self.left < count {
            count.div_ceil(CALL)
        } else {
            0
        };
        if calls > 0 {
            self.stock = calls * CALL;
            self.left = self.stock;
        }
        self.left -= count;
        calls
    }

    /// Place in the stock of the first of the `count` transfers that were taken last.
    fn first(&self, count: usize) -> usize {
        self.stock - self.left - count
    }

    fn next_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls - 1
    }
}

/// Where a window stands. Client and server step through the same list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Idle,
    Corrections { chunk: usize, frame: usize },
    Reverse { call: usize, frame: usize },
    Tables { chunk: usize, frame: usize },
    Replies { chunk: usize },
    Entries { chunk: usize },
    Reshares { chunk: usize },
}

/// The next step after `step`, where a window has `shape` and needs `reverse` calls.
fn advance(step: Step, shape: &Shape, reverse: usize) -> Step {
    let next = |chunk: usize, here: fn(usize) -> Step, then: Step| {
        if chunk + 1 < shape.chunks() {
            here(chunk + 1)
        } else {
            then
        }
    };
    let tables = Step::Tables { chunk: 0, frame: 0 };
    match step {
        Step::Idle => Step::Idle,
        Step::Corrections { chunk, frame } if frame + 1 < shape.correction_frames() => {
            Step::Corrections {
                chunk,
                frame: frame + 1,
            }
        }
        Step::Corrections { chunk, .. } => {
            let then = if reverse > 0 {
                Step::Reverse { call: 0, frame: 0 }
            } else {
                tables
            };
            next(chunk, |chunk| Step::Corrections { chunk, frame: 0 }, then)
        }
        Step::Reverse { call, frame } if frame + 1 < shape.correction_frames() => Step::Reverse {
            call,
            frame: frame + 1,
        },
        Step::Reverse { call, .. } if call + 1 < reverse => Step::Reverse {
            call: call + 1,
            frame: 0,
        },
        Step::Reverse { .. } => tables,
        Step::Tables { chunk, frame } if frame + 1 < shape.table_frames(chunk) => Step::Tables {
            chunk,
            frame: frame + 1,
        },
        Step::Tables { chunk, .. } => next(
            chunk,
            |chunk| Step::Tables { chunk, frame: 0 },
            Step::Replies { chunk: 0 },
        ),
        Step::Replies { chunk } => next(
            chunk,
            |chunk| Step::Replies { chunk },
            Step::Entries { chunk: 0 },
        ),
        Step::Entries { chunk } => next(
            chunk,
            |chunk| Step::Entries { chunk },
            Step::Reshares { chunk: 0 },
        ),
        Step::Reshares { chunk } => next(chunk, |chunk| Step::Reshares { chunk }, Step::Idle),
    }
}

fn words(bytes: &[u8]) -> Correction {
    let mut words = [0; crate::random::BLOCK_WORDS];
    let (whole, part) = bytes.as_chunks();
    let mut last = [0; 4];
    last[..part.len()].copy_from_slice(part);
    for (word, bytes) in words.iter_mut().zip(whole.iter().chain([&last])) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn expect_len(frame: Frame<'_>, kind: Kind, expected: usize) -> Result<&[u8], Error> {
    let payload = frame.expect(kind)?;
    if payload.len() == expected {
        return Ok(payload);
    }
    Err(Error::FrameLength {
        kind: kind as u8,
        expected,
        got: payload.len(),
    })
}
