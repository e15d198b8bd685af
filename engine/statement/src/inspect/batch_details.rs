//! BATCH_DETAILS: the entities of a batch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use weft_model::ChunkEntry;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, ChunkHead, ChunkState, EntityRow, EntityStatus, NodeId, SlowEntity,
};
use weft_node::affinity::Identity;
use weft_node::worker::keep_slowest;
use weft_store::{SharedStore, check_sought_id};

use super::{InspectResult, Inspector};
use crate::permission::Permit;

/// How many chunk heads are read at once.
const HEADS: i64 = 128;
/// How many filters of chunks are read at once; each has 2 KiB.
const FILTERS: i64 = 1_024;
/// So many ids are looked for in the filters. With more of them nearly every chunk has one.
const SOUGHT: usize = 1_000;
/// So many ids of one chunk are read one by one.
const SINGLE_READS: usize = 64;

/// Which entities to show.
#[derive(Clone, Debug)]
pub struct EntityQuery {
    /// The batch.
    pub batch: BatchId,
    /// Only entities with this status.
    pub status: Option<EntityStatus>,
    /// Only entities with these ids.
    pub entities: Option<BTreeSet<String>>,
    /// Only entities that ran on nodes named here; empty = any.
    pub affinity: Vec<String>,
    /// How many at most; none = all.
    pub limit: Option<usize>,
    /// Only entities strictly after this one.
    pub after: Option<EntityPosition>,
    /// The slowest entities instead; the other filters do not count then.
    pub slowest: bool,
}

/// The position of an entity in a batch: by chunk, then by the bytes of the id. It stays the same while entities are
/// handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityPosition {
    /// The number of the chunk.
    pub chunk: i64,
    /// The id of the entity.
    pub id: String,
}

/// One entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntityItem {
    /// The id.
    pub id: String,
    /// How it ended, or that it waits.
    pub status: EntityStatus,
    /// The node that ran it.
    pub node: Option<NodeId>,
    /// Why it failed.
    pub error: Option<String>,
    /// The result as JSON text.
    pub result: Option<String>,
    /// When it started.
    pub start_time: Option<Timestamp>,
    /// When it ended.
    pub end_time: Option<Timestamp>,
    /// Its duration, in microseconds.
    pub duration_us: Option<i64>,
    /// The number of the attempt, from 1.
    pub attempt: Option<i32>,
}

/// A page of entities.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EntityPage {
    /// The entities.
    pub items: Vec<EntityItem>,
    /// The start of the next page, where there may be one.
    pub next: Option<EntityPosition>,
}

/// The ids that a chunk may hold, of those asked for; none: any.
type Candidates = Option<Vec<String>>;

/// Entities chunk by chunk; never holds more than one chunk.
#[derive(Debug)]
pub struct EntityPages {
    store: SharedStore,
    query: EntityQuery,
    /// The nodes named by the affinity; none = any.
    nodes: Option<BTreeSet<NodeId>>,
    heads: VecDeque<(ChunkHead, Candidates)>,
    /// Chunks whose heads are read next.
    sought: VecDeque<(i64, Candidates)>,
    /// Numbers below this one are sought, or cannot hold what is asked for.
    next_number: i64,
    chunks: i64,
    left: usize,
    is_cut: bool,
    last: Option<EntityPosition>,
}

impl Inspector {
    /// The entities of a batch as a stream of chunks.
    ///
    /// # Errors
    /// There is no such batch, or the store failed.
    pub async fn entities(&self, permit: &Permit<EntityQuery>) -> InspectResult<EntityPages> {
        let query = permit.request().clone();
        let batch = self.existing(query.batch).await?;
        let nodes = match query.affinity.is_empty() {
            true => None,
            false => Some(self.nodes_named(&batch, &query.affinity).await?),
        };
        Ok(EntityPages {
            store: self.store.clone(),
            nodes,
            heads: VecDeque::new(),
            sought: VecDeque::new(),
            next_number: query.after.as_ref().map_or(0, |after| after.chunk.max(0)),
            chunks: batch.used_chunks(),
            left: query.limit.unwrap_or(usize::MAX),
            is_cut: false,
            last: None,
            query,
        })
    }

    /// A page of the entities of a batch; the query says how large.
    ///
    /// # Errors
    /// There is no such batch, or the store failed.
    pub async fn entity_page(&self, permit: &Permit<EntityQuery>) -> InspectResult<EntityPage> {
        if permit.request().slowest {
            return Ok(EntityPage {
                items: self.slowest(permit).await?,
                next: None,
            });
        }
        let mut pages = self.entities(permit).await?;
        let mut page = EntityPage::default();
        while let Some(items) = pages.next().await? {
            page.items.extend(items);
        }
        page.next = pages.last.take().filter(|_| pages.is_cut);
        Ok(page)
    }

