//! A window of outputs, and what follows each: what both parties share here. Their sides are in `client`
//! and `server` while it is prepared, in `replies` and `answers` while it is answered.
//! `docs/design.md#relu`; the mathematics is in [`crate::relu`].
//!
//! | message | from | bits per activation, at h = 8 and k_s = 4 |
//! |---|---|---|
//! | `ReverseCorrection` | server | 2 x 128/k_s = 64 |
//! | `Residues` | client | 3 x 23 |
//! | `ForwardCorrection` | client | 56 + 60 for the digits, 128/k_s = 32 for a bit |
//! | `Records` | client, and back | 86, and a tag a frame |
//! | `Answers` | server | 48 + 1 + 23 |
//! | `Replies` | client | 1 + 23 |
//!
//! `PREPARE` and `ANSWER` are the order. Until the answers nothing depends on the image.

#[cfg(feature = "server")]
mod answers;
mod client;
mod cursor;
mod replies;
#[cfg(feature = "server")]
mod server;
mod store;
#[cfg(feature = "server")]
mod traffic;

#[cfg(feature = "server")]
pub use answers::{Answerable, ServerAnswers, StoredChunks};
pub use client::{ClientTransfers, ClientWindow, SCRATCH_WORDS};
pub use cursor::ClientContext;
pub use replies::{ClientAnswers, Outputs};
#[cfg(feature = "server")]
pub use server::ServerWindow;
pub use store::{Chunk, Residues, Store};
#[cfg(feature = "server")]
pub use traffic::WindowTraffic;

use core::ops::Range;

use super::corrections::Call;
use super::frame::{Kind, MAX_PAYLOAD};
use super::seal::TAG;
use super::steps::{CHUNK, Room, Sender};
use crate::arith::bits::packed_len;
use crate::arith::field::T_BITS;
use crate::network::layer::Activation;
use crate::ot::{Code, Direction};
use crate::relu::{Digit, ReluParams, packed_records};

/// What is done with a chunk: some frames of one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Server: the extension in which it chooses.
    Reverse,
    /// Client: what gives the server its shares of products.
    Residues,
    /// Client: an extension in which it chooses.
    Forward(usize),
    /// Client: what takes the place of its shares, where there is no activation.
    Reshares,
    /// Client: its records, sealed, if it has no room for them.
    Store,
    /// Server: the same, on their way back.
    Recall,
    /// Server: masked tables and what makes the product with their result.
    Answers,
    /// Server: its shares of logits.
    Logits,
    /// Client: what gives the server its new shares.
    Replies,
}

/// Parts that are done chunk by chunk.
type Group = &'static [Part];

/// What is done with a window while it is prepared: group by group, and within a group chunk by
/// chunk.
const PREPARE: [Group; 2] = [
    &[Part::Reverse],
    &[
        Part::Residues,
        Part::Forward(0),
        Part::Forward(1),
        Part::Reshares,
        Part::Store,
    ],
];
/// The same while it is answered.
const ANSWER: [Group; 2] = [
    &[Part::Recall, Part::Answers, Part::Logits],
    &[Part::Replies],
];

/// A phase of an inference, `docs/design.md#two-phases`; of a window, the list that it is worked off by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    // Not 0, so that no phase is: a static client takes no flash.
    /// What needs no image.
    Prepare = 1,
    /// From the image to the logits.
    Answer,
}

/// What the rows of a lane of a forward extension are for.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// The client's value of a digit.
    Digit(Digit),
    /// The client's beta.
    Beta,
}

/// What is public of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkShape {
    /// Index of the layer.
    pub layer: u16,
    /// What follows its outputs.
    pub activation: Activation,
    /// Its outputs, at most [`CHUNK`].
    pub len: usize,
}

impl ChunkShape {
    /// Of no chunk.
    pub(super) const EMPTY: Self = Self {
        layer: 0,
        activation: Activation::Relu,
        len: 0,
    };

    /// Whether the next output of a layer belongs to it.
    pub fn takes(&self, layer: u16) -> bool {
        self.layer == layer && self.len < CHUNK
    }

    /// The chunks of so many outputs of a layer.
    pub fn split(layer: u16, activation: Activation, outputs: usize) -> impl Iterator<Item = Self> {
        let len = move |first| CHUNK.min(outputs - first);
        let shape = move |first| Self {
            layer,
            activation,
            len: len(first),
        };
        (0..outputs).step_by(CHUNK).map(shape)
    }
}

/// Bytes of so many packed records: what the client needs of outputs once they are prepared.
fn record_bytes(relu: &ReluParams, activation: Activation, count: usize) -> usize {
    match activation {
        Activation::Relu => packed_records(relu, count),
        Activation::Logits => packed_len(count, T_BITS),
        // The server has it.
        Activation::Linear => 0,
    }
}

/// How chunks are split into frames; the same on both sides.
#[derive(Clone, Copy, Debug)]
struct Shape {
    relu: ReluParams,
    k_s: u32,
    /// Whether the server keeps the client's records.
    sealed: bool,
}

impl Shape {
    fn new(relu: ReluParams, k_s: u32, room: Room) -> Self {
        Self {
            relu,
            k_s,
            sealed: room != Room::Whole,
        }
    }

