//! What a session may do, and what it did.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::Error;
use crate::rlwe::Operations;

/// Inferences that may still be started; its clones share one count.
#[derive(Clone, Debug)]
pub struct Budget(Arc<AtomicU32>);

impl Budget {
    /// A budget of so many inferences.
    pub fn new(queries: u32) -> Self {
        Self(Arc::new(AtomicU32::new(queries)))
    }

    /// Inferences left.
    pub fn left(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes so many, or none if there are fewer.
    pub(super) fn charge(&self, queries: u16) -> Result<(), Error> {
        let charged = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(queries.into())
            });
        match charged {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::BudgetSpent),
        }
    }
}

/// Work of a session, counted where it is done.
#[derive(Clone, Default, Debug)]
pub struct Counters {
    /// Bytes of key material and ciphertexts received.
    pub upload_bytes: usize,
    /// Of these, bytes of public keys.
    pub public_key_bytes: usize,
    /// Of these, bytes of ciphertexts: of base transfers and of layers.
    pub ciphertext_bytes: usize,
    /// Inferences that were prepared or begun to be.
    pub queries: u32,
    /// Inferences answered to the end.
    pub answered: u32,
    /// By layer, summed over inferences.
    pub layers: Vec<LayerCounters>,
}

/// Work on one layer.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LayerCounters {
    /// Products and rotations of ciphertexts.
    pub operations: Operations,
    /// Ciphertexts received.
    pub inputs: usize,
    /// Ciphertexts sent.
    pub outputs: usize,
    /// ReLUs done.
    pub activations: usize,
}

impl Counters {
    /// Work on all layers.
    pub fn operations(&self) -> Operations {
        let mut sum = Operations::default();
        self.layers
            .iter()
            .for_each(|layer| sum.add(&layer.operations));
        sum
    }

    /// Rotations of ciphertexts in all layers.
    pub fn rotations(&self) -> usize {
        self.operations().rotations()
    }

    /// Bytes received that were neither a public key nor a ciphertext: Galois keys, in slot packing.
    /// While an upload is under way its bytes count here too.
    pub fn galois_key_bytes(&self) -> usize {
        self.upload_bytes - self.public_key_bytes - self.ciphertext_bytes
    }
}
