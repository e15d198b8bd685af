//! Test values, each with unique ids, and functions that settle a compare-and-set and check the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::schedule::RunOutcome;
use weft_model::{
    Batch, BatchId, BatchSpec, BatchStatistics, BatchStatus, ChunkContent, ChunkHead, ChunkState,
    DueHint, EndMark, EntityRow, EntitySource, EntityStatus, Holder, Incarnation, Job, JobEnd,
    JobKey, JobRun, JobStatus, NodeId, NodeShare, RetryPolicy, Token, TriggerState, job_type,
};
use weft_store::SelfFence;
use weft_store::{
    BatchGuard, BatchSet, ClaimBatch, ClaimChunk, ClaimJob, Conditional, EndJob, FinishBatch,
    FlushChunk, Freshness, MoveBatch, OpenChunk, Settled, SharedStore, Store, SubmitBatch, settle,
};

/// How long to settle. A store under contention may need several attempts.
const PATIENCE: Duration = Duration::from_secs(60);

/// A self-fence that leaves a case time for a definite answer.
pub(super) fn patience() -> SelfFence {
    SelfFence::for_duration(Arc::new(SystemClock), PATIENCE)
}

/// Settles `operation`.
pub(super) async fn decide<C: Conditional>(store: &dyn Store, operation: &C) -> Settled<C::Found> {
    settle(store, &Ids::from_system(), &patience(), operation)
        .await
        .unwrap_or_else(|error| panic!("{} failed: {error}", operation.verb()))
}

/// Settles `operation`, which must apply.
pub(super) async fn apply<C>(store: &dyn Store, operation: &C)
where
    C: Conditional<Found: Debug>,
{
    match decide(store, operation).await {
        Settled::Applied => (),
        Settled::Lost(found) => panic!("{} was lost to {found:?}", operation.verb()),
        Settled::StillUnknown => panic!("{} has no definite answer", operation.verb()),
    }
}

/// Settles `operation`, which must be lost, and returns what the store found.
pub(super) async fn lose<C>(store: &dyn Store, operation: &C) -> C::Found
where
    C: Conditional,
{
    match decide(store, operation).await {
        Settled::Lost(found) => found,
        Settled::Applied => panic!("{} took effect", operation.verb()),
        Settled::StillUnknown => panic!("{} has no definite answer", operation.verb()),
    }
}

/// Settles all operations concurrently and returns how many applied.
pub(super) async fn winners<C>(store: &SharedStore, operations: &[C]) -> usize
where
    C: Conditional<Found: Debug>,
{
    let decisions = operations
        .iter()
        .map(|operation| decide(store.as_ref(), operation));
    futures::future::join_all(decisions)
        .await
        .into_iter()
        .filter(|settled| match settled {
            Settled::Applied => true,
            Settled::Lost(_) => false,
            Settled::StillUnknown => panic!("{} has no definite answer", operations[0].verb()),
        })
        .count()
}

pub(super) fn token() -> Token {
    Token(Uuid::new_v4())
}

pub(super) fn batch_id() -> BatchId {
    BatchId(Uuid::new_v4())
}

/// A short text that no other case uses.
pub(super) fn own_text(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::new_v4().simple())
}

/// The current time in milliseconds, which is the resolution of the stores.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// A holder on a node that no other case uses.
pub(super) fn holder(name: &str) -> Holder {
    Holder {
        node: NodeId(own_text(name)),
        incarnation: Incarnation(Uuid::new_v4()),
    }
}

/// Another incarnation of the same node.
pub(super) fn next_incarnation(holder: &Holder) -> Holder {
    Holder {
        node: holder.node.clone(),
        incarnation: Incarnation(Uuid::new_v4()),
    }
}

pub(super) fn job_key(bid: BatchId) -> JobKey {
    JobKey {
        job_type: job_type::BATCH_PROCESS.to_owned(),
        name: "BATCH_Conformance".to_owned(),
        uid: bid.to_string(),
    }
}

