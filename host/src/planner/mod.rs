//! What an inference costs, counted without running it: operations, bytes and rounds of every
//! layer in each of the three packings, and the time that they take on a machine and a link.
//! `core/docs/design.md#segment-packing` and `#baselines`; `core/docs/protocol.md` has the frames.

mod choose;
mod coefficient;
mod count;
pub mod design;
mod linear;
mod meter;
mod plan;
mod seconds;
mod segment;
mod setting;
mod slot;
#[cfg(test)]
mod tests;

pub use count::count;
pub use linear::Linear;
pub use meter::{ClientTraffic, Exchange};
pub use plan::{NamedLayer, Plan, UnfitLayer, formed};
pub use setting::{Setting, Unfit};
