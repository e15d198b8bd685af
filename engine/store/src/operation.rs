//! The compare-and-sets of the engine, each as a plain value that can be sent again as it is.
//!
//! A value carries its own token. `settle` re-sends the identical value, so a store recognises an
//! earlier sending by the token it finds in the row.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::TriggerState;
use weft_model::clock::Timestamp;
use weft_model::schedule::JobPolicy;
use weft_model::{
    Batch, BatchDesired, BatchId, BatchListing, BatchStatistics, BatchStatus, ChunkState, DueHint,
    EntityRow, Fence, Holder, Instance, Job, JobDesired, JobKey, JobRun, JobStatus, NodeShare,
    Token,
};

use crate::StoreError;

/// Step 3: batch row WAITING_FOR_JOB, then its job row WAITING. Both carry `token` as `op_token`.
///
/// Order: directory by day, directory by name, due hint (plain hints), batch `IF NOT EXISTS`, job
/// `IF NOT EXISTS`. A row found with our token counts as ours, so a re-sending goes on where the first
/// one stopped. Lost: another batch or job has the id.
#[derive(Clone, Debug, PartialEq)]
pub struct SubmitBatch {
    /// The batch, status WAITING_FOR_JOB.
    pub batch: Batch,
    /// Its job, status WAITING.
    pub job: Job,
    /// When somebody must look at the job.
    pub due: DueHint,
    /// Names this submission.
    pub token: Token,
}

/// ALLOW_MULTIPLE=false: the row of a command names the batch that runs it. `IF bid = <replaces>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCommand {
    /// Hash of the command.
    pub command_key: String,
    /// The batch that shall be named.
    pub batch: BatchId,
    /// The batch named now (missing or ended), none = no row.
    pub replaces: Option<BatchId>,
}

/// The row of a command whose batch is being removed goes: `IF bid = <batch>`. Missing answers Applied. A batch names itself
/// once, so a delayed copy finds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseCommand {
    /// Hash of the command.
    pub command_key: String,
    /// The batch that it must name.
    pub batch: BatchId,
}

/// A node takes a job: `IF status = <seen> AND fence = <seen>` → IN_PROCESS, fence + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimJob {
    /// The job.
    pub key: JobKey,
    /// The status that was seen: WAITING, SCHEDULED, or IN_PROCESS of a dead node.
    pub seen_status: JobStatus,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// Who takes it.
    pub holder: Holder,
    /// Start of the run.
    pub now: Timestamp,
    /// When somebody must look again should the taker die; written first.
    pub due: DueHint,
    /// Names this attempt.
    pub token: Token,
}

/// The end of a run: `IF worker_id, owner_inc, fence = <held> AND desired_seq = <seen> AND status = <seen>`.
#[derive(Clone, Debug, PartialEq)]
pub struct EndJob {
    /// The job.
    pub key: JobKey,
    /// Who held it.
    pub holder: Holder,
    /// The fence it was held under.
    pub fence: Fence,
    /// The status that was seen: IN_PROCESS, or STOPPING and RESTART where somebody wished so.
    pub seen_status: JobStatus,
    /// The wish that was seen.
    pub desired_seq: i64,
    /// The state it goes to.
    pub to: JobStatus,
    /// The fence it goes on with: the same for an end, + 1 where it is given back.
    pub to_fence: Fence,
    /// The wish that remains, now that this one is carried out.
    pub desired: JobDesired,
    /// The row forgets who ran it, so that nobody has precedence (Fabric C.1, RESTART).
    pub forget_worker: bool,
    /// End of the run.
    pub now: Timestamp,
    /// What it returned; none leaves the column.
    pub output: Option<String>,
    /// Why it failed, as JSON; none clears the column.
    pub error: Option<String>,
    /// Failed runs so far.
    pub tries: i32,
    /// Runs that ended so far.
    pub runs: i64,
    /// The next run, where there is one.
    pub next_run: Option<Timestamp>,
    /// The scheduled time the next run is for.
    pub planned_run: Option<Timestamp>,
    /// Why it waits, for people.
    pub notes: Option<String>,
    /// Where it stands with its triggers, and what it owes to those that wait for it.
    pub triggers: TriggerState,
    /// When somebody must look next; written first. None for an ended job.
    pub due: Option<DueHint>,
    /// The history row, written once before the move; none where it is given back.
    pub run: Option<JobRun>,
    /// Names this attempt.
    pub token: Token,
}

