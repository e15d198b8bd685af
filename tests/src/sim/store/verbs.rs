//! The trait itself: a compare-and-set is sent, a read takes what the tables have.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rand::RngExt;
use weft_model::Value;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, Checkpoint, CheckpointHead, ChunkContent, ChunkEntry, ChunkFilter, ChunkHead,
    Deployment, DueHint, EntityRow, Instance, InstanceHead, Job, JobKey, JobRun, NodeRow,
    NodeStats, ParsedPage, ParsedRow, ParsedTable, Setting,
};
use weft_store::*;

use super::SimHandle;
use super::calls::Inner;
use super::partition::Chunk;
use super::plain::Plain;
use super::row::Row;
use crate::sim::control::BASE;

fn fresh<'a, T: Clone>(
    row: &'a mut Row<T>,
    freshness: Freshness,
    now: u64,
    chance: &mut rand::rngs::StdRng,
) -> Option<&'a T> {
    match freshness {
        Freshness::Serial => Some(row.serial()),
        Freshness::Committed => row.committed(now, chance),
    }
}

fn chunk_at(inner: &mut Inner, batch: BatchId, number: i64, now: u64) -> Option<&Chunk> {
    let row = inner.tables.chunks.get_mut(&(batch, number))?;
    row.committed(now, &mut inner.chance)
}

macro_rules! forward {
    ($($verb:ident: $operation:ident, $found:ty;)*) => {$(
        fn $verb<'a>(&'a self, operation: &'a $operation) -> StoreFuture<'a, AttemptResult<$found>> {
            Box::pin(self.swap(operation))
        }
    )*};
}

