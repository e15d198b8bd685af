//! Clean-up: what is removed and what must stay.

use weft_model::clock::Timestamp;
use weft_model::{BatchDesired, BatchStatus, Job, JobStatus, NodeShare, NodeStats};
use weft_store::{
    ClaimCommand, DeleteBatch, DeleteJob, Freshness, JobSeen, ListBatches, ListJobs,
    ReleaseCommand, RequestBatch, SharedStore, Store, WriteJob,
};

use super::claims;
use super::fixture::*;

claims!(
    an_archived_job_is_removed_with_its_name_and_history,
    a_removal_sent_twice_is_one,
    a_job_that_was_resumed_is_not_removed,
    a_removal_that_saw_another_writer_is_lost,
    a_delayed_removal_spares_a_job_started_anew,
    old_runs_are_forgotten_and_young_ones_stay,
    a_marked_batch_is_removed_whole,
    a_batch_with_a_newer_request_is_not_removed,
    a_batch_without_a_row_is_removed_from_the_list,
    chunks_outside_the_span_stay,
    a_command_is_released_by_the_batch_that_it_names,
);

/// A job with a unique name that ran once and ended.
async fn ended(store: &dyn Store) -> Job {
    let mut submit = submission();
    submit.job.key.name = own_text("BATCH");
    submit.due.key = submit.job.key.clone();
    apply(store, &submit).await;
    run_to_its_end(store, &submit.job).await
}

async fn run_to_its_end(store: &dyn Store, job: &Job) -> Job {
    let holder = holder("runner");
    apply(store, &claim_job(&job.key, job.fence, &holder)).await;
    apply(store, &end_job(&job.key, job.fence + 1, &holder)).await;
    the_job(store, &job.key).await
}

fn removal_of(job: &Job) -> DeleteJob {
    DeleteJob::of(job).expect("the job has ended")
}

async fn named(store: &dyn Store, job: &Job) -> usize {
    let list = ListJobs {
        job_type: Some(job.key.job_type.clone()),
        name: Some(job.key.name.clone()),
        limit: 10,
        ..ListJobs::default()
    };
    store.jobs(&list).await.expect("readable").jobs.len()
}

async fn runs(store: &dyn Store, job: &Job) -> usize {
    store.job_runs(&job.key, 10).await.expect("readable").len()
}

async fn is_gone(store: &dyn Store, job: &Job) -> bool {
    let found = store.job(&job.key, Freshness::Serial).await;
    found.expect("readable").is_none()
}

async fn an_archived_job_is_removed_with_its_name_and_history(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    assert_eq!(runs(store.as_ref(), &job).await, 1);
    apply(store.as_ref(), &removal_of(&job)).await;
    assert!(is_gone(store.as_ref(), &job).await);
    assert_eq!(named(store.as_ref(), &job).await, 0);
    assert_eq!(runs(store.as_ref(), &job).await, 0);
}

async fn a_removal_sent_twice_is_one(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    apply(store.as_ref(), &removal_of(&job)).await;
    apply(store.as_ref(), &removal_of(&job)).await;
    assert!(is_gone(store.as_ref(), &job).await);
}

fn resumed(job: &Job) -> WriteJob {
    WriteJob {
        job: Job {
            status: JobStatus::Waiting,
            archived: false,
            fence: job.fence + 1,
            ..job.clone()
        },
        seen: Some(JobSeen::of(job)),
        due: Some(due_now(&job.key)),
        token: token(),
    }
}

async fn a_job_that_was_resumed_is_not_removed(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    apply(store.as_ref(), &resumed(&job)).await;
    let found = lose(store.as_ref(), &removal_of(&job)).await;
    assert_eq!(found.map(|found| found.status), Some(JobStatus::Waiting));
    assert_eq!(named(store.as_ref(), &job).await, 1);
    assert_eq!(runs(store.as_ref(), &job).await, 1);
}

async fn a_removal_that_saw_another_writer_is_lost(store: SharedStore) {
    let job = ended(store.as_ref()).await;
    let removal = DeleteJob {
        seen_token: Some(token()),
        ..removal_of(&job)
    };
    lose(store.as_ref(), &removal).await;
    assert!(!is_gone(store.as_ref(), &job).await);
}