impl EndJob {
    /// The run that `holder` has of `job` ends in the state `to`: nothing is returned, recorded or left to be done.
    pub fn of(job: &Job, holder: Holder, to: JobStatus, now: Timestamp, token: Token) -> Self {
        Self {
            key: job.key.clone(),
            holder,
            fence: job.fence,
            seen_status: job.status,
            desired_seq: job.desired_seq,
            to,
            to_fence: job.fence,
            desired: job.desired,
            forget_worker: false,
            now,
            output: None,
            error: None,
            tries: job.tries,
            runs: job.runs,
            next_run: None,
            planned_run: None,
            notes: None,
            triggers: job.triggers.clone(),
            due: None,
            run: None,
            token,
        }
    }
}

/// What of a row must still hold for [`WriteJob`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// Its status.
    pub status: JobStatus,
    /// Its fence.
    pub fence: Fence,
    /// Its last wish.
    pub desired_seq: i64,
}

impl JobSeen {
    /// As this row has it.
    pub fn of(job: &Job) -> Self {
        Self {
            status: job.status,
            fence: job.fence,
            desired_seq: job.desired_seq,
        }
    }
}

/// A row that nobody holds is written anew as a whole: a job is started, resumed, changed, or ended where no
/// run has to be stopped first; or the job of a batch that goes on is missing or has ended.
///
/// Missing: `IF NOT EXISTS`. There: `IF status, fence, desired_seq = <seen>`, and the fence in `job` is greater.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteJob {
    /// The row as it shall be. Its `op_token` is `token`.
    pub job: Job,
    /// The row that was seen; none = missing.
    pub seen: Option<JobSeen>,
    /// When somebody must look at it; written first. None for a job that ends.
    pub due: Option<DueHint>,
    /// Names this attempt.
    pub token: Token,
}

impl WriteJob {
    /// The row over the one that was seen, with its hint.
    pub fn of(job: Job, seen: Option<JobSeen>, now: Timestamp, token: Token) -> Self {
        Self {
            due: job.due_hint(now),
            job,
            seen,
            token,
        }
    }
}

/// What UPDATEJOB can change, and what the ends of other jobs do.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDefinition {
    /// Which nodes may run it.
    pub affinity: Vec<String>,
    /// Arguments as JSON text.
    pub arguments: String,
    /// EXEC_INTERVAL as typed.
    pub execution_interval: Option<String>,
    /// Retries, misfires, bounds.
    pub policy: JobPolicy,
    /// Where it stands with its triggers.
    pub triggers: TriggerState,
}

impl JobDefinition {
    /// As this row has it.
    pub fn of(job: &Job) -> Self {
        Self {
            affinity: job.affinity.clone(),
            arguments: job.arguments.clone(),
            execution_interval: job.execution_interval.clone(),
            policy: job.policy.clone(),
            triggers: job.triggers.clone(),
        }
    }

    /// The row with this definition instead of its own.
    #[must_use]
    pub fn applied_to(&self, job: &Job) -> Job {
        let Self {
            affinity,
            arguments,
            execution_interval,
            policy,
            triggers,
        } = self.clone();
        Job {
            affinity,
            arguments,
            execution_interval,
            policy,
            triggers,
            ..job.clone()
        }
    }
}

/// A wish about a job that a node holds: `IF status, fence = <seen> AND desired_seq = <seen>` → + 1. The owner's next
/// compare-and-set is refused by it, so he reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestJob {
    /// The job.
    pub key: JobKey,
    /// The row that was seen.
    pub seen: JobSeen,
    /// What is wished.
    pub desired: JobDesired,
    /// What the row shows from now on: STOPPING, RESTART, or what it showed.
    pub status: JobStatus,
    /// What it shall be from its next run on; none leaves it.
    pub definition: Option<JobDefinition>,
    /// Names this attempt, as `desired_token`.
    pub token: Token,
}

