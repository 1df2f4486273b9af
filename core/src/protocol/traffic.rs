//! What a session puts on the line, frame by frame, without running it: for planners and tests.
//! It walks the lists of [`super::steps`], which are those that the parties step through.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::iter::{empty, repeat_n};
use core::num::NonZero;

use serde::Serialize;

use super::activation::{ChunkShape, Phase, WindowTraffic};
use super::base;
use super::frame::{HEADER, Kind, MAX_FRAME};
use super::greeting::{Hello, Welcome, write_control};
use super::linear::slot::GALOIS_KEY_POLYS;
use super::steps::{
    Answer, AnswerSteps, LayerFacts, Prepare, PrepareSteps, Room, Sender, Setup, SetupOf,
    image_piece,
};
use super::ticket::Deposit;
use super::transfer::PIECE;
use crate::arith::bits::packed_len;
use crate::arith::field::T_BITS;
use crate::network::layer::Layer;
use crate::ot::Direction;
use crate::packing::{Output, Packing};
use crate::relu::ReluParams;
use crate::rlwe::{Ring, Ring4096, Ring8192};

/// Takes sender, kind and bytes of a frame, header included.
type Note<'a> = dyn FnMut(Sender, Kind, usize) + 'a;

/// A seed and so many polynomials: a ciphertext, or a key.
fn upload<R: Ring>(polys: usize, note: &mut Note<'_>) {
    note(Sender::Client, Kind::Seed, HEADER + 32);
    for &bits in R::BITS.iter().cycle().take(polys) {
        values(Sender::Client, Kind::Limb, R::N, bits, note);
    }
}

/// A response with so many coefficients of c0.
fn response<R: Ring>(returned: usize, note: &mut Note<'_>) {
    values(Sender::Server, Kind::ResponseC1, R::N, R::C1_BITS, note);
    values(Sender::Server, Kind::ResponseC0, returned, R::C0_BITS, note);
}

/// `count` values of so many bits, in frames of up to [`PIECE`].
fn values(sender: Sender, kind: Kind, mut count: usize, bits: u32, note: &mut Note<'_>) {
    while count > 0 {
        let piece = count.min(PIECE);
        note(sender, kind, HEADER + packed_len(piece, bits));
        count -= piece;
    }
}

/// The description of a layer.
fn description(layer: &Layer, note: &mut Note<'_>) {
    note(Sender::Server, Kind::Layer, control(Kind::Layer, layer));
}

/// Bytes of a control message's frame. None is longer than a frame.
fn control(kind: Kind, message: &impl Serialize) -> usize {
    write_control(&mut [0; MAX_FRAME], kind, message).unwrap_or(MAX_FRAME)
}

/// The frames of a set-up, in order. `names` are the classes', `layers` what the client is told of
/// them; `rotations` counts the automorphisms of a network in slot packing.
pub fn set_up<'a>(
    (hello, welcome): (&Hello, &Welcome),
    names: impl IntoIterator<Item = &'a str>,
    layers: impl IntoIterator<Item = &'a Layer>,
    rotations: Option<usize>,
    mut frame: impl FnMut(Sender, Kind, usize),
) {
    use Sender::{Client, Server};
    let note: &mut Note<'_> = &mut frame;
    let (mut names, mut layers) = (names.into_iter(), layers.into_iter());
    let of = SetupOf {
        labels: hello.labels,
        room: Room::of(hello.window),
        own_keys: rotations.is_some(),
    };
    let mut next = Some(Setup::Hello);
    while let Some(step) = next {
        match step {
            Setup::Hello => note(Client, Kind::Hello, control(Kind::Hello, hello)),
            Setup::Welcome => note(Server, Kind::Welcome, control(Kind::Welcome, welcome)),
            Setup::Labels => {
                (names.by_ref()).for_each(|name| note(Server, Kind::Label, HEADER + name.len()));
            }
            Setup::Layers => layers.by_ref().for_each(|layer| description(layer, note)),
            Setup::Upload(_) => upload::<Ring4096>(Ring4096::LIMBS, note),
            Setup::Response => response::<Ring4096>(Ring4096::N, note),
            Setup::BaseMessages(direction) => {
                let sender = match direction {
                    Direction::Forward => Client,
                    Direction::Reverse => Server,
                };
                for _ in 0..base::frames(direction) {
                    note(
                        sender,
                        Kind::BaseMessages,
                        HEADER + base::frame_bytes(direction),
                    );
                }
            }
            Setup::BaseCorrection => {
                let call = base::call(hello.k_s.into());
                for frame in 0..call.frames() {
                    let bytes = call.frame_bytes(frame);
                    note(Server, Kind::ReverseCorrection, HEADER + bytes);
                }
            }
            Setup::Rotations => {
                let bytes = 2 * rotations.unwrap_or_default();
                note(Server, Kind::Rotations, HEADER + bytes);
            }
            Setup::Keys => {
                upload::<Ring8192>(Ring8192::LIMBS, note);
                for _ in 0..rotations.unwrap_or_default() {
                    upload::<Ring8192>(GALOIS_KEY_POLYS, note);
                }
            }
        }
        next = step.next(of);
    }
}

/// The ciphertexts of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Ciphertexts {
    /// How they are packed.
    pub packing: Packing,
    /// Input ciphertexts.
    pub inputs: usize,
    /// Coefficients of c0 that a response carries.
    pub returned: usize,
}

/// A layer, as far as its traffic depends on it.
#[derive(Clone, Debug)]
pub struct LayerTraffic {
    /// What the client is told.
    pub layer: Layer,
    /// Its ciphertexts.
    pub ciphertexts: Ciphertexts,
    /// Outputs in each of its responses.
    pub outputs: Vec<usize>,
}

