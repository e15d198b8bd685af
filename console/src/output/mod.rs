//! What goes to the terminal: data to stdout, everything else to stderr.

mod cell;
mod format;
pub mod stderr;
pub mod stdout;
mod table;

pub use format::Format;
pub use table::TableWriter;
