//! The packings of activations into plaintexts, and what every part of the protocol that does not
//! depend on them needs to know of a layer's layout.
//! `docs/design.md#segment-packing` and `#baselines`.

#[cfg(feature = "server")]
mod factors;
pub mod geometry;
pub mod segment;
pub mod slot;

use crate::network::LayerError;
use crate::network::layer::Layer;
use crate::rlwe::{ExactRing, Ring};

#[cfg(feature = "server")]
use crate::Error;
#[cfg(feature = "server")]
use crate::rlwe::{Ciphertext, Operations, Randomness};
#[cfg(feature = "server")]
use alloc::{boxed::Box, vec::Vec};

/// How a network's activations are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Packing {
    /// Segments, by `SegmentLayout`: no rotation, a segment or more for each group.
    #[default]
    Segment,
    /// One segment, as in Cheetah: every layer is dense to the client, and returns one sparse
    /// ciphertext for each output channel of each tile. Same parameters and client as `Segment`.
    Coefficient,
    /// SIMD slots with rotations, as in GAZELLE and CrypTFlow2: `slot`.
    Slot,
}

impl Packing {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Segment, Self::Coefficient, Self::Slot];

    /// Its name, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Coefficient => "coefficient",
            Self::Slot => "slot",
        }
    }
}

/// One output value: where it stands, and which it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Output {
    /// Output ciphertext.
    pub ciphertext: usize,
    /// Coefficient of its decoded polynomial.
    pub coefficient: usize,
    /// Output channel.
    pub channel: u16,
    /// Pixel of the output map, row by row.
    pub position: u32,
}

impl Output {
    /// Its place in a tensor, `[channels, rows, cols]`, whose maps have `area` pixels.
    pub fn index(&self, area: usize) -> usize {
        usize::from(self.channel) * area + self.position as usize
    }
}

/// A layer's layout in any packing: how its values become plaintext polynomials.
pub trait Layout: Places + Copy + Send + Sync + 'static {
    /// The parameter set of its ciphertexts.
    type Ring: ExactRing;

    /// Checks a layer's description and lays it out.
    fn new(layer: &Layer) -> Result<Self, LayerError>;

    /// Depth of the partial transform modulo t between values and the polynomial that carries them.
    fn depth(&self) -> usize;

    /// Fills the values of input ciphertext `input`, residues mod t, to be encoded. `value` gives
    /// the residue at (channel, row, column) of the layer's input.
    fn pack(
        &self,
        input: usize,
        out: &mut <Self::Ring as Ring>::Poly,
        value: impl FnMut(usize, usize, usize) -> u32,
    );

    /// Coefficients of a response's c0 that are sent.
    fn returned(&self) -> usize;

    /// The i-th of them.
    fn returned_coefficient(&self, i: usize) -> usize;

    /// The mask of a response.
    #[cfg(feature = "server")]
    fn mask(&self, random: &Randomness<Self::Ring>) -> Mask<Self::Ring>;

    /// Values to the plaintext polynomial, in place.
    fn encode(&self, values: &mut <Self::Ring as Ring>::Poly) {
        Self::Ring::T_NTT.inverse(values, self.depth());
    }

    /// The plaintext polynomial to its values, in place.
    fn decode(&self, polynomial: &mut <Self::Ring as Ring>::Poly) {
        Self::Ring::T_NTT.forward(polynomial, self.depth());
    }
}

/// A uniform mask of a response.
#[cfg(feature = "server")]
pub struct Mask<R: Ring> {
    /// What is added to the message: residues mod t, coefficient domain.
    pub message: Box<R::Poly>,
    /// The values that this encodes.
    pub values: Box<R::Poly>,
}

#[cfg(feature = "server")]
impl<R: Ring> Drop for Mask<R> {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.message.zeroize();
        self.values.zeroize();
    }
}

/// A layer's weights as plaintext factors, in any packing.
#[cfg(feature = "server")]
pub trait Weights: Send + Sync + 'static {
    /// Their layout.
    type Layout: Layout;
    /// The keys, besides the public one, that the client must have sent.
    type Keys: Sync;

    /// The layout.
    fn layout(&self) -> &Self::Layout;

    /// Makes the factors that are to be kept and are not there yet.
    fn prepare(&self);

    /// Sums for all output ciphertexts of one inference after the other, in order: `finish` takes each
    /// with its number there. `inputs` are those of all inferences, in the same order.
    fn apply<T: Send>(
        &self,
        inputs: &[Ciphertext<RingOf<Self>>],
        keys: &Self::Keys,
        operations: &mut Operations,
        finish: impl Fn(usize, Ciphertext<RingOf<Self>>) -> T + Sync,
    ) -> Result<Vec<T>, Error>;
}

/// The ring of a layer's weights.
#[cfg(feature = "server")]
pub type RingOf<W> = <<W as Weights>::Layout as Layout>::Ring;

/// What is public of a layout, without its ring.
pub trait Places {
    /// Side of the output map in pixels.
    fn out_side(&self) -> usize;
    /// Input ciphertexts.
    fn inputs(&self) -> usize;
    /// Output ciphertexts.
    fn outputs(&self) -> usize;
    /// Places of an output ciphertext that may hold an output.
    fn places(&self) -> usize;
    /// The output at a place, if there is one.
    fn output(&self, ciphertext: usize, place: usize) -> Option<Output>;
}

/// Walks over the outputs of a layer in the order in which both parties process them: by
/// ciphertext and place.
#[derive(Clone, Copy, Debug)]
pub struct OutputCursor {
    ciphertext: usize,
    place: usize,
}

impl OutputCursor {
    /// At the first output.
    pub const fn start() -> Self {
        Self {
            ciphertext: 0,
            place: 0,
        }
    }

    /// The next output, if any is left.
    pub fn next(&mut self, layout: &(impl Places + ?Sized)) -> Option<Output> {
        while self.ciphertext < layout.outputs() {
            while self.place < layout.places() {
                self.place += 1;
                let output = layout.output(self.ciphertext, self.place - 1);
                if output.is_some() {
                    return output;
                }
            }
            self.ciphertext += 1;
            self.place = 0;
        }
        None
    }
}