#[async_trait]
impl Store for SimHandle {
    fn kind(&self) -> &'static str {
        "simulated"
    }

    row_verbs!(forward);

    fn statistics(&self) -> StoreStatistics {
        self.counters.snapshot()
    }

    async fn schema_version(&self) -> StoreResult<Option<i64>> {
        Ok(Some(SCHEMA_VERSION))
    }

    async fn store_time(&self) -> StoreResult<Timestamp> {
        self.read("store_time", false, |_, now| {
            Timestamp(BASE.0 + i64::try_from(now).unwrap_or(i64::MAX))
        })
        .await
    }

    async fn submit_batch(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost> {
        self.submit(submit).await
    }

    async fn active_command(&self, command_key: &str) -> StoreResult<Option<BatchId>> {
        self.read("active_command", false, |inner, _| {
            inner.tables.commands.get(command_key).copied()
        })
        .await
    }

    async fn claim_job(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        self.claim(claim).await
    }

    async fn end_job(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        self.end(end).await
    }

    async fn job(&self, key: &JobKey, freshness: Freshness) -> StoreResult<Option<Job>> {
        self.read("job", freshness == Freshness::Serial, |inner, now| {
            let row = inner.tables.jobs.get_mut(key)?;
            fresh(row, freshness, now, &mut inner.chance).cloned()
        })
        .await
    }

    async fn jobs(&self, list: &ListJobs) -> StoreResult<JobsPage> {
        self.read("jobs", false, |inner, _| inner.tables.list_jobs(list))
            .await
    }

    async fn delete_job(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        self.delete_with_runs(delete).await
    }

    async fn forget_runs(&self, key: &JobKey, before: Timestamp) -> StoreResult<usize> {
        let found = self
            .read("forget_runs", false, |inner, _| {
                let runs = inner.tables.runs.keys();
                runs.filter(|(of, started, _)| of == key && *started < before)
                    .count()
            })
            .await?;
        if found > 0 {
            self.put(Plain::ForgetRuns(key.clone(), before)).await?;
        }
        Ok(found)
    }

    async fn delete_batch(&self, delete: &DeleteBatch) -> AttemptResult<Option<Batch>> {
        self.delete_with_entries(delete).await
    }

    async fn forget_chunks(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<()> {
        self.counters.call("forget_chunks");
        self.put(Plain::ForgetChunks(batch, from, to)).await
    }

    async fn job_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        self.read("job_runs", false, |inner, _| {
            let runs = inner.tables.runs.iter().rev();
            runs.filter(|((of, _, _), _)| of == key)
                .map(|(_, run)| run.clone())
                .take(limit)
                .collect()
        })
        .await
    }

    async fn put_follower(&self, job_type: &str, name: &str, follower: &JobKey) -> StoreResult<()> {
        self.counters.call("put_follower");
        let of = (job_type.to_owned(), name.to_owned());
        let now = i64::try_from(self.shared.now()).unwrap_or(i64::MAX);
        let now = Timestamp(BASE.0.saturating_add(now));
        self.put(Plain::Follower(of, follower.clone(), now)).await
    }

    async fn forget_follower(
        &self,
        job_type: &str,
        name: &str,
        follower: &JobKey,
        before: Timestamp,
    ) -> StoreResult<()> {
        self.counters.call("forget_follower");
        let of = (job_type.to_owned(), name.to_owned());
        self.put(Plain::ForgetFollower(of, follower.clone(), before))
            .await
    }

    async fn followers(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<Vec<JobKey>> {
        self.read("followers", false, |inner, _| {
            let of = (job_type.to_owned(), name.to_owned());
            let followers = inner.tables.followers.get(&of);
            followers
                .into_iter()
                .flat_map(BTreeMap::keys)
                .filter(|key| after.is_none_or(|after| *key > after))
                .take(limit)
                .cloned()
                .collect()
        })
        .await
    }

    async fn put_due(&self, hint: &DueHint) -> StoreResult<()> {
        self.counters.call("put_due");
        self.put(Plain::Due(hint.clone())).await
    }

    async fn forget_hints(&self, before: Timestamp) -> StoreResult<usize> {
        let found = self
            .read("forget_hints", false, |inner, _| {
                let hints = inner.tables.due.keys();
                hints.filter(|hint| hint.due_at < before).count()
            })
            .await?;
        if found > 0 {
            self.put(Plain::ForgetHints(before)).await?;
        }
        Ok(found)
    }

    async fn due(&self, after: &DueHint, to: Timestamp, limit: usize) -> StoreResult<Vec<DueHint>> {
        self.read("due", false, |inner, now| {
            let hints = inner.tables.due.iter();
            hints
                .filter(|(hint, _)| after < *hint && hint.due_at <= to)
                .filter(|(_, visible_at)| **visible_at <= now)
                .map(|(hint, _)| hint.clone())
                .take(limit)
                .collect()
        })
        .await
    }

    async fn move_batch(&self, change: &MoveBatch) -> AttemptResult<Option<Batch>> {
        self.move_with_copy(change.verb(), change).await
    }

    async fn finish_batch(&self, finish: &FinishBatch) -> AttemptResult<FinishLost> {
        self.finish(finish).await
    }

    async fn batch(&self, id: BatchId, freshness: Freshness) -> StoreResult<Option<Batch>> {
        self.read("batch", freshness == Freshness::Serial, |inner, now| {
            let row = inner.tables.batches.get_mut(&id)?;
            fresh(row, freshness, now, &mut inner.chance).cloned()
        })
        .await
    }

    async fn batches(&self, list: &ListBatches) -> StoreResult<BatchPage> {
        self.read("batches", false, |inner, _| inner.tables.list_batches(list))
            .await
    }

    async fn open_chunk(&self, open: &OpenChunk) -> AttemptResult<Option<ChunkHead>> {
        open.check_ids()?;
        self.open_with_ids(open).await
    }

    async fn flush_chunk(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>> {
        flush.check_ids()?;
        self.flush(flush).await
    }

    async fn chunk_heads(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<Vec<ChunkHead>> {
        self.read("chunk_heads", false, |inner, now| {
            let numbers: Vec<i64> = inner
                .tables
                .chunks
                .range((batch, from)..(batch, to.max(from)))
                .map(|((_, number), _)| *number)
                .collect();
            numbers
                .into_iter()
                .filter_map(|number| {
                    chunk_at(inner, batch, number, now).map(|chunk| chunk.head.clone())
                })
                .collect()
        })
        .await
    }

    async fn chunk(&self, batch: BatchId, number: i64) -> StoreResult<Option<ChunkContent>> {
        self.read("chunk", false, |inner, now| {
            chunk_at(inner, batch, number, now).map(|chunk| ChunkContent {
                head: chunk.head.clone(),
                ids: chunk.ids.clone(),
                handled: chunk.order.clone(),
            })
        })
        .await
    }

    async fn entities(&self, batch: BatchId, number: i64) -> StoreResult<Vec<EntityRow>> {
        self.read("entities", false, |inner, now| {
            chunk_at(inner, batch, number, now).map_or_else(Vec::new, |chunk| {
                let rows = chunk.order.iter().filter_map(|id| chunk.rows.get(id));
                rows.cloned().collect()
            })
        })
        .await
    }

    async fn entities_of(
        &self,
        batch: BatchId,
        number: i64,
        ids: &[String],
    ) -> StoreResult<Vec<EntityRow>> {
        self.read("entities_of", false, |inner, now| {
            chunk_at(inner, batch, number, now).map_or_else(Vec::new, |chunk| {
                let rows = chunk.order.iter().filter(|id| ids.contains(id));
                rows.filter_map(|id| chunk.rows.get(id)).cloned().collect()
            })
        })
        .await
    }

    /// Filters are made of the ids, so they exist exactly where their chunks do.
    async fn chunk_filters(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<Vec<(i64, ChunkFilter)>> {
        self.read("chunk_filters", false, |inner, now| {
            (from..to)
                .filter_map(|number| {
                    let ids = &chunk_at(inner, batch, number, now)?.ids;
                    let names = ids.iter().map(|entry| ChunkEntry::read(entry).name());
                    (!ids.is_empty()).then(|| (number, ChunkFilter::of(names)))
                })
                .collect()
        })
        .await
    }

    async fn put_node(&self, row: &NodeRow) -> StoreResult<()> {
        self.counters.call("put_node");
        self.put(Plain::Node(Box::new(row.clone()))).await
    }

    async fn nodes(&self) -> StoreResult<Vec<NodeRow>> {
        let me = self.node.clone();
        self.read("nodes", false, move |inner, now| {
            let staleness = u64::try_from(inner.faults.staleness.as_millis()).unwrap_or(u64::MAX);
            let stale = inner.faults.stale.min(1.0);
            let rows = inner.tables.nodes.values();
            let chance = &mut inner.chance;
            rows.filter_map(|row| {
                let behind = row.value.guid.0 != me
                    && now.saturating_sub(row.written_at) < staleness
                    && chance.random_bool(stale);
                if behind {
                    row.before.clone()
                } else {
                    Some(row.value.clone())
                }
            })
            .collect()
        })
        .await
    }

    async fn put_node_stats(&self, stats: &NodeStats) -> StoreResult<()> {
        self.counters.call("put_node_stats");
        self.put(Plain::Stats(Box::new(stats.clone()))).await
    }

    async fn node_stats(&self, batch: BatchId) -> StoreResult<Vec<NodeStats>> {
        self.read("node_stats", false, |inner, _| {
            let rows = inner.tables.stats.iter();
            rows.filter(|((of, _), _)| *of == batch)
                .map(|(_, row)| row.value.clone())
                .collect()
        })
        .await
    }

    async fn instance_heads(
        &self,
        logical_unit: &str,
        ids: &[String],
    ) -> StoreResult<BTreeMap<String, InstanceHead>> {
        ids.iter().try_for_each(|id| check_sought_id(id))?;
        self.read("instance_heads", false, |inner, _| {
            let found = ids.iter().filter_map(|id| {
                let key = (logical_unit.to_owned(), id.clone());
                let instance = inner.tables.instances.get(&key)?;
                Some((id.clone(), instance.head.clone()))
            });
            found.collect()
        })
        .await
    }

    async fn instance(&self, logical_unit: &str, id: &str) -> StoreResult<Option<Instance>> {
        check_sought_id(id)?;
        self.read("instance", false, |inner, _| {
            let key = (logical_unit.to_owned(), id.to_owned());
            inner.tables.instances.get(&key).cloned()
        })
        .await
    }

    async fn save_instances(&self, logical_unit: &str, instances: &[Instance]) -> StoreResult<()> {
        let mut ids = instances.iter().map(|instance| instance.head.id.as_str());
        ids.try_for_each(check_stored_id)?;
        self.counters.call("save_instances");
        let plain = Plain::Instances(logical_unit.to_owned(), instances.to_vec());
        self.put(plain).await
    }

    async fn instance_ids(
        &self,
        logical_unit: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<String>> {
        self.read("instance_ids", false, |inner, _| {
            let keys = inner.tables.instances.keys();
            keys.filter(|(of, id)| {
                of == logical_unit && after.is_none_or(|after| id.as_str() > after)
            })
            .map(|(_, id)| id.clone())
            .take(limit)
            .collect()
        })
        .await
    }

    async fn save_checkpoints(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        self.save_items(save).await
    }

    async fn forget_checkpoints(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        self.forget_items(forget).await
    }

    async fn checkpoint_head(
        &self,
        scope: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<CheckpointHead>> {
        let serial = freshness == Freshness::Serial;
        self.read("checkpoint_head", serial, |inner, now| {
            let row = inner.tables.checkpoints.get_mut(scope)?;
            fresh(row, freshness, now, &mut inner.chance).map(|scope| scope.head.clone())
        })
        .await
    }

    async fn checkpoints(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        self.read("checkpoints", false, |inner, now| {
            let row = inner.tables.checkpoints.get_mut(scope);
            let found = row.and_then(|row| row.committed(now, &mut inner.chance));
            found.map_or_else(Vec::new, |scope| scope.items_after(after, limit))
        })
        .await
    }

    async fn ensure_logical_units(&self, logical_units: &[String]) -> StoreResult<()> {
        self.read("ensure_logical_units", false, |inner, _| {
            inner
                .tables
                .logical_units
                .extend(logical_units.iter().cloned());
        })
        .await
    }

    async fn ensure_parsed_tables(&self, tables: &[ParsedTable]) -> StoreResult<()> {
        self.read("ensure_parsed_tables", false, |inner, _| {
            let mut tables = tables.iter();
            tables.try_for_each(|table| inner.tables.ensure_parsed_table(table))
        })
        .await?
    }

    async fn put_parsed_rows(&self, table: &ParsedTable, rows: &[ParsedRow]) -> StoreResult<()> {
        self.counters.call("put_parsed_rows");
        let plain = Plain::Parsed(Box::new(table.clone()), rows.to_vec());
        self.put(plain).await
    }

    async fn parsed_rows(
        &self,
        table: &ParsedTable,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<ParsedPage> {
        self.read("parsed_rows", false, |inner, _| {
            inner.tables.parsed_page(table, after, limit)
        })
        .await?
    }

    async fn parsed_rows_of(
        &self,
        table: &ParsedTable,
        keys: &[Value],
    ) -> StoreResult<Vec<Vec<Value>>> {
        self.read("parsed_rows_of", false, |inner, _| {
            inner.tables.parsed_rows_of(table, keys)
        })
        .await?
    }

    async fn put_bundle(&self, hash: &str, bytes: &[u8]) -> StoreResult<()> {
        self.counters.call("put_bundle");
        self.put(Plain::Bundle(hash.to_owned(), bytes.to_vec()))
            .await
    }

    async fn bundle(&self, hash: &str) -> StoreResult<Option<Vec<u8>>> {
        self.read("bundle", false, |inner, _| {
            inner.tables.bundles.get(hash).cloned()
        })
        .await
    }

    async fn deploy(&self, deploy: &Deploy) -> AttemptResult<Option<Deployment>> {
        let answer = self.swap(deploy).await?;
        Ok(answer.map_lost(|row| row.map(|row| row.value)))
    }

    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        self.read("deployment", false, |inner, _| {
            let row = inner.tables.deployment.as_ref();
            row.map(|row| row.value.clone())
        })
        .await
    }

    async fn put_setting(&self, put: &PutSetting) -> AttemptResult<Option<Setting>> {
        let answer = self.swap(put).await?;
        Ok(answer.map_lost(|row| row.map(|row| row.value)))
    }

    async fn setting(&self, name: &str, freshness: Freshness) -> StoreResult<Option<Setting>> {
        self.read("setting", freshness == Freshness::Serial, |inner, _| {
            let row = inner.tables.settings.get(name);
            row.map(|row| row.value.clone())
        })
        .await
    }
}
