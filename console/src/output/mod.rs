//! What goes to the terminal: data to stdout, everything else to stderr.

mod cell;
mod format;
pub mod out;
mod table;
pub mod tell;

pub use format::Format;
pub use table::TableWriter;
