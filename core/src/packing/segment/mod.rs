//! Segment packing: small convolutions side by side in one ciphertext, without any rotation. With one
//! segment it is coefficient packing, as in Cheetah.
//! `docs/design.md#segment-packing`.

mod layout;
#[cfg(feature = "server")]
mod weights;

pub use layout::{Placement, SegmentLayout};
#[cfg(feature = "server")]
pub use weights::{SegmentWeights, weight_polynomial};
