//! Chunks: opening, voiding, claims and changes.

use weft_model::{ChunkEntry, ChunkFilter, ChunkHead, ChunkState, chunk_entry};
use weft_store::{ChangeChunk, ClaimChunk, OpenChunk, SharedStore};

use super::claims;
use super::fixture::*;

claims!(
    an_opened_chunk_is_born_with_fence_one,
    a_chunk_may_be_born_claimed,
    a_missing_chunk_is_none,
    a_number_is_opened_once,
    of_many_openings_of_a_number_one_wins,
    an_opened_number_cannot_be_voided,
    a_void_number_cannot_be_opened,
    a_void_chunk_has_no_ids,
    a_chunk_of_1000_ids_round_trips,
    heads_leave_out_empty_numbers,
    heads_are_a_half_open_span,
    chunks_of_batches_are_apart,
    of_many_workers_one_claims_the_chunk,
    a_claim_names_the_worker,
    a_claim_of_a_chunk_with_an_old_fence_is_lost,
    a_claim_of_a_missing_chunk_finds_nothing,
    a_chunk_of_a_dead_worker_is_taken_over,
    a_chunk_in_an_end_state_cannot_be_claimed,
    a_chunk_handed_back_is_open_again,
    a_closed_chunk_is_opened_by_a_retry,
    a_done_chunk_is_reopened_with_its_seq,
    a_change_from_another_state_is_lost,
    a_change_with_an_old_fence_is_lost,
    a_change_of_a_missing_chunk_finds_nothing,
    a_late_claim_loses_to_a_close,
    every_opened_chunk_has_a_filter_of_its_ids,
    filters_are_a_half_open_span,
);

async fn an_opened_chunk_is_born_with_fence_one(store: SharedStore) {
    let open = open_chunk(batch_id(), 3, entity_ids(5));
    apply(store.as_ref(), &open).await;
    let chunk = the_chunk(store.as_ref(), open.batch, 3).await;
    assert_eq!(
        chunk.head,
        ChunkHead {
            batch: open.batch,
            number: 3,
            state: ChunkState::New,
            holder: None,
            fence: 1,
            seq: 0,
            token: Some(open.token),
            total: 5,
            ok: 0,
            failed: 0,
            shares: Default::default(),
            source_position: open.source_position.clone(),
            source_read: open.source_read,
            crashes: 0,
        }
    );
    assert_eq!(chunk.ids, open.ids);
    assert!(chunk.handled.is_empty());
}

async fn a_chunk_may_be_born_claimed(store: SharedStore) {
    let generator = holder("generator");
    let open = OpenChunk {
        state: ChunkState::InProgress,
        holder: Some(generator.clone()),
        ..open_chunk(batch_id(), 0, entity_ids(2))
    };
    apply(store.as_ref(), &open).await;
    let head = the_head(store.as_ref(), open.batch, 0).await;
    assert_eq!((head.state, head.fence), (ChunkState::InProgress, 1));
    assert_eq!(head.holder, Some(generator));
}

async fn a_missing_chunk_is_none(store: SharedStore) {
    assert_eq!(store.chunk(batch_id(), 0).await.expect("readable"), None);
    let rows = store.entities(batch_id(), 0).await.expect("readable");
    assert!(rows.is_empty());
}

async fn a_number_is_opened_once(store: SharedStore) {
    let batch = batch_id();
    let first = open_chunk(batch, 0, entity_ids(2));
    apply(store.as_ref(), &first).await;
    let second = open_chunk(batch, 0, vec!["other".to_owned()]);
    let found = lose(store.as_ref(), &second)
        .await
        .expect("the head is shown");
    assert_eq!(found.token, Some(first.token));
    assert_eq!(the_chunk(store.as_ref(), batch, 0).await.ids, first.ids);
}

async fn of_many_openings_of_a_number_one_wins(store: SharedStore) {
    let batch = batch_id();
    let openings: Vec<_> = (0..8)
        .map(|number| match number % 2 {
            0 => void_chunk(batch, 0),
            _ => open_chunk(batch, 0, vec![format!("of {number}")]),
        })
        .collect();
    assert_eq!(winners(&store, &openings).await, 1);
    let chunk = the_chunk(store.as_ref(), batch, 0).await;
    let winner = openings
        .iter()
        .find(|open| Some(open.token) == chunk.head.token);
    assert_eq!(winner.map(|open| &open.ids), Some(&chunk.ids));
}

