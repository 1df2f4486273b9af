//! The client's side of a session over a line, with the small or the large window.

mod any;
mod classification;
mod connection;
mod mark;
mod options;

pub use connection::Connection;
pub use options::{ClientOptions, LargeClient, LargeSlotClient, Window};
