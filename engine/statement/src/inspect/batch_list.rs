//! BATCH_LIST: the batches.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};
use regex::Regex;
use serde::Serialize;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, BatchStatus};
use weft_node::{Member, RemovedBatches, active_batches, removed_batches};
use weft_store::{Freshness, ListBatches, StoreResult};

use super::{InspectResult, Inspector, READS_AT_ONCE, progress_percent, waiting};
use crate::permission::Permit;

/// Batches are removed 7 days after their end, and end within a month.
const HORIZON_MS: i64 = 35 * 24 * 3_600_000;
/// How many listings are read at once.
const PAGE: usize = 500;
/// How many listings one query reads at most.
const SCANNED: usize = 50_000;

/// Which statuses to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatusFilter {
    /// Batches that have not ended.
    #[default]
    Active,
    /// All batches.
    All,
    /// Batches with this status.
    Is(BatchStatus),
}

/// Which batches to show.
#[derive(Clone, Debug, Default)]
pub struct BatchListQuery {
    /// Filters by status.
    pub status: StatusFilter,
    /// Only batches submitted at or after this moment.
    pub from: Option<Timestamp>,
    /// Only batches submitted before this moment.
    pub to: Option<Timestamp>,
    /// Searched for in the command, the fabric command and the execution id.
    pub filter: Option<Regex>,
    /// Only ended batches strictly after this one; active ones are on the first page.
    pub before: Option<(Timestamp, BatchId)>,
    /// How many ended batches at most. Active ones have no limit.
    pub limit: usize,
}

/// A batch in a list.
#[derive(Clone, Debug, Serialize)]
pub struct BatchItem {
    /// The true row.
    pub batch: Batch,
    /// How many entities were COMPLETED.
    pub succeeded: i64,
    /// How many FAILED.
    pub failed: i64,
    /// The completed share, 0 to 100; 100 only when the batch is DONE.
    pub completed_percent: f64,
    /// Why the batch waits, if something is in its way.
    pub note: Option<String>,
}

/// A page of batches: active ones, then ended ones, each newest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BatchListPage {
    /// The batches.
    pub items: Vec<BatchItem>,
    /// The start of the next page of ended batches, where there may be one.
    pub next: Option<(Timestamp, BatchId)>,
}

impl StatusFilter {
    fn admits(self, status: BatchStatus) -> bool {
        match self {
            Self::Active => !status.is_final(),
            Self::All => true,
            Self::Is(wanted) => status == wanted,
        }
    }

    fn wants_active(self) -> bool {
        match self {
            Self::Active | Self::All => true,
            Self::Is(wanted) => !wanted.is_final(),
        }
    }

    fn wants_ended(self) -> bool {
        match self {
            Self::Active => false,
            Self::All => true,
            Self::Is(wanted) => wanted.is_final(),
        }
    }
}

impl BatchListQuery {
    fn admits(&self, batch: &Batch) -> bool {
        let found = |filter: &Regex| {
            filter.is_match(&batch.command)
                || filter.is_match(&batch.spec.fabric_command)
                || filter.is_match(&batch.execution_id)
        };
        self.status.admits(batch.status)
            && self.from.is_none_or(|from| batch.creation_time >= from)
            && self.to.is_none_or(|to| batch.creation_time < to)
            && self.filter.as_ref().is_none_or(found)
    }

    fn listings(&self, now: Timestamp, before: Option<(Timestamp, BatchId)>) -> ListBatches {
        ListBatches {
            from: self
                .from
                .unwrap_or(Timestamp(now.0.saturating_sub(HORIZON_MS))),
            // A batch of a node whose clock is ahead is shown too.
            to: self
                .to
                .unwrap_or(Timestamp(now.0.saturating_add(HORIZON_MS))),
            before,
            limit: PAGE,
        }
    }
}

impl BatchListQuery {
    /// Adds the ended batches of these that the query admits, newest first, up to its limit; answers the start of the next
    /// page if there are more.
    fn take(&self, mut rows: Vec<Batch>, found: &mut Vec<Batch>) -> Option<(Timestamp, BatchId)> {
        rows.retain(|batch| batch.status.is_final() && self.admits(batch));
        rows.sort_by_key(order);
        let capacity = self.limit - found.len();
        let is_full = rows.len() > capacity;
        found.extend(rows.into_iter().take(capacity));
        let last = found.last().filter(|_| is_full);
        last.map(|last| (last.creation_time, last.id))
    }

    /// Batches of the query that the clean-up has left behind, which no listing names.
    fn left_behind(&self, removed: &RemovedBatches, now: Timestamp) -> BTreeSet<BatchId> {
        let list = self.listings(now, self.before);
        let left = removed.left.iter().filter(|(created, id)| {
            *created >= list.from
                && *created < list.to
                && list.before.is_none_or(|before| (*created, *id) < before)
        });
        left.map(|(_, id)| *id).collect()
    }
}

/// Newest first.
fn order(batch: &Batch) -> std::cmp::Reverse<(Timestamp, BatchId)> {
    std::cmp::Reverse((batch.creation_time, batch.id))
}

