//! The report of a benchmark: one page of HTML that needs neither a network nor a script.

mod axis;
mod draw;
mod page;
mod plots;
mod tables;

pub use draw::PlotError;
pub use page::html;
