//! The trait itself: each verb goes to the writer thread or to a reader thread.

use std::collections::BTreeMap;

use async_trait::async_trait;
use weft_model::Value;
use weft_model::clock::Timestamp;
use weft_model::*;
use weft_store::*;

use super::chunks::PackedFlush;
use super::{
    SqliteStore, batches, checkpoints, chunks, cleanup, due_hints, instances, jobs, migrate, nodes,
    parsed, shared,
};

macro_rules! forward {
    ($($verb:ident: $operation:ident, $found:ty;)*) => {$(
        fn $verb<'a>(&'a self, operation: &'a $operation) -> StoreFuture<'a, AttemptResult<$found>> {
            Box::pin(self.swap(operation))
        }
    )*};
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn is_exclusive(&self) -> bool {
        // The lock file lets one process in.
        true
    }

    row_verbs!(forward);

    fn statistics(&self) -> StoreStatistics {
        self.counters.snapshot()
    }

    async fn schema_version(&self) -> StoreResult<Option<i64>> {
        self.read("schema_version", |reading| {
            Ok(migrate::version(reading.connection)?)
        })
        .await
    }

    async fn store_time(&self) -> StoreResult<Timestamp> {
        Ok(self.clock.now())
    }

    async fn submit_batch(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost> {
        // Two rows are tested: the batch and its job.
        self.counters.compare_and_set("submit_batch");
        let submit = submit.clone();
        self.change("submit_batch", 3, move |writing| {
            batches::submit(writing, &submit)
        })
        .await
    }

    async fn active_command(&self, command_key: &str) -> StoreResult<Option<BatchId>> {
        let command_key = command_key.to_owned();
        self.read("active_command", move |reading| {
            batches::active_command(reading.connection, &command_key)
        })
        .await
    }

    async fn claim_job(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        let claim = claim.clone();
        self.change("claim_job", 3, move |writing| jobs::claim(writing, &claim))
            .await
    }

    async fn end_job(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        self.count_run(end, "end_job");
        let end = end.clone();
        self.change("end_job", 3, move |writing| jobs::end(writing, &end))
            .await
    }

    async fn job(&self, key: &JobKey, freshness: Freshness) -> StoreResult<Option<Job>> {
        self.settle_attempts(freshness).await?;
        let key = key.clone();
        self.read("job", move |reading| jobs::get(reading.connection, &key))
            .await
    }

    async fn jobs(&self, list: &ListJobs) -> StoreResult<JobsPage> {
        let list = list.clone();
        self.read("jobs", move |reading| jobs::list(reading.connection, &list))
            .await
    }

    async fn job_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        let key = key.clone();
        self.read("job_runs", move |reading| {
            jobs::runs(reading.connection, &key, limit)
        })
        .await
    }

    async fn put_follower(&self, job_type: &str, name: &str, follower: &JobKey) -> StoreResult<()> {
        let (job_type, name) = (job_type.to_owned(), name.to_owned());
        let follower = follower.clone();
        self.put("put_follower", 1, move |writing| {
            jobs::put_follower(writing, (&job_type, &name), &follower)
        })
        .await
    }

    async fn followers(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<Vec<JobKey>> {
        let (job_type, name) = (job_type.to_owned(), name.to_owned());
        let after = after.cloned();
        self.read("followers", move |reading| {
            let of = (job_type.as_str(), name.as_str());
            jobs::followers(reading.connection, of, after.as_ref(), limit)
        })
        .await
    }

    async fn forget_follower(
        &self,
        job_type: &str,
        name: &str,
        follower: &JobKey,
        before: Timestamp,
    ) -> StoreResult<()> {
        let (job_type, name) = (job_type.to_owned(), name.to_owned());
        let follower = follower.clone();
        self.put("forget_follower", 1, move |writing| {
            cleanup::forget_follower(writing, (&job_type, &name), &follower, before)
        })
        .await
    }

    async fn delete_job(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        let delete = delete.clone();
        self.change("delete_job", 2, move |writing| {
            cleanup::delete_job(writing, &delete)
        })
        .await
    }

    async fn forget_runs(&self, key: &JobKey, before: Timestamp) -> StoreResult<usize> {
        let (asked, wanted) = (key.clone(), key.clone());
        // Most jobs have none, and the writer has other work.
        let found = self
            .read("forget_runs", move |reading| {
                cleanup::has_old_runs(reading.connection, &asked, before)
            })
            .await?;
        if !found {
            return Ok(0);
        }
        self.put("forget_runs", 100, move |writing| {
            cleanup::forget_runs(writing, &wanted, before)
        })
        .await
    }

    async fn put_due(&self, hint: &DueHint) -> StoreResult<()> {
        let hint = hint.clone();
        self.put("put_due", 1, move |writing| due_hints::put(writing, &hint))
            .await
    }

    async fn forget_hints(&self, before: Timestamp) -> StoreResult<usize> {
        self.put("forget_hints", due_hints::AT_ONCE, move |writing| {
            due_hints::forget_some(writing.connection, before)
        })
        .await
    }

    async fn due(&self, after: &DueHint, to: Timestamp, limit: usize) -> StoreResult<Vec<DueHint>> {
        let after = after.clone();
        self.read("due", move |reading| {
            due_hints::list(reading.connection, &after, to, limit)
        })
        .await
    }

    async fn move_batch(&self, change: &MoveBatch) -> AttemptResult<Option<Batch>> {
        self.swap(change).await
    }

    async fn finish_batch(&self, finish: &FinishBatch) -> AttemptResult<FinishLost> {
        // Two rows are tested: the batch and its job.
        self.counters.compare_and_set("finish_batch");
        self.count_run(&finish.job, "finish_batch");
        let finish = finish.clone();
        self.change("finish_batch", 4, move |writing| {
            batches::finish(writing, &finish)
        })
        .await
    }

    async fn batch(&self, id: BatchId, freshness: Freshness) -> StoreResult<Option<Batch>> {
        self.settle_attempts(freshness).await?;
        self.read("batch", move |reading| batches::get(reading.connection, id))
            .await
    }

    async fn batches(&self, list: &ListBatches) -> StoreResult<BatchPage> {
        let list = list.clone();
        self.read("batches", move |reading| {
            batches::list(reading.connection, &list)
        })
        .await
    }

    async fn delete_batch(&self, delete: &DeleteBatch) -> AttemptResult<Option<Batch>> {
        let delete = delete.clone();
        self.change("delete_batch", 2, move |writing| {
            cleanup::delete_batch(writing, &delete)
        })
        .await
    }

    async fn forget_chunks(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<()> {
        for number in from..to {
            // One chunk at a time: others write in between.
            self.put("forget_chunks", 1_000, move |writing| {
                cleanup::forget_chunk(writing, batch, number)
            })
            .await?;
        }
        Ok(())
    }

    async fn open_chunk(&self, open: &OpenChunk) -> AttemptResult<Option<ChunkHead>> {
        open.check_ids()?;
        let open = open.clone();
        self.change("open_chunk", open.ids.len() + 1, move |writing| {
            chunks::open(writing, &open)
        })
        .await
    }

    async fn flush_chunk(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>> {
        flush.check_ids()?;
        let flush = PackedFlush::of(flush);
        self.change("flush_chunk", flush.weight() + 1, move |writing| {
            chunks::flush(writing, &flush)
        })
        .await
    }

    async fn chunk_heads(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<Vec<ChunkHead>> {
        self.read("chunk_heads", move |reading| {
            chunks::heads(reading.connection, reading.names, batch, from, to)
        })
        .await
    }

    async fn chunk(&self, batch: BatchId, number: i64) -> StoreResult<Option<ChunkContent>> {
        self.read("chunk", move |reading| {
            chunks::content(reading.connection, reading.names, batch, number)
        })
        .await
    }

    async fn entities(&self, batch: BatchId, number: i64) -> StoreResult<Vec<EntityRow>> {
        self.read("entities", move |reading| {
            chunks::entities(reading.connection, reading.names, batch, number)
        })
        .await
    }

    async fn entities_of(
        &self,
        batch: BatchId,
        number: i64,
        ids: &[String],
    ) -> StoreResult<Vec<EntityRow>> {
        let ids = ids.to_vec();
        self.read("entities_of", move |reading| {
            // Rows of entities have no index. A chunk has 1,000 of them at most.
            let mut rows = chunks::entities(reading.connection, reading.names, batch, number)?;
            rows.retain(|row| ids.contains(&row.id));
            Ok(rows)
        })
        .await
    }

    async fn chunk_filters(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<Vec<(i64, ChunkFilter)>> {
        self.read("chunk_filters", move |reading| {
            chunks::filters(reading.connection, reading.names, batch, from, to)
        })
        .await
    }

    async fn put_node(&self, row: &NodeRow) -> StoreResult<()> {
        let row = row.clone();
        self.put("put_node", 1, move |writing| nodes::put_node(writing, &row))
            .await
    }

    async fn nodes(&self) -> StoreResult<Vec<NodeRow>> {
        self.read("nodes", |reading| nodes::nodes(reading.connection))
            .await
    }

    async fn put_node_stats(&self, stats: &NodeStats) -> StoreResult<()> {
        let stats = stats.clone();
        self.put("put_node_stats", 1, move |writing| {
            nodes::put_node_stats(writing, &stats)
        })
        .await
    }

    async fn node_stats(&self, batch: BatchId) -> StoreResult<Vec<NodeStats>> {
        self.read("node_stats", move |reading| {
            nodes::node_stats(reading.connection, reading.names, batch)
        })
        .await
    }

    async fn instance_heads(
        &self,
        logical_unit: &str,
        ids: &[String],
    ) -> StoreResult<BTreeMap<String, InstanceHead>> {
        let logical_unit = logical_unit.to_owned();
        ids.iter().try_for_each(|id| check_sought_id(id))?;
        let ids = ids.to_vec();
        self.read("instance_heads", move |reading| {
            instances::heads(reading.connection, &logical_unit, &ids)
        })
        .await
    }

    async fn instance(&self, logical_unit: &str, id: &str) -> StoreResult<Option<Instance>> {
        check_sought_id(id)?;
        let logical_unit = logical_unit.to_owned();
        let id = id.to_owned();
        self.read("instance", move |reading| {
            instances::get(reading.connection, &logical_unit, &id)
        })
        .await
    }

    async fn save_instances(&self, logical_unit: &str, instances: &[Instance]) -> StoreResult<()> {
        let mut ids = instances.iter().map(|instance| instance.head.id.as_str());
        ids.try_for_each(check_stored_id)?;
        let logical_unit = logical_unit.to_owned();
        let instances = instances.to_vec();
        self.put("save_instances", instances.len(), move |writing| {
            instances::save(writing, &logical_unit, &instances)
        })
        .await
    }

    async fn instance_ids(
        &self,
        logical_unit: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<String>> {
        let logical_unit = logical_unit.to_owned();
        let after = after.map(str::to_owned);
        self.read("instance_ids", move |reading| {
            instances::ids(reading.connection, &logical_unit, after.as_deref(), limit)
        })
        .await
    }

    async fn save_checkpoints(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        save.within_limits()?;
        let save = save.clone();
        let rows = 1 + save.puts.len() + save.removes.len();
        self.change("save_checkpoints", rows, move |writing| {
            checkpoints::save(writing, &save)
        })
        .await
    }

    async fn forget_checkpoints(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        let forget = forget.clone();
        self.change("forget_checkpoints", 1, move |writing| {
            checkpoints::forget(writing, &forget)
        })
        .await
    }

    async fn checkpoint_head(
        &self,
        scope: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<CheckpointHead>> {
        self.settle_attempts(freshness).await?;
        let scope = scope.to_owned();
        self.read("checkpoint_head", move |reading| {
            checkpoints::head(reading.connection, &scope)
        })
        .await
    }

    async fn checkpoints(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        let scope = scope.to_owned();
        let after = after.unwrap_or_default().to_owned();
        self.read("checkpoints", move |reading| {
            checkpoints::items(reading.connection, &scope, &after, limit)
        })
        .await
    }

    async fn ensure_logical_units(&self, logical_units: &[String]) -> StoreResult<()> {
        let logical_units = logical_units.to_vec();
        self.put(
            "ensure_logical_units",
            logical_units.len(),
            move |writing| instances::ensure_logical_units(writing, &logical_units),
        )
        .await
    }

    async fn ensure_parsed_tables(&self, tables: &[ParsedTable]) -> StoreResult<()> {
        let tables = tables.to_vec();
        self.put("ensure_parsed_tables", tables.len(), move |writing| {
            tables
                .iter()
                .try_for_each(|table| parsed::ensure(writing, table))
        })
        .await
    }

    async fn put_parsed_rows(&self, table: &ParsedTable, rows: &[ParsedRow]) -> StoreResult<()> {
        let (table, rows) = (table.clone(), rows.to_vec());
        self.put("put_parsed_rows", rows.len(), move |writing| {
            parsed::put(writing, &table, &rows)
        })
        .await
    }

    async fn parsed_rows(
        &self,
        table: &ParsedTable,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<ParsedPage> {
        let table = table.clone();
        let after = after.map(str::to_owned);
        self.read("parsed_rows", move |reading| {
            parsed::page(reading.connection, &table, after.as_deref(), limit)
        })
        .await
    }

    async fn parsed_rows_of(
        &self,
        table: &ParsedTable,
        keys: &[Value],
    ) -> StoreResult<Vec<Vec<Value>>> {
        let (table, keys) = (table.clone(), keys.to_vec());
        self.read("parsed_rows_of", move |reading| {
            parsed::of_keys(reading.connection, &table, &keys)
        })
        .await
    }

    async fn put_bundle(&self, hash: &str, bytes: &[u8]) -> StoreResult<()> {
        let hash = hash.to_owned();
        let bytes = bytes.to_vec();
        self.put("put_bundle", 1, move |writing| {
            shared::put_bundle(writing, &hash, &bytes)
        })
        .await
    }

    async fn bundle(&self, hash: &str) -> StoreResult<Option<Vec<u8>>> {
        let hash = hash.to_owned();
        self.read("bundle", move |reading| {
            shared::bundle(reading.connection, &hash)
        })
        .await
    }

    async fn deploy(&self, deploy: &Deploy) -> AttemptResult<Option<Deployment>> {
        let answer = self.swap(deploy).await?;
        Ok(answer.map_lost(|row| row.map(|row| row.value)))
    }

    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        self.read("deployment", |reading| {
            let row = shared::deployment(reading.connection)?;
            Ok(row.map(|row| row.value))
        })
        .await
    }

    async fn put_setting(&self, put: &PutSetting) -> AttemptResult<Option<Setting>> {
        let answer = self.swap(put).await?;
        Ok(answer.map_lost(|row| row.map(|row| row.value)))
    }

    async fn setting(&self, name: &str, _freshness: Freshness) -> StoreResult<Option<Setting>> {
        let name = name.to_owned();
        self.read("setting", move |reading| {
            let row = shared::setting(reading.connection, &name)?;
            Ok(row.map(|row| row.value))
        })
        .await
    }
}
