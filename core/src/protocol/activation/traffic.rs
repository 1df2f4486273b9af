//! What windows put on the line, frame by frame, without running them: for planners.

use super::*;
use crate::random::BLOCK_WORDS;

/// Who sends a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
}

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

    /// Hands out sender and bytes, header included, of every frame of the next window.
    pub fn window(&mut self, activations: usize, mut frame: impl FnMut(Sender, usize)) {
        self.shape.total = activations;
        let reverse = self.supply.take(activations);
        let mut step = Step::Corrections { chunk: 0, frame: 0 };
        while step != Step::Idle {
            let (sender, payload) = self.payload(step);
            frame(sender, HEADER + payload);
            step = advance(step, &self.shape, reverse);
        }
    }

    fn payload(&self, step: Step) -> (Sender, usize) {
        use Sender::{Client, Server};
        let shape = &self.shape;
        let trees = |frame| shape.trees_in(frame).len();
        let packed = |chunk, count, bits| packed_len(count * shape.chunk_len(chunk), bits);
        match step {
            Step::Idle => (Client, 0),
            Step::Corrections { frame, .. } => (Client, trees(frame) * shape.correction_len()),
            Step::Reverse { frame, .. } => (Server, trees(frame) * 4 * BLOCK_WORDS),
            Step::Tables { chunk, frame } => {
                let tables = shape.tables_in(chunk, frame).len();
                (Server, tables * shape.relu.table_bytes())
            }
            Step::Replies { chunk } => (Client, packed(chunk, 1, 2) + packed(chunk, 1, T_BITS)),
            Step::Entries { chunk } => (Server, packed(chunk, 4, T_BITS)),
            Step::Reshares { chunk } => (Client, packed(chunk, 1, T_BITS)),
        }
    }
}
