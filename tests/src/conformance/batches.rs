//! Batches: submission, claim, moves, requests and end.

use weft_model::{Batch, BatchDesired, BatchStatus, DueHint, FilledChunks, JobStatus};
use weft_store::{
    BatchGuard, BatchSet, ClaimBatch, ClaimCommand, FinishLost, Freshness, MoveBatch, RequestBatch,
    ReserveChunks, SaveBatchStatistics, SharedStore, SubmitBatch, SubmitLost,
};

use super::claims;
use super::fixture::*;

claims!(
    a_submitted_batch_is_read_back_whole,
    a_missing_batch_is_none,
    a_batch_id_is_submitted_once,
    of_many_submissions_of_one_id_one_wins,
    submit_continues_after_its_first_half,
    a_taken_job_key_is_lost_behind_the_batch_row,
    a_submission_writes_its_hint,
    of_many_owners_one_wins,
    a_claim_of_a_batch_sets_owner_and_fence,
    a_claim_of_a_batch_with_an_old_fence_is_lost,
    a_claim_under_the_fence_it_saw_is_not_applied,
    a_claim_of_a_missing_batch_finds_nothing,
    a_move_writes_what_it_sets_and_leaves_the_rest,
    a_move_by_another_incarnation_is_lost,
    a_move_under_an_older_fence_is_lost,
    a_move_from_another_status_is_lost,
    a_move_with_an_old_desired_seq_is_lost,
    a_zombie_move_cannot_undo_a_later_one,
    a_failing_batch_requests_its_own_end,
    the_end_of_a_batch_releases_it,
    reserve_raises_the_number_of_chunks,
    reserve_with_old_chunks_is_lost,
    reserve_after_a_takeover_is_lost,
    statistics_are_read_back_whole,
    statistics_with_an_old_seq_are_lost,
    a_request_sets_the_desired_state,
    a_request_leaves_the_owner_alone,
    request_with_an_old_seq_is_lost,
    a_request_in_another_status_is_lost,
    of_many_requests_one_wins,
    a_request_writes_its_hint,
    finish_batch_ends_both_rows,
    finish_lost_on_the_batch_leaves_the_job,
    finish_lost_on_job_leaves_the_batch_ended,
    finish_continues_after_its_first_half,
    a_free_command_is_claimed,
    a_command_that_is_claimed_names_its_batch,
    a_command_of_an_ended_batch_is_swapped,
    of_many_claims_of_a_command_one_wins,
);

async fn a_submitted_batch_is_read_back_whole(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let expected = Batch {
        op_token: Some(submit.token),
        ..submit.batch.clone()
    };
    for freshness in [Freshness::Committed, Freshness::Serial] {
        let found = store.batch(submit.batch.id, freshness).await;
        assert_eq!(found.expect("readable"), Some(expected.clone()));
    }
}

async fn a_missing_batch_is_none(store: SharedStore) {
    for freshness in [Freshness::Committed, Freshness::Serial] {
        let found = store.batch(batch_id(), freshness).await;
        assert_eq!(found.expect("readable"), None);
    }
}

async fn a_batch_id_is_submitted_once(store: SharedStore) {
    let first = submitted(store.as_ref()).await;
    let mut second = submission_of(first.batch.id);
    second.batch.command = "BATCH Other …".to_owned();
    match lose(store.as_ref(), &second).await {
        SubmitLost::Batch(found) => assert_eq!(found.op_token, Some(first.token)),
        SubmitLost::Job(_) => panic!("the batch row has to refuse first"),
    }
    let batch = the_batch(store.as_ref(), first.batch.id).await;
    assert_eq!(batch.command, first.batch.command);
}

async fn of_many_submissions_of_one_id_one_wins(store: SharedStore) {
    let id = batch_id();
    let submissions: Vec<_> = (0..8).map(|_| submission_of(id)).collect();
    assert_eq!(winners(&store, &submissions).await, 1);
}

