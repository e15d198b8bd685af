//! Jobs, batches, chunks, nodes and entities: their rows, their states and their schedules.
//!
//! Plain values and pure functions, without I/O. Time comes from [`clock::Clock`] and chance from [`ids::Ids`].

mod batch;
mod batch_job;
pub mod bug;
mod checkpoint;
mod chunk;
mod chunk_filter;
pub mod clock;
mod command_key;
mod entity;
mod entity_id;
pub mod hash;
mod identity;
pub mod ids;
mod instance;
mod job;
mod job_key;
mod json_object;
mod node;
pub mod number;
mod parsed;
mod principal;
pub mod schedule;
mod session;
mod setting;
pub mod state_machine_docs;
mod status;
mod trigger_state;
mod value;

pub use batch::{
    Batch, BatchDesired, BatchListing, BatchSpec, BatchStatistics, EntitySource, FilledChunks,
    InProcess, NodeStats, RetryPolicy, SlowEntity, SourceTrial,
};
pub use batch_job::{batch_job, batch_job_key, coordinated_batch};
pub use bug::Bug;
pub use checkpoint::{Checkpoint, CheckpointHead};
pub use chunk::{ChunkContent, ChunkHead, ChunkState, NodeShare};
pub use chunk_filter::ChunkFilter;
pub use command_key::command_key;
pub use entity::{EntityRow, EntityStatus};
pub use entity_id::{
    ChunkEntry, DEFAULT_MAX_ID_BYTES, MAX_ID_BYTES, UnfitId, check_id, chunk_entry,
};
pub use identity::{BatchId, Fence, Holder, Incarnation, NodeId, Token};
pub use instance::{Deployment, Instance, InstanceHead};
pub use job::{DueHint, Job, JobDesired, JobRun, job_error};
pub use job_key::{JobKey, canonical_job_name, canonical_job_type, job_type};
pub use json_object::{JsonCell, JsonObject};
pub use node::{NodeRow, NodeState};
pub use parsed::{ParsedColumn, ParsedPage, ParsedRow, ParsedTable, SOURCE_FILE, SOURCE_LINE};
pub use principal::Principal;
pub use session::{SESSION_SCOPE, Session};
pub use setting::Setting;
pub use status::{BatchEvent, BatchStatus, IllegalMove, JobEvent, JobStatus, UnknownName};
pub use trigger_state::{EndMark, JobEnd, TriggerState};
pub use value::{ColumnType, Value, real_to_json};