/// A batch as a submission writes it.
pub(super) fn new_batch(id: BatchId) -> Batch {
    let spec = BatchSpec {
        logical_unit: "Conformance".to_owned(),
        source: EntitySource::Query {
            interface: "idsFile".to_owned(),
            sql: "select id from ids  limit 100".to_owned(),
            parameters: vec!["a'b".to_owned(), "ü\n\"".to_owned()],
            instance_group: None,
        },
        fabric_command: "sync_instance Conformance.?".to_owned(),
        affinity: vec!["DC1".to_owned()],
        job_affinity: vec!["10.21.2.102".to_owned()],
        asynchronous: true,
        generate_entities_first: false,
        allow_multiple: true,
        max_nodes: Some(3),
        max_workers_per_node: None,
        estimated_entities: Some(100),
        retry: RetryPolicy::default(),
        entity_timeout_ms: Some(5_000),
        session_scope: BTreeMap::from([("SYNC".to_owned(), "ON".to_owned())]),
        project: None,
    };
    Batch {
        arguments: r#"{"lu_name":"Conformance","AUTH_TOKEN":"***"}"#.to_owned(),
        command: r#"BATCH Conformance FROM idsFile USING ('select id from ids  limit 100') FABRIC_COMMAND="sync_instance Conformance.?""#.to_owned(),
        owner: "admin".to_owned(),
        execution_id: own_text("execution"),
        ..Batch::waiting(id, spec, now())
    }
}

/// The job of a batch as a submission writes it.
pub(super) fn new_job(key: JobKey) -> Job {
    Job {
        affinity: vec!["ANY".to_owned()],
        arguments: r#"{"k":"v'\"ü"}"#.to_owned(),
        notes: Some("waits for a slot".to_owned()),
        ..Job::waiting(key, now())
    }
}

pub(super) fn due_now(key: &JobKey) -> DueHint {
    DueHint {
        due_at: now(),
        key: key.clone(),
    }
}

/// A submission of a new batch.
pub(super) fn submission() -> SubmitBatch {
    submission_of(batch_id())
}

pub(super) fn submission_of(id: BatchId) -> SubmitBatch {
    let key = job_key(id);
    SubmitBatch {
        batch: new_batch(id),
        due: due_now(&key),
        job: new_job(key),
        token: token(),
    }
}

pub(super) async fn submitted(store: &dyn Store) -> SubmitBatch {
    let submit = submission();
    apply(store, &submit).await;
    submit
}

pub(super) fn claim_job(key: &JobKey, seen_fence: i64, holder: &Holder) -> ClaimJob {
    ClaimJob {
        cut_short: None,
        key: key.clone(),
        seen_status: JobStatus::Waiting,
        seen_fence,
        holder: holder.clone(),
        now: now(),
        due: due_now(key),
        token: token(),
    }
}

/// The successful end of a run, with its history row.
pub(super) fn end_job(key: &JobKey, fence: i64, holder: &Holder) -> EndJob {
    let job = Job {
        status: JobStatus::InProcess,
        fence,
        ..new_job(key.clone())
    };
    EndJob {
        output: Some("the output".to_owned()),
        run: Some(run_of(key, fence, holder, now())),
        ..EndJob::of(&job, holder.clone(), JobStatus::Processed, now(), token())
    }
}

/// The release of a job whose run has not finished.
pub(super) fn release_job(key: &JobKey, fence: i64, holder: &Holder) -> EndJob {
    EndJob {
        to: JobStatus::Waiting,
        to_fence: fence + 1,
        output: None,
        due: Some(due_now(key)),
        run: None,
        ..end_job(key, fence, holder)
    }
}

pub(super) fn run_of(key: &JobKey, fence: i64, holder: &Holder, started: Timestamp) -> JobRun {
    JobRun {
        key: key.clone(),
        started,
        ended: Timestamp(started.0 + 1_000),
        fence,
        node: holder.node.clone(),
        status: JobStatus::Processed,
        attempt: 2,
        planned: Some(Timestamp(started.0 - 1)),
        exit_code: Some(7),
        error: None,
        output: Some("the output".to_owned()),
    }
}

pub(super) fn claim_batch(id: BatchId, seen_fence: i64, holder: &Holder) -> ClaimBatch {
    ClaimBatch {
        id,
        seen_fence,
        to_fence: seen_fence + 1,
        holder: holder.clone(),
        token: token(),
    }
}

/// A batch and its job, both owned by a node under fence 1.
pub(super) struct Owned {
    pub(super) id: BatchId,
    pub(super) key: JobKey,
    pub(super) holder: Holder,
    pub(super) submit: SubmitBatch,
}