async fn submit_continues_after_its_first_half(store: SharedStore) {
    // The batch row is stored, but the job row is lost to the job of another submission.
    let other = submitted(store.as_ref()).await;
    let whole = submission();
    let half = SubmitBatch {
        job: new_job(other.job.key.clone()),
        ..whole.clone()
    };
    lose(store.as_ref(), &half).await;
    apply(store.as_ref(), &whole).await;
    let job = the_job(store.as_ref(), &whole.job.key).await;
    assert_eq!(job.op_token, Some(whole.token));
}

async fn a_taken_job_key_is_lost_behind_the_batch_row(store: SharedStore) {
    let other = submitted(store.as_ref()).await;
    let mut submit = submission();
    submit.job.key = other.job.key.clone();
    match lose(store.as_ref(), &submit).await {
        SubmitLost::Job(found) => assert_eq!(found.op_token, Some(other.token)),
        SubmitLost::Batch(_) => panic!("the batch id is free"),
    }
    let batch = the_batch(store.as_ref(), submit.batch.id).await;
    assert_eq!(batch.status, BatchStatus::WaitingForJob);
}

async fn a_submission_writes_its_hint(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let at = submit.due.due_at;
    let hints = store
        .due(&DueHint::first_at(at), at, 100_000)
        .await
        .expect("readable");
    assert!(hints.contains(&submit.due));
}

async fn of_many_owners_one_wins(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let claims: Vec<ClaimBatch> = (0..8)
        .map(|_| claim_batch(submit.batch.id, 0, &holder("owner")))
        .collect();
    assert_eq!(winners(&store, &claims).await, 1);
}

async fn a_claim_of_a_batch_sets_owner_and_fence(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let me = holder("me");
    let claim = ClaimBatch {
        to_fence: 7,
        ..claim_batch(submit.batch.id, 0, &me)
    };
    apply(store.as_ref(), &claim).await;
    let batch = the_batch(store.as_ref(), submit.batch.id).await;
    assert_eq!((batch.fence, batch.holder()), (7, Some(me)));
    assert_eq!(batch.status, BatchStatus::WaitingForJob);
    assert_eq!(batch.spec, submit.batch.spec);
}

async fn a_claim_of_a_batch_with_an_old_fence_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let late = ClaimBatch {
        to_fence: 9,
        ..claim_batch(owned.id, 0, &holder("late"))
    };
    let found = lose(store.as_ref(), &late).await.expect("the row is shown");
    assert_eq!(found.holder(), Some(owned.holder.clone()));
}

async fn a_claim_under_the_fence_it_saw_is_not_applied(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let claim = ClaimBatch {
        to_fence: 1,
        ..claim_batch(owned.id, 1, &holder("equal"))
    };
    // A store may also refuse it as a programming error.
    let answer = store.claim_batch(&claim).await;
    assert!(!matches!(answer, Ok(weft_store::Attempt::Applied)));
    assert_eq!(
        owned.batch(store.as_ref()).await.holder(),
        Some(owned.holder.clone())
    );
}

async fn a_claim_of_a_missing_batch_finds_nothing(store: SharedStore) {
    let claim = claim_batch(batch_id(), 0, &holder("me"));
    assert_eq!(lose(store.as_ref(), &claim).await, None);
    let found = store.batch(claim.id, Freshness::Serial).await;
    assert_eq!(found.expect("readable"), None);
}

async fn a_move_writes_what_it_sets_and_leaves_the_rest(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.status, BatchStatus::InProgress);
    assert_eq!((batch.total_entities, batch.duplicates), (Some(100), 2));
    assert!(batch.start_time.is_some());
    assert_eq!(batch.end_time, None);
    assert_eq!(batch.holder(), Some(owned.holder.clone()));
    assert_eq!(batch.command, owned.submit.batch.command);
    assert_eq!(batch.desired_seq, 0);
}

async fn a_move_by_another_incarnation_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let change = MoveBatch {
        guard: BatchGuard {
            holder: next_incarnation(&owned.holder),
            ..owned.guard(BatchStatus::WaitingForJob)
        },
        to: BatchSet::taken(),
        token: token(),
    };
    let found = lose(store.as_ref(), &change)
        .await
        .expect("the row is shown");
    assert_eq!(found.status, BatchStatus::WaitingForJob);
}

