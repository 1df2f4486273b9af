//! Where an inference is, for people who wait for it.

use std::fmt;

use stria_core::protocol::activation::Phase;
use stria_core::protocol::frame::Kind;

/// A step of a layer, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The client encrypts its future shares of the layer's input.
    Encrypting,
    /// The server convolves.
    Convolving,
    /// The client takes the server's ciphertexts.
    Decrypting,
    /// Oblivious transfers for the ReLU.
    Transfers,
    /// The image, and then answers and replies of the ReLU.
    Answering,
}

impl Step {
    /// The step that a frame belongs to, if it says so.
    fn of(phase: Phase, kind: Kind) -> Option<Self> {
        Some(match (phase, kind) {
            (Phase::Answer, _) => Self::Answering,
            (_, Kind::Seed | Kind::Limb) => Self::Encrypting,
            (_, Kind::ResponseC1 | Kind::ResponseC0) => Self::Decrypting,
            (_, Kind::ReverseCorrection | Kind::Residues | Kind::ForwardCorrection) => {
                Self::Transfers
            }
            _ => return None,
        })
    }
}

/// Where an inference is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The layer that runs, from 1.
    pub layer: usize,
    /// How many there are.
    pub layers: usize,
    /// What is done for it.
    pub step: Step,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, step) = match self.step {
            Step::Encrypting => ("preparing", ": encrypting"),
            Step::Convolving => ("preparing", ": the server convolves"),
            Step::Decrypting => ("preparing", ": decrypting"),
            Step::Transfers => ("preparing", ": transfers"),
            Step::Answering => ("answering", ""),
        };
        write!(f, "{phase}, layer {} of {}{step}", self.layer, self.layers)
    }
}

/// Takes every change of an inference's progress.
pub type Watch = Box<dyn FnMut(Progress) + Send>;

/// Follows the frames of inferences, for whoever watches.
#[derive(Default)]
pub(super) struct Watched {
    watch: Option<Watch>,
    layers: usize,
    now: Option<(usize, Step)>,
}

impl Watched {
    /// Watches inferences of a network with so many layers.
    pub fn new(watch: Watch, layers: usize) -> Self {
        Self {
            watch: Some(watch),
            layers,
            now: None,
        }
    }

    /// A frame of either side, of the layer with this index.
    pub fn frame(&mut self, phase: Phase, layer: usize, kind: Kind) {
        if let Some(step) = Step::of(phase, kind) {
            self.enter(layer, step);
        }
    }

    /// The server has the word.
    pub fn waits(&mut self) {
        if let Some((layer, Step::Encrypting)) = self.now {
            self.enter(layer, Step::Convolving);
        }
    }

    fn enter(&mut self, layer: usize, step: Step) {
        let now = Some((layer, step));
        if self.now == now {
            return;
        }
        self.now = now;
        if let Some(watch) = &mut self.watch {
            watch(Progress {
                layer: layer + 1,
                layers: self.layers,
                step,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn every_step_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        let watch = move |progress: Progress| list.lock().unwrap().push(progress.to_string());
        let mut watched = Watched::new(Box::new(watch), 2);
        watched.waits();
        for (layer, kind) in [
            (0, Kind::Begin),
            (0, Kind::Seed),
            (0, Kind::Limb),
            (1, Kind::Seed),
        ] {
            watched.frame(Phase::Prepare, layer, kind);
        }
        watched.waits();
        for (layer, kind) in [
            (0, Kind::ResponseC1),
            (0, Kind::ResponseC0),
            (0, Kind::ReverseCorrection),
            (0, Kind::Residues),
            (0, Kind::ForwardCorrection),
        ] {
            watched.frame(Phase::Prepare, layer, kind);
        }
        for (layer, kind) in [
            (0, Kind::Image),
            (0, Kind::Answers),
            (0, Kind::Replies),
            (1, Kind::Logits),
        ] {
            watched.frame(Phase::Answer, layer, kind);
        }
        let expected = [
            "preparing, layer 1 of 2: encrypting",
            "preparing, layer 2 of 2: encrypting",
            "preparing, layer 2 of 2: the server convolves",
            "preparing, layer 1 of 2: decrypting",
            "preparing, layer 1 of 2: transfers",
            "answering, layer 1 of 2",
            "answering, layer 2 of 2",
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
