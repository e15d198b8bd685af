//! Whole nodes in simulated time.

mod conforms;
mod seeds;
mod stories;