async fn a_delayed_removal_spares_a_job_started_anew(store: SharedStore) {
    let first = ended(store.as_ref()).await;
    let removal = removal_of(&first);
    apply(store.as_ref(), &removal).await;
    // Started again, the job reaches the same status, fence and request that the removal saw.
    let again = WriteJob {
        job: Job {
            creation_time: now(),
            ..new_job(first.key.clone())
        },
        seen: None,
        due: Some(due_now(&first.key)),
        token: token(),
    };
    apply(store.as_ref(), &again).await;
    let second = run_to_its_end(store.as_ref(), &again.job).await;
    assert_eq!(JobSeen::of(&second), JobSeen::of(&first));
    lose(store.as_ref(), &removal).await;
    assert!(!is_gone(store.as_ref(), &second).await);
    assert_eq!(named(store.as_ref(), &second).await, 1);
    assert_eq!(runs(store.as_ref(), &second).await, 1);
}

async fn old_runs_are_forgotten_and_young_ones_stay(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let key = submit.job.key.clone();
    let base = now().0;
    let mut fence = 0;
    for minutes in [90, 60, 30] {
        let holder = holder("runner");
        apply(store.as_ref(), &claim_job(&key, fence, &holder)).await;
        let mut end = release_job(&key, fence + 1, &holder);
        let started = Timestamp(base - minutes * 60_000);
        end.run = Some(run_of(&key, fence + 1, &holder, started));
        apply(store.as_ref(), &end).await;
        fence += 2;
    }
    let before = Timestamp(base - 60 * 60_000);
    let forgotten = store.forget_runs(&key, before).await.expect("writable");
    assert_eq!(forgotten, 1);
    let left = store.job_runs(&key, 10).await.expect("readable");
    assert!(left.iter().all(|run| run.started >= before));
    assert_eq!(left.len(), 2);
    assert_eq!(store.forget_runs(&key, before).await.expect("writable"), 0);
}

/// An ended batch with figures and two chunks, one of which has records.
async fn ended_batch(store: &dyn Store) -> Owned {
    let owned = Owned::in_progress(store).await;
    let ids = entity_ids(3);
    for number in [0, 1] {
        apply(store, &open_chunk(owned.id, number, ids.clone())).await;
    }
    let worker = holder("worker");
    apply(store, &claim_chunk(owned.id, 0, 1, &worker)).await;
    let held = Held {
        batch: owned.id,
        worker: worker.clone(),
        ids,
    };
    let mut flush = held.flush(1, 0..3);
    flush.rows[0] = failed_entity(&held.ids[0], &worker, 2);
    (flush.ok, flush.failed) = (2, 1);
    apply(store, &flush).await;
    let stats = NodeStats {
        batch: owned.id,
        node: worker.node.clone(),
        dc: "DC1".to_owned(),
        updated_time: now(),
        share: NodeShare::default(),
        slowest: Vec::new(),
        histogram: None,
        pace_milli: 0,
        in_process: Vec::new(),
    };
    store.put_node_stats(&stats).await.expect("writable");
    apply(store, &owned.finish()).await;
    owned
}

fn mark(owned: &Owned) -> RequestBatch {
    RequestBatch {
        id: owned.id,
        desired: BatchDesired::Remove,
        seq: 1,
        allowed: vec![BatchStatus::Done],
        due: None,
        token: token(),
    }
}

fn last_step(owned: &Owned) -> DeleteBatch {
    DeleteBatch {
        id: owned.id,
        creation_time: owned.submit.batch.creation_time,
        seen_status: BatchStatus::Done,
        seen_fence: 1,
        desired_seq: 1,
    }
}

async fn is_listed(store: &dyn Store, owned: &Owned) -> bool {
    let created = owned.submit.batch.creation_time;
    let list = ListBatches {
        from: created,
        to: Timestamp(created.0 + 1),
        before: None,
        limit: 1_000,
    };
    let page = store.batches(&list).await.expect("readable");
    page.listings.iter().any(|listing| listing.id == owned.id)
}

