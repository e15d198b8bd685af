//! The interface between the engine and its durable state.
//!
//! A verb is as large as the step of a batch or a job that it serves. SQLite carries out a verb in one transaction;
//! Cassandra as an ordered list of hints and compare-and-sets, each on one partition. A compare-and-set verb makes one
//! attempt; only [`settle`](settle::settle) sends one again.

mod backoff;
mod counters;
mod decide;
mod entity_id;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod operation;
mod outcome;
mod pages;
mod self_fence;
mod settle;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

pub use backoff::Backoff;
pub use counters::{Counters, StoreStatistics};
pub use decide::{Decided, Decision, decide_and_settle};
pub use entity_id::{KEY_BYTES, check_sought_id, check_stored_id};
pub use operation::*;
pub use outcome::{Attempt, Freshness, Outage, StoreError};
pub use pages::{BatchPage, JobsPage, ListBatches, ListJobs, each_job};
pub use self_fence::SelfFence;
pub use settle::{Conditional, Settled, Settling, settle};

use weft_model::Value;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, Checkpoint, CheckpointHead, ChunkContent, ChunkFilter, ChunkHead, Deployment,
    DueHint, EntityRow, Instance, InstanceHead, Job, JobKey, JobRun, NodeRow, NodeStats,
    ParsedPage, ParsedRow, ParsedTable, Setting,
};

/// The version of the schema that this program reads and writes.
pub const SCHEMA_VERSION: i64 = 8;

/// The store that all parts of a node share.
pub type SharedStore = Arc<dyn Store>;

/// What a plain read or write answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// What one attempt at a compare-and-set answers; `Err` means that it definitely had no effect.
pub type AttemptResult<F> = Result<Attempt<F>, StoreError>;

/// The answer of a verb, under way.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Declares the verbs of [`row_verbs`].
macro_rules! declare {
    ($($verb:ident: $operation:ident, $found:ty;)*) => {$(
        #[doc = concat!("See [`", stringify!($operation), "`].")]
        fn $verb<'a>(&'a self, operation: &'a $operation) -> StoreFuture<'a, AttemptResult<$found>>;
    )*};
}

