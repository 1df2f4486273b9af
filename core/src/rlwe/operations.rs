//! What linear layers cost, in operations on ciphertexts.
//! `docs/design.md#rotations` has the formulas; [`crate::packing::slot::SlotLayout::operations`]
//! predicts them.

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
pub struct Operations {
    /// Products with a plaintext.
    pub products: usize,
    /// Plaintext factors that were made for them, because they were not there yet or are not kept.
    pub factors: usize,
    /// Rotations for taps.
    pub internal_rotations: usize,
    /// Rotations for channels.
    pub external_rotations: usize,
    /// Sums of digits times a key, with their division by p: one a rotation.
    pub key_switches: usize,
    /// Decompositions into digits: fewer than key switches where those are hoisted.
    pub decompositions: usize,
}

impl Operations {
    /// Rotations of either kind.
    pub fn rotations(&self) -> usize {
        self.internal_rotations + self.external_rotations
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.products += other.products;
        self.factors += other.factors;
        self.internal_rotations += other.internal_rotations;
        self.external_rotations += other.external_rotations;
        self.key_switches += other.key_switches;
        self.decompositions += other.decompositions;
    }
    /// Adds the counts of parallel jobs, and gives their results.
    #[cfg(feature = "server")]
    pub(crate) fn collect<T>(
        &mut self,
        results: impl IntoIterator<Item = (T, Self)>,
    ) -> alloc::vec::Vec<T> {
        let results = results.into_iter().map(|(result, done)| {
            self.add(&done);
            result
        });
        results.collect()
    }
}
