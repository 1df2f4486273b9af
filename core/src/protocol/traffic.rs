//! What a session puts on the line, frame by frame, without running it: for planners and tests.
//! It walks the lists of [`super::steps`], which are those that the parties step through.

use core::iter::repeat_n;

use serde::Serialize;

use super::activation::{CHUNK, WindowTraffic};
use super::base;
use super::frame::{HEADER, Kind, MAX_FRAME};
use super::greeting::{Hello, Welcome, write_control};
use super::linear::slot::GALOIS_KEY_POLYS;
use super::steps::{LayerFacts, LayerStep, LayerSteps, Sender, Setup, frame_values};
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

/// Bytes of a control message's frame. None is longer than a frame.
fn control(kind: Kind, message: &impl Serialize) -> usize {
    write_control(&mut [0; MAX_FRAME], kind, message).unwrap_or(MAX_FRAME)
}

/// The frames of a set-up, in order. `names` are the classes'; `rotations` counts the automorphisms
/// of a network in slot packing.
pub fn set_up<'a>(
    (hello, welcome): (&Hello, &Welcome),
    names: impl IntoIterator<Item = &'a str>,
    rotations: Option<usize>,
    mut frame: impl FnMut(Sender, Kind, usize),
) {
    use Sender::{Client, Server};
    let note: &mut Note<'_> = &mut frame;
    let mut names = names.into_iter();
    let mut next = Some(Setup::Hello);
    while let Some(step) = next {
        match step {
            Setup::Hello => note(Client, Kind::Hello, control(Kind::Hello, hello)),
            Setup::Welcome => note(Server, Kind::Welcome, control(Kind::Welcome, welcome)),
            Setup::Labels => {
                (names.by_ref()).for_each(|name| note(Server, Kind::Label, HEADER + name.len()));
            }
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
        next = step.next(hello.labels, rotations.is_some());
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

/// The layers of a session.
#[derive(Clone, Debug)]
pub struct LayerTraffic {
    windows: WindowTraffic,
    /// Activations of a full window.
    capacity: usize,
}

impl LayerTraffic {
    /// A session before its first layer; `chunks` is the client's window.
    pub fn new(relu: ReluParams, k_s: u32, chunks: usize) -> Self {
        Self {
            windows: WindowTraffic::new(relu, k_s),
            capacity: chunks * CHUNK,
        }
    }

    /// The frames of the next layer, in order, from its description on. `layer` is what the client
    /// is told; `outputs` counts the outputs in each of its responses.
    pub fn layer(
        &mut self,
        layer: &Layer,
        ciphertexts: Ciphertexts,
        outputs: impl Iterator<Item = usize> + Clone,
        mut frame: impl FnMut(Sender, Kind, usize),
    ) {
        let slots = ciphertexts.packing == Packing::Slot;
        let facts = LayerFacts {
            activation: layer.activation,
            inputs: ciphertexts.inputs,
            capacity: self.capacity,
        };
        let note: &mut Note<'_> = &mut frame;
        note(Sender::Server, Kind::Layer, control(Kind::Layer, layer));
        let output = |ciphertext| Output {
            ciphertext,
            coefficient: 0,
            channel: 0,
            position: 0,
        };
        let outputs = outputs.enumerate();
        let mut outputs = outputs.flat_map(|(o, count)| repeat_n(output(o), count));
        let (mut steps, mut next, mut gathered) = (LayerSteps::default(), outputs.next(), 0);
        loop {
            let step = steps.next(&facts, next);
            match step {
                LayerStep::Input(_) if slots => upload::<Ring8192>(Ring8192::LIMBS, note),
                LayerStep::Input(_) => upload::<Ring4096>(Ring4096::LIMBS, note),
                LayerStep::Response if slots => response::<Ring8192>(ciphertexts.returned, note),
                LayerStep::Response => response::<Ring4096>(ciphertexts.returned, note),
                LayerStep::Gather(_) => {
                    gathered += 1;
                    next = outputs.next();
                }
                LayerStep::Window => {
                    self.windows.window(gathered, &mut *note);
                    gathered = 0;
                }
                LayerStep::Reshares | LayerStep::Logits => {
                    let (sender, kind) = match step {
                        LayerStep::Logits => (Sender::Server, Kind::Logits),
                        _ => (Sender::Client, Kind::Reshare),
                    };
                    let count = frame_values(next.into_iter().chain(outputs.clone()));
                    values(sender, kind, count, T_BITS, note);
                    next = outputs.nth(count - 1);
                }
                LayerStep::Done => break,
            }
        }
    }
}