async fn a_move_under_an_older_fence_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    // The same incarnation claims the batch again.
    apply(store.as_ref(), &claim_batch(owned.id, 1, &owned.holder)).await;
    let change = owned.change(BatchStatus::WaitingForJob, BatchSet::taken());
    let found = lose(store.as_ref(), &change)
        .await
        .expect("the row is shown");
    assert_eq!((found.fence, found.status), (2, BatchStatus::WaitingForJob));
}

async fn a_move_from_another_status_is_lost(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let change = owned.change(BatchStatus::New, BatchSet::generating(now()));
    lose(store.as_ref(), &change).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(
        (batch.status, batch.start_time),
        (BatchStatus::WaitingForJob, None)
    );
}

async fn a_move_with_an_old_desired_seq_is_lost(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    apply(store.as_ref(), &request(&owned, BatchDesired::Pause, 1)).await;
    let found = lose(store.as_ref(), &owned.done())
        .await
        .expect("the row is shown");
    assert_eq!(found.desired_seq, 1);
    assert_eq!(found.desired, BatchDesired::Pause);
    let mut seen = owned.done();
    seen.guard.desired_seq = 1;
    apply(store.as_ref(), &seen).await;
}

async fn a_zombie_move_cannot_undo_a_later_one(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let taken = owned.change(BatchStatus::WaitingForJob, BatchSet::taken());
    apply(store.as_ref(), &taken).await;
    let generating = owned.change(BatchStatus::New, BatchSet::generating(now()));
    apply(store.as_ref(), &generating).await;
    // A delayed copy of the first move arrives when its token is no longer in the row.
    lose(store.as_ref(), &taken).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.status, BatchStatus::GenerateIid);
}

async fn a_failing_batch_requests_its_own_end(store: SharedStore) {
    let owned = Owned::generating(store.as_ref()).await;
    let reason = "the source: no such table ids".to_owned();
    let failing = owned.change(
        BatchStatus::GenerateIid,
        BatchSet::failing(BatchStatus::GenerateIid, reason.clone()),
    );
    apply(store.as_ref(), &failing).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.status, BatchStatus::GenerateIid);
    assert_eq!(
        (batch.desired, batch.desired_seq),
        (BatchDesired::Cancel, 1)
    );
    assert_eq!(batch.error, Some(reason));
    assert_eq!(batch.holder(), Some(owned.holder.clone()));
}

async fn the_end_of_a_batch_releases_it(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let done = owned.done();
    apply(store.as_ref(), &done).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.status, BatchStatus::Done);
    assert_eq!((batch.owner_node, batch.owner_incarnation), (None, None));
    assert_eq!(batch.end_time, done.to.end_time);
    assert_eq!(batch.extra_stats, done.to.extra_stats);
    assert_eq!(batch.statistics, done.to.statistics);
    assert_eq!((batch.fence, batch.total_entities), (1, Some(100)));
}

fn reserve(owned: &Owned, from: i64, to: i64) -> ReserveChunks {
    ReserveChunks {
        guard: owned.guard(BatchStatus::GenerateIid),
        from,
        to,
        filled: FilledChunks {
            chunks: from,
            entities: from * 10,
        },
        token: token(),
    }
}

async fn reserve_raises_the_number_of_chunks(store: SharedStore) {
    let owned = Owned::generating(store.as_ref()).await;
    apply(store.as_ref(), &reserve(&owned, 0, 64)).await;
    apply(store.as_ref(), &reserve(&owned, 64, 128)).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.chunks, 128);
    let filled = FilledChunks {
        chunks: 64,
        entities: 640,
    };
    assert_eq!(batch.filled, Some(filled));
}

async fn reserve_with_old_chunks_is_lost(store: SharedStore) {
    let owned = Owned::generating(store.as_ref()).await;
    let first = reserve(&owned, 0, 64);
    apply(store.as_ref(), &first).await;
    apply(store.as_ref(), &reserve(&owned, 64, 128)).await;
    let found = lose(store.as_ref(), &first)
        .await
        .expect("the row is shown");
    assert_eq!(found.chunks, 128);
    lose(store.as_ref(), &reserve(&owned, 64, 128)).await;
    assert_eq!(owned.batch(store.as_ref()).await.chunks, 128);
}