    /// The entities that took longest, in ascending order of time.
    ///
    /// # Errors
    /// There is no such batch, or the store failed.
    pub async fn slowest(&self, permit: &Permit<EntityQuery>) -> InspectResult<Vec<EntityItem>> {
        let batch = self.existing(permit.request().batch).await?;
        let written = batch
            .extra_stats
            .as_deref()
            .filter(|_| batch.status.is_final());
        let slowest = match written.and_then(slowest_of) {
            Some(slowest) => slowest,
            None => {
                let mut slowest = Vec::new();
                let stats = self.store.node_stats(batch.id).await?;
                for slow in stats.into_iter().flat_map(|stats| stats.slowest) {
                    let millis = slow.process_time_ms;
                    keep_slowest(&mut slowest, self.config.slowest_count, millis, || slow);
                }
                slowest
            }
        };
        Ok(slowest.into_iter().map(EntityItem::from).collect())
    }

    /// The nodes named by an affinity, among present nodes and those that worked on the batch.
    async fn nodes_named(
        &self,
        batch: &Batch,
        affinity: &[String],
    ) -> InspectResult<BTreeSet<NodeId>> {
        let rows = self.store.nodes().await?;
        let there = rows
            .iter()
            .filter(|row| Identity::from(*row).matches(affinity));
        let mut named: BTreeSet<NodeId> = there.map(|row| row.guid.clone()).collect();
        for stats in self.store.node_stats(batch.id).await? {
            let is_named =
                |member: &String| *member == stats.node.0 || member.eq_ignore_ascii_case(&stats.dc);
            if affinity.iter().any(is_named) {
                named.insert(stats.node);
            }
        }
        Ok(named)
    }
}

/// The slowest entities in `extra_stats`.
fn slowest_of(extra_stats: &str) -> Option<Vec<SlowEntity>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ExtraStats {
        slowest_processed: Vec<SlowEntity>,
    }
    let read: ExtraStats = serde_json::from_str(extra_stats).ok()?;
    Some(read.slowest_processed)
}

impl EntityPages {
    /// The next entities, all of one chunk; none at the end.
    ///
    /// # Errors
    /// The store failed.
    pub async fn next(&mut self) -> InspectResult<Option<Vec<EntityItem>>> {
        loop {
            let Some((head, candidates)) = self.next_head().await? else {
                return Ok(None);
            };
            if !self.may_have_some(&head) {
                continue;
            }
            let mut items = self.items_of(&head, candidates).await?;
            items.retain(|item| self.wants(head.number, item));
            if items.is_empty() {
                continue;
            }
            if self.left == 0 {
                self.is_cut = true;
                self.stop();
                return Ok(None);
            }
            self.is_cut = items.len() > self.left;
            items.truncate(self.left);
            self.left -= items.len();
            self.last = items.last().map(|item| EntityPosition {
                chunk: head.number,
                id: item.id.clone(),
            });
            if self.is_cut {
                self.stop();
            }
            return Ok(Some(items));
        }
    }

    /// Whether the limit cut off further entities.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Reads no further chunk.
    fn stop(&mut self) {
        self.heads.clear();
        self.sought.clear();
        self.next_number = self.chunks;
    }

    async fn next_head(&mut self) -> InspectResult<Option<(ChunkHead, Candidates)>> {
        loop {
            if let Some(found) = self.heads.pop_front() {
                return Ok(Some(found));
            }
            if self.sought.is_empty() {
                if self.next_number >= self.chunks {
                    return Ok(None);
                }
                self.seek().await?;
            }
            self.read_heads().await?;
        }
    }

    /// Finds the next numbers that may hold what is asked for.
    async fn seek(&mut self) -> InspectResult<()> {
        let from = self.next_number;
        let wanted = self.query.entities.as_ref();
        let Some(ids) = wanted.filter(|ids| ids.len() <= SOUGHT) else {
            self.next_number = (from + HEADS).min(self.chunks);
            let numbers = from..self.next_number;
            self.sought.extend(numbers.map(|number| (number, None)));
            return Ok(());
        };
        self.next_number = (from + FILTERS).min(self.chunks);
        let filters = self
            .store
            .chunk_filters(self.query.batch, from, self.next_number)
            .await?;
        // Nothing is stored under an id that no store takes.
        let ids: Vec<&String> = ids
            .iter()
            .filter(|id| check_sought_id(id).is_ok())
            .collect();
        let mut filtered: BTreeMap<i64, BTreeSet<&String>> = BTreeMap::new();
        for (number, filter) in &filters {
            let may_have = ids.iter().filter(|id| filter.may_have(id));
            filtered.entry(*number).or_default().extend(may_have);
        }
        for number in from..self.next_number {
            let candidates: Candidates = filtered
                .get(&number)
                .map(|ids| ids.iter().map(|id| (*id).clone()).collect());
            if candidates.as_ref().is_none_or(|ids| !ids.is_empty()) {
                self.sought.push_back((number, candidates));
            }
        }
        Ok(())
    }