async fn a_marked_batch_is_removed_whole(store: SharedStore) {
    let owned = ended_batch(store.as_ref()).await;
    apply(store.as_ref(), &mark(&owned)).await;
    assert_eq!(
        owned.batch(store.as_ref()).await.desired,
        BatchDesired::Remove
    );
    assert!(is_listed(store.as_ref(), &owned).await);
    store.forget_chunks(owned.id, 0, 2).await.expect("writable");
    apply(store.as_ref(), &last_step(&owned)).await;
    let row = store.batch(owned.id, Freshness::Serial).await;
    assert_eq!(row.expect("readable"), None);
    let heads = store.chunk_heads(owned.id, 0, 64).await.expect("readable");
    assert_eq!(heads, []);
    assert_eq!(store.chunk(owned.id, 0).await.expect("readable"), None);
    let rows = store.entities(owned.id, 0).await.expect("readable");
    assert_eq!(rows, []);
    let figures = store.node_stats(owned.id).await.expect("readable");
    assert_eq!(figures, []);
    assert!(!is_listed(store.as_ref(), &owned).await);
}

async fn a_batch_with_a_newer_request_is_not_removed(store: SharedStore) {
    let owned = ended_batch(store.as_ref()).await;
    let request = RequestBatch {
        desired: BatchDesired::Run,
        ..mark(&owned)
    };
    apply(store.as_ref(), &request).await;
    lose(store.as_ref(), &mark(&owned)).await;
    let stale = DeleteBatch {
        desired_seq: 0,
        ..last_step(&owned)
    };
    lose(store.as_ref(), &stale).await;
    assert_eq!(owned.batch(store.as_ref()).await.status, BatchStatus::Done);
    assert!(is_listed(store.as_ref(), &owned).await);
}

async fn a_batch_without_a_row_is_removed_from_the_list(store: SharedStore) {
    let owned = ended_batch(store.as_ref()).await;
    apply(store.as_ref(), &mark(&owned)).await;
    apply(store.as_ref(), &last_step(&owned)).await;
    apply(store.as_ref(), &last_step(&owned)).await;
    assert!(!is_listed(store.as_ref(), &owned).await);
}

async fn chunks_outside_the_span_stay(store: SharedStore) {
    let (one, other) = (batch_id(), batch_id());
    for number in 0..4 {
        apply(store.as_ref(), &open_chunk(one, number, entity_ids(2))).await;
    }
    apply(store.as_ref(), &open_chunk(other, 1, entity_ids(2))).await;
    store.forget_chunks(one, 1, 3).await.expect("writable");
    let heads = store.chunk_heads(one, 0, 64).await.expect("readable");
    let numbers: Vec<i64> = heads.iter().map(|head| head.number).collect();
    assert_eq!(numbers, [0, 3]);
    let heads = store.chunk_heads(other, 0, 64).await.expect("readable");
    assert_eq!(heads.len(), 1);
}

async fn a_command_is_released_by_the_batch_that_it_names(store: SharedStore) {
    let (one, other) = (batch_id(), batch_id());
    let command_key = own_text("command");
    let claim = |batch, replaces| ClaimCommand {
        command_key: command_key.clone(),
        batch,
        replaces,
    };
    let release = |batch| ReleaseCommand {
        command_key: command_key.clone(),
        batch,
    };
    apply(store.as_ref(), &release(one)).await;
    apply(store.as_ref(), &claim(one, None)).await;
    assert_eq!(lose(store.as_ref(), &release(other)).await, Some(one));
    apply(store.as_ref(), &release(one)).await;
    let named = store.active_command(&command_key).await;
    assert_eq!(named.expect("readable"), None);
    apply(store.as_ref(), &claim(other, None)).await;
    // A delayed copy of the release finds another batch and is lost.
    assert_eq!(lose(store.as_ref(), &release(one)).await, Some(other));
    let named = store.active_command(&command_key).await;
    assert_eq!(named.expect("readable"), Some(other));
}
