//! Crashes of a store that loses the last writes it has acknowledged, as Cassandra does with
//! `commitlog_sync: periodic`.

use std::time::Duration;

use weft_model::{Batch, BatchId, BatchStatus};
use weft_tests::sim::store::FaultPlan;
use weft_tests::sim::{Cluster, Script, in_simulated_time};

use super::stories::{MINUTE, assert_nothing_broke, paged, wait_for_effects};

/// A chunk in the middle of the list.
const LOST: i64 = 5;

/// Half of the ids come again later.
fn with_duplicates(mut script: Script) -> Script {
    let again: Vec<String> = script
        .ids()
        .iter()
        .step_by(2)
        .map(|id| (*id).to_owned())
        .collect();
    for (at, ids) in again.chunks(5).enumerate() {
        let page = (at * 3 + 1).min(script.pages.len());
        script.pages.insert(page, (50, ids.to_vec()));
    }
    script
}

/// The seeds of a story: `WEFT_SIM_CRASHES` of them, or 20.
fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("WEFT_SIM_CRASHES").ok();
    0..count.and_then(|count| count.parse().ok()).unwrap_or(20)
}

/// Runs a batch of `script` over three nodes. When so many entities were begun, the store crashes and loses `loss_ms`; with
/// some seeds calls fail besides, or a node dies in the crash and starts again.
fn crash(seed: u64, script: Script, entities: usize, loss_ms: u64) {
    let list = script.list();
    let row = in_simulated_time(async move {
        let mut cluster = Cluster::new(seed, false);
        cluster.start_quick(3);
        if seed % 4 == 1 {
            cluster.store.inner().faults = FaultPlan::weighted(0.5);
        }
        let spec = cluster.spec(script);
        let batch = cluster.submit(spec);
        wait_for_effects(&cluster, entities).await;
        let (loss, away) = (Duration::from_millis(loss_ms), Duration::from_millis(1_000));
        cluster.crash_store(loss, away).await;
        if seed % 4 == 2 {
            cluster.kill("n1");
            tokio::time::sleep(loss).await;
            cluster.start("n1");
        }
        cluster.wait_for_end(batch, 10 * MINUTE).await;
        assert_nothing_broke(&cluster);
        cluster.batch(batch).expect("it is stored")
    });
    let counted = (row.status, row.total_entities, row.duplicates);
    let expected = (BatchStatus::Done, Some(list.ids), list.duplicates);
    assert_eq!(counted, expected, "seed {seed}: {:?}", row.error);
}

#[test]
fn a_batch_is_whole_after_a_crash_that_loses_opened_chunks() {
    for seed in seeds() {
        let script = Script {
            has_positions: seed % 2 == 0,
            ..with_duplicates(paged(30, 10, 100, 20))
        };
        crash(seed, script, 20 + step(seed) * 10, 300);
    }
}

#[test]
fn a_batch_continues_after_a_crash_that_loses_flushes() {
    for seed in seeds() {
        let script = Script::plain(300, 20);
        crash(seed, script, 40 + step(seed) * 10, 60 + seed * 20 % 1_000);
    }
}

/// From 0 to 20.
fn step(seed: u64) -> usize {
    usize::try_from(seed % 21).unwrap_or(0)
}

/// A batch of 100 ids, of which the store loses one chunk when the list is complete: its row at the end, and the number of ids
/// in the chunk. `change` is given the ids, and changes what is stored or what the source gives.
fn lose_a_chunk(change: impl Fn(&Cluster, BatchId, &[String])) -> (Batch, usize) {
    in_simulated_time(async {
        let mut cluster = Cluster::new(40, false);
        cluster.start_quick(2);
        let spec = cluster.spec(Script {
            has_positions: false,
            ..Script::plain(100, 400)
        });
        let batch = cluster.submit(spec);
        let at_work = |cluster: &Cluster| {
            let row = cluster.batch(batch);
            row.is_some_and(|row| row.status == BatchStatus::InProgress)
        };
        assert!(cluster.wait(MINUTE, at_work).await);
        let ids = cluster.store.inner().lose_chunk(batch, LOST);
        assert!(!ids.is_empty());
        change(&cluster, batch, &ids);
        cluster.wait_for_end(batch, 10 * MINUTE).await;
        assert_nothing_broke(&cluster);
        let row = cluster.batch(batch).expect("it is stored");
        (row, ids.len())
    })
}

#[test]
fn a_chunk_that_the_store_lost_is_filled_again_before_done() {
    let (batch, _) = lose_a_chunk(|_, _, _| ());
    assert_eq!(batch.status, BatchStatus::Done, "{:?}", batch.error);
    assert_eq!((batch.total_entities, batch.duplicates), (Some(100), 0));
}

#[test]
fn a_batch_of_an_older_version_is_compared_with_its_total() {
    let (batch, _) = lose_a_chunk(|cluster, batch, _| {
        let mut inner = cluster.store.inner();
        let row = inner.tables.batches.get_mut(&batch).expect("it is stored");
        let without_counts = Batch {
            filled: None,
            ..row.peek().clone()
        };
        row.write(without_counts, 0);
    });
    assert_eq!(batch.status, BatchStatus::Done, "{:?}", batch.error);
    assert_eq!((batch.total_entities, batch.duplicates), (Some(100), 0));
}

#[test]
fn a_batch_fails_with_the_number_of_lost_ids_if_the_source_has_no_more_of_them() {
    let (batch, lost) = lose_a_chunk(|cluster, batch, lost| {
        let row = cluster.batch(batch).expect("it is stored");
        let mut script = Script::plain(100, 400);
        let (_, ids) = &mut script.pages[0];
        ids.retain(|id| !lost.contains(id) || *id == lost[0]);
        cluster.scripts.replace(&row.spec, script);
    });
    let error = batch.error.unwrap_or_default();
    assert_eq!(batch.status, BatchStatus::Failed, "{error}");
    // One of them still comes.
    let expected = format!("the store has lost {} ids of the batch", lost - 1);
    assert!(lost > 1 && error.starts_with(&expected), "{error}");
}
