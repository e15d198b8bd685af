//! Flushes: results of entities in a chunk.

use std::collections::BTreeMap;

use futures::future::join_all;
use weft_model::{ChunkState, EntityStatus, NodeShare};
use weft_store::{ChangeChunk, FlushChunk, Settled, SharedStore};

use super::claims;
use super::fixture::*;
use super::instances::instance;

claims!(
    entities_are_read_by_their_ids,
    a_flush_writes_rows_counts_and_shares,
    the_last_flush_ends_the_chunk,
    a_flush_with_an_old_seq_is_lost,
    a_flush_that_skips_a_seq_is_lost,
    a_flush_under_an_old_fence_is_lost,
    a_flush_of_a_missing_chunk_finds_nothing,
    a_flush_under_the_fence_of_another_worker_is_lost,
    a_zombie_flush_cannot_roll_back_a_done_chunk,
    a_lost_flush_leaves_no_row,
    of_many_flushes_of_one_seq_one_wins,
    handled_ids_are_those_with_rows,
    a_flush_of_1000_rows_round_trips,
    a_failed_entity_keeps_its_error,
    an_entity_recorded_again_replaces_its_row,
    a_retry_in_parts_keeps_one_row_for_each,
    a_flush_without_rows_moves_the_seq,
    shares_of_several_nodes_round_trip,
    a_flush_saves_its_instances,
    a_flush_never_replaces_a_newer_instance,
    workers_that_share_a_chunk_lose_no_count,
    flushes_of_many_chunks_at_once_all_arrive,
);

async fn a_flush_writes_rows_counts_and_shares(store: SharedStore) {
    let held = Held::new(store.as_ref(), 5).await;
    let flush = held.flush(1, 0..2);
    apply(store.as_ref(), &flush).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.seq, head.ok, head.failed, head.total), (1, 2, 0, 5));
    assert_eq!((head.state, head.fence), (ChunkState::InProgress, 2));
    assert_eq!(head.shares, flush.shares);
    assert_eq!(head.token, Some(flush.token));
    assert_eq!(head.holder, Some(held.worker.clone()));
    let rows = held.entities(store.as_ref()).await;
    assert_eq!(rows.into_values().collect::<Vec<_>>(), flush.rows);
}

async fn the_last_flush_ends_the_chunk(store: SharedStore) {
    let held = Held::new(store.as_ref(), 5).await;
    apply(store.as_ref(), &held.flush(1, 0..2)).await;
    apply(store.as_ref(), &held.flush(2, 2..5)).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.seq, head.ok), (ChunkState::Done, 2, 5));
    assert_eq!(held.entities(store.as_ref()).await.len(), 5);
}

async fn a_flush_with_an_old_seq_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 5).await;
    apply(store.as_ref(), &held.flush(1, 0..2)).await;
    let found = lose(store.as_ref(), &held.flush(1, 2..3)).await;
    assert_eq!(found.map(|head| (head.seq, head.ok)), Some((1, 2)));
    assert_eq!(held.entities(store.as_ref()).await.len(), 2);
}

async fn a_flush_that_skips_a_seq_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 5).await;
    let found = lose(store.as_ref(), &held.flush(2, 0..2)).await;
    assert_eq!(found.map(|head| head.seq), Some(0));
}

async fn a_flush_under_an_old_fence_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 5).await;
    apply(
        store.as_ref(),
        &claim_chunk(held.batch, 0, 2, &holder("heir")),
    )
    .await;
    let found = lose(store.as_ref(), &held.flush(1, 0..2)).await;
    assert_eq!(found.map(|head| head.fence), Some(3));
    assert!(held.entities(store.as_ref()).await.is_empty());
}

/// A store that has lost an acknowledged claim gives its fence to the next worker.
async fn a_flush_under_the_fence_of_another_worker_is_lost(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    for other in [holder("other"), next_incarnation(&held.worker)] {
        let flush = FlushChunk {
            holder: other,
            ..held.flush(1, 0..3)
        };
        let found = lose(store.as_ref(), &flush)
            .await
            .expect("the head is shown");
        assert_eq!((found.seq, found.holder), (0, Some(held.worker.clone())));
    }
    assert!(held.entities(store.as_ref()).await.is_empty());
    apply(store.as_ref(), &held.flush(1, 0..3)).await;
}