impl RequestJob {
    /// A wish for the row that was seen, which leaves its definition.
    pub fn of(row: &Job, desired: JobDesired, status: JobStatus, token: Token) -> Self {
        Self {
            key: row.key.clone(),
            seen: JobSeen::of(row),
            desired,
            status,
            definition: None,
            token,
        }
    }
}

/// How a job changes, whether a node holds it or not.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeJob {
    /// No node holds it: its row is written.
    Write(Box<WriteJob>),
    /// A node holds it: a request is left in its row.
    Request(Box<RequestJob>),
}

/// An archived job is removed, with what its name and its history had of it: `IF status, fence, desired_seq, op_token
/// = <seen>`.
///
/// The token of the last writer stands in the condition, so that a delayed copy cannot meet a job of the same key that
/// was started anew and ended like this one. A row that is missing answers Applied: it is gone, which is all that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteJob {
    /// The job.
    pub key: JobKey,
    /// The row that was seen.
    pub seen: JobSeen,
    /// Who wrote it last.
    pub seen_token: Option<Token>,
    /// When it was started: its history is not older.
    pub started: Timestamp,
    /// When it ended: what the name and the history say of later times belongs to another job of this key.
    pub ended: Timestamp,
}

impl DeleteJob {
    /// For a job that has ended; none for one that has not.
    pub fn of(job: &Job) -> Option<Self> {
        let times = [Some(job.creation_time), job.start_time, job.end_time];
        (job.archived && job.status.is_ended()).then(|| Self {
            key: job.key.clone(),
            seen: JobSeen::of(job),
            seen_token: job.op_token,
            started: job.creation_time,
            ended: times.into_iter().flatten().max().unwrap_or_default(),
        })
    }
}

/// Proof of ownership that every compare-and-set of a batch's owner carries (design section 5, rule 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchGuard {
    /// The batch.
    pub id: BatchId,
    /// Its owner.
    pub holder: Holder,
    /// The fence it is owned under.
    pub fence: Fence,
    /// The status it must have.
    pub status: BatchStatus,
    /// The wish that was seen.
    pub desired_seq: i64,
}

/// A node takes a batch under its job's fence: `IF fence = <seen> AND status = <seen>`, with seen < to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimBatch {
    /// The batch.
    pub id: BatchId,
    /// The fence that was seen; must be below `to_fence`.
    pub seen_fence: Fence,
    /// The job's fence.
    pub to_fence: Fence,
    /// Who takes it.
    pub holder: Holder,
    /// Names this attempt.
    pub token: Token,
}

/// The owner moves the batch: guard → `to`. Writes the copy for lists behind the move.
#[derive(Clone, Debug, PartialEq)]
pub struct MoveBatch {
    /// Proof of ownership.
    pub guard: BatchGuard,
    /// What the row becomes.
    pub to: BatchSet,
    /// Names this attempt.
    pub token: Token,
}

/// What a move writes. Built by its constructors, so that columns fit the state.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSet {
    /// The new status.
    pub status: BatchStatus,
    /// Set when work begins.
    pub start_time: Option<Timestamp>,
    /// Set when the batch ends.
    pub end_time: Option<Timestamp>,
    /// Set when the batch itself fails.
    pub error: Option<String>,
    /// Set when the list is complete: (ids, duplicates dropped).
    pub totals: Option<(i64, i64)>,
    /// Set with the statistics.
    pub extra_stats: Option<String>,
    /// Set with the statistics.
    pub statistics: Option<BatchStatistics>,
    /// The owner lets go of the row (end states and PAUSED).
    pub release: bool,
    /// The owner's own wish, where it ends the batch with FAILED (design section 5, rule 10).
    pub desired: Option<BatchDesired>,
}

impl BatchSet {
    fn to(status: BatchStatus) -> Self {
        Self {
            status,
            start_time: None,
            end_time: None,
            error: None,
            totals: None,
            extra_stats: None,
            statistics: None,
            release: false,
            desired: None,
        }
    }

