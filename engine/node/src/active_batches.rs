//! Which batches have not ended, without a look at the stored ones that have.
//!
//! The setting [`ACTIVE_BATCHES`] names the unfinished batches that were submitted before a moment. The directory by day has
//! the ones since then. The reconciliation moves the moment on. A node that knows nothing of the setting submits batches
//! that are found all the same, because they are in the directory.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, Setting};
use weft_store::{Freshness, ListBatches, Store, StoreResult};

use crate::cluster_value;
use crate::removed_batches::removed_batches;

/// The setting of the cluster that names unfinished batches.
pub const ACTIVE_BATCHES: &str = "batches_active";
/// Without the setting the directory is searched this far back. Batches end within a month, and are removed 7 days after
/// their end. A batch of a node whose clock is ahead is found as far ahead.
const HORIZON: Duration = Duration::from_secs(35 * 24 * 3_600);
/// Batches submitted in this time before now are left to the directory: longer than a submission lasts and clocks differ.
const MARGIN: Duration = Duration::from_secs(600);
/// The most batches that the setting names (80 KiB). If more have not ended, it names the oldest.
const NAMED: usize = 2_000;
/// How many listings are read at once.
const PAGE: usize = 500;
/// How many listings are read at most where no setting says where to begin.
const SCANNED: usize = 50_000;
const READS_AT_ONCE: usize = 16;

/// The value of [`ACTIVE_BATCHES`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Unfinished batches submitted before this moment are in `batches`.
    before: Timestamp,
    batches: Vec<BatchId>,
}

/// Where a search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// At the mark.
    SinceMark,
    /// As far back as batches are stored, whatever the mark says.
    Everything,
}

/// The batches that have not ended, in no order. Listings lag behind the rows, so the rows decide; `others` may name more.
///
/// # Errors
/// The store failed.
pub async fn active_batches(
    store: &dyn Store,
    now: Timestamp,
    others: impl IntoIterator<Item = BatchId>,
) -> StoreResult<Vec<Batch>> {
    let (mark, _) = cluster_value::read(store, ACTIVE_BATCHES).await?;
    let mut ids = find(store, now, mark, SCANNED).await?;
    ids.extend(others);
    unfinished(store, ids).await
}

/// The batches that have not ended, and moves the mark; answers the setting to write, if it moved.
///
/// `until` is the time of the store or of this node, the earlier one: the mark must not lie ahead of any clock.
///
/// # Errors
/// The store failed.
pub(crate) async fn mark_active_batches(
    store: &dyn Store,
    search: Search,
    until: Timestamp,
) -> StoreResult<(Vec<Batch>, Option<Setting>)> {
    let (mark, seq) = cluster_value::read::<Mark>(store, ACTIVE_BATCHES).await?;
    let mark = mark.filter(|_| search == Search::SinceMark);
    let ids = find(store, until, mark.clone(), usize::MAX).await?;
    let batches = unfinished(store, ids).await?;
    let next = Mark::after(mark.as_ref(), &batches, until.minus(MARGIN));
    let has_moved = mark.as_ref() != Some(&next);
    let setting = has_moved.then(|| cluster_value::setting(ACTIVE_BATCHES, seq, &next, until, ""));
    Ok((batches, setting))
}

impl Mark {
    /// The mark up to `to`, never before `earlier`, for all batches that have not ended.
    fn after(earlier: Option<&Self>, active: &[Batch], to: Timestamp) -> Self {
        let mut before = earlier.map_or(to, |earlier| earlier.before.max(to));
        let mut old: Vec<(Timestamp, BatchId)> = active
            .iter()
            .filter(|batch| batch.creation_time < before)
            .map(|batch| (batch.creation_time, batch.id))
            .collect();
        old.sort_unstable();
        if let Some((first_left_out, _)) = old.get(NAMED) {
            before = *first_left_out;
        }
        let named = old.into_iter().filter(|(created, _)| *created < before);
        Self {
            before,
            batches: named.map(|(_, id)| id).collect(),
        }
    }
}

/// The ids of batches that may not have ended.
async fn find(
    store: &dyn Store,
    now: Timestamp,
    mark: Option<Mark>,
    limit: usize,
) -> StoreResult<BTreeSet<BatchId>> {
    let (from, named) = match mark {
        Some(mark) => (mark.before, mark.batches),
        None => (now.minus(HORIZON), Vec::new()),
    };
    let mut ids: BTreeSet<BatchId> = named.into_iter().collect();
    let removed = removed_batches(store, now, from).await?;
    ids.extend(removed.left.iter().map(|(_, id)| *id));
    let mut list = ListBatches {
        from: from.max(removed.before),
        to: now.plus(HORIZON),
        before: None,
        limit: PAGE,
    };
    let mut scanned = 0;
    loop {
        let page = store.batches(&list).await?;
        scanned += page.listings.len();
        let open = page
            .listings
            .iter()
            .filter(|listing| !listing.status.is_final());
        ids.extend(open.map(|listing| listing.id));
        let more = page.more && scanned < limit;
        let Some(last) = page.listings.last().filter(|_| more) else {
            return Ok(ids);
        };
        list.before = Some((last.creation_time, last.id));
    }
}