impl Inspector {
    /// A page of batches.
    ///
    /// # Errors
    /// The store failed.
    pub async fn batches(&self, permit: &Permit<BatchListQuery>) -> InspectResult<BatchListPage> {
        let query = permit.request();
        let members = self.nodes.members().await?;
        let mut page = BatchListPage::default();
        let mut shown = BTreeSet::new();
        if query.status.wants_active() && query.before.is_none() {
            let mut active = self.open_batches(query, &members).await?;
            active.sort_by_key(order);
            shown.extend(active.iter().map(|batch| batch.id));
            page.items = self.items(active, &members).await?;
        }
        if query.status.wants_ended() {
            let (ended, next) = self.ended_batches(query, &shown).await?;
            page.items.extend(self.items(ended, &members).await?);
            page.next = next;
        }
        Ok(page)
    }

    /// Batches that have not ended. Listings, and the list of batches in a node's row, lag behind the rows of the
    /// batches. A batch that has ended since is left to [`Self::ended_batches`], which puts it in its place.
    async fn open_batches(
        &self,
        query: &BatchListQuery,
        members: &[Member],
    ) -> InspectResult<Vec<Batch>> {
        let owned = members
            .iter()
            .flat_map(|member| member.row.coordinates.iter().copied());
        let mut rows = active_batches(self.store.as_ref(), self.clock.now(), owned).await?;
        rows.retain(|batch| query.admits(batch));
        Ok(rows)
    }

    /// Ended batches up to the limit, newest first, and the start of the next page.
    async fn ended_batches(
        &self,
        query: &BatchListQuery,
        shown: &BTreeSet<BatchId>,
    ) -> InspectResult<(Vec<Batch>, Option<(Timestamp, BatchId)>)> {
        let now = self.clock.now();
        let mut list = query.listings(now, query.before);
        let removed = removed_batches(self.store.as_ref(), now, list.from).await?;
        list.from = list.from.max(removed.before);
        let mut found: Vec<Batch> = Vec::new();
        let mut scanned = 0;
        // A page may begin among the batches that were left behind.
        while list.before.is_none_or(|(before, _)| before >= list.from) {
            let page = self.store.batches(&list).await?;
            scanned += page.listings.len();
            // A listing may lag behind its row, so rows of open listings are read too.
            let likely = page.listings.iter().filter(|listing| {
                !listing.status.is_final() || query.status.admits(listing.status)
            });
            let ids: BTreeSet<BatchId> = likely.map(|listing| listing.id).collect();
            let mut rows: Vec<Batch> = self.rows(ids).await?;
            rows.retain(|batch| !shown.contains(&batch.id));
            if let Some(next) = query.take(rows, &mut found) {
                return Ok((found, Some(next)));
            }
            let Some(last) = page.listings.last().filter(|_| page.more) else {
                break;
            };
            list.before = Some((last.creation_time, last.id));
            if scanned >= SCANNED {
                return Ok((found, list.before));
            }
        }
        let ids = query.left_behind(&removed, now);
        let mut rows: Vec<Batch> = self.rows(ids).await?;
        rows.retain(|batch| !shown.contains(&batch.id));
        let next = query.take(rows, &mut found);
        Ok((found, next))
    }

    /// The rows; a batch that was removed meanwhile is left out.
    async fn rows(&self, ids: BTreeSet<BatchId>) -> StoreResult<Vec<Batch>> {
        let rows = ids
            .into_iter()
            .map(|id| self.store.batch(id, Freshness::Committed));
        let rows: Vec<Option<Batch>> = futures::stream::iter(rows)
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(rows.into_iter().flatten().collect())
    }

    async fn items(&self, rows: Vec<Batch>, members: &[Member]) -> InspectResult<Vec<BatchItem>> {
        let items = rows.into_iter().map(|batch| self.item(batch, members));
        futures::stream::iter(items)
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await
    }

    pub(super) async fn item(&self, batch: Batch, members: &[Member]) -> InspectResult<BatchItem> {
        let share = self.share_of(&batch).await?;
        let handled = share.handled();
        let is_done = batch.status == BatchStatus::Done;
        Ok(BatchItem {
            completed_percent: progress_percent(handled, known_total(&batch, handled), is_done),
            succeeded: share.succeeded,
            failed: share.failed,
            note: waiting::note(&batch, members),
            batch,
        })
    }

    /// All batches that have not ended, by id.
    pub(super) async fn active(&self) -> InspectResult<BTreeMap<BatchId, Batch>> {
        let members = self.nodes.members().await?;
        let query = BatchListQuery::default();
        let rows = self.open_batches(&query, &members).await?;
        Ok(rows.into_iter().map(|batch| (batch.id, batch)).collect())
    }
}

/// How many entities a batch has: the true number, or the estimate until more are handled.
pub(super) fn known_total(batch: &Batch, handled: i64) -> Option<i64> {
    let estimate = || {
        batch
            .spec
            .estimated_entities
            .filter(|estimate| *estimate > handled)
    };
    batch.total_entities.or_else(estimate)
}
