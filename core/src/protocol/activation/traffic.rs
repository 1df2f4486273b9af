//! What windows put on the line, frame by frame, without running them: for planners.

use super::{ChunkShape, Phase, Shape, Step};
use crate::protocol::frame::{HEADER, Kind};
use crate::protocol::steps::{Room, Sender};
use crate::relu::ReluParams;

/// The windows of a session.
#[derive(Clone, Copy, Debug)]
pub struct WindowTraffic(Shape);

impl WindowTraffic {
    /// Those of a session with these parameters.
    pub fn new(relu: ReluParams, k_s: u32, room: Room) -> Self {
        Self(Shape::new(relu, k_s, room))
    }

    /// Hands out the layer, sender, kind and bytes, header included, of every frame of a window.
    pub fn window(
        &self,
        phase: Phase,
        chunks: &[ChunkShape],
        mut frame: impl FnMut(usize, Sender, Kind, usize),
    ) {
        let of = |chunk: usize| chunks.get(chunk).copied();
        let mut step = Step::first(phase, &self.0, of);
        while let (Some(part), Some(chunk)) = (step.part(), of(step.chunk)) {
            let (sender, kind, payload) = self.0.frame(part, chunk, step.frame);
            frame(chunk.layer.into(), sender, kind, HEADER + payload);
            step = step.advance(&self.0, of);
        }
    }
}
