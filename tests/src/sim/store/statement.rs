//! What is sent to one partition: hints, plain writes and compare-and-sets.

use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, BatchListing, BatchStatistics, BatchStatus, CheckpointHead, ChunkHead,
    Deployment, DueHint, Instance, Job, JobKey, JobRun, NodeRow, NodeStats, ParsedRow, ParsedTable,
    Setting, Token,
};
use weft_store::{
    ChangeChunk, ClaimBatch, ClaimChunk, ClaimCommand, ClaimJob, DeleteBatch, DeleteJob, Deploy,
    EndJob, FlushChunk, ForgetCheckpoints, MoveBatch, OpenChunk, PutSetting, ReleaseCommand,
    RequestBatch, RequestJob, ReserveChunks, SaveBatchStatistics, SaveCheckpoints, TakeCheckpoints,
    WriteJob,
};

/// A plain write: without a condition, one writer, the last one by its stamp stands.
#[derive(Clone, Debug)]
pub enum Plain {
    /// A hint for the scheduler.
    Due(DueHint),
    /// A job waits for the ends of those of a type and name.
    Follower((String, String), JobKey),
    /// The directory by day, at submission.
    Listing(BatchListing),
    /// The copy for lists behind a move.
    Copy(ListingCopy),
    /// The history row of a run, once.
    Run(Box<JobRun>),
    /// A node's own row.
    Node(Box<NodeRow>),
    /// A node's own figures.
    Stats(Box<NodeStats>),
    /// Instances, guarded by their version.
    Instances(String, Vec<Instance>),
    /// A bundle.
    Bundle(String, Vec<u8>),
    /// The runs of a job that started before are removed.
    ForgetRuns(JobKey, Timestamp),
    /// Chunks of a batch from a number to another are removed.
    ForgetChunks(BatchId, i64, i64),
    /// The figures of a batch are removed.
    ForgetStats(BatchId),
    /// The line of a batch in the directory is removed.
    ForgetListing(Timestamp, BatchId),
    /// Rows of a table that a parser fills.
    Parsed(Box<ParsedTable>, Vec<ParsedRow>),
}

/// What a move changes in the directory.
#[derive(Clone, Debug)]
pub struct ListingCopy {
    /// The batch.
    pub id: BatchId,
    /// Its status.
    pub status: BatchStatus,
    /// Its end.
    pub end_time: Option<Timestamp>,
    /// Failed entities, where they are known.
    pub failed: Option<i64>,
}

impl ListingCopy {
    /// The copy that goes with a move.
    pub fn of(change: &MoveBatch) -> Self {
        Self {
            id: change.guard.id,
            status: change.to.status,
            end_time: change.to.end_time,
            failed: change.to.statistics.as_ref().map(failed_of),
        }
    }
}

/// How many failed, as a listing shows it.
pub fn failed_of(statistics: &BatchStatistics) -> i64 {
    statistics.total().failed
}

/// A compare-and-set on one partition.
#[derive(Clone, Debug)]
pub enum Swap {
    /// `IF NOT EXISTS`.
    InsertBatch(Box<Batch>, Token),
    /// `IF NOT EXISTS`.
    InsertJob(Box<Job>, Token),
    /// See [`ClaimCommand`].
    ClaimCommand(ClaimCommand),
    /// See [`ReleaseCommand`].
    ReleaseCommand(ReleaseCommand),
    /// See [`ClaimJob`].
    ClaimJob(ClaimJob),
    /// See [`EndJob`].
    EndJob(Box<EndJob>),
    /// See [`WriteJob`].
    WriteJob(Box<WriteJob>),
    /// See [`RequestJob`].
    RequestJob(Box<RequestJob>),
    /// See [`DeleteJob`].
    DeleteJob(DeleteJob),
    /// See [`DeleteBatch`].
    DeleteBatch(DeleteBatch),
    /// See [`ClaimBatch`].
    ClaimBatch(ClaimBatch),
    /// See [`MoveBatch`].
    MoveBatch(Box<MoveBatch>),
    /// See [`ReserveChunks`].
    Reserve(ReserveChunks),
    /// See [`SaveBatchStatistics`].
    SaveStatistics(Box<SaveBatchStatistics>),
    /// See [`RequestBatch`].
    Request(RequestBatch),
    /// See [`OpenChunk`].
    Open(OpenChunk),
    /// See [`ClaimChunk`].
    ClaimChunk(ClaimChunk),
    /// See [`FlushChunk`].
    Flush(Box<FlushChunk>),
    /// See [`ChangeChunk`].
    ChangeChunk(ChangeChunk),
    /// See [`Deploy`].
    Deploy(Deploy),
    /// See [`PutSetting`].
    PutSetting(PutSetting),
    /// See [`TakeCheckpoints`].
    TakeCheckpoints(TakeCheckpoints),
    /// See [`SaveCheckpoints`].
    SaveCheckpoints(Box<SaveCheckpoints>),
    /// See [`ForgetCheckpoints`].
    ForgetCheckpoints(ForgetCheckpoints),
}

