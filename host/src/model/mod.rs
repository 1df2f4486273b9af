//! Networks: the model file, what is checked of it, what it computes in plaintext, and networks that
//! are built in. `core/docs/design.md#integer-model`; docs/model-file.md describes the file.
//!
//! [`schema`] is the architecture as the file states it; `compile` turns it into layers that can be
//! run, with `packing` for their layouts and `proof` for their ranges; `tensors` holds the integers.

mod bound;
mod checked;
mod compile;
mod error;
mod file;
pub mod logits;
pub mod networks;
pub mod packing;
mod proof;
pub mod reference;
pub mod schema;
mod tensors;
#[cfg(test)]
mod tests;

pub use bound::{Bound, Evidence, Range};
pub use checked::{Integers, Model, ModelLayer, Shape, kernel_name};
pub use error::ModelError;
pub use file::{shapes, to_bytes};
pub use proof::{COMPARE_BITS, allowed};
pub use schema::Input;