async fn reserve_after_a_takeover_is_lost(store: SharedStore) {
    let owned = Owned::generating(store.as_ref()).await;
    apply(store.as_ref(), &claim_batch(owned.id, 1, &holder("heir"))).await;
    lose(store.as_ref(), &reserve(&owned, 0, 64)).await;
    assert_eq!(owned.batch(store.as_ref()).await.chunks, 0);
}

fn save(owned: &Owned, seq: i64, extra_stats: &str) -> SaveBatchStatistics {
    SaveBatchStatistics {
        guard: owned.guard(BatchStatus::InProgress),
        seq,
        extra_stats: extra_stats.to_owned(),
        statistics: statistics(),
        token: token(),
    }
}

async fn statistics_are_read_back_whole(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let extra =
        r#"{"slowestProcessed":[{"entityId":"4'ü","processTimeMS":572,"status":"COMPLETED"}]}"#;
    let save = save(&owned, 1, extra);
    apply(store.as_ref(), &save).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.stats_seq, 1);
    assert_eq!(batch.extra_stats.as_deref(), Some(extra));
    assert_eq!(batch.statistics, Some(save.statistics));
}

async fn statistics_with_an_old_seq_are_lost(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let first = save(&owned, 1, "{}");
    apply(store.as_ref(), &first).await;
    apply(store.as_ref(), &save(&owned, 2, "{\"second\":2}")).await;
    let found = lose(store.as_ref(), &first)
        .await
        .expect("the row is shown");
    assert_eq!(found.stats_seq, 2);
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.extra_stats.as_deref(), Some("{\"second\":2}"));
}

fn request(owned: &Owned, desired: BatchDesired, seq: i64) -> RequestBatch {
    RequestBatch {
        id: owned.id,
        desired,
        seq,
        allowed: vec![BatchStatus::GenerateIid, BatchStatus::InProgress],
        due: Some(due_now(&owned.key)),
        token: token(),
    }
}

async fn a_request_sets_the_desired_state(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let pause = request(&owned, BatchDesired::Pause, 1);
    apply(store.as_ref(), &pause).await;
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!((batch.desired, batch.desired_seq), (BatchDesired::Pause, 1));
    assert_eq!(batch.desired_token, Some(pause.token));
}

async fn a_request_leaves_the_owner_alone(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let before = owned.batch(store.as_ref()).await;
    apply(store.as_ref(), &request(&owned, BatchDesired::Cancel, 1)).await;
    let after = owned.batch(store.as_ref()).await;
    assert_eq!(after.op_token, before.op_token);
    assert_eq!(after.holder(), before.holder());
    assert_eq!((after.status, after.fence), (before.status, before.fence));
}

async fn request_with_an_old_seq_is_lost(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let pause = request(&owned, BatchDesired::Pause, 1);
    apply(store.as_ref(), &pause).await;
    apply(store.as_ref(), &request(&owned, BatchDesired::Cancel, 2)).await;
    // A delayed copy of the PAUSE arrives after the CANCEL.
    let found = lose(store.as_ref(), &pause)
        .await
        .expect("the row is shown");
    assert_eq!(found.desired, BatchDesired::Cancel);
    lose(store.as_ref(), &request(&owned, BatchDesired::Run, 2)).await;
    assert_eq!(
        owned.batch(store.as_ref()).await.desired,
        BatchDesired::Cancel
    );
}

async fn a_request_in_another_status_is_lost(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    apply(store.as_ref(), &owned.done()).await;
    let late = request(&owned, BatchDesired::Cancel, 1);
    let found = lose(store.as_ref(), &late).await.expect("the row is shown");
    assert_eq!((found.status, found.desired_seq), (BatchStatus::Done, 0));
}

async fn of_many_requests_one_wins(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let requests: Vec<_> = (0..8)
        .map(|number| match number % 2 {
            0 => request(&owned, BatchDesired::Pause, 1),
            _ => request(&owned, BatchDesired::Cancel, 1),
        })
        .collect();
    assert_eq!(winners(&store, &requests).await, 1);
    let batch = owned.batch(store.as_ref()).await;
    let winner = requests
        .iter()
        .find(|request| Some(request.token) == batch.desired_token);
    assert_eq!(winner.map(|request| request.desired), Some(batch.desired));
}