/// Everything durable that the engine needs.
///
/// Rules: a verb that answers `Attempt` is sent once per call and never re-sent inside; an identical re-sending of an
/// applied one answers `Applied` while its token is in the row. Plain writes have one writer each and may be re-sent
/// freely.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// `sqlite`, `cassandra` or `simulated`.
    fn kind(&self) -> &'static str;

    /// At most one process can have this store open, so an earlier incarnation of this node cannot still be running.
    fn is_exclusive(&self) -> bool {
        false
    }

    row_verbs!(declare);

    /// Compare-and-sets and calls made so far, by verb.
    fn statistics(&self) -> StoreStatistics;

    /// The version of the store's schema; none where there is no schema.
    async fn schema_version(&self) -> StoreResult<Option<i64>>;

    /// The store's own clock, to measure the deviation of this node's clock.
    async fn store_time(&self) -> StoreResult<Timestamp>;

    // Submission, and jobs.

    /// See [`SubmitBatch`].
    async fn submit_batch(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost>;
    /// The batch that the row of a command names.
    async fn active_command(&self, command_key: &str) -> StoreResult<Option<BatchId>>;
    /// See [`ClaimJob`].
    async fn claim_job(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>>;
    /// See [`EndJob`].
    async fn end_job(&self, end: &EndJob) -> AttemptResult<Option<Job>>;
    /// One job.
    async fn job(&self, key: &JobKey, freshness: Freshness) -> StoreResult<Option<Job>>;
    /// A page of jobs, by type, name and uid.
    async fn jobs(&self, list: &ListJobs) -> StoreResult<JobsPage>;
    /// The runs of a job, newest first, at most `limit`.
    async fn job_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>>;
    /// Notes that a job waits for the ends of jobs of a type and name. Written before the job's row, and again by each
    /// command that makes it wait. The same note twice is one note, and a note that no longer holds does no harm.
    async fn put_follower(&self, job_type: &str, name: &str, follower: &JobKey) -> StoreResult<()>;
    /// The jobs that wait for the ends of jobs of a type and name, by key, strictly after `after`, at most `limit`.
    async fn followers(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<Vec<JobKey>>;
    /// Removes the note of a job that does not wait any more, unless the note was written at `before` or later.
    async fn forget_follower(
        &self,
        job_type: &str,
        name: &str,
        follower: &JobKey,
        before: Timestamp,
    ) -> StoreResult<()>;
    /// See [`DeleteJob`].
    async fn delete_job(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>>;
    /// Removes the runs of a job that started before `before`; answers how many it found.
    async fn forget_runs(&self, key: &JobKey, before: Timestamp) -> StoreResult<usize>;
    /// Writes a hint. The same hint twice is one hint.
    async fn put_due(&self, hint: &DueHint) -> StoreResult<()>;
    /// Hints strictly after `after` with `due_at <= to`, by time and key, at most `limit`. The next page starts after the
    /// last hint of this one.
    async fn due(&self, after: &DueHint, to: Timestamp, limit: usize) -> StoreResult<Vec<DueHint>>;
    /// Removes some of the hints that are due before `before`; answers how many. 0 where none is left, and on a store whose
    /// hints expire.
    async fn forget_hints(&self, before: Timestamp) -> StoreResult<usize>;

    // Batches.

    /// See [`MoveBatch`].
    async fn move_batch(&self, change: &MoveBatch) -> AttemptResult<Option<Batch>>;
    /// See [`FinishBatch`].
    async fn finish_batch(&self, finish: &FinishBatch) -> AttemptResult<FinishLost>;
    /// One batch.
    async fn batch(&self, id: BatchId, freshness: Freshness) -> StoreResult<Option<Batch>>;
    /// The directory by day, newest first.
    async fn batches(&self, list: &ListBatches) -> StoreResult<BatchPage>;

    /// See [`DeleteBatch`].
    async fn delete_batch(&self, delete: &DeleteBatch) -> AttemptResult<Option<Batch>>;

    // Chunks and entities.

    /// Removes the chunks with `from <= number < to`, with their ids and entities. Only for a batch whose removal is
    /// requested ([`weft_model::BatchDesired::Remove`]): a plain write, because no node writes there any more.
    async fn forget_chunks(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<()>;

    /// See [`OpenChunk`].
    async fn open_chunk(&self, open: &OpenChunk) -> AttemptResult<Option<ChunkHead>>;
    /// See [`FlushChunk`].
    async fn flush_chunk(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>>;
    /// The heads of the chunks with `from <= number < to`, ascending; numbers without a chunk are left out.
    async fn chunk_heads(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<Vec<ChunkHead>>;
    /// One chunk with its ids, and those of them that are handled.
    async fn chunk(&self, batch: BatchId, number: i64) -> StoreResult<Option<ChunkContent>>;
    /// The handled entities of one chunk.
    async fn entities(&self, batch: BatchId, number: i64) -> StoreResult<Vec<EntityRow>>;
    /// The handled entities of one chunk that have one of these ids.
    async fn entities_of(
        &self,
        batch: BatchId,
        number: i64,
        ids: &[String],
    ) -> StoreResult<Vec<EntityRow>>;
    /// The filters of the chunks with `from <= number < to`, ascending. A chunk has the filter of each attempt to open it,
    /// and holds an id only if one of them may have it. One that an older version has opened has none.
    async fn chunk_filters(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<Vec<(i64, ChunkFilter)>>;

    // Nodes and their figures: plain, one writer each.

    /// A node writes its own row.
    async fn put_node(&self, row: &NodeRow) -> StoreResult<()>;
    /// All nodes, by guid.
    async fn nodes(&self) -> StoreResult<Vec<NodeRow>>;
    /// A node writes its own figures of a batch.
    async fn put_node_stats(&self, stats: &NodeStats) -> StoreResult<()>;
    /// The figures of all nodes of a batch, by node.
    async fn node_stats(&self, batch: BatchId) -> StoreResult<Vec<NodeStats>>;

    // Instances of logical units.

    /// The heads of these instances, by id; missing ones are left out.
    async fn instance_heads(
        &self,
        logical_unit: &str,
        ids: &[String],
    ) -> StoreResult<BTreeMap<String, InstanceHead>>;
    /// One instance with its image.
    async fn instance(&self, logical_unit: &str, id: &str) -> StoreResult<Option<Instance>>;
    /// Saves instances outside a batch; an older `sync_version` never replaces a newer.
    async fn save_instances(&self, logical_unit: &str, instances: &[Instance]) -> StoreResult<()>;
    /// Ids of stored instances strictly after `after` in the store's own order, at most `limit`. The last id is the next
    /// `after`.
    async fn instance_ids(
        &self,
        logical_unit: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<String>>;

    // Checkpoints of runs.

    /// See [`SaveCheckpoints`].
    async fn save_checkpoints(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>>;
    /// See [`ForgetCheckpoints`].
    async fn forget_checkpoints(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>>;
    /// The head of a scope; none where no run ever took it.
    async fn checkpoint_head(
        &self,
        scope: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<CheckpointHead>>;
    /// Items strictly after `after` in the order of their bytes, at most `limit`. Complete for a run that took the scope
    /// before the call; others may miss a write under way.
    async fn checkpoints(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>>;

    // Tables that parsers fill: plain, one parser each.

    /// Creates the tables, and adds columns that are new (see "Schema" in docs/design/protocol.md). Their logical units
    /// must exist. Rejects a table that exists with other types or another key; the error names the table.
    async fn ensure_parsed_tables(&self, tables: &[ParsedTable]) -> StoreResult<()>;
    /// Writes rows; a row with a known key replaces the one there. The same rows twice are the same rows.
    async fn put_parsed_rows(&self, table: &ParsedTable, rows: &[ParsedRow]) -> StoreResult<()>;
    /// A page of at most `limit` rows in the store's own order; `after` is `next` of the previous page.
    async fn parsed_rows(
        &self,
        table: &ParsedTable,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<ParsedPage>;
    /// The rows with these keys, for a table whose key is one column; missing ones are left out.
    async fn parsed_rows_of(
        &self,
        table: &ParsedTable,
        keys: &[Value],
    ) -> StoreResult<Vec<Vec<Value>>>;

    // Deployment.

    /// Creates the tables of logical units (see "Schema" in docs/design/protocol.md).
    async fn ensure_logical_units(&self, logical_units: &[String]) -> StoreResult<()>;
    /// Stores a bundle under its hash; the same bundle twice is one bundle.
    async fn put_bundle(&self, hash: &str, bytes: &[u8]) -> StoreResult<()>;
    /// A stored bundle.
    async fn bundle(&self, hash: &str) -> StoreResult<Option<Vec<u8>>>;
    /// See [`Deploy`].
    async fn deploy(&self, deploy: &Deploy) -> AttemptResult<Option<Deployment>>;
    /// The deployed project.
    async fn deployment(&self) -> StoreResult<Option<Deployment>>;

    // Settings of the cluster.

    /// See [`PutSetting`].
    async fn put_setting(&self, put: &PutSetting) -> AttemptResult<Option<Setting>>;
    /// One setting; none where it was never set.
    async fn setting(&self, name: &str, freshness: Freshness) -> StoreResult<Option<Setting>>;
}
