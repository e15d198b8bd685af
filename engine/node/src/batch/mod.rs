//! The way of one batch, from the claimed job to the end state.

mod chunk_size;
mod close;
mod generate;
mod id_source;
mod known_ids;
mod owned;
mod progress;
mod runner;

pub use known_ids::KnownIds;
pub use owned::{Owned, OwnerError};
pub use runner::Runner;