async fn a_request_writes_its_hint(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let pause = request(&owned, BatchDesired::Pause, 1);
    apply(store.as_ref(), &pause).await;
    let due = pause.due.expect("the request has a hint");
    let at = due.due_at;
    let hints = store
        .due(&DueHint::first_at(at), at, 100_000)
        .await
        .expect("readable");
    assert!(hints.contains(&due));
}

async fn finish_batch_ends_both_rows(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    apply(store.as_ref(), &owned.finish()).await;
    assert_eq!(owned.batch(store.as_ref()).await.status, BatchStatus::Done);
    let job = owned.job(store.as_ref()).await;
    assert_eq!((job.status, job.archived), (JobStatus::Processed, true));
    let runs = store.job_runs(&owned.key, 10).await.expect("readable");
    assert_eq!(runs.len(), 1);
}

async fn finish_lost_on_the_batch_leaves_the_job(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    apply(store.as_ref(), &request(&owned, BatchDesired::Pause, 1)).await;
    match lose(store.as_ref(), &owned.finish()).await {
        FinishLost::Batch(Some(found)) => assert_eq!(found.desired_seq, 1),
        other => panic!("found {other:?}"),
    }
    let batch = owned.batch(store.as_ref()).await;
    assert_eq!(batch.status, BatchStatus::InProgress);
    assert_eq!(owned.job(store.as_ref()).await.status, JobStatus::InProcess);
}

async fn finish_lost_on_job_leaves_the_batch_ended(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let mut finish = owned.finish();
    finish.job.desired_seq = 4;
    match lose(store.as_ref(), &finish).await {
        FinishLost::Job(Some(found)) => assert_eq!(found.status, JobStatus::InProcess),
        other => panic!("found {other:?}"),
    }
    assert_eq!(owned.batch(store.as_ref()).await.status, BatchStatus::Done);
    assert_eq!(owned.job(store.as_ref()).await.status, JobStatus::InProcess);
}

async fn finish_continues_after_its_first_half(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let finish = owned.finish();
    apply(store.as_ref(), &finish.batch).await;
    apply(store.as_ref(), &finish).await;
    assert_eq!(owned.job(store.as_ref()).await.status, JobStatus::Processed);
}

fn claim_command(command_key: &str) -> ClaimCommand {
    ClaimCommand {
        command_key: command_key.to_owned(),
        batch: batch_id(),
        replaces: None,
    }
}

async fn a_free_command_is_claimed(store: SharedStore) {
    let key = own_text("command");
    assert_eq!(store.active_command(&key).await.expect("readable"), None);
    let claim = claim_command(&key);
    apply(store.as_ref(), &claim).await;
    apply(store.as_ref(), &claim).await;
    let named = store.active_command(&key).await.expect("readable");
    assert_eq!(named, Some(claim.batch));
}

async fn a_command_that_is_claimed_names_its_batch(store: SharedStore) {
    let key = own_text("command");
    let first = claim_command(&key);
    apply(store.as_ref(), &first).await;
    let found = lose(store.as_ref(), &claim_command(&key)).await;
    assert_eq!(found, Some(first.batch));
}

async fn a_command_of_an_ended_batch_is_swapped(store: SharedStore) {
    let key = own_text("command");
    let first = claim_command(&key);
    apply(store.as_ref(), &first).await;
    let second = ClaimCommand {
        replaces: Some(first.batch),
        ..claim_command(&key)
    };
    apply(store.as_ref(), &second).await;
    // A claim that expects the first batch is too late.
    let third = ClaimCommand {
        replaces: Some(first.batch),
        ..claim_command(&key)
    };
    assert_eq!(lose(store.as_ref(), &third).await, Some(second.batch));
}

async fn of_many_claims_of_a_command_one_wins(store: SharedStore) {
    let key = own_text("command");
    let claims: Vec<_> = (0..8).map(|_| claim_command(&key)).collect();
    assert_eq!(winners(&store, &claims).await, 1);
}