impl LayerTraffic {
    fn facts(&self) -> LayerFacts {
        LayerFacts {
            activation: self.layer.activation,
            inputs: self.ciphertexts.inputs,
            outputs: self.outputs.iter().sum(),
        }
    }

    /// Its outputs, in order, as far as steps depend on them.
    fn outputs(&self) -> impl Iterator<Item = Output> + '_ {
        let output = |ciphertext| Output {
            ciphertext,
            coefficient: 0,
            channel: 0,
            position: 0,
        };
        let counts = self.outputs.iter().enumerate();
        counts.flat_map(move |(ciphertext, &count)| repeat_n(output(ciphertext), count))
    }
}

/// The inferences of a session.
#[derive(Clone, Debug)]
pub struct InferenceTraffic {
    windows: WindowTraffic,
    room: Room,
    /// Values of the image.
    image: usize,
    layers: Vec<LayerTraffic>,
}

impl InferenceTraffic {
    /// Those of a network.
    pub fn new(
        (relu, k_s, room): (ReluParams, u32, Room),
        image: usize,
        layers: Vec<LayerTraffic>,
    ) -> Self {
        Self {
            windows: WindowTraffic::new(relu, k_s, room),
            room,
            image,
            layers,
        }
    }

    fn facts(&self, layer: usize) -> LayerFacts {
        let layer = self.layers.get(layer);
        layer.map_or(LayerFacts::NONE, LayerTraffic::facts)
    }

    /// The frames that prepare an inference of the session, or so many tickets together; in order, each
    /// with the index of the layer that it belongs to.
    pub fn prepare(
        &self,
        tickets: Option<NonZero<u16>>,
        mut frame: impl FnMut(usize, Sender, Kind, usize),
    ) {
        if self.layers.is_empty() {
            return;
        }
        let count = tickets.map_or(1, NonZero::get);
        let mut steps = PrepareSteps::new(self.room, self.layers.len(), count);
        let (mut layer, mut next) = (0, None);
        let mut outputs: Box<dyn Iterator<Item = Output> + '_> = Box::new(empty());
        // Chunks of the window.
        let mut chunks = Vec::<ChunkShape>::new();
        loop {
            let facts = self.facts(layer);
            let Some(of) = self.layers.get(layer) else {
                return;
            };
            let note: &mut Note<'_> = &mut |sender, kind, bytes| frame(layer, sender, kind, bytes);
            let slots = of.ciphertexts.packing == Packing::Slot;
            let returned = of.ciphertexts.returned;
            match steps.next(&facts, next) {
                Prepare::Begin(_) if tickets.is_none() => {
                    note(Sender::Client, Kind::Begin, HEADER);
                }
                Prepare::Begin(begun) => {
                    let deposit = Deposit {
                        following: steps.following(begun),
                        owner: [0; 32],
                        lock: [0; 32],
                    };
                    note(Sender::Client, Kind::Begin, control(Kind::Begin, &deposit));
                }
                Prepare::Outputs(_) => {
                    outputs = Box::new(of.outputs());
                    next = outputs.next();
                }
                Prepare::Enter(index) => {
                    if self.room != Room::Whole {
                        description(&self.layers[index].layer, &mut |sender, kind, bytes| {
                            frame(index, sender, kind, bytes);
                        });
                    }
                    layer = index;
                    outputs = Box::new(self.layers[index].outputs());
                    next = outputs.next();
                }
                Prepare::Input(..) if slots => upload::<Ring8192>(Ring8192::LIMBS, note),
                Prepare::Input(..) => upload::<Ring4096>(Ring4096::LIMBS, note),
                Prepare::Response if slots => response::<Ring8192>(returned, note),
                Prepare::Response => response::<Ring4096>(returned, note),
                Prepare::Gather(_) => {
                    let last = chunks.last_mut();
                    match last.filter(|chunk| chunk.takes(layer as u16)) {
                        Some(chunk) => chunk.len += 1,
                        None => chunks.push(ChunkShape {
                            layer: layer as u16,
                            activation: facts.activation,
                            len: 1,
                        }),
                    }
                    next = outputs.next();
                }
                Prepare::Window => {
                    self.windows.window(Phase::Prepare, &chunks, &mut frame);
                    chunks.clear();
                }
                Prepare::Confirm(_) => note(Sender::Server, Kind::Prepared, HEADER),
                Prepare::Done => return,
            }
        }
    }

    /// The frames that answer it. The image's belong to the first layer.
    pub fn answer(&self, mut frame: impl FnMut(usize, Sender, Kind, usize)) {
        let mut steps = AnswerSteps::new(self.room, self.layers.len(), self.image);
        let mut layer = 0;
        loop {
            let facts = self.facts(layer);
            match steps.next(&facts) {
                Answer::Image(piece) => {
                    let count = image_piece(self.image, piece).len();
                    let bytes = HEADER + packed_len(count, T_BITS);
                    frame(0, Sender::Client, Kind::Image, bytes);
                }
                Answer::Enter(index) => {
                    layer = index;
                    if self.room != Room::Whole {
                        description(&self.layers[index].layer, &mut |sender, kind, bytes| {
                            frame(index, sender, kind, bytes);
                        });
                    }
                }
                Answer::Window(count) => {
                    let chunks = ChunkShape::split(layer as u16, facts.activation, count);
                    let chunks: Vec<_> = chunks.collect();
                    self.windows.window(Phase::Answer, &chunks, &mut frame);
                }
                Answer::Done => return,
            }
        }
    }
}