async fn an_opened_number_cannot_be_voided(store: SharedStore) {
    let batch = batch_id();
    apply(store.as_ref(), &open_chunk(batch, 0, entity_ids(2))).await;
    let found = lose(store.as_ref(), &void_chunk(batch, 0)).await;
    assert_eq!(found.map(|head| head.state), Some(ChunkState::New));
}

async fn a_void_number_cannot_be_opened(store: SharedStore) {
    let batch = batch_id();
    apply(store.as_ref(), &void_chunk(batch, 0)).await;
    let found = lose(store.as_ref(), &open_chunk(batch, 0, entity_ids(2))).await;
    assert_eq!(found.map(|head| head.state), Some(ChunkState::Void));
    assert!(the_chunk(store.as_ref(), batch, 0).await.ids.is_empty());
}

async fn a_void_chunk_has_no_ids(store: SharedStore) {
    let batch = batch_id();
    apply(store.as_ref(), &void_chunk(batch, 0)).await;
    let chunk = the_chunk(store.as_ref(), batch, 0).await;
    assert_eq!((chunk.head.state, chunk.head.total), (ChunkState::Void, 0));
    assert!(chunk.ids.is_empty() && chunk.handled.is_empty());
}

async fn a_chunk_of_1000_ids_round_trips(store: SharedStore) {
    // The ids must come back in the order of the source, which is not text order.
    let open = open_chunk(batch_id(), 0, entity_ids(1_000));
    apply(store.as_ref(), &open).await;
    let chunk = the_chunk(store.as_ref(), open.batch, 0).await;
    assert_eq!(chunk.head.total, 1_000);
    assert_eq!(chunk.ids, open.ids);
}

async fn heads_leave_out_empty_numbers(store: SharedStore) {
    let batch = batch_id();
    for number in [0, 2, 5] {
        apply(store.as_ref(), &open_chunk(batch, number, entity_ids(1))).await;
    }
    apply(store.as_ref(), &void_chunk(batch, 3)).await;
    let heads = store.chunk_heads(batch, 0, 64).await.expect("readable");
    let numbers: Vec<_> = heads.iter().map(|head| head.number).collect();
    assert_eq!(numbers, [0, 2, 3, 5]);
    assert_eq!(heads[0], the_head(store.as_ref(), batch, 0).await);
}

async fn heads_are_a_half_open_span(store: SharedStore) {
    let batch = batch_id();
    for number in 0..5 {
        apply(store.as_ref(), &open_chunk(batch, number, entity_ids(1))).await;
    }
    let heads = store.chunk_heads(batch, 1, 4).await.expect("readable");
    let numbers: Vec<_> = heads.iter().map(|head| head.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let none = store.chunk_heads(batch, 2, 2).await.expect("readable");
    assert!(none.is_empty());
}

async fn chunks_of_batches_are_apart(store: SharedStore) {
    let (one, other) = (batch_id(), batch_id());
    apply(store.as_ref(), &open_chunk(one, 0, entity_ids(2))).await;
    apply(store.as_ref(), &open_chunk(other, 0, entity_ids(3))).await;
    assert_eq!(the_head(store.as_ref(), one, 0).await.total, 2);
    assert_eq!(the_head(store.as_ref(), other, 0).await.total, 3);
    let heads = store.chunk_heads(one, 0, 10).await.expect("readable");
    assert_eq!(heads.len(), 1);
}

async fn of_many_workers_one_claims_the_chunk(store: SharedStore) {
    let batch = batch_id();
    apply(store.as_ref(), &open_chunk(batch, 0, entity_ids(2))).await;
    let claims: Vec<ClaimChunk> = (0..8)
        .map(|_| claim_chunk(batch, 0, 1, &holder("worker")))
        .collect();
    assert_eq!(winners(&store, &claims).await, 1);
    let head = the_head(store.as_ref(), batch, 0).await;
    assert_eq!(head.fence, 2);
    let winner = claims.iter().find(|claim| Some(claim.token) == head.token);
    assert_eq!(winner.map(|claim| claim.holder.clone()), head.holder);
}

async fn a_claim_names_the_worker(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.fence), (ChunkState::InProgress, 2));
    assert_eq!(head.holder, Some(held.worker.clone()));
    assert_eq!((head.seq, head.total, head.crashes), (0, 3, 0));
    assert_eq!(head.source_position.as_deref(), Some("offset 0"));
    assert_eq!(head.source_read, Some(7));
}

