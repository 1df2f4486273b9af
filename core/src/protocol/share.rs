//! Additive shares modulo t: the client's as a pseudo-random function, and the step from the
//! field to a ring. `docs/design.md#pseudo-random-shares` and `#field-to-ring`.

use crate::arith::field::{ACC_BITS, T_MOD};
use crate::network::layer::TensorId;
use crate::random::{self, Seed, Stream};
use zeroize::Zeroize;

/// Values in one ChaCha block, 96 bits each.
const PER_BLOCK: u32 = 5;

/// The client's shares of one inference: PRF(seed, tensor, channel, position), residues mod t.
pub struct SharePrf {
    key: [[u32; 4]; 2],
    at: Option<(TensorId, u16, u32)>,
    block: [u32; random::BLOCK_WORDS],
}

impl SharePrf {
    /// The shares of an inference's seed.
    pub fn new(seed: &Seed) -> Self {
        let mut stream = Stream::new(seed, [0; 3]);
        Self {
            key: [(); 2].map(|()| core::array::from_fn(|_| stream.next_u32())),
            at: None,
            block: [0; random::BLOCK_WORDS],
        }
    }

    /// Of no inference.
    pub(crate) const fn empty() -> Self {
        Self {
            key: [[0; 4]; 2],
            at: None,
            block: [0; random::BLOCK_WORDS],
        }
    }

    /// The share of one value; `position` counts the map's pixels row by row. Neighbouring
    /// positions come from one block, so reading in order is cheap.
    pub fn value(&mut self, tensor: TensorId, channel: u16, position: u32) -> u32 {
        let counter = position / PER_BLOCK;
        let at = Some((tensor, channel, counter));
        if self.at != at {
            let nonce = [u32::from(tensor), u32::from(channel), 0];
            self.block = random::block(self.key.each_ref(), nonce, counter);
            self.at = at;
        }
        let i = (position % PER_BLOCK * 3) as usize;
        T_MOD.reduce_96([self.block[i], self.block[i + 1], self.block[i + 2]])
    }
}

impl Zeroize for SharePrf {
    fn zeroize(&mut self) {
        self.key.zeroize();
        self.block.zeroize();
        self.at = None;
    }
}

impl Drop for SharePrf {
    fn drop(&mut self) {
        self.zeroize();
    }
}

/// A share mod t of y becomes a share mod 2^(20-shift) of floor(y / 2^shift), within one unit.
pub fn to_ring(share: u32, shift: u32) -> u16 {
    ((share & ((1 << ACC_BITS) - 1)) >> shift) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn truncation_is_within_one_unit(y in -(1i32 << 19)..1 << 19, share in 0..crate::arith::field::T, shift in 8u32..=12) {
            let k = ACC_BITS - shift;
            // One party centres the error by half a unit.
            let other = T_MOD.sub(T_MOD.residue(y + (1 << (shift - 1))), share);
            let sum = u32::from(to_ring(share, shift)) + u32::from(to_ring(other, shift));
            let expected = (y >> shift) as u32;
            let error = sum.wrapping_sub(expected).wrapping_add(1) & ((1 << k) - 1);
            prop_assert!(error <= 2, "error {}", error as i32 - 1);
        }
    }

    #[test]
    fn shares_differ_by_every_part_of_the_address() {
        let mut prf = SharePrf::new(&Seed([3; 32]));
        let base = prf.value(1, 2, 3);
        for (tensor, channel, position) in [(2, 2, 3), (1, 3, 3), (1, 2, 4), (1, 2, 8)] {
            assert_ne!(base, prf.value(tensor, channel, position));
        }
        assert_ne!(base, SharePrf::new(&Seed([4; 32])).value(1, 2, 3));
        assert_eq!(base, prf.value(1, 2, 3));
    }
}
