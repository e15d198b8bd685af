//! Handles entities: finds open chunks of running batches, claims them, runs the command for each id, and records the
//! results in fenced flushes.

mod active;
mod choose;
mod chunk_run;
mod dispatcher;
mod entity;
mod interrupt;
mod isolation;
mod known_batch;
mod offers;
mod recorder;
mod slots;
mod stats;
mod store_wait;
#[cfg(test)]
mod tests;

pub use dispatcher::Dispatcher;
pub use offers::{Alone, Announcement, Offer, Offers};
pub use stats::{BatchStats, keep_slowest, merge_histograms, percentiles_us};
