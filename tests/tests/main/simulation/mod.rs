//! Whole nodes in simulated time.

mod conforms;
mod job_stories;
mod seeds;
mod stories;
