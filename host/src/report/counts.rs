//! What is counted for a layer and summed over a network: by the planner, a server, or a run.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use stria_core::protocol::server::LayerCounters;

/// Ciphertexts and what is done with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Operations {
    /// Ciphertexts to the server.
    pub ciphertexts_up: u64,
    /// Ciphertexts from the server.
    pub ciphertexts_down: u64,
    /// Products of a ciphertext with a plaintext.
    pub products: u64,
    /// Rotations that shift a ciphertext for a kernel's tap.
    pub internal_rotations: u64,
    /// Rotations that bring channels of a ciphertext together.
    pub external_rotations: u64,
    /// Key switches: one a rotation.
    pub key_switches: u64,
    /// ReLU evaluations.
    pub activations: u64,
}

impl Operations {
    /// Rotations of both kinds.
    pub fn rotations(&self) -> u64 {
        self.internal_rotations + self.external_rotations
    }

    /// Those of one of so many inferences of the same network.
    pub fn of_each(self, inferences: u64) -> Self {
        self.with(self, |count, _| count / inferences.max(1))
    }

    /// Every count combined with the other's.
    fn with(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            ciphertexts_up: of(self.ciphertexts_up, other.ciphertexts_up),
            ciphertexts_down: of(self.ciphertexts_down, other.ciphertexts_down),
            products: of(self.products, other.products),
            internal_rotations: of(self.internal_rotations, other.internal_rotations),
            external_rotations: of(self.external_rotations, other.external_rotations),
            key_switches: of(self.key_switches, other.key_switches),
            activations: of(self.activations, other.activations),
        }
    }
}

impl From<&LayerCounters> for Operations {
    fn from(counted: &LayerCounters) -> Self {
        Self {
            ciphertexts_up: counted.inputs as u64,
            ciphertexts_down: counted.outputs as u64,
            products: counted.operations.products as u64,
            internal_rotations: counted.operations.internal_rotations as u64,
            external_rotations: counted.operations.external_rotations as u64,
            key_switches: counted.operations.key_switches as u64,
            activations: counted.activations as u64,
        }
    }
}

impl AddAssign<&Self> for Operations {
    fn add_assign(&mut self, other: &Self) {
        *self = self.with(*other, |a, b| a + b);
    }
}

/// Operations, and the bytes that both parties exchange for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Ciphertexts and what is done with them.
    #[serde(flatten)]
    pub operations: Operations,
    /// Bytes to the server, frame headers included.
    pub bytes_up: u64,
    /// Bytes from the server, frame headers included.
    pub bytes_down: u64,
    /// Of both, bytes of ciphertexts: of linear parts.
    pub ciphertext_bytes: u64,
}

impl Counts {
    /// Bytes both ways.
    pub fn bytes(&self) -> u64 {
        self.bytes_up + self.bytes_down
    }
}

impl AddAssign<&Self> for Counts {
    fn add_assign(&mut self, other: &Self) {
        self.operations += &other.operations;
        self.bytes_up += other.bytes_up;
        self.bytes_down += other.bytes_down;
        self.ciphertext_bytes += other.ciphertext_bytes;
    }
}