impl Owned {
    /// Submits the batch, claims its job and claims the batch, which stays WAITING_FOR_JOB.
    pub(super) async fn new(store: &dyn Store) -> Self {
        let submit = submitted(store).await;
        let id = submit.batch.id;
        let key = submit.job.key.clone();
        let holder = holder("owner");
        apply(store, &claim_job(&key, 0, &holder)).await;
        apply(store, &claim_batch(id, 0, &holder)).await;
        Self {
            id,
            key,
            holder,
            submit,
        }
    }

    /// Like [`Owned::new`], with the batch moved to GENERATE_IID.
    pub(super) async fn generating(store: &dyn Store) -> Self {
        let owned = Self::new(store).await;
        let taken = owned.change(BatchStatus::WaitingForJob, BatchSet::taken());
        apply(store, &taken).await;
        let generating = owned.change(BatchStatus::New, BatchSet::generating(now()));
        apply(store, &generating).await;
        owned
    }

    /// Like [`Owned::new`], with the batch moved to IN_PROGRESS.
    pub(super) async fn in_progress(store: &dyn Store) -> Self {
        let owned = Self::generating(store).await;
        let complete = owned.change(BatchStatus::GenerateIid, BatchSet::list_complete(1, 100, 2));
        apply(store, &complete).await;
        owned
    }

    pub(super) fn guard(&self, status: BatchStatus) -> BatchGuard {
        BatchGuard {
            id: self.id,
            holder: self.holder.clone(),
            fence: 1,
            status,
            desired_seq: 0,
        }
    }

    pub(super) fn change(&self, from: BatchStatus, to: BatchSet) -> MoveBatch {
        MoveBatch {
            guard: self.guard(from),
            to,
            token: token(),
        }
    }

    pub(super) fn done(&self) -> MoveBatch {
        self.change(
            BatchStatus::InProgress,
            BatchSet::ended(
                BatchStatus::Done,
                now(),
                None,
                r#"{"slowestProcessed":[]}"#.to_owned(),
                statistics(),
            ),
        )
    }

    pub(super) fn finish(&self) -> FinishBatch {
        FinishBatch {
            batch: self.done(),
            job: end_job(&self.key, 1, &self.holder),
        }
    }

    pub(super) async fn batch(&self, store: &dyn Store) -> Batch {
        the_batch(store, self.id).await
    }

    pub(super) async fn job(&self, store: &dyn Store) -> Job {
        the_job(store, &self.key).await
    }
}

pub(super) async fn the_batch(store: &dyn Store, id: BatchId) -> Batch {
    store
        .batch(id, Freshness::Serial)
        .await
        .expect("the batch can be read")
        .expect("there is a batch")
}

pub(super) async fn the_job(store: &dyn Store, key: &JobKey) -> Job {
    store
        .job(key, Freshness::Serial)
        .await
        .expect("the job can be read")
        .expect("there is a job")
}

pub(super) fn share(succeeded: i64, failed: i64) -> NodeShare {
    NodeShare {
        succeeded,
        failed,
        aggregated: BTreeMap::from([
            ("Added".to_owned(), succeeded),
            ("Ünchanged \"x\"".to_owned(), failed),
        ]),
        first_start: Some(Timestamp(1_600_000_000_123)),
        last_end: Some(Timestamp(1_600_000_009_456)),
    }
}

pub(super) fn statistics() -> BatchStatistics {
    BatchStatistics {
        nodes: BTreeMap::from([
            (NodeId("node-a".to_owned()), share(90, 1)),
            (NodeId("node-b".to_owned()), share(3, 6)),
        ]),
        trial: None,
        percentiles_us: BTreeMap::from([("p50".to_owned(), 1_200), ("p99".to_owned(), 99_000)]),
    }
}

/// `count` ids whose text order differs from their numeric order.
pub(super) fn entity_ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("id-{number}")).collect()
}

pub(super) fn open_chunk(batch: BatchId, number: i64, ids: Vec<String>) -> OpenChunk {
    OpenChunk {
        batch,
        number,
        state: ChunkState::New,
        holder: None,
        ids,
        source_position: Some(format!("offset {number}")),
        source_read: Some(number * 1_000 + 7),
        token: token(),
    }
}

pub(super) fn void_chunk(batch: BatchId, number: i64) -> OpenChunk {
    OpenChunk {
        state: ChunkState::Void,
        source_position: None,
        source_read: None,
        ..open_chunk(batch, number, Vec::new())
    }
}

