//! What windows put on the line, frame by frame, without running them: for planners.

use super::*;
use crate::protocol::frame::HEADER;
use crate::protocol::steps::Sender;
use crate::random::BLOCK_WORDS;

/// The windows of a session, in the order in which they are run: what one leaves of the supply of
/// reverse transfers, the next one uses.
#[derive(Clone, Debug)]
pub struct WindowTraffic {
    shape: Shape,
    supply: Supply,
}

impl WindowTraffic {
    /// A session before its first window.
    pub fn new(relu: ReluParams, k_s: u32) -> Self {
        Self {
            shape: Shape {
                relu,
                total: 0,
                trees: COLUMNS / k_s as usize,
            },
            supply: Supply::default(),
        }
    }

    /// Hands out sender, kind and bytes, header included, of every frame of the next window.
    pub fn window(&mut self, activations: usize, mut frame: impl FnMut(Sender, Kind, usize)) {
        self.shape.total = activations;
        let reverse = self.supply.take(activations);
        let mut step = Step::Corrections { chunk: 0, frame: 0 };
        while let Some((sender, kind, payload)) = self.frame(step) {
            frame(sender, kind, HEADER + payload);
            step = advance(step, &self.shape, reverse);
        }
    }

    /// Sender, kind and payload bytes of a step's frame.
    fn frame(&self, step: Step) -> Option<(Sender, Kind, usize)> {
        use Sender::{Client, Server};
        let shape = &self.shape;
        let trees = |frame| shape.trees_in(frame).len();
        let packed = |chunk, count, bits| packed_len(count * shape.chunk_len(chunk), bits);
        Some(match step {
            Step::Idle => return None,
            Step::Corrections { frame, .. } => {
                let bytes = trees(frame) * shape.correction_len();
                (Client, Kind::ForwardCorrection, bytes)
            }
            Step::Reverse { frame, .. } => {
                let bytes = trees(frame) * 4 * BLOCK_WORDS;
                (Server, Kind::ReverseCorrection, bytes)
            }
            Step::Tables { chunk, frame } => {
                let tables = shape.tables_in(chunk, frame).len();
                (Server, Kind::Tables, tables * shape.relu.table_bytes())
            }
            Step::Replies { chunk } => {
                let bytes = packed(chunk, 1, 2) + packed(chunk, 1, T_BITS);
                (Client, Kind::Reply, bytes)
            }
            Step::Entries { chunk } => (Server, Kind::Entries, packed(chunk, 4, T_BITS)),
            Step::Reshares { chunk } => (Client, Kind::Reshare, packed(chunk, 1, T_BITS)),
        })
    }
}
