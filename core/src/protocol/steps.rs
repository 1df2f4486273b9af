//! The public order of messages, once: client and server step through these lists, and so does
//! whoever counts frames without running them (`traffic`). One for the set-up, one for preparing an
//! inference, one for answering it; a window of outputs has lists of its own, in
//! [`super::activation`]. `docs/protocol.md` says what each message carries.

use super::transfer::PIECE;
use crate::network::layer::Activation;
use crate::ot::{Direction, LANE};
use crate::packing::Output;
use crate::rlwe::Expansion;

/// Outputs that are worked on together: one row each in a lane.
pub const CHUNK: usize = LANE;

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

/// What a client has room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// The descriptions of all layers, and the records of all outputs of an inference.
    Whole,
    /// One layer, and the records of so many chunks of its outputs; the server keeps them, sealed,
    /// until they are answered.
    Chunks(u16),
}

impl Room {
    /// As the greeting says it: chunks, or 0.
    pub fn of(window: u16) -> Self {
        match window {
            0 => Self::Whole,
            chunks => Self::Chunks(chunks),
        }
    }

    /// What the greeting says.
    pub fn window(self) -> u16 {
        match self {
            Self::Whole => 0,
            Self::Chunks(chunks) => chunks,
        }
    }

    /// Outputs of a full window.
    pub fn capacity(self) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Chunks(chunks) => usize::from(chunks) * CHUNK,
        }
    }
}

/// What the steps of a set-up depend on.
#[derive(Clone, Copy, Debug)]
pub struct SetupOf {
    /// The client asked for the names of classes.
    pub labels: bool,
    /// The client's room.
    pub room: Room,
    /// The packing has keys of its own.
    pub own_keys: bool,
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
    /// Server: the descriptions of all layers, if the client has room for them.
    Layers,
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
    /// The step after this one.
    pub fn next(self, of: SetupOf) -> Option<Self> {
        use Direction::{Forward, Reverse};
        Some(match self {
            Self::Hello => Self::Welcome,
            Self::Welcome if of.labels => Self::Labels,
            Self::Welcome | Self::Labels if of.room == Room::Whole => Self::Layers,
            Self::Welcome | Self::Labels | Self::Layers => Self::Upload(Upload::Key),
            Self::Upload(Upload::Key) => Self::Upload(Upload::BaseChoices),
            Self::Upload(Upload::BaseChoices) => Self::Response,
            Self::Response => Self::BaseMessages(Reverse),
            Self::BaseMessages(Reverse) => Self::BaseCorrection,
            Self::BaseCorrection => Self::BaseMessages(Forward),
            Self::BaseMessages(Forward) if of.own_keys => Self::Rotations,
            Self::Rotations => Self::Keys,
            Self::BaseMessages(Forward) | Self::Keys => return None,
        })
    }
}

/// What the steps of an inference depend on, of the layer that was entered last.
#[derive(Clone, Copy, Debug)]
pub struct LayerFacts {
    /// What follows the linear part.
    pub activation: Activation,
    /// Input ciphertexts.
    pub inputs: usize,
    /// Outputs.
    pub outputs: usize,
}

impl LayerFacts {
    /// Of no layer.
    pub const NONE: Self = Self {
        activation: Activation::Linear,
        inputs: 0,
        outputs: 0,
    };
}

/// A step of preparing a batch of inferences: nothing of it depends on an image. Inferences count from
/// 0 in their batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prepare {
    /// Client: this inference is prepared.
    Begin(u16),
    /// What follows is about this layer. A message for clients with room for one layer, else none:
    /// the server describes it.
    Enter(usize),
    /// Client: of this inference, the input ciphertext of this number.
    Input(u16, usize),
    /// No message: what follows, up to the next step of this kind or the next layer's inputs, is about
    /// outputs of this inference, from the first one on.
    Outputs(u16),
    /// Server: the next output ciphertext.
    Response,
    /// No message: this output joins the window.
    Gather(Output),
    /// Both: the outputs in the window are prepared, and it is empty then.
    Window,
    /// Server: it has all that it needs of this inference.
    Confirm(u16),
    /// Nothing: all are prepared.
    Done,
}

/// How far the preparing of a batch is. A layer has all its inputs, of all inferences, before its first
/// response, so that the server need not make the layer's plaintext factors for each. With room for a whole
/// inference all inputs of all layers come first, and then, inference by inference, all responses and
/// one window: two turns an inference, and two, however many layers. Else it goes layer by layer.
#[derive(Clone, Copy, Debug)]
pub struct PrepareSteps {
    room: Room,
    layers: usize,
    /// Inferences of the batch.
    count: u16,
    /// The one that is begun, or whose inputs or outputs come.
    inference: u16,
    layer: usize,
    pass: Pass,
    /// Ciphertexts of the layer so far: of its inputs, or of its outputs.
    ciphertexts: usize,
    /// Outputs in the window.
    gathered: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pass {
    Begin,
    /// Enters a layer, for inputs.
    Enter,
    Inputs,
    /// Turns to an inference's outputs.
    Turn,
    /// Enters a layer, for outputs alone.
    Return,
    Outputs,
    End,
}

impl PrepareSteps {
    /// Of so many inferences, before the first of so many layers.
    pub const fn new(room: Room, layers: usize, count: u16) -> Self {
        Self {
            room,
            layers,
            count,
            inference: 0,
            layer: 0,
            pass: Pass::Begin,
            ciphertexts: 0,
            gathered: 0,
        }
    }