    /// Reads the heads of the next sought numbers that are in a row.
    async fn read_heads(&mut self) -> InspectResult<()> {
        let Some(&(from, _)) = self.sought.front() else {
            return Ok(());
        };
        let mut run = BTreeMap::new();
        let mut to = from;
        while to < from + HEADS
            && let Some((number, candidates)) =
                self.sought.pop_front_if(|(number, _)| *number == to)
        {
            run.insert(number, candidates);
            to += 1;
        }
        let heads = self.store.chunk_heads(self.query.batch, from, to).await?;
        for head in heads {
            let candidates = run.remove(&head.number).flatten();
            self.heads.push_back((head, candidates));
        }
        Ok(())
    }

    /// Whether a chunk may have matching entities, by its counts. Spares reading most chunks.
    fn may_have_some(&self, head: &ChunkHead) -> bool {
        head.state != ChunkState::Void
            && match self.query.status {
                None => true,
                Some(EntityStatus::Completed) => head.ok > 0,
                Some(EntityStatus::Failed) => head.failed > 0,
                Some(EntityStatus::Waiting) => head.ok + head.failed < head.total,
            }
    }

    /// The entities of a chunk, by id.
    async fn items_of(
        &self,
        head: &ChunkHead,
        candidates: Candidates,
    ) -> InspectResult<Vec<EntityItem>> {
        let mut items: BTreeMap<String, EntityItem> = BTreeMap::new();
        let wants_waiting = match self.query.status {
            None | Some(EntityStatus::Waiting) => self.nodes.is_none(),
            Some(EntityStatus::Completed | EntityStatus::Failed) => false,
        };
        if wants_waiting && head.ok + head.failed < head.total {
            let content = self.store.chunk(self.query.batch, head.number).await?;
            let handled: BTreeSet<String> = content
                .iter()
                .flat_map(|content| content.handled.iter().cloned())
                .collect();
            let entries = content.into_iter().flat_map(|content| content.ids);
            let ids = entries.map(|entry| ChunkEntry::read(&entry).name().to_owned());
            let waiting = ids.filter(|id| !handled.contains(id));
            items.extend(waiting.map(|id| (id.clone(), EntityItem::waiting(id))));
        }
        if self.query.status != Some(EntityStatus::Waiting) {
            // Read after the ids: an entity that was handled in between is shown as handled.
            let batch = self.query.batch;
            let rows = match candidates.filter(|ids| ids.len() <= SINGLE_READS) {
                Some(ids) => self.store.entities_of(batch, head.number, &ids).await?,
                None => self.store.entities(batch, head.number).await?,
            };
            items.extend(
                rows.into_iter()
                    .map(|row| (row.id.clone(), EntityItem::from(row))),
            );
        }
        Ok(items.into_values().collect())
    }

    fn wants(&self, chunk: i64, item: &EntityItem) -> bool {
        let query = &self.query;
        let is_behind = query.after.as_ref().is_none_or(|after| {
            chunk > after.chunk || (chunk == after.chunk && item.id > after.id)
        });
        let is_there =
            |nodes: &BTreeSet<NodeId>| item.node.as_ref().is_some_and(|node| nodes.contains(node));
        is_behind
            && query.status.is_none_or(|status| item.status == status)
            && query
                .entities
                .as_ref()
                .is_none_or(|wanted| wanted.contains(&item.id))
            && self.nodes.as_ref().is_none_or(is_there)
    }
}

impl EntityItem {
    fn waiting(id: String) -> Self {
        Self {
            id,
            status: EntityStatus::Waiting,
            node: None,
            error: None,
            result: None,
            start_time: None,
            end_time: None,
            duration_us: None,
            attempt: None,
        }
    }
}

impl From<EntityRow> for EntityItem {
    fn from(row: EntityRow) -> Self {
        Self {
            id: row.id,
            status: row.status,
            node: Some(row.node),
            error: row.error,
            result: row.result,
            start_time: Some(row.start_time),
            end_time: Some(row.end_time),
            duration_us: Some(row.duration_us),
            attempt: Some(row.attempt),
        }
    }
}

impl From<SlowEntity> for EntityItem {
    fn from(slow: SlowEntity) -> Self {
        Self {
            status: slow.status.parse().unwrap_or(EntityStatus::Completed),
            node: slow.node_id.map(NodeId),
            result: slow.result,
            duration_us: Some(slow.process_time_ms.saturating_mul(1_000)),
            ..Self::waiting(slow.entity_id)
        }
    }
}
