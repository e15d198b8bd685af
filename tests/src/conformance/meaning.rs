//! After an operation, the stored row equals what the operation's `apply` makes of the previous row.

use weft_model::clock::Timestamp;
use weft_model::schedule::JobPolicy;
use weft_model::{
    BatchDesired, BatchStatus, ChunkState, FilledChunks, Job, JobDesired, JobKey, JobStatus,
};
use weft_store::{
    BatchGuard, BatchSet, ChangeChunk, ClaimCommand, DeleteBatch, DeleteJob, EndJob,
    ForgetCheckpoints, JobDefinition, JobSeen, MoveBatch, ReleaseCommand, RequestBatch, RequestJob,
    ReserveChunks, SaveBatchStatistics, SaveCheckpoints, SharedStore, Store, TakeCheckpoints,
    WriteJob,
};

use super::becomes::becomes;
use super::claims;
use super::fixture::*;

claims!(
    a_batch_becomes_what_each_operation_says,
    a_failing_and_a_removed_batch_become_what_their_operations_say,
    a_job_becomes_what_each_operation_says,
    a_chunk_becomes_what_each_operation_says,
    a_scope_becomes_what_each_operation_says,
    a_command_becomes_what_each_operation_says,
);

/// The guard of the owner for the current row.
async fn guard(store: &dyn Store, owned: &Owned) -> BatchGuard {
    let batch = owned.batch(store).await;
    BatchGuard {
        id: batch.id,
        holder: owned.holder.clone(),
        fence: batch.fence,
        status: batch.status,
        desired_seq: batch.desired_seq,
    }
}

async fn moved(store: &dyn Store, owned: &Owned, to: BatchSet) {
    let change = MoveBatch {
        guard: guard(store, owned).await,
        to,
        token: token(),
    };
    becomes(store, &change).await;
}

async fn requested(store: &dyn Store, owned: &Owned, desired: BatchDesired) {
    let batch = owned.batch(store).await;
    let request = RequestBatch {
        id: batch.id,
        desired,
        seq: batch.desired_seq + 1,
        allowed: vec![BatchStatus::New, batch.status],
        due: Some(due_now(&owned.key)),
        token: token(),
    };
    becomes(store, &request).await;
}

async fn a_batch_becomes_what_each_operation_says(store: SharedStore) {
    let store = store.as_ref();
    becomes(store, &submission()).await;
    let owned = Owned::new(store).await;
    becomes(store, &claim_batch(owned.id, 1, &owned.holder)).await;
    moved(store, &owned, BatchSet::taken()).await;
    moved(store, &owned, BatchSet::generating(now())).await;
    let reserve = ReserveChunks {
        guard: guard(store, &owned).await,
        from: 0,
        to: 16,
        filled: FilledChunks {
            chunks: 3,
            entities: 77,
        },
        token: token(),
    };
    becomes(store, &reserve).await;
    moved(store, &owned, BatchSet::list_complete(5, 100, 2)).await;
    let filled = FilledChunks {
        chunks: 16,
        entities: 100,
    };
    moved(store, &owned, BatchSet::list_reopened(filled)).await;
    moved(store, &owned, BatchSet::list_complete(20, 100, 2)).await;
    let save = SaveBatchStatistics {
        guard: guard(store, &owned).await,
        seq: 1,
        extra_stats: r#"{"slowestProcessed":[]}"#.to_owned(),
        statistics: statistics(),
        token: token(),
    };
    becomes(store, &save).await;
    requested(store, &owned, BatchDesired::Pause).await;
    moved(store, &owned, owned.done().to).await;
}

async fn a_failing_and_a_removed_batch_become_what_their_operations_say(store: SharedStore) {
    let store = store.as_ref();
    let owned = Owned::in_progress(store).await;
    let failing = BatchSet::failing(BatchStatus::InProgress, "it's \"broken\": ü".to_owned());
    moved(store, &owned, failing).await;
    let ended = BatchSet {
        status: BatchStatus::Failed,
        ..owned.done().to
    };
    moved(store, &owned, ended).await;
    requested(store, &owned, BatchDesired::Remove).await;
    let batch = owned.batch(store).await;
    let delete = DeleteBatch {
        id: batch.id,
        creation_time: batch.creation_time,
        seen_status: batch.status,
        seen_fence: batch.fence,
        desired_seq: batch.desired_seq,
    };
    assert_eq!(becomes(store, &delete).await, None);
}

