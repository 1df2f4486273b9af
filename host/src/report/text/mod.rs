//! Reports for people, on a terminal.

mod bench;
mod demo;
mod eval;
mod import;
mod inspect;
mod picture;
mod plan;
mod table;
mod tickets;

pub use bench::bench;
pub use demo::{demo, infer};
pub use eval::eval;
pub use import::import;
pub use inspect::inspect;
pub use picture::{Colours, Seen, picture};
pub use plan::{constants, design, plan};
pub use tickets::{prepare, tickets};
