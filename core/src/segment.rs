//! Segment packing: between the values of segments and the plaintext polynomial that carries them.
//! DESIGN section 4; the positions come from [`crate::layer::Layout`].

use crate::layer::Layout;
use crate::ntt::{Poly, T_NTT};

/// Segments of depth d (residues mod t) to the plaintext polynomial, in place.
pub fn encode(values: &mut Poly, depth: usize) {
    T_NTT.inverse(values, depth);
}

/// The plaintext polynomial to its segments of depth d (residues mod t), in place.
pub fn decode(polynomial: &mut Poly, depth: usize) {
    T_NTT.forward(polynomial, depth);
}

/// Fills the segments of input ciphertext `ciphertext` and encodes them. `value` gives the
/// residue mod t at (channel, row, column) of the layer's input, in the order of channels.
pub fn pack_input(
    layout: &Layout,
    ciphertext: usize,
    out: &mut Poly,
    mut value: impl FnMut(usize, usize, usize) -> u32,
) {
    out.fill(0);
    let repeat = layout.segments / layout.groups();
    for group in 0..layout.groups() {
        let first = group * repeat * layout.segment_len;
        for block in 0..layout.blocks {
            let Some(v) = layout.virtual_channel(ciphertext, block) else {
                continue;
            };
            let channel = layout.source_channel(group, v);
            for p in layout.placements(ciphertext, v) {
                out[first + block * layout.block_len + p.offset] = value(channel, p.row, p.col);
            }
        }
        for r in 1..repeat {
            out.copy_within(
                first..first + layout.segment_len,
                first + r * layout.segment_len,
            );
        }
    }
    encode(out, layout.depth);
}

/// Coefficient number `i` of those that are returned, segment after segment.
pub fn useful_coefficient(layout: &Layout, i: usize) -> usize {
    i / layout.pixels() * layout.segment_len + layout.output_offset(i % layout.pixels())
}

/// Walks over the outputs of a layer in the order in which both parties process them: by
/// ciphertext, segment, pixel.
#[derive(Clone, Copy, Debug)]
pub struct OutputCursor {
    ciphertext: usize,
    useful: usize,
}

/// One output value: where it stands, and which it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Output {
    /// Output ciphertext.
    pub ciphertext: usize,
    /// Coefficient of the decoded polynomial.
    pub coefficient: usize,
    /// Output channel.
    pub channel: u16,
    /// Pixel of the output map, row by row.
    pub position: u32,
}

impl OutputCursor {
    /// At the first output.
    pub fn start() -> Self {
        Self {
            ciphertext: 0,
            useful: 0,
        }
    }

    /// The next output, if any is left.
    pub fn next(&mut self, layout: &Layout) -> Option<Output> {
        while self.ciphertext < layout.outputs() {
            if self.useful == layout.useful() {
                self.ciphertext += 1;
                self.useful = 0;
                continue;
            }
            let segment = self.useful / layout.pixels();
            let pixel = self.useful % layout.pixels();
            let Some(channel) = layout.output_channel(self.ciphertext, segment) else {
                self.useful += layout.pixels();
                continue;
            };
            self.useful += 1;
            if let Some((row, col)) = layout.output_pixel(self.ciphertext, pixel) {
                return Some(Output {
                    ciphertext: self.ciphertext,
                    coefficient: segment * layout.segment_len + layout.output_offset(pixel),
                    channel: channel as u16,
                    position: (row * layout.out_side + col) as u32,
                });
            }
        }
        None
    }
}