async fn a_flush_of_a_missing_chunk_finds_nothing(store: SharedStore) {
    let held = Held::new(store.as_ref(), 2).await;
    let flush = FlushChunk {
        number: 7,
        ..held.flush(1, 0..2)
    };
    assert_eq!(lose(store.as_ref(), &flush).await, None);
    let found = store.chunk(held.batch, 7).await.expect("readable");
    assert_eq!(found, None);
}

async fn a_zombie_flush_cannot_roll_back_a_done_chunk(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    let zombie = held.flush(1, 0..1);
    apply(store.as_ref(), &zombie).await;
    apply(store.as_ref(), &held.flush(2, 1..2)).await;
    apply(store.as_ref(), &held.flush(3, 2..3)).await;
    // A delayed copy of the first flush arrives when its token is no longer in the row.
    let found = lose(store.as_ref(), &zombie).await;
    assert_eq!(found.map(|head| head.state), Some(ChunkState::Done));
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.seq, head.ok), (ChunkState::Done, 3, 3));
}

async fn a_lost_flush_leaves_no_row(store: SharedStore) {
    let held = Held::new(store.as_ref(), 3).await;
    apply(store.as_ref(), &held.flush(1, 0..1)).await;
    let mut late = held.flush(1, 0..3);
    late.rows[0].result = Some("from the late one".to_owned());
    lose(store.as_ref(), &late).await;
    let rows = held.entities(store.as_ref()).await;
    assert_eq!(rows.len(), 1);
    assert_ne!(
        rows[&held.ids[0]].result.as_deref(),
        Some("from the late one")
    );
}

async fn of_many_flushes_of_one_seq_one_wins(store: SharedStore) {
    let held = Held::new(store.as_ref(), 8).await;
    let flushes: Vec<_> = (0..8)
        .map(|number| FlushChunk {
            ok: 1,
            done: false,
            ..held.flush(1, number..number + 1)
        })
        .collect();
    assert_eq!(winners(&store, &flushes).await, 1);
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.seq, head.ok), (1, 1));
    let rows = held.entities(store.as_ref()).await;
    let winner = flushes.iter().find(|flush| Some(flush.token) == head.token);
    let expected = winner.map(|flush| flush.rows.clone());
    assert_eq!(Some(rows.into_values().collect()), expected);
}

async fn handled_ids_are_those_with_rows(store: SharedStore) {
    let held = Held::new(store.as_ref(), 12).await;
    let mut flush = held.flush(1, 3..6);
    flush.ok = 2;
    flush.failed = 1;
    flush.rows[1] = failed_entity(&held.ids[4], &held.worker, 2);
    apply(store.as_ref(), &flush).await;
    let content = held.content(store.as_ref()).await;
    assert_eq!(content.ids, held.ids);
    let mut handled = content.handled;
    handled.sort();
    assert_eq!(handled, held.ids[3..6]);
}

async fn a_flush_of_1000_rows_round_trips(store: SharedStore) {
    let held = Held::new(store.as_ref(), 1_000).await;
    let flush = held.flush(1, 0..1_000);
    apply(store.as_ref(), &flush).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.ok), (ChunkState::Done, 1_000));
    let expected: BTreeMap<_, _> = flush
        .rows
        .iter()
        .map(|row| (row.id.clone(), row.clone()))
        .collect();
    assert_eq!(held.entities(store.as_ref()).await, expected);
}

async fn a_failed_entity_keeps_its_error(store: SharedStore) {
    let held = Held::new(store.as_ref(), 1).await;
    let failed = failed_entity(&held.ids[0], &held.worker, 2);
    let flush = FlushChunk {
        rows: vec![failed.clone()],
        ok: 0,
        failed: 1,
        ..held.flush(1, 0..1)
    };
    apply(store.as_ref(), &flush).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.ok, head.failed), (ChunkState::Done, 0, 1));
    let rows = held.entities(store.as_ref()).await;
    assert_eq!(rows[&held.ids[0]], failed);
}

