//! The client's side of a session over a line, with the small or the large window.

mod any;
mod classification;
mod connection;
mod mark;
mod options;
mod progress;
mod tickets;

pub use connection::Connection;
pub use options::{ClientOptions, Window};
pub use progress::{Progress, Step, Watch};
pub use tickets::{HeldTicket, SavedTicket, TicketAbout, TicketFolder};
