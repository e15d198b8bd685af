//! The basis of `settle`: a store recognises a re-sent identical operation by its token, and no other operation.

use weft_model::{BatchDesired, BatchStatus, ChunkState, FilledChunks};
use weft_store::{
    BatchSet, ChangeChunk, FinishLost, RequestBatch, ReserveChunks, SaveBatchStatistics,
    SharedStore,
};

use super::claims;
use super::fixture::*;

claims!(
    an_identical_submission_answers_applied,
    an_identical_claim_of_a_job_answers_applied,
    an_identical_end_of_a_job_answers_applied,
    an_identical_claim_of_a_batch_answers_applied,
    an_identical_move_answers_applied,
    an_identical_failing_move_counts_its_request_once,
    an_identical_reservation_answers_applied,
    an_identical_save_of_statistics_answers_applied,
    an_identical_request_answers_applied,
    an_identical_finish_answers_applied,
    an_identical_opening_answers_applied,
    an_identical_claim_of_a_chunk_answers_applied,
    an_identical_flush_answers_applied,
    an_identical_change_of_a_chunk_answers_applied,
    the_same_condition_with_another_token_is_lost,
    a_resend_behind_a_later_write_is_lost,
    a_request_does_not_hide_the_owners_token,
    a_finish_behind_its_takeover_is_lost,
);

async fn an_identical_submission_answers_applied(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    apply(store.as_ref(), &submit).await;
    apply(store.as_ref(), &submit).await;
}

async fn an_identical_claim_of_a_job_answers_applied(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let claim = claim_job(&submit.job.key, 0, &holder("me"));
    apply(store.as_ref(), &claim).await;
    apply(store.as_ref(), &claim).await;
    assert_eq!(the_job(store.as_ref(), &submit.job.key).await.fence, 1);
}

async fn an_identical_end_of_a_job_answers_applied(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let back = release_job(&owned.key, 1, &owned.holder);
    apply(store.as_ref(), &back).await;
    apply(store.as_ref(), &back).await;
    assert_eq!(owned.job(store.as_ref()).await.fence, 2);
}

async fn an_identical_claim_of_a_batch_answers_applied(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let claim = claim_batch(submit.batch.id, 0, &holder("me"));
    apply(store.as_ref(), &claim).await;
    apply(store.as_ref(), &claim).await;
    assert_eq!(the_batch(store.as_ref(), submit.batch.id).await.fence, 1);
}

async fn an_identical_move_answers_applied(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let done = owned.done();
    apply(store.as_ref(), &done).await;
    // The store recognises the re-sent move although the row has no owner any more.
    apply(store.as_ref(), &done).await;
    assert_eq!(owned.batch(store.as_ref()).await.status, BatchStatus::Done);
}

async fn an_identical_failing_move_counts_its_request_once(store: SharedStore) {
    let owned = Owned::generating(store.as_ref()).await;
    let failing = owned.change(
        BatchStatus::GenerateIid,
        BatchSet::failing(BatchStatus::GenerateIid, "reason".to_owned()),
    );
    apply(store.as_ref(), &failing).await;
    apply(store.as_ref(), &failing).await;
    assert_eq!(owned.batch(store.as_ref()).await.desired_seq, 1);
}

async fn an_identical_reservation_answers_applied(store: SharedStore) {
    let owned = Owned::generating(store.as_ref()).await;
    let reserve = ReserveChunks {
        guard: owned.guard(BatchStatus::GenerateIid),
        from: 0,
        to: 64,
        filled: FilledChunks::default(),
        token: token(),
    };
    apply(store.as_ref(), &reserve).await;
    apply(store.as_ref(), &reserve).await;
    assert_eq!(owned.batch(store.as_ref()).await.chunks, 64);
}

async fn an_identical_save_of_statistics_answers_applied(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let save = SaveBatchStatistics {
        guard: owned.guard(BatchStatus::InProgress),
        seq: 1,
        extra_stats: "{}".to_owned(),
        statistics: statistics(),
        token: token(),
    };
    apply(store.as_ref(), &save).await;
    apply(store.as_ref(), &save).await;
    assert_eq!(owned.batch(store.as_ref()).await.stats_seq, 1);
}

fn cancel(owned: &Owned) -> RequestBatch {
    RequestBatch {
        id: owned.id,
        desired: BatchDesired::Cancel,
        seq: 1,
        allowed: vec![BatchStatus::WaitingForJob, BatchStatus::InProgress],
        due: Some(due_now(&owned.key)),
        token: token(),
    }
}

