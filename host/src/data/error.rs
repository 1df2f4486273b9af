//! Why a data set cannot be used.

use std::path::PathBuf;

use super::cifar::RECORD;

/// A data set that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Neither CIFAR-10 files nor class folders.
    #[error("{} holds neither test_batch.bin, data_batch_*.bin nor folders named like the classes", path.display())]
    Unknown {
        /// The folder.
        path: PathBuf,
    },
    /// A CIFAR-10 file that is not a whole number of records.
    #[error("{} has {bytes} bytes, not a multiple of {RECORD}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// A label that the model has no class for.
    #[error("{}: record {record} has label {label}, the model has {classes} classes", path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// Index of the record.
        record: usize,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A class folder that the model has no class for.
    #[error("the folder {} is not one of the model's classes", path.display())]
    UnknownClass {
        /// The folder.
        path: PathBuf,
    },
    /// A data set without images.
    #[error("{} holds no images", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}
