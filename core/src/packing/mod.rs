//! The packings of activations into plaintexts, and what every part of the protocol that does not
//! depend on them needs to know of a layer's layout.
//! DESIGN sections 4 and 9.

pub mod segment;
pub mod slot;

/// How a network's activations are packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Packing {
    /// Segments, by [`crate::network::layer::Layout`]: no rotation, a segment or more for each group.
    #[default]
    Segment,
    /// One segment, as in Cheetah: every layer is dense to the client, and returns one sparse
    /// ciphertext for each output channel of each tile. Same parameters and client as `Segment`.
    Coefficient,
    /// SIMD slots with rotations, as in GAZELLE and CrypTFlow2: [`crate::packing::slot`].
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
    /// Coefficient of its decoded polynomial: a segment's, or a slot.
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

/// A layer's layout in any packing.
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
