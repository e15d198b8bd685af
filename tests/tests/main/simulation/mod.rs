//! Whole nodes in simulated time.

mod chronos_stories;
mod conforms;
mod crash_stories;
mod hint_stories;
mod job_stories;
mod seeds;
mod stories;
