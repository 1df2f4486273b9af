//! Segment packing: between the values of segments and the plaintext polynomial that carries them.
//! DESIGN section 4; the positions come from [`crate::network::layer::Layout`].

use crate::arith::transform::{Poly, T_NTT};
use crate::network::layer::Layout;
use crate::packing::{Output, Places};

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
    let repeat = layout.repeat();
    for (i, group) in layout.groups_of(ciphertext).enumerate() {
        let first = i * repeat * layout.segment_len;
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

impl Places for Layout {
    fn out_side(&self) -> usize {
        self.out_side
    }
    fn inputs(&self) -> usize {
        self.inputs()
    }
    fn outputs(&self) -> usize {
        self.outputs()
    }
    fn places(&self) -> usize {
        self.useful()
    }
    fn output(&self, ciphertext: usize, place: usize) -> Option<Output> {
        let (segment, pixel) = (place / self.pixels(), place % self.pixels());
        let channel = self.output_channel(ciphertext, segment)?;
        let (row, col) = self.output_pixel(ciphertext, pixel)?;
        Some(Output {
            ciphertext,
            coefficient: segment * self.segment_len + self.output_offset(pixel),
            channel: channel as u16,
            position: (row * self.out_side + col) as u32,
        })
    }
}