    /// Inferences of the batch after this one.
    pub fn following(&self, inference: u16) -> u16 {
        self.count - 1 - inference
    }

    /// The step after the last one that this gave. `facts` are the entered layer's, `output` is its
    /// first output that no step has taken yet since [`Prepare::Outputs`]; none when all are taken.
    pub fn next(&mut self, facts: &LayerFacts, output: Option<Output>) -> Prepare {
        let whole = self.room == Room::Whole;
        loop {
            let last = self.layer + 1 == self.layers;
            match self.pass {
                Pass::Begin => {
                    if let Some(begun) = self.next_inference() {
                        return Prepare::Begin(begun);
                    }
                    self.pass = Pass::Enter;
                }
                Pass::Enter => {
                    (self.pass, self.ciphertexts) = (Pass::Inputs, 0);
                    return Prepare::Enter(self.layer);
                }
                Pass::Inputs if self.inference == self.count => {
                    self.inference = 0;
                    self.pass = match whole {
                        true if !last => {
                            self.layer += 1;
                            Pass::Enter
                        }
                        _ => Pass::Turn,
                    };
                }
                Pass::Inputs if self.ciphertexts == facts.inputs => {
                    self.inference += 1;
                    self.ciphertexts = 0;
                }
                Pass::Inputs => {
                    self.ciphertexts += 1;
                    return Prepare::Input(self.inference, self.ciphertexts - 1);
                }
                Pass::Turn => {
                    if let Some(inference) = self.next_inference() {
                        self.ciphertexts = 0;
                        self.pass = match whole {
                            true => {
                                self.layer = 0;
                                Pass::Return
                            }
                            false => Pass::Outputs,
                        };
                        return Prepare::Outputs(inference);
                    }
                    self.pass = match last {
                        true => Pass::End,
                        false => {
                            self.layer += 1;
                            Pass::Enter
                        }
                    };
                }
                Pass::Return => {
                    (self.pass, self.ciphertexts) = (Pass::Outputs, 0);
                    return Prepare::Enter(self.layer);
                }
                Pass::Outputs => match output {
                    Some(_) if self.gathered == self.room.capacity() => return self.window(),
                    Some(output) if output.ciphertext >= self.ciphertexts => {
                        self.ciphertexts += 1;
                        return Prepare::Response;
                    }
                    Some(output) => {
                        self.gathered += 1;
                        return Prepare::Gather(output);
                    }
                    None if self.gathered > 0 && (last || !whole) => return self.window(),
                    None if last => {
                        self.pass = Pass::Turn;
                        return Prepare::Confirm(self.inference - 1);
                    }
                    None if whole => {
                        self.layer += 1;
                        self.pass = Pass::Return;
                    }
                    None => self.pass = Pass::Turn,
                },
                Pass::End => return Prepare::Done,
            }
        }
    }

    /// The next of the batch's inferences; none after the last, and from then on the first again.
    fn next_inference(&mut self) -> Option<u16> {
        if self.inference == self.count {
            self.inference = 0;
            return None;
        }
        self.inference += 1;
        Some(self.inference - 1)
    }

    fn window(&mut self) -> Prepare {
        self.gathered = 0;
        Prepare::Window
    }
}

/// A step of answering a prepared inference.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Client: this frame of the image, less its pseudo-random shares.
    Image(usize),
    /// As [`Prepare::Enter`].
    Enter(usize),
    /// Both: so many outputs of the layer, the next ones, are answered.
    Window(usize),
    /// Nothing: the client has all logits.
    Done,
}

/// How far the answering of an inference is.
#[derive(Clone, Copy, Debug)]
pub struct AnswerSteps {
    room: Room,
    layers: usize,
    /// Frames of the image.
    frames: usize,
    frame: usize,
    layer: usize,
    entered: bool,
    /// Outputs of the entered layer so far.
    outputs: usize,
}

impl AnswerSteps {
    /// Before the image, which has so many values.
    pub const fn new(room: Room, layers: usize, image: usize) -> Self {
        Self {
            room,
            layers,
            frames: image.div_ceil(PIECE),
            frame: 0,
            layer: 0,
            entered: false,
            outputs: 0,
        }
    }

    /// The step after the last one that this gave. `facts` are the entered layer's.
    pub fn next(&mut self, facts: &LayerFacts) -> Answer {
        if self.frame < self.frames {
            self.frame += 1;
            return Answer::Image(self.frame - 1);
        }
        if self.entered {
            // Its outputs were prepared to the end.
            let left = match facts.activation {
                Activation::Linear => 0,
                Activation::Relu | Activation::Logits => facts.outputs - self.outputs,
            };
            if left > 0 {
                let count = left.min(self.room.capacity());
                self.outputs += count;
                return Answer::Window(count);
            }
            self.layer += 1;
        }
        if self.layer == self.layers {
            self.entered = false;
            return Answer::Done;
        }
        (self.entered, self.outputs) = (true, 0);
        Answer::Enter(self.layer)
    }
}

/// Values of the image in one of its frames; it has `values`.
pub fn image_piece(values: usize, frame: usize) -> core::ops::Range<usize> {
    frame * PIECE..((frame + 1) * PIECE).min(values)
}
