//! The std side of Stria: model files, the plaintext reference, images, data sets and reports.
//!
//! The protocol itself is in `stria-core`; this crate gives it networks, pictures and a face.
#![forbid(unsafe_code)]

pub mod bench;
pub mod bundle;
pub mod check;
pub mod cost;
pub mod counts;
pub mod data;
pub mod design;
pub mod image;
pub mod import;
pub mod input;
pub mod machine;
pub mod model;
pub mod net;
pub mod networks;
pub mod plan;
pub mod present;
pub mod reference;
pub mod report;

pub use model::{Model, ModelError, ModelLayer};