    /// The reverse extension of a chunk: tau in the first lane, d_s in the second.
    fn reverse(&self, chunk: ChunkShape) -> Call {
        Call {
            direction: Direction::Reverse,
            k_s: self.k_s,
            codes: [Code::Bit; 2],
            rows: chunk.len,
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
    fn forward(&self, chunk: ChunkShape, call: usize) -> Call {
        let code = |row| match row {
            Some(Row::Digit(digit)) => Code::Digit(digit.width),
            Some(Row::Beta) => Code::Bit,
            None => Code::Unused,
        };
        Call {
            direction: Direction::Forward,
            k_s: self.k_s,
            codes: self.rows(call).map(code),
            rows: chunk.len,
        }
    }

    /// Outputs in a frame of residues, records, answers, logits or replies.
    fn piece(&self) -> usize {
        if 64 * self.relu.answer_bytes() <= MAX_PAYLOAD {
            64
        } else {
            32
        }
    }

    /// Outputs of a chunk that are in a frame.
    fn piece_range(&self, chunk: ChunkShape, piece: usize) -> Range<usize> {
        let size = self.piece();
        piece * size..((piece + 1) * size).min(chunk.len)
    }

    /// Frames of a part of a chunk; none if it has no such part.
    fn frames(&self, part: Part, chunk: ChunkShape) -> usize {
        let pieces = chunk.len.div_ceil(self.piece());
        match (part, chunk.activation) {
            (Part::Reverse, Activation::Relu) => self.reverse(chunk).frames(),
            (Part::Forward(call), Activation::Relu) if call < self.calls() => {
                self.forward(chunk, call).frames()
            }
            (Part::Residues | Part::Answers | Part::Replies, Activation::Relu)
            | (Part::Logits, Activation::Logits) => pieces,
            (Part::Store | Part::Recall, Activation::Relu | Activation::Logits) if self.sealed => {
                pieces
            }
            (Part::Reshares, Activation::Linear) => 1,
            _ => 0,
        }
    }

    /// Sender, kind and payload bytes of a frame.
    fn frame(&self, part: Part, chunk: ChunkShape, frame: usize) -> (Sender, Kind, usize) {
        use Sender::{Client, Server};
        let count = self.piece_range(chunk, frame).len();
        let sealed = || record_bytes(&self.relu, chunk.activation, count) + TAG;
        match part {
            Part::Reverse => {
                let bytes = self.reverse(chunk).frame_bytes(frame);
                (Server, Kind::ReverseCorrection, bytes)
            }
            Part::Residues => (Client, Kind::Residues, packed_len(3 * count, T_BITS)),
            Part::Forward(call) => {
                let bytes = self.forward(chunk, call).frame_bytes(frame);
                (Client, Kind::ForwardCorrection, bytes)
            }
            Part::Reshares => (Client, Kind::Reshare, packed_len(chunk.len, T_BITS)),
            Part::Store => (Client, Kind::Records, sealed()),
            Part::Recall => (Server, Kind::Records, sealed()),
            Part::Answers => (Server, Kind::Answers, count * self.relu.answer_bytes()),
            Part::Logits => (Server, Kind::Logits, packed_len(count, T_BITS)),
            Part::Replies => {
                let bytes = packed_len(count, 1) + packed_len(count, T_BITS);
                (Client, Kind::Replies, bytes)
            }
        }
    }
}

/// Where a window stands: the next frame of it. Client and server step through the same list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Step {
    /// None where the window is idle.
    phase: Option<Phase>,
    group: usize,
    chunk: usize,
    part: usize,
    frame: usize,
}

impl Step {
    const IDLE: Self = Self {
        phase: None,
        group: 0,
        chunk: 0,
        part: 0,
        frame: 0,
    };

    /// The first step of a window, of which `chunks` gives the shapes.
    fn first(phase: Phase, shape: &Shape, chunks: impl Fn(usize) -> Option<ChunkShape>) -> Self {
        Self {
            phase: Some(phase),
            ..Self::IDLE
        }
        .settle(shape, chunks)
    }

    /// The next step.
    fn advance(mut self, shape: &Shape, chunks: impl Fn(usize) -> Option<ChunkShape>) -> Self {
        self.frame += 1;
        self.settle(shape, chunks)
    }

    /// Its part; none where the window is idle.
    fn part(&self) -> Option<Part> {
        let group = self.groups().get(self.group)?;
        group.get(self.part).copied()
    }

    fn groups(&self) -> &'static [Group] {
        match self.phase {
            None => &[],
            Some(Phase::Prepare) => &PREPARE,
            Some(Phase::Answer) => &ANSWER,
        }
    }

    /// Moves on to the first frame that exists, from here on.
    fn settle(mut self, shape: &Shape, chunks: impl Fn(usize) -> Option<ChunkShape>) -> Self {
        while self.group < self.groups().len() {
            match (chunks(self.chunk), self.part()) {
                (Some(chunk), Some(part)) if self.frame < shape.frames(part, chunk) => return self,
                (Some(_), Some(_)) => (self.part, self.frame) = (self.part + 1, 0),
                (Some(_), None) => (self.chunk, self.part) = (self.chunk + 1, 0),
                (None, _) => (self.group, self.chunk, self.part) = (self.group + 1, 0, 0),
            }
        }
        Self::IDLE
    }
}

#[cfg(test)]
#[cfg(feature = "server")]
mod tests;