impl Swap {
    /// Names the statement in a trace.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InsertBatch(..) => "insert_batch",
            Self::InsertJob(..) => "insert_job",
            Self::ClaimCommand(_) => "claim_command",
            Self::ReleaseCommand(_) => "release_command",
            Self::ClaimJob(_) => "claim_job",
            Self::EndJob(_) => "end_job",
            Self::WriteJob(_) => "write_job",
            Self::RequestJob(_) => "request_job",
            Self::DeleteJob(_) => "delete_job",
            Self::DeleteBatch(_) => "delete_batch",
            Self::ClaimBatch(_) => "claim_batch",
            Self::MoveBatch(_) => "move_batch",
            Self::Reserve(_) => "reserve_chunks",
            Self::SaveStatistics(_) => "save_batch_statistics",
            Self::Request(_) => "request_batch",
            Self::Open(_) => "open_chunk",
            Self::ClaimChunk(_) => "claim_chunk",
            Self::Flush(_) => "flush_chunk",
            Self::ChangeChunk(_) => "change_chunk",
            Self::Deploy(_) => "deploy",
            Self::PutSetting(_) => "put_setting",
            Self::TakeCheckpoints(_) => "take_checkpoints",
            Self::SaveCheckpoints(_) => "save_checkpoints",
            Self::ForgetCheckpoints(_) => "forget_checkpoints",
        }
    }

    /// The partition and what is asked of it, in a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::InsertBatch(batch, _) => short(batch.id),
            Self::InsertJob(job, _) => format!("{} fence {}", head(&job.key.uid), job.fence),
            Self::ClaimCommand(claim) => short(claim.batch),
            Self::ReleaseCommand(release) => short(release.batch),
            Self::ClaimJob(claim) => format!(
                "{} {} fence {}",
                head(&claim.key.uid),
                claim.holder.node,
                claim.seen_fence + 1
            ),
            Self::EndJob(end) => format!(
                "{} fence {} to {} {}",
                head(&end.key.uid),
                end.fence,
                end.to,
                end.to_fence
            ),
            Self::WriteJob(write) => format!(
                "{} fence {} to {}",
                head(&write.job.key.uid),
                write.job.fence,
                write.job.status
            ),
            Self::RequestJob(request) => format!(
                "{} {} wish {}",
                head(&request.key.uid),
                request.desired,
                request.seen.desired_seq + 1
            ),
            Self::DeleteJob(delete) => {
                format!("{} fence {}", head(&delete.key.uid), delete.seen.fence)
            }
            Self::DeleteBatch(delete) => short(delete.id),
            Self::ClaimBatch(claim) => format!(
                "{} {} fence {} to {}",
                short(claim.id),
                claim.holder.node,
                claim.seen_fence,
                claim.to_fence
            ),
            Self::MoveBatch(change) => format!(
                "{} fence {} {} to {}",
                short(change.guard.id),
                change.guard.fence,
                change.guard.status,
                change.to.status
            ),
            Self::Reserve(reserve) => format!(
                "{} fence {} {} to {}",
                short(reserve.guard.id),
                reserve.guard.fence,
                reserve.from,
                reserve.to
            ),
            Self::SaveStatistics(save) => format!("{} seq {}", short(save.guard.id), save.seq),
            Self::Request(request) => format!("{} {}", short(request.id), request.desired),
            Self::Open(open) => format!(
                "{}/{} {} with {}",
                short(open.batch),
                open.number,
                open.state,
                open.ids.len()
            ),
            Self::ClaimChunk(claim) => format!(
                "{}/{} {} fence {}",
                short(claim.batch),
                claim.number,
                claim.holder.node,
                claim.seen_fence + 1
            ),
            Self::Flush(flush) => format!(
                "{}/{} fence {} seq {} with {}{}",
                short(flush.batch),
                flush.number,
                flush.fence,
                flush.seq,
                flush.rows.len(),
                if flush.done { " done" } else { "" }
            ),
            Self::ChangeChunk(change) => format!(
                "{}/{} fence {} {} to {}",
                short(change.batch),
                change.number,
                change.seen_fence,
                change.from,
                change.to
            ),
            Self::Deploy(deploy) => deploy.deployment.hash.clone(),
            Self::PutSetting(put) => format!("{} seq {}", put.setting.name, put.setting.seq),
            Self::TakeCheckpoints(take) => format!("{} fence {}", take.scope, take.fence()),
            Self::SaveCheckpoints(save) => format!(
                "{} fence {} seq {} with {} and {} removed",
                save.scope,
                save.fence,
                save.seq,
                save.puts.len(),
                save.removes.len()
            ),
            Self::ForgetCheckpoints(forget) => {
                format!("{} fence {} seq {}", forget.scope, forget.fence, forget.seq)
            }
        }
    }
}

/// The first characters of a batch's id.
pub fn short(id: BatchId) -> String {
    head(&id.to_string()).to_owned()
}

fn head(uid: &str) -> &str {
    uid.get(..8).unwrap_or(uid)
}

/// What a compare-and-set answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// It took effect, now or at an earlier sending.
    Applied,
    /// Its condition did not hold.
    Lost(Found),
}

/// What a refused compare-and-set found.
#[derive(Clone, Debug)]
pub enum Found {
    /// A batch row.
    Batch(Option<Box<Batch>>),
    /// A job row.
    Job(Option<Box<Job>>),
    /// The head of a chunk.
    Chunk(Option<Box<ChunkHead>>),
    /// The batch that a command names.
    Command(Option<BatchId>),
    /// The deployed project.
    Deployment(Option<Deployment>),
    /// A setting of the cluster.
    Setting(Option<Setting>),
    /// The head of a scope of checkpoints.
    Checkpoints(Option<CheckpointHead>),
}