/// A DONE chunk of four entities, two of them FAILED, that was reopened and claimed again under fence 4.
async fn retried(store: &SharedStore) -> Held {
    let held = Held::new(store.as_ref(), 4).await;
    let mut flush = held.flush(1, 0..4);
    flush.ok = 2;
    flush.failed = 2;
    for position in [1, 3] {
        flush.rows[position] = failed_entity(&held.ids[position], &held.worker, 2);
    }
    apply(store.as_ref(), &flush).await;
    let reopen = ChangeChunk {
        batch: held.batch,
        number: 0,
        from: ChunkState::Done,
        seen_fence: 2,
        to: ChunkState::New,
        token: token(),
    };
    apply(store.as_ref(), &reopen).await;
    apply(store.as_ref(), &claim_chunk(held.batch, 0, 3, &held.worker)).await;
    held
}

fn retry_flush(held: &Held, seq: i64, positions: &[usize], ok: i64, done: bool) -> FlushChunk {
    FlushChunk {
        fence: 4,
        rows: positions
            .iter()
            .map(|position| {
                let mut row = entity(&held.ids[*position], &held.worker, 4);
                row.attempt = 2;
                row
            })
            .collect(),
        ok,
        failed: 4 - ok,
        done,
        ..held.flush(seq, 0..4)
    }
}

async fn an_entity_recorded_again_replaces_its_row(store: SharedStore) {
    let held = retried(&store).await;
    apply(store.as_ref(), &retry_flush(&held, 2, &[1, 3], 4, true)).await;
    let rows = held.entities(store.as_ref()).await;
    assert_eq!(rows.len(), 4);
    for (position, attempt) in [(0, 1), (1, 2), (2, 1), (3, 2)] {
        let row = &rows[&held.ids[position]];
        assert_eq!(
            (row.status, row.attempt),
            (EntityStatus::Completed, attempt)
        );
        assert_eq!(row.error, None);
    }
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.state, head.ok, head.failed), (ChunkState::Done, 4, 0));
}

async fn a_retry_in_parts_keeps_one_row_for_each(store: SharedStore) {
    let held = retried(&store).await;
    apply(store.as_ref(), &retry_flush(&held, 2, &[3], 3, false)).await;
    apply(store.as_ref(), &retry_flush(&held, 3, &[1], 4, true)).await;
    assert_eq!(held.entities(store.as_ref()).await.len(), 4);
    let content = held.content(store.as_ref()).await;
    assert_eq!(content.handled.len(), 4);
    assert_eq!((content.head.seq, content.head.fence), (3, 4));
}

async fn a_flush_without_rows_moves_the_seq(store: SharedStore) {
    let held = Held::new(store.as_ref(), 2).await;
    apply(store.as_ref(), &held.flush(1, 0..0)).await;
    let head = held.head(store.as_ref()).await;
    assert_eq!((head.seq, head.state), (1, ChunkState::InProgress));
    apply(store.as_ref(), &held.flush(2, 0..2)).await;
}

async fn shares_of_several_nodes_round_trip(store: SharedStore) {
    let held = Held::new(store.as_ref(), 2).await;
    let flush = FlushChunk {
        shares: BTreeMap::from([
            (holder("a").node, share(3, 1)),
            (holder("b'\"ü").node, NodeShare::default()),
        ]),
        ..held.flush(1, 0..1)
    };
    apply(store.as_ref(), &flush).await;
    assert_eq!(held.head(store.as_ref()).await.shares, flush.shares);
}

/// Creates the tables of the logical unit that all instances share, because a store may need seconds to create tables.
async fn with_tables(store: &SharedStore) {
    store
        .ensure_logical_units(&["Conformance".to_owned()])
        .await
        .expect("tables can be made");
}

async fn a_flush_saves_its_instances(store: SharedStore) {
    with_tables(&store).await;
    let held = Held::new(store.as_ref(), 2).await;
    let saved = instance(&own_text("instance"), 100, 2_000);
    let flush = FlushChunk {
        instances: vec![saved.clone()],
        ..held.flush(1, 0..2)
    };
    apply(store.as_ref(), &flush).await;
    let found = store.instance("Conformance", &saved.head.id).await;
    assert_eq!(found.expect("readable"), Some(saved));
}

async fn a_flush_never_replaces_a_newer_instance(store: SharedStore) {
    with_tables(&store).await;
    let held = Held::new(store.as_ref(), 2).await;
    let newer = instance(&own_text("instance"), 200, 2_000);
    store
        .save_instances("Conformance", std::slice::from_ref(&newer))
        .await
        .expect("writable");
    let flush = FlushChunk {
        instances: vec![instance(&newer.head.id, 100, 3_000)],
        ..held.flush(1, 0..2)
    };
    apply(store.as_ref(), &flush).await;
    let found = store.instance("Conformance", &newer.head.id).await;
    assert_eq!(found.expect("readable"), Some(newer));
}

