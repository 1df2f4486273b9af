//! What linear layers cost, in operations on ciphertexts.
//! DESIGN section 9 has the formulas; [`crate::packing::slot::layout::SlotLayout::work`] predicts them.

/// What a rotation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation {
    /// It shifts a ciphertext for a kernel's tap.
    Internal,
    /// It aligns channels that share a ciphertext.
    External,
}

/// Operations on ciphertexts, counted where they are done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Work {
    /// Products with a plaintext.
    pub products: usize,
    /// Rotations for taps.
    pub internal_rotations: usize,
    /// Rotations for channels.
    pub external_rotations: usize,
    /// Sums of digits times a key, with their division by p: one a rotation.
    pub key_switches: usize,
    /// Decompositions into digits: fewer than key switches where those are hoisted.
    pub decompositions: usize,
}

impl Work {
    /// Rotations of either kind.
    pub fn rotations(&self) -> usize {
        self.internal_rotations + self.external_rotations
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.products += other.products;
        self.internal_rotations += other.internal_rotations;
        self.external_rotations += other.external_rotations;
        self.key_switches += other.key_switches;
        self.decompositions += other.decompositions;
    }
}
