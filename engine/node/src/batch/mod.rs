//! Runs one batch, from the claimed job to its final state.

mod chunk_size;
mod close;
mod command_gate;
mod ends;
mod generate;
pub mod heir;
mod id_source;
mod known_ids;
mod owned;
mod process;
mod progress;
mod runner;
mod source_trial;
#[cfg(test)]
mod tests;

pub use command_gate::{CommandGate, pass_command_gate};
pub use known_ids::KnownIds;
pub use owned::{Owned, OwnerError};
pub use process::BatchProcess;
use runner::Runner;
