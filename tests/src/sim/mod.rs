//! Simulation: whole nodes on a store in memory, in simulated time, from one seed.
//!
//! A seed draws three nodes, some batches, how calls fail, and what is done to nodes and store. Everything
//! runs on one thread with tokio's paused time, so the same seed always takes the same way. Every write is
//! checked as it takes effect, everything else once all is quiet.

mod check;
mod cluster;
mod control;
pub mod jobs;
mod panics;
mod scenario;
mod script;
pub mod seed;
pub mod store;
mod trace;

pub use check::{extra_effects, what_hangs};
pub use cluster::{Cluster, Process, Submitted};
pub use control::{BASE, Control, SimClock};
pub use scenario::{Event, Planned, Scenario};
pub use script::{Effect, Effects, Script, Scripts};
pub use seed::{Report, in_simulated_time, run};
pub use trace::Trace;
