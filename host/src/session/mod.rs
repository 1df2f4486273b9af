//! Sessions of the protocol: the client's side, the server's, and both in one process.

mod budget;
pub mod check;
pub mod client;
mod durable;
pub mod entropy;
mod error;
pub mod local;
mod margins;
pub mod server;

pub use error::SessionError;
pub use margins::LogitPair;