async fn a_job_becomes_what_each_operation_says(store: SharedStore) {
    let store = store.as_ref();
    let holder = holder("owner");
    let key = JobKey {
        uid: own_text("uid"),
        ..job_key(batch_id())
    };
    let write = WriteJob::of(new_job(key.clone()), None, now(), token());
    becomes(store, &write).await;
    let job = becomes(store, &claim_job(&key, 0, &holder)).await;
    let job = job.expect("a row");
    let plain = RequestJob::of(&job, JobDesired::Run, JobStatus::InProcess, token());
    let job = becomes(store, &plain).await.expect("a row");
    let changing = RequestJob {
        definition: Some(JobDefinition {
            affinity: vec!["DC2".to_owned()],
            arguments: r#"{"other":1}"#.to_owned(),
            execution_interval: Some("every 5 minutes".to_owned()),
            policy: JobPolicy {
                max_attempts: 3,
                ..JobPolicy::default()
            },
            triggers: triggers(),
        }),
        ..RequestJob::of(&job, JobDesired::Restart, JobStatus::Restart, token())
    };
    let job = becomes(store, &changing).await.expect("a row");
    let release = EndJob {
        to_fence: job.fence + 1,
        desired: JobDesired::Run,
        forget_worker: true,
        error: Some("{}".to_owned()),
        tries: 2,
        next_run: Some(Timestamp(now().0 + 60_000)),
        planned_run: Some(Timestamp(now().0 + 50_000)),
        notes: Some("waits".to_owned()),
        due: Some(due_now(&key)),
        ..EndJob::of(&job, holder.clone(), JobStatus::Waiting, now(), token())
    };
    let job = becomes(store, &release).await.expect("a row");
    let job = becomes(store, &claim_job(&key, job.fence, &holder)).await;
    let job = job.expect("a row");
    let end = EndJob {
        output: Some("the output".to_owned()),
        runs: 5,
        run: Some(run_of(&key, job.fence, &holder, now())),
        ..EndJob::of(&job, holder.clone(), JobStatus::Processed, now(), token())
    };
    let job = becomes(store, &end).await.expect("a row");
    let started_again = Job {
        fence: job.fence + 1,
        status: JobStatus::Terminated,
        ..job.clone()
    };
    let write = WriteJob::of(started_again, Some(JobSeen::of(&job)), now(), token());
    let job = becomes(store, &write).await.expect("a row");
    let delete = DeleteJob::of(&job).expect("it has ended");
    assert_eq!(becomes(store, &delete).await, None);
}

async fn a_chunk_becomes_what_each_operation_says(store: SharedStore) {
    let store = store.as_ref();
    let (batch, worker) = (batch_id(), holder("worker"));
    let held = Held {
        batch,
        worker: worker.clone(),
        ids: entity_ids(4),
    };
    becomes(store, &open_chunk(batch, 0, held.ids.clone())).await;
    becomes(store, &void_chunk(batch, 1)).await;
    becomes(store, &claim_chunk(batch, 0, 1, &worker)).await;
    becomes(store, &held.flush(1, 0..2)).await;
    let release = ChangeChunk {
        batch,
        number: 0,
        from: ChunkState::InProgress,
        seen_fence: 2,
        to: ChunkState::New,
        token: token(),
    };
    becomes(store, &release).await;
    let mut claim = claim_chunk(batch, 0, 3, &worker);
    claim.crashes = 2;
    becomes(store, &claim).await;
    let mut last = held.flush(2, 2..4);
    last.fence = 4;
    becomes(store, &last).await;
}

async fn a_scope_becomes_what_each_operation_says(store: SharedStore) {
    let store = store.as_ref();
    let scope = own_text("scope");
    let take = |seen| TakeCheckpoints {
        scope: scope.clone(),
        holder: own_text("run"),
        seen,
        token: token(),
    };
    becomes(store, &take(None)).await;
    becomes(store, &take(Some(1))).await;
    let save = SaveCheckpoints {
        scope: scope.clone(),
        fence: 2,
        seq: 0,
        puts: vec![("a".to_owned(), "1".to_owned())],
        removes: Vec::new(),
        now: now(),
        token: token(),
    };
    becomes(store, &save).await;
    let forget = ForgetCheckpoints {
        scope: scope.clone(),
        fence: 2,
        seq: 1,
        token: token(),
    };
    becomes(store, &forget).await;
}

async fn a_command_becomes_what_each_operation_says(store: SharedStore) {
    let store = store.as_ref();
    let command_key = own_text("command");
    let claim = |batch, replaces| ClaimCommand {
        command_key: command_key.clone(),
        batch,
        replaces,
    };
    let (first, second) = (batch_id(), batch_id());
    becomes(store, &claim(first, None)).await;
    becomes(store, &claim(second, Some(first))).await;
    let release = ReleaseCommand {
        command_key: command_key.clone(),
        batch: second,
    };
    becomes(store, &release).await;
}
