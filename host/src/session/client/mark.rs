//! What an inference costs, frame by frame: of each phase, and of each layer.

use std::time::Instant;

use stria_core::protocol::activation::Phase;
use stria_core::protocol::frame::{Frame, FrameBuf, HEADER, Kind};
use stria_core::{Error, Observer, Party};

use super::any::AnyClient;
use super::classification::Classification;
use super::progress::Watched;
use crate::report::{LayerPart, PhasePart};
use crate::transport::FrameSocket;

/// Counts a session's frames.
#[derive(Default)]
pub(super) struct Marks {
    /// Bytes of the set-up.
    pub setup_bytes: u64,
    /// Of the inference that was prepared last.
    pub prepare: PhasePart,
    /// Of the inference that was answered last.
    pub answer: PhasePart,
    /// By layer.
    pub layers: Vec<LayerPart>,
    /// When the last frame came or went, and whether it came.
    last: Option<(Instant, bool)>,
    phase: Option<Phase>,
    pub watched: Watched,
}

impl Marks {
    /// An inference of so many layers is prepared from now on, or answered.
    pub fn begin(&mut self, phase: Phase, layers: usize) {
        if phase == Phase::Prepare {
            self.prepare = PhasePart::default();
            self.answer = PhasePart::default();
            self.layers = vec![LayerPart::default(); layers];
        }
        self.last = Some((Instant::now(), false));
        self.phase = None;
    }

    /// What the client did since the last frame is not counted.
    pub fn goes_on(&mut self) {
        if let Some((at, _)) = &mut self.last {
            *at = Instant::now();
        }
    }

    /// A frame that came, or was made: its time begins with the frame before it.
    fn frame(&mut self, at: Option<(Phase, u16)>, came: bool, frame: Frame<'_>) {
        let bytes = (HEADER + frame.payload.len()) as u64;
        let Some((phase, layer)) = at else {
            self.setup_bytes += bytes;
            return;
        };
        let now = Instant::now();
        let turns = self.phase != Some(phase) || self.last.is_none_or(|last| last.1 != came);
        let seconds = self.last.map_or(0.0, |last| (now - last.0).as_secs_f64());
        (self.last, self.phase) = (Some((now, came)), Some(phase));
        let (up, down) = if came { (0, bytes) } else { (bytes, 0) };
        let of_phase = match phase {
            Phase::Answer => &mut self.answer,
            Phase::Prepare => &mut self.prepare,
        };
        of_phase.bytes_up += up;
        of_phase.bytes_down += down;
        of_phase.seconds += seconds;
        of_phase.messages += u64::from(turns);
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.bytes_up += up;
            layer.bytes_down += down;
            layer.seconds += seconds;
            if let Kind::Seed | Kind::Limb | Kind::ResponseC1 | Kind::ResponseC0 = frame.kind {
                layer.ciphertext_bytes += bytes;
            }
        }
        self.watched.frame(phase, layer.into(), frame.kind);
    }
}

/// A client whose frames are counted.
pub(super) struct Marked<'a> {
    pub client: &'a mut dyn AnyClient,
    pub app: &'a mut Classification,
    pub marks: &'a mut Marks,
}

impl Party for Marked<'_> {
    fn poll(&mut self, out: &mut FrameBuf) -> Result<Option<usize>, Error> {
        let at = self.client.position();
        let len = self.client.poll(self.app, out)?;
        match len {
            Some(len) => {
                let frame = Frame::new_checked(out.get(..len).unwrap_or_default())?;
                self.marks.frame(at, false, frame);
            }
            None => self.marks.watched.waits(),
        }
        Ok(len)
    }
    fn handle(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.marks.frame(self.client.position(), true, frame);
        self.client.handle(self.app, frame)
    }
    fn rests(&self) -> bool {
        self.client.rests()
    }
    fn close(&mut self) {
        self.client.close();
    }
}

/// Sets the line's deadlines.
pub(super) struct Deadlines;

impl<P: ?Sized> Observer<P, FrameSocket> for Deadlines {
    fn waits(&mut self, _party: &P, line: &mut FrameSocket) {
        line.await_frame(false);
    }
}