    /// WAITING_FOR_JOB → NEW.
    pub fn taken() -> Self {
        Self::to(BatchStatus::New)
    }

    /// NEW → GENERATE_IID: work begins.
    pub fn generating(started_at: Timestamp) -> Self {
        Self {
            start_time: Some(started_at),
            ..Self::to(BatchStatus::GenerateIid)
        }
    }

    /// GENERATE_IID → IN_PROGRESS: the list is complete.
    pub fn list_complete(total: i64, duplicates: i64) -> Self {
        Self {
            totals: Some((total, duplicates)),
            ..Self::to(BatchStatus::InProgress)
        }
    }

    /// An end state, with the final statistics.
    pub fn ended(
        status: BatchStatus,
        ended_at: Timestamp,
        error: Option<String>,
        extra_stats: String,
        statistics: BatchStatistics,
    ) -> Self {
        debug_assert!(status.is_final(), "ended() is for end states");
        Self {
            end_time: Some(ended_at),
            error,
            extra_stats: Some(extra_stats),
            statistics: Some(statistics),
            release: true,
            ..Self::to(status)
        }
    }

    /// The owner itself wants the batch to end, with `reason`: the mark that comes before the scan.
    pub fn failing(status: BatchStatus, reason: String) -> Self {
        Self {
            error: Some(reason),
            desired: Some(BatchDesired::Cancel),
            ..Self::to(status)
        }
    }
}

/// The owner reserves chunk numbers: guard and `chunks = <from>` → `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReserveChunks {
    /// Proof of ownership, with status GENERATE_IID.
    pub guard: BatchGuard,
    /// Numbers reserved so far.
    pub from: i64,
    /// Numbers reserved from now on.
    pub to: i64,
    /// Names this attempt.
    pub token: Token,
}

/// The owner saves statistics of a running batch: guard and `stats_seq = <seq - 1>` → `seq`.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveBatchStatistics {
    /// Proof of ownership.
    pub guard: BatchGuard,
    /// The new `stats_seq`.
    pub seq: i64,
    /// The slowest entities (Fabric B.6).
    pub extra_stats: String,
    /// Sums and percentiles.
    pub statistics: BatchStatistics,
    /// Names this attempt.
    pub token: Token,
}

/// A person's wish: `IF desired_seq = <seq - 1> AND status IN (…)` → `desired`, `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBatch {
    /// The batch.
    pub id: BatchId,
    /// The wish.
    pub desired: BatchDesired,
    /// The new `desired_seq`.
    pub seq: i64,
    /// The statuses in which the wish makes sense.
    pub allowed: Vec<BatchStatus>,
    /// When somebody must look at the batch's job; written first. None where nothing is left to be done by a node.
    pub due: Option<DueHint>,
    /// Names this attempt.
    pub token: Token,
}

/// Step 9: the batch's last move and the end of its job, in that order.
///
/// Lost names the row that refused. With the batch applied and the job lost the answer is
/// `Lost(FinishLost::Job)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishBatch {
    /// The batch's move to an end state.
    pub batch: MoveBatch,
    /// The end of its job.
    pub job: EndJob,
}

/// Which half of a [`FinishBatch`] was refused, with the row found.
#[derive(Clone, Debug, PartialEq)]
pub enum FinishLost {
    /// The batch row; nothing was done.
    Batch(Option<Box<Batch>>),
    /// The job row; the batch has ended.
    Job(Option<Box<Job>>),
}

/// Which half of a [`SubmitBatch`] was refused.
#[derive(Clone, Debug, PartialEq)]
pub enum SubmitLost {
    /// Another submission has this batch id; nothing was done.
    Batch(Box<Batch>),
    /// Another job has this key; the batch row was written and the reconciler will find it.
    Job(Box<Job>),
}

/// The last step of a batch's removal, behind [`Store::forget_chunks`](super::Store::forget_chunks): figures and errors,
/// the row `IF status, fence, desired_seq = <seen>`, and its line in the directory.
///
/// The wish REMOVE was left in the row before anything of it was touched, so `desired_seq` is of a row that nobody
/// can take up again. A row that is missing answers Applied, and its line in the directory is removed all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteBatch {
    /// The batch.
    pub id: BatchId,
    /// When it was submitted: where the directory has it.
    pub creation_time: Timestamp,
    /// The end state that was seen.
    pub seen_status: BatchStatus,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// The wish to remove it.
    pub desired_seq: i64,
}

