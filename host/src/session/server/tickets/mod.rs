//! Where a server keeps tickets: in memory, or in a folder where they outlast it.
//! `core/docs/design.md#tickets`.

mod folder;
mod index;
mod memory;

pub use folder::FolderTickets;
pub use index::TicketLimits;
pub use memory::MemoryTickets;