async fn a_claim_of_a_chunk_with_an_old_fence_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let late = claim_chunk(held.batch, 0, 1, &holder("late"));
    let found = lose(store.as_ref(), &late)
        .await
        .expect("the head is shown");
    assert_eq!(found.holder, Some(held.worker.clone()));
}

async fn a_claim_of_a_missing_chunk_finds_nothing(store: SharedStore) {
    let claim = claim_chunk(batch_id(), 0, 1, &holder("worker"));
    assert_eq!(lose(store.as_ref(), &claim).await, None);
    let found = store.chunk(claim.batch, 0).await.expect("readable");
    assert_eq!(found, None);
}

async fn a_chunk_of_a_dead_worker_is_taken_over(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    apply(store.as_ref(), &held.flush(1, 0..1)).await;
    let heir = holder("heir");
    let takeover = ClaimChunk {
        crashes: 1,
        ..claim_chunk(held.batch, 0, 2, &heir)
    };
    apply(store.as_ref(), &takeover).await;
    let chunk = held.content(store.as_ref()).await;
    assert_eq!((chunk.head.fence, chunk.head.crashes), (3, 1));
    assert_eq!(chunk.head.holder, Some(heir));
    assert_eq!((chunk.head.seq, chunk.head.ok), (1, 1));
    assert_eq!(chunk.handled, held.ids[..1]);
}

async fn a_chunk_in_an_end_state_cannot_be_claimed(store: SharedStore) {
    let done = Held::new(store.as_ref(), 2).await;
    apply(store.as_ref(), &done.flush(1, 0..2)).await;
    let claim = claim_chunk(done.batch, 0, 2, &holder("worker"));
    let found = lose(store.as_ref(), &claim).await;
    assert_eq!(found.map(|head| head.state), Some(ChunkState::Done));

    let batch = batch_id();
    apply(store.as_ref(), &void_chunk(batch, 0)).await;
    let claim = claim_chunk(batch, 0, 1, &holder("worker"));
    let found = lose(store.as_ref(), &claim).await;
    assert_eq!(found.map(|head| head.state), Some(ChunkState::Void));

    let closed = Held::new(store.as_ref(), 2).await;
    let close = change(&closed, ChunkState::InProgress, 2, ChunkState::Closed);
    apply(store.as_ref(), &close).await;
    let claim = claim_chunk(closed.batch, 0, 3, &holder("worker"));
    let found = lose(store.as_ref(), &claim).await;
    assert_eq!(found.map(|head| head.state), Some(ChunkState::Closed));
}

fn change(held: &Held, from: ChunkState, seen_fence: i64, to: ChunkState) -> ChangeChunk {
    ChangeChunk {
        batch: held.batch,
        number: 0,
        from,
        seen_fence,
        to,
        token: token(),
    }
}

async fn a_chunk_handed_back_is_open_again(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    apply(store.as_ref(), &held.flush(1, 0..1)).await;
    let back = change(&held, ChunkState::InProgress, 2, ChunkState::New);
    apply(store.as_ref(), &back).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.fence, head.seq), (ChunkState::New, 3, 1));
    assert_eq!(head.holder, None);
    assert_eq!(head.token, Some(back.token));
    // A late flush of the old worker is lost.
    lose(store.as_ref(), &held.flush(2, 1..2)).await;
    apply(
        store.as_ref(),
        &claim_chunk(held.batch, 0, 3, &holder("next")),
    )
    .await;
}

async fn a_closed_chunk_is_opened_by_a_retry(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let close = change(&held, ChunkState::InProgress, 2, ChunkState::Closed);
    apply(store.as_ref(), &close).await;
    let reopen = change(&held, ChunkState::Closed, 3, ChunkState::New);
    apply(store.as_ref(), &reopen).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.fence), (ChunkState::New, 4));
}

async fn a_done_chunk_is_reopened_with_its_seq(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    apply(store.as_ref(), &held.flush(1, 0..2)).await;
    apply(store.as_ref(), &held.flush(2, 2..3)).await;
    let reopen = change(&held, ChunkState::Done, 2, ChunkState::New);
    apply(store.as_ref(), &reopen).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.fence, head.seq), (ChunkState::New, 3, 2));
    assert_eq!((head.ok, head.total), (3, 3));
    lose(store.as_ref(), &held.flush(3, 2..3)).await;
}

