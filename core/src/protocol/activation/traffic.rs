//! What windows put on the line, frame by frame, without running them: for planners.

use super::{FIRST, Shape, Step, advance};
use crate::arith::bits::packed_len;
use crate::arith::field::T_BITS;
use crate::protocol::frame::{HEADER, Kind};
use crate::protocol::steps::Sender;
use crate::relu::ReluParams;

/// The windows of a session.
#[derive(Clone, Copy, Debug)]
pub struct WindowTraffic(Shape);

impl WindowTraffic {
    /// Those of a session with these parameters.
    pub fn new(relu: ReluParams, k_s: u32) -> Self {
        Self(Shape {
            relu,
            k_s,
            total: 0,
        })
    }

    /// Hands out sender, kind and bytes, header included, of every frame of a window.
    pub fn window(&self, activations: usize, mut frame: impl FnMut(Sender, Kind, usize)) {
        let shape = Shape {
            total: activations,
            ..self.0
        };
        let mut step = FIRST;
        while let Some((sender, kind, payload)) = of_step(&shape, step) {
            frame(sender, kind, HEADER + payload);
            step = advance(step, &shape);
        }
    }
}

/// Sender, kind and payload bytes of a step's frame.
fn of_step(shape: &Shape, step: Step) -> Option<(Sender, Kind, usize)> {
    use Sender::{Client, Server};
    let count = |chunk, piece| shape.piece_range(chunk, piece).len();
    Some(match step {
        Step::Idle => return None,
        Step::Reverse { chunk, frame } => {
            let bytes = shape.reverse(chunk).frame_bytes(frame);
            (Server, Kind::ReverseCorrection, bytes)
        }
        Step::Residues { chunk, piece } => {
            let bytes = packed_len(3 * count(chunk, piece), T_BITS);
            (Client, Kind::Residues, bytes)
        }
        Step::Forward { chunk, call, frame } => {
            let bytes = shape.forward(chunk, call).frame_bytes(frame);
            (Client, Kind::ForwardCorrection, bytes)
        }
        Step::Answers { chunk, piece } => {
            let bytes = count(chunk, piece) * shape.relu.answer_bytes();
            (Server, Kind::Answers, bytes)
        }
        Step::Replies { chunk, piece } => {
            let count = count(chunk, piece);
            let bytes = packed_len(count, 1) + packed_len(count, T_BITS);
            (Client, Kind::Replies, bytes)
        }
    })
}