/// The rows that have not ended.
async fn unfinished(store: &dyn Store, ids: BTreeSet<BatchId>) -> StoreResult<Vec<Batch>> {
    let mut reads = Vec::with_capacity(ids.len());
    for id in ids {
        reads.push(store.batch(id, Freshness::Committed));
    }
    let rows: Vec<Option<Batch>> = futures::stream::iter(reads)
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await?;
    let rows = rows.into_iter().flatten();
    Ok(rows.filter(|batch| !batch.status.is_final()).collect())
}

#[cfg(test)]
mod tests {
    use weft_model::BatchStatus;
    use weft_store::{PutSetting, Settled};

    use super::*;
    use crate::testing::Bench;

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    async fn submit(bench: &Bench, created: Timestamp, status: BatchStatus) -> BatchId {
        let batch = Batch {
            status,
            creation_time: created,
            end_time: status.is_final().then_some(created),
            ..bench.batch(&["a"], "ECHO ?")
        };
        bench.submit(batch).await
    }

    async fn found(bench: &Bench, now: Timestamp) -> BTreeSet<BatchId> {
        let found = active_batches(bench.store.as_ref(), now, []).await;
        found.unwrap().into_iter().map(|batch| batch.id).collect()
    }

    /// One round of the reconciliation at this time.
    async fn mark(bench: &Bench, search: Search, until: Timestamp) -> BTreeSet<BatchId> {
        let marked = mark_active_batches(bench.store.as_ref(), search, until).await;
        let (batches, setting) = marked.unwrap();
        if let Some(setting) = setting {
            let put = PutSetting {
                setting,
                token: bench.session.context.ids.token(),
            };
            let settled = bench.session.settle(&put).await.unwrap();
            assert!(matches!(settled, Settled::Applied));
        }
        batches.into_iter().map(|batch| batch.id).collect()
    }

    #[tokio::test]
    async fn active_batches_are_found_without_the_ended_ones() {
        let bench = Bench::new();
        let now = bench.session.context.clock.now();
        for _ in 0..1_200 {
            submit(&bench, now.minus(DAY), BatchStatus::Done).await;
        }
        let old = submit(&bench, now.minus(2 * DAY), BatchStatus::InProgress).await;
        let new = submit(&bench, now, BatchStatus::WaitingForJob).await;
        let both = BTreeSet::from([old, new]);
        bench.store.set("batches", "", None);
        assert_eq!(found(&bench, now).await, both);
        assert_eq!(bench.store.calls("batches"), 3);
        assert_eq!(mark(&bench, Search::SinceMark, now).await, both);
        bench.store.set_all(None);
        assert_eq!(found(&bench, now).await, both);
        // The setting, one page of the directory, two rows.
        assert_eq!(bench.store.calls(""), 4);
        bench.end().await;
    }

    #[tokio::test]
    async fn a_round_over_everything_mends_a_mark_that_lies_ahead() {
        let bench = Bench::new();
        let now = bench.session.context.clock.now();
        mark(&bench, Search::SinceMark, now.plus(DAY)).await;
        let hidden = submit(&bench, now.minus(DAY), BatchStatus::New).await;
        assert_eq!(found(&bench, now).await, BTreeSet::new());
        assert_eq!(
            mark(&bench, Search::Everything, now).await,
            BTreeSet::from([hidden])
        );
        assert_eq!(found(&bench, now).await, BTreeSet::from([hidden]));
        bench.end().await;
    }

    #[test]
    fn a_mark_names_a_bounded_number_and_never_goes_back() {
        let bench_batch = |number: usize| {
            let spec = weft_model::BatchSpec::new("LU", weft_model::EntitySource::Stored, "ECHO ?");
            let created = Timestamp(i64::try_from(number).unwrap());
            Batch::waiting(
                BatchId(uuid::Uuid::from_u128(number as u128)),
                spec,
                created,
            )
        };
        let active: Vec<Batch> = (0..NAMED + 500).map(bench_batch).collect();
        let mark = Mark::after(None, &active, Timestamp(10_000));
        assert_eq!(mark.batches.len(), NAMED);
        assert_eq!(mark.before, active[NAMED].creation_time);
        let later = Mark::after(Some(&mark), &active[..2], Timestamp(5));
        assert_eq!(later.before, mark.before);
        assert_eq!(later.batches.len(), 2);
    }
}
