//! Whole nodes in simulated time.

mod conforms;
mod crash_stories;
mod hint_stories;
mod job_stories;
mod seeds;
mod stories;
