//! The public order of messages, once: client and server step through these lists, and so does
//! whoever counts frames without running them (`traffic`). A window of activations has a list of
//! its own, in [`super::activation`]. `docs/protocol.md` says what each message carries.

use super::transfer::PIECE;
use crate::network::layer::Activation;
use crate::ot::Direction;
use crate::packing::Output;
use crate::rlwe::Expansion;

/// Who sends a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What the client encrypts in the set-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upload {
    /// Its public key.
    Key,
    /// The choices of the reverse base transfers.
    BaseChoices,
}

impl Upload {
    /// What its public half is expanded for.
    pub fn expansion(self) -> Expansion {
        match self {
            Self::Key => Expansion::PublicKey,
            Self::BaseChoices => Expansion::Ciphertext,
        }
    }
}

/// A step of the set-up. After the last one the parties are ready for inferences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// Client: its greeting.
    Hello,
    /// Server: its greeting.
    Welcome,
    /// Server: the names of all classes, if the client asked for them.
    Labels,
    /// Client: a key or ciphertext.
    Upload(Upload),
    /// Server: the response to the choices of the reverse base transfers.
    Response,
    /// Whoever does not choose in a direction: both messages of every base transfer.
    BaseMessages(Direction),
    /// Server: corrections of the extension in which it chooses in the forward base transfers.
    BaseCorrection,
    /// Server: the automorphisms that its layers need, in slot packing.
    Rotations,
    /// Client: the keys for them.
    Keys,
}

impl Setup {
    /// The step after this one. `labels`: the client asked for the names of classes. `own_keys`:
    /// the packing has keys of its own.
    pub fn next(self, labels: bool, own_keys: bool) -> Option<Self> {
        use Direction::{Forward, Reverse};
        Some(match self {
            Self::Hello => Self::Welcome,
            Self::Welcome if labels => Self::Labels,
            Self::Welcome | Self::Labels => Self::Upload(Upload::Key),
            Self::Upload(Upload::Key) => Self::Upload(Upload::BaseChoices),
            Self::Upload(Upload::BaseChoices) => Self::Response,
            Self::Response => Self::BaseMessages(Reverse),
            Self::BaseMessages(Reverse) => Self::BaseCorrection,
            Self::BaseCorrection => Self::BaseMessages(Forward),
            Self::BaseMessages(Forward) if own_keys => Self::Rotations,
            Self::Rotations => Self::Keys,
            Self::BaseMessages(Forward) | Self::Keys => return None,
        })
    }
}

/// A step of a layer, after the server has described it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayerStep {
    /// Client: the input ciphertext of this number.
    Input(usize),
    /// Server: the next output ciphertext.
    Response,
    /// No message: this output joins the window.
    Gather(Output),
    /// Both: the ReLU of the outputs in the window, which is empty then.
    Window,
    /// Client: a frame of what is sent instead of new shares, in a layer without activation.
    Reshares,
    /// Server: a frame of its shares of the logits.
    Logits,
    /// Nothing: the layer is done.
    Done,
}

/// What the steps of a layer depend on.
#[derive(Clone, Copy, Debug)]
pub struct LayerFacts {
    /// What follows the linear part.
    pub activation: Activation,
    /// Input ciphertexts.
    pub inputs: usize,
    /// Activations of a full window.
    pub capacity: usize,
}

/// How far a layer is.
#[derive(Clone, Copy, Default, Debug)]
pub struct LayerSteps {
    /// Ciphertexts so far: the inputs, then the outputs.
    ciphertexts: u32,
    /// Outputs in the window.
    gathered: u32,
}

impl LayerSteps {
    /// The step after the last one that this gave. `output` is the first output that no step has
    /// taken yet; none when all are taken.
    pub fn next(&mut self, facts: &LayerFacts, output: Option<Output>) -> LayerStep {
        let ciphertexts = self.ciphertexts as usize;
        let Some(responses) = ciphertexts.checked_sub(facts.inputs) else {
            self.ciphertexts += 1;
            return LayerStep::Input(ciphertexts);
        };
        let full = self.gathered as usize == facts.capacity;
        match (output, facts.activation) {
            (Some(_), Activation::Relu) if full => {}
            (Some(output), _) if output.ciphertext >= responses => {
                self.ciphertexts += 1;
                return LayerStep::Response;
            }
            (Some(output), Activation::Relu) => {
                self.gathered += 1;
                return LayerStep::Gather(output);
            }
            (Some(_), Activation::Linear) => return LayerStep::Reshares,
            (Some(_), Activation::Logits) => return LayerStep::Logits,
            (None, _) if self.gathered == 0 => return LayerStep::Done,
            (None, _) => {}
        }
        self.gathered = 0;
        LayerStep::Window
    }
}

/// Values of the next frame of [`LayerStep::Reshares`] or [`LayerStep::Logits`], where `outputs`
/// are those that no step has taken yet: all of one ciphertext, at most [`PIECE`].
pub fn frame_values(outputs: impl Iterator<Item = Output>) -> usize {
    let mut outputs = outputs.map(|output| output.ciphertext).take(PIECE);
    let Some(first) = outputs.next() else {
        return 0;
    };
    1 + outputs.take_while(|&next| next == first).count()
}