/// The generator fills a reserved number, or seals it (`state` VOID): `IF c_state = null`.
///
/// Born with fence 1; a chunk born claimed has state IN_PROGRESS and a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// NEW, IN_PROGRESS (born claimed) or VOID.
    pub state: ChunkState,
    /// The generator, where the chunk is born claimed.
    pub holder: Option<Holder>,
    /// The ids, in the order of the source; none of them twice in the batch.
    pub ids: Vec<String>,
    /// Where the source stands behind the last id.
    pub source_position: Option<String>,
    /// Names this attempt.
    pub token: Token,
}

/// A worker takes a chunk: `IF c_fence = <seen> AND c_state IN (NEW, IN_PROGRESS)` → IN_PROGRESS, fence + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// Who takes it.
    pub holder: Holder,
    /// The new `c_crashes`: raised by one only where it is taken from a dead life without progress.
    pub crashes: i32,
    /// Names this attempt.
    pub token: Token,
}

/// The worker records results: `IF c_fence = <held> AND c_seq = <seq - 1>` → rows, `seq`, counts; the last
/// one sets DONE.
///
/// The instances are saved before (Cassandra: plain writes guarded by `sync_version`) or with (SQLite:
/// same transaction) the rows, so a record never stands without its instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlushChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// The fence it is held under.
    pub fence: Fence,
    /// The new `c_seq`.
    pub seq: i64,
    /// The rows of this flush: at most 1,000.
    pub rows: Vec<EntityRow>,
    /// `c_ok` after this flush.
    pub ok: i64,
    /// `c_failed` after this flush.
    pub failed: i64,
    /// `c_results` after this flush.
    pub shares: BTreeMap<weft_model::NodeId, NodeShare>,
    /// Every id of the chunk has its row now.
    pub done: bool,
    /// The logical unit of `instances`.
    pub logical_unit: String,
    /// Instances that changed.
    pub instances: Vec<Instance>,
    /// Names this attempt.
    pub token: Token,
}

/// A chunk changes hands without work: `IF c_fence = <seen> AND c_state = <from>` → `to`, fence + 1, no holder.
///
/// Handing back and taking from the dead: IN_PROGRESS → NEW. Cancel: NEW or IN_PROGRESS → CLOSED. Retry:
/// CLOSED or DONE → NEW.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeChunk {
    /// The batch.
    pub batch: BatchId,
    /// The number.
    pub number: i64,
    /// The state that was seen.
    pub from: ChunkState,
    /// The fence that was seen.
    pub seen_fence: Fence,
    /// NEW or CLOSED.
    pub to: ChunkState,
    /// Names this attempt.
    pub token: Token,
}

/// A project becomes the deployed one: `IF seq = <seq - 1>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// The new deployment, with its `seq`.
    pub deployment: weft_model::Deployment,
    /// Names this attempt.
    pub token: Token,
}

/// A setting of the cluster gets its next value: `IF seq = <seq - 1>` (none: there is no row).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSetting {
    /// The new row, with its `seq`.
    pub setting: weft_model::Setting,
    /// Names this attempt.
    pub token: Token,
}

/// A run takes a scope of checkpoints: `IF s_fence = <seen>` (none: there is no head) → seen + 1, seq 0.
///
/// From then on nobody who took it before can write. The fence never goes down and a head is never removed, so a
/// delayed copy of this, or of a write under an older fence, finds another fence than it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeCheckpoints {
    /// The scope.
    pub scope: String,
    /// Who takes it, as text.
    pub holder: String,
    /// The fence that was seen; none = nobody ever took it.
    pub seen: Option<Fence>,
    /// Names this attempt.
    pub token: Token,
}

impl TakeCheckpoints {
    /// The fence it is held under from then on.
    pub fn fence(&self) -> Fence {
        self.seen.unwrap_or(0) + 1
    }
}

