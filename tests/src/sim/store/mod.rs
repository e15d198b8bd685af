//! A store in memory with the faults of a real one.
//!
//! Each partition is linearizable. A verb is the ordered list of hints and compare-and-sets that
//! [`weft_store::operation`] describes, each sent to one partition; a caller can die between any two
//! of them, and what it had under way may still arrive. The fault plan says what else happens: the three
//! kinds of Unknown, refusals, stale reads, SERIAL reads that fail, latency, outages.

mod bug;
mod calls;
mod checkpoint;
mod faults;
mod parsed;
mod partition;
mod plain;
mod row;
mod steps;
mod swap;
mod tables;
mod verbs;
mod watch;

use std::sync::{Arc, MutexGuard};

use weft_store::Counters;

pub use bug::PlantedBug;
pub use calls::{CLIENT, Inner};
pub use faults::FaultPlan;
pub use partition::Chunk;
pub use tables::Tables;
pub use watch::SourceList;

use calls::Shared;

use super::control::Control;

/// The store that all nodes of a simulation share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SimStore {
    shared: Arc<Shared>,
}

/// The store as one process sees it.
#[derive(Debug)]
pub struct SimHandle {
    shared: Arc<Shared>,
    node: String,
    control: Arc<Control>,
    counters: Counters,
}

impl SimStore {
    /// An empty store without faults; simulated time zero is now. `keep_lines` keeps the trace to read.
    pub fn new(seed: u64, keep_lines: bool) -> Self {
        Self {
            shared: Shared::new(seed, keep_lines),
        }
    }

    /// A handle for a process of `node`.
    pub fn handle(&self, node: &str, control: Arc<Control>) -> Arc<SimHandle> {
        Arc::new(SimHandle {
            shared: Arc::clone(&self.shared),
            node: node.to_owned(),
            control,
            counters: Counters::default(),
        })
    }

    /// When simulated time began.
    pub fn started(&self) -> tokio::time::Instant {
        self.shared.started
    }

    /// Simulated time in milliseconds.
    pub fn now(&self) -> u64 {
        self.shared.now()
    }

    /// What is in it, and how it behaves from now on. Not to be held across an await.
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }
}
