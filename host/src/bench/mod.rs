//! `stria bench`: secure inferences of networks in several packings over shaped links, client and
//! server as two processes; and the times of single operations. `core/docs/design.md#baselines`.

pub mod calibrate;
mod merge;
mod operations;
mod process;
mod run;

pub use merge::merge;
pub use run::{Runner, Subject};
