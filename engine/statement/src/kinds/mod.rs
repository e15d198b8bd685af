//! Kinds of job that run statements or serve the cluster.

mod batch_schedule;
mod coordinator;
mod migrate;

pub use batch_schedule::BatchSchedule;
pub use coordinator::Coordinator;
pub use migrate::Migrate;