async fn an_identical_request_answers_applied(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let cancel = cancel(&owned);
    apply(store.as_ref(), &cancel).await;
    apply(store.as_ref(), &cancel).await;
    assert_eq!(owned.batch(store.as_ref()).await.desired_seq, 1);
}

async fn an_identical_finish_answers_applied(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    let finish = owned.finish();
    apply(store.as_ref(), &finish).await;
    apply(store.as_ref(), &finish).await;
    let runs = store.job_runs(&owned.key, 10).await.expect("readable");
    assert_eq!(runs.len(), 1);
}

async fn an_identical_opening_answers_applied(store: SharedStore) {
    let open = open_chunk(batch_id(), 0, entity_ids(3));
    apply(store.as_ref(), &open).await;
    apply(store.as_ref(), &open).await;
    let void = void_chunk(open.batch, 1);
    apply(store.as_ref(), &void).await;
    apply(store.as_ref(), &void).await;
}

async fn an_identical_claim_of_a_chunk_answers_applied(store: SharedStore) {
    let batch = batch_id();
    apply(store.as_ref(), &open_chunk(batch, 0, entity_ids(3))).await;
    let claim = claim_chunk(batch, 0, 1, &holder("worker"));
    apply(store.as_ref(), &claim).await;
    apply(store.as_ref(), &claim).await;
    assert_eq!(the_head(store.as_ref(), batch, 0).await.fence, 2);
}

async fn an_identical_flush_answers_applied(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let flush = held.flush(1, 0..3);
    apply(store.as_ref(), &flush).await;
    apply(store.as_ref(), &flush).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.seq, head.ok), (1, 3));
    assert_eq!(held.entities(store.as_ref()).await.len(), 3);
}

async fn an_identical_change_of_a_chunk_answers_applied(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let back = ChangeChunk {
        batch: held.batch,
        number: 0,
        from: ChunkState::InProgress,
        seen_fence: 2,
        to: ChunkState::New,
        token: token(),
    };
    apply(store.as_ref(), &back).await;
    apply(store.as_ref(), &back).await;
    assert_eq!(held.head(store.as_ref()).await.fence, 3);
}

async fn the_same_condition_with_another_token_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let flush = held.flush(1, 0..1);
    apply(store.as_ref(), &flush).await;
    let mut other = flush.clone();
    other.token = token();
    lose(store.as_ref(), &other).await;

    let submit = submitted(store.as_ref()).await;
    let claim = claim_job(&submit.job.key, 0, &holder("me"));
    apply(store.as_ref(), &claim).await;
    let mut other = claim.clone();
    other.token = token();
    lose(store.as_ref(), &other).await;
}

async fn a_resend_behind_a_later_write_is_lost(store: SharedStore) {
    let submit = submitted(store.as_ref()).await;
    let me = holder("me");
    let claim = claim_job(&submit.job.key, 0, &me);
    apply(store.as_ref(), &claim).await;
    apply(store.as_ref(), &release_job(&submit.job.key, 1, &me)).await;
    // The claim applied once, but a later write replaced its token, so it counts as lost.
    lose(store.as_ref(), &claim).await;
    assert_eq!(the_job(store.as_ref(), &submit.job.key).await.fence, 2);
}

async fn a_request_does_not_hide_the_owners_token(store: SharedStore) {
    let owned = Owned::new(store.as_ref()).await;
    let taken = owned.change(BatchStatus::WaitingForJob, BatchSet::taken());
    apply(store.as_ref(), &taken).await;
    let request = RequestBatch {
        allowed: vec![BatchStatus::New],
        ..cancel(&owned)
    };
    apply(store.as_ref(), &request).await;
    apply(store.as_ref(), &taken).await;
    apply(store.as_ref(), &request).await;
}

async fn a_finish_behind_its_takeover_is_lost(store: SharedStore) {
    let owned = Owned::in_progress(store.as_ref()).await;
    apply(store.as_ref(), &claim_batch(owned.id, 1, &holder("heir"))).await;
    match lose(store.as_ref(), &owned.finish()).await {
        FinishLost::Batch(Some(found)) => assert_eq!(found.fence, 2),
        other => panic!("found {other:?}"),
    }
}
