//! A node: it joins the cluster, owns jobs and batches, processes chunks, and cleans up.

mod active_batches;
pub mod affinity;
pub mod batch;
pub mod cleanup;
mod cluster_value;
pub mod config;
mod context;
pub mod flow;
mod heartbeat;
pub mod job;
mod kind;
mod lock;
mod membership;
mod node_clock;
pub mod node_group;
mod node_session;
mod observer;
pub mod reconcile;
mod removed_batches;
mod running;
pub mod scheduler;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod trace;
mod wake;
pub mod worker;

pub use active_batches::{ACTIVE_BATCHES, active_batches};
pub use config::NodeConfig;
pub use context::Context;
pub use heartbeat::Heartbeat;
pub use membership::{Member, Membership, holder_of};
pub use node_clock::{FAR_OFF, NodeClock};
pub use node_session::NodeSession;
pub use removed_batches::{REMOVED_BATCHES, RemovedBatches, removed_batches};
pub use running::{Node, NodeError, NodeHandle};
pub use wake::Wake;