/// Each worker owns one column of a shared row, here its share, and increments it by compare-and-set. At the end the
/// row must have every success, even if other workers interfered.
async fn workers_that_share_a_chunk_lose_no_count(store: SharedStore) {
    const WORKERS: usize = 8;
    const SUCCESSES: i64 = 3;
    let held = Held::new(store.as_ref(), 1).await;
    let workers: Vec<_> = (0..WORKERS).map(|_| holder("column")).collect();
    let counts = workers.iter().map(|worker| async {
        let mut successes = 0;
        while successes < SUCCESSES {
            let head = held.head(store.as_ref()).await;
            let mine = head
                .shares
                .get(&worker.node)
                .map_or(0, |share| share.succeeded);
            assert!(mine >= successes, "a success of {} is gone", worker.node);
            // Counts a flush that applied although its answer was Lost, because a later flush replaced its token.
            successes = mine;
            if successes == SUCCESSES {
                break;
            }
            let mut shares = head.shares.clone();
            shares.entry(worker.node.clone()).or_default().succeeded += 1;
            let flush = FlushChunk {
                ok: head.ok + 1,
                shares,
                ..held.flush(head.seq + 1, 0..0)
            };
            match decide(store.as_ref(), &flush).await {
                Settled::Applied => successes += 1,
                Settled::Lost(_) => (),
                Settled::StillUnknown => panic!("no definite answer"),
            }
        }
    });
    join_all(counts).await;
    let head = held.head(store.as_ref()).await;
    let all = SUCCESSES * i64::try_from(WORKERS).expect("few workers");
    assert_eq!((head.seq, head.ok), (all, all));
    for worker in &workers {
        assert_eq!(head.shares[&worker.node].succeeded, SUCCESSES);
    }
}

async fn flushes_of_many_chunks_at_once_all_arrive(store: SharedStore) {
    let batch = batch_id();
    let worker = holder("worker");
    let way_of_one = |number: i64| {
        let (store, worker) = (&store, &worker);
        async move {
            let ids: Vec<_> = (0..50).map(|id| format!("{number}-{id}")).collect();
            let held = Held {
                batch,
                worker: worker.clone(),
                ids: ids.clone(),
            };
            apply(store.as_ref(), &open_chunk(batch, number, ids)).await;
            apply(store.as_ref(), &claim_chunk(batch, number, 1, worker)).await;
            for (seq, part) in [(1, 0..20), (2, 20..50)] {
                let flush = FlushChunk {
                    number,
                    ..held.flush(seq, part)
                };
                apply(store.as_ref(), &flush).await;
            }
        }
    };
    join_all((0..8).map(way_of_one)).await;
    let heads = store.chunk_heads(batch, 0, 100).await.expect("readable");
    assert_eq!(heads.len(), 8);
    for head in heads {
        assert_eq!((head.state, head.ok), (ChunkState::Done, 50));
        let rows = store.entities(batch, head.number).await.expect("readable");
        assert_eq!(rows.len(), 50);
        assert!(
            rows.iter()
                .all(|row| row.id.starts_with(&format!("{}-", head.number)))
        );
    }
}

async fn entities_are_read_by_their_ids(store: SharedStore) {
    let held = Held::new(store.as_ref(), 5).await;
    apply(store.as_ref(), &held.flush(1, 0..4)).await;
    let wanted = [
        held.ids[3].clone(),
        held.ids[1].clone(),
        // It has no record yet.
        held.ids[4].clone(),
        "no such id".to_owned(),
    ];
    let rows = store
        .entities_of(held.batch, 0, &wanted)
        .await
        .expect("readable");
    let all = held.entities(store.as_ref()).await;
    let found: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
    let expected = [&held.ids[1], &held.ids[3]].map(|id| (id.clone(), all[id].clone()));
    assert_eq!(found, BTreeMap::from(expected));
    let rows = store.entities_of(held.batch, 1, &wanted).await;
    assert_eq!(rows.expect("readable"), []);
}