async fn a_change_from_another_state_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let wrong = change(&held, ChunkState::Done, 2, ChunkState::New);
    let found = lose(store.as_ref(), &wrong)
        .await
        .expect("the head is shown");
    assert_eq!(found.state, ChunkState::InProgress);
}

async fn a_change_with_an_old_fence_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let takeover = claim_chunk(held.batch, 0, 2, &holder("heir"));
    apply(store.as_ref(), &takeover).await;
    let late = change(&held, ChunkState::InProgress, 2, ChunkState::New);
    let found = lose(store.as_ref(), &late)
        .await
        .expect("the head is shown");
    assert_eq!((found.state, found.fence), (ChunkState::InProgress, 3));
}

async fn a_change_of_a_missing_chunk_finds_nothing(store: SharedStore) {
    let change = ChangeChunk {
        batch: batch_id(),
        number: 0,
        from: ChunkState::New,
        seen_fence: 1,
        to: ChunkState::Closed,
        token: token(),
    };
    assert_eq!(lose(store.as_ref(), &change).await, None);
    let found = store.chunk(change.batch, 0).await.expect("readable");
    assert_eq!(found, None);
}

async fn a_late_claim_loses_to_a_close(store: SharedStore) {
    let batch = batch_id();
    apply(store.as_ref(), &open_chunk(batch, 0, entity_ids(3))).await;
    let close = ChangeChunk {
        batch,
        number: 0,
        from: ChunkState::New,
        seen_fence: 1,
        to: ChunkState::Closed,
        token: token(),
    };
    apply(store.as_ref(), &close).await;
    let late = claim_chunk(batch, 0, 1, &holder("late"));
    let found = lose(store.as_ref(), &late)
        .await
        .expect("the head is shown");
    assert_eq!((found.state, found.fence), (ChunkState::Closed, 2));
}

async fn every_opened_chunk_has_a_filter_of_its_ids(store: SharedStore) {
    let batch = batch_id();
    let ids: Vec<String> = (0..1_000).map(|id| format!("id-{id}")).collect();
    apply(store.as_ref(), &open_chunk(batch, 0, ids.clone())).await;
    apply(store.as_ref(), &void_chunk(batch, 1)).await;
    let unfit = chunk_entry(String::new(), 1_024);
    apply(store.as_ref(), &open_chunk(batch, 2, vec![unfit.clone()])).await;
    let filters = store.chunk_filters(batch, 0, 64).await.expect("readable");
    let numbers: Vec<i64> = filters.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 2]);
    let (_, filter): &(i64, ChunkFilter) = &filters[0];
    assert!(ids.iter().all(|id| filter.may_have(id)));
    let others = (0..1_000).filter(|id| filter.may_have(&format!("other-{id}")));
    assert!(others.count() < 20);
    let name = ChunkEntry::read(&unfit).name();
    assert!(filters[1].1.may_have(name), "the name of the record counts");
}

async fn filters_are_a_half_open_span(store: SharedStore) {
    let (batch, other) = (batch_id(), batch_id());
    for number in [0, 1_022, 1_023, 1_024, 1_025, 2_048] {
        apply(store.as_ref(), &open_chunk(batch, number, entity_ids(2))).await;
    }
    apply(store.as_ref(), &open_chunk(other, 1_023, entity_ids(2))).await;
    let numbers = async |from, to| -> Vec<i64> {
        let filters = store
            .chunk_filters(batch, from, to)
            .await
            .expect("readable");
        filters.into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(numbers(1_023, 1_025).await, [1_023, 1_024]);
    assert_eq!(
        numbers(0, 4_096).await,
        [0, 1_022, 1_023, 1_024, 1_025, 2_048]
    );
    assert_eq!(numbers(5, 5).await, [0_i64; 0]);
    // From the end, as the clean-up does it.
    store
        .forget_chunks(batch, 1_024, 2_049)
        .await
        .expect("writable");
    assert_eq!(numbers(0, 4_096).await, [0, 1_022, 1_023]);
    store
        .forget_chunks(batch, 0, 1_024)
        .await
        .expect("writable");
    assert_eq!(numbers(0, 4_096).await, [0_i64; 0]);
}
