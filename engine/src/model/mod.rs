//! What Weft is about: jobs, batches, chunks, nodes, entities, and the states they move through.

mod batch;
mod checkpoint;
mod chunk;
pub mod documented;
mod entity;
mod identity;
mod instance;
mod job;
mod node;
mod parsed;
mod setting;
mod status;

pub use batch::{
    Batch, BatchDesired, BatchListing, BatchSpec, BatchStatistics, EntitySource, InProcess,
    NodeStats, RetryPolicy, SlowEntity,
};
pub use checkpoint::{Checkpoint, CheckpointHead};
pub use chunk::{ChunkContent, ChunkHead, ChunkState, NodeShare};
pub use entity::{EntityRow, EntityStatus};
pub use identity::{BatchId, Fence, Holder, Incarnation, NodeId, Token};
pub use instance::{Deployment, Instance, InstanceHead};
pub use job::{DueHint, Job, JobDesired, JobKey, JobRun, job_error, job_type};
pub use node::{NodeRow, NodeState};
pub use parsed::{ParsedColumn, ParsedPage, ParsedRow, ParsedTable, SOURCE_FILE, SOURCE_LINE};
pub use setting::Setting;
pub use status::{BatchEvent, BatchStatus, IllegalMove, JobEvent, JobStatus, UnknownName};
