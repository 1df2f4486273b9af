//! The server's side: a model is prepared, and served to any number of clients.

mod ended;
mod network;
mod run;
mod serve;
mod tickets;

pub use ended::Ended;
pub use network::{WEIGHT_MEMORY, about, layers, network, network_within};
pub use run::run;
pub(super) use run::tell;
pub use serve::{Observer, Served, ServerOptions, serve};
pub use tickets::{FolderTickets, MemoryTickets, TicketLimits};