/// Bytes of items and values that one [`SaveCheckpoints`] may carry.
pub const CHECKPOINT_BYTES: usize = 256 * 1024;
/// Items that one [`SaveCheckpoints`] may write and remove.
pub const CHECKPOINT_ITEMS: usize = 1_000;
/// Longest name of an item, and of a scope, in bytes.
pub const CHECKPOINT_NAME_BYTES: usize = 8 * 1024;

/// The run that holds a scope writes and removes items, all or none: `IF s_fence = <held> AND s_seq = <seq>` → seq + 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveCheckpoints {
    /// The scope.
    pub scope: String,
    /// The fence it is held under.
    pub fence: Fence,
    /// Writes under this fence so far.
    pub seq: i64,
    /// What is written, each item once.
    pub puts: Vec<(String, String)>,
    /// What is removed; none of it is in `puts`.
    pub removes: Vec<String>,
    /// The moment of the write.
    pub now: Timestamp,
    /// Names this attempt.
    pub token: Token,
}

impl SaveCheckpoints {
    /// Every store asks this first.
    ///
    /// # Errors
    /// What is over its limit, by name; nothing was written.
    pub fn within_limits(&self) -> Result<(), StoreError> {
        let scope = &self.scope;
        let refused = |what: String| {
            Err(StoreError::Refused(format!(
                "checkpoints of {scope}: {what}"
            )))
        };
        let names = self.puts.iter().map(|(item, _)| item).chain(&self.removes);
        let mut seen = BTreeSet::new();
        let mut bytes: usize = self.puts.iter().map(|(_, value)| value.len()).sum();
        for name in names {
            if name.is_empty() || name.len() > CHECKPOINT_NAME_BYTES {
                return refused(format!(
                    "the name of an item has {} bytes, 1 to {CHECKPOINT_NAME_BYTES} are allowed",
                    name.len()
                ));
            }
            if !seen.insert(name) {
                return refused(format!("item {name:?} stands twice in one write"));
            }
            bytes += name.len();
        }
        if seen.len() > CHECKPOINT_ITEMS {
            return refused(format!(
                "{} items in one write, at most {CHECKPOINT_ITEMS} are allowed",
                seen.len()
            ));
        }
        if bytes > CHECKPOINT_BYTES {
            return refused(format!(
                "{bytes} bytes in one write, at most {CHECKPOINT_BYTES} are allowed"
            ));
        }
        Ok(())
    }
}

/// The run that holds a scope removes all of its items: `IF s_fence = <held> AND s_seq = <seq>` → seq + 1.
///
/// The head stays with its fence. Were it removed, a delayed take or write of the past would find what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetCheckpoints {
    /// The scope.
    pub scope: String,
    /// The fence it is held under.
    pub fence: Fence,
    /// Writes under this fence so far.
    pub seq: i64,
    /// Names this attempt.
    pub token: Token,
}

/// Which listings are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListBatches {
    /// Submitted at or after.
    pub from: Timestamp,
    /// Submitted before.
    pub to: Timestamp,
    /// Strictly before this one in the order of the list (newest first).
    pub before: Option<(Timestamp, BatchId)>,
    /// At most so many.
    pub limit: usize,
}

/// A page of listings, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchPage {
    /// The listings.
    pub listings: Vec<BatchListing>,
    /// There may be more behind the last one.
    pub more: bool,
}

/// Which jobs are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListJobs {
    /// Only of this type.
    pub job_type: Option<String>,
    /// Only of this name (with a type).
    pub name: Option<String>,
    /// Only this uid (with a type and a name).
    pub uid: Option<String>,
    /// Only those that are not archived.
    pub active_only: bool,
    /// Strictly behind this one in the store's own order: `next` of the page before.
    pub after: Option<JobKey>,
    /// At most so many are looked at; the filters may leave fewer.
    pub limit: usize,
}

/// A page of jobs. The order is the store's own, the same for every page and every list; jobs of one type and name
/// come by uid. A job that is there from the first page to the last comes once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobsPage {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Where the next page begins; none behind the last.
    pub next: Option<JobKey>,
}
