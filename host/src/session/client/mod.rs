//! The client's side of a session over a line, with the small or the large window.

mod any;
mod classification;
mod mark;
mod options;
mod session;

pub use options::{ClientOptions, LargeClient, LargeSlotClient, Window};
pub use session::Session;
