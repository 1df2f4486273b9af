//! Pictures and data sets: from files to what a network sees.

pub mod bundle;
mod cifar;
mod dataset;
mod error;
pub mod picture;

pub use dataset::Dataset;
pub use error::DataError;
