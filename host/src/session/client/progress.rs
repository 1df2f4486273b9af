//! Where an inference is, for people who wait for it.

use std::fmt;

use stria_core::protocol::frame::Kind;

/// A step of a layer, as the client sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The client encrypts its shares of the layer's input.
    Encrypting,
    /// The server convolves.
    Convolving,
    /// The client takes the server's ciphertexts.
    Decrypting,
    /// Oblivious transfers for the ReLU.
    Transfers,
    /// Answers and replies of the ReLU.
    Relu,
}

impl Step {
    /// The step that a frame belongs to, if it says so.
    fn of(kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Layer | Kind::Seed | Kind::Limb => Self::Encrypting,
            Kind::ResponseC1 | Kind::ResponseC0 => Self::Decrypting,
            Kind::ReverseCorrection | Kind::Residues | Kind::ForwardCorrection => Self::Transfers,
            Kind::Answers | Kind::Replies => Self::Relu,
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
        let step = match self.step {
            Step::Encrypting => "encrypting",
            Step::Convolving => "the server convolves",
            Step::Decrypting => "decrypting",
            Step::Transfers => "transfers",
            Step::Relu => "ReLU",
        };
        write!(f, "layer {} of {}: {step}", self.layer, self.layers)
    }
}

/// Takes every change of an inference's progress.
pub type Watch = Box<dyn FnMut(Progress) + Send>;

/// Follows the frames of inferences, for whoever watches.
#[derive(Default)]
pub(super) struct Watched {
    watch: Option<Watch>,
    layers: usize,
    layer: usize,
    step: Option<Step>,
}

impl Watched {
    /// Watches inferences of a network with so many layers.
    pub fn new(watch: Watch, layers: usize) -> Self {
        Self {
            watch: Some(watch),
            layers,
            layer: 0,
            step: None,
        }
    }

    /// A frame of either side.
    pub fn frame(&mut self, kind: Kind) {
        match kind {
            Kind::Begin => self.layer = 0,
            Kind::Layer => self.layer += 1,
            _ => {}
        }
        self.enter(Step::of(kind));
    }

    /// The server has the word.
    pub fn waits(&mut self) {
        if self.step == Some(Step::Encrypting) {
            self.enter(Some(Step::Convolving));
        }
    }

    fn enter(&mut self, step: Option<Step>) {
        let Some(now) = step.filter(|_| self.layer > 0 && step != self.step) else {
            return;
        };
        self.step = step;
        if let Some(watch) = &mut self.watch {
            watch(Progress {
                layer: self.layer,
                layers: self.layers,
                step: now,
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
        // The set-up says nothing.
        watched.frame(Kind::Seed);
        watched.waits();
        for kind in [Kind::Begin, Kind::Layer, Kind::Seed, Kind::Limb, Kind::Limb] {
            watched.frame(kind);
        }
        watched.waits();
        for kind in [
            Kind::ResponseC1,
            Kind::ResponseC0,
            Kind::ReverseCorrection,
            Kind::Residues,
            Kind::ForwardCorrection,
            Kind::Answers,
            Kind::Replies,
            Kind::Layer,
            Kind::Seed,
        ] {
            watched.frame(kind);
        }
        let expected = [
            "layer 1 of 2: encrypting",
            "layer 1 of 2: the server convolves",
            "layer 1 of 2: decrypting",
            "layer 1 of 2: transfers",
            "layer 1 of 2: ReLU",
            "layer 2 of 2: encrypting",
        ];
        assert_eq!(*told.lock().unwrap(), expected);
    }
}