pub(super) fn claim_chunk(
    batch: BatchId,
    number: i64,
    seen_fence: i64,
    holder: &Holder,
) -> ClaimChunk {
    ClaimChunk {
        batch,
        number,
        seen_fence,
        holder: holder.clone(),
        crashes: 0,
        token: token(),
    }
}

pub(super) fn entity(id: &str, node: &Holder, fence: i64) -> EntityRow {
    EntityRow {
        id: id.to_owned(),
        status: EntityStatus::Completed,
        result: Some(r#"{"Added":1,"Updated":0,"Unchanged":0}"#.to_owned()),
        error: None,
        node: node.node.clone(),
        start_time: Timestamp(1_700_000_000_001),
        end_time: Timestamp(1_700_000_000_042),
        duration_us: 41_321,
        attempt: 1,
        fence,
    }
}

pub(super) fn failed_entity(id: &str, node: &Holder, fence: i64) -> EntityRow {
    EntityRow {
        status: EntityStatus::Failed,
        result: None,
        error: Some("it's \"broken\": ü\nline 2".to_owned()),
        ..entity(id, node, fence)
    }
}

/// Chunk 0 of a new batch, claimed under fence 2.
pub(super) struct Held {
    pub(super) batch: BatchId,
    pub(super) worker: Holder,
    pub(super) ids: Vec<String>,
}

impl Held {
    pub(super) async fn new(store: &dyn Store, count: usize) -> Self {
        Self::with_ids(store, entity_ids(count)).await
    }

    pub(super) async fn with_ids(store: &dyn Store, ids: Vec<String>) -> Self {
        let batch = batch_id();
        let worker = holder("worker");
        apply(store, &open_chunk(batch, 0, ids.clone())).await;
        apply(store, &claim_chunk(batch, 0, 1, &worker)).await;
        Self { batch, worker, ids }
    }

    /// Flush number `seq` under fence 2, which records the ids in `which` as completed.
    pub(super) fn flush(&self, seq: i64, which: std::ops::Range<usize>) -> FlushChunk {
        let ended = i64::try_from(which.end).expect("a chunk is small");
        FlushChunk {
            crashes: 0,
            batch: self.batch,
            number: 0,
            holder: self.worker.clone(),
            fence: 2,
            seq,
            rows: self.ids[which.clone()]
                .iter()
                .map(|id| entity(id, &self.worker, 2))
                .collect(),
            ok: ended,
            failed: 0,
            shares: BTreeMap::from([(self.worker.node.clone(), share(ended, 0))]),
            done: which.end == self.ids.len(),
            logical_unit: "Conformance".to_owned(),
            instances: Vec::new(),
            token: token(),
        }
    }

    pub(super) async fn head(&self, store: &dyn Store) -> ChunkHead {
        the_head(store, self.batch, 0).await
    }

    pub(super) async fn content(&self, store: &dyn Store) -> ChunkContent {
        the_chunk(store, self.batch, 0).await
    }

    /// Reads the entity rows, by id.
    pub(super) async fn entities(&self, store: &dyn Store) -> BTreeMap<String, EntityRow> {
        let rows = store
            .entities(self.batch, 0)
            .await
            .expect("entities can be read");
        let count = rows.len();
        let by_id: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        assert_eq!(by_id.len(), count, "an entity has more than one row");
        by_id
    }
}

pub(super) async fn the_chunk(store: &dyn Store, batch: BatchId, number: i64) -> ChunkContent {
    store
        .chunk(batch, number)
        .await
        .expect("the chunk can be read")
        .expect("there is a chunk")
}

pub(super) async fn the_head(store: &dyn Store, batch: BatchId, number: i64) -> ChunkHead {
    the_chunk(store, batch, number).await.head
}

/// A trigger state without empty fields.
pub(super) fn triggers() -> TriggerState {
    let mark = EndMark {
        uid: "u".to_owned(),
        created: Timestamp(5),
        run: 3,
    };
    let mut triggers = TriggerState {
        met: BTreeSet::from([("t".to_owned(), "c".to_owned())]),
        known_ends: BTreeMap::from([("c".to_owned(), vec![mark.clone()])]),
        fired_for: Some(Timestamp(6)),
        pending_notifications: Vec::new(),
    };
    let outcome = RunOutcome::Failed;
    triggers.add_pending(JobEnd { mark, outcome });
    triggers
}
