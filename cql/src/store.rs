//! The verbs of the engine's `Store`. Each is implemented in the file of its noun.

use std::collections::BTreeMap;

use async_trait::async_trait;
use weft_model::Value;
use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, Checkpoint, CheckpointHead, ChunkContent, ChunkFilter, ChunkHead, Deployment,
    DueHint, EntityRow, Instance, InstanceHead, Job, JobKey, JobRun, NodeRow, NodeStats,
    ParsedPage, ParsedRow, ParsedTable, Setting,
};
use weft_store::{
    AttemptResult, BatchPage, ChangeChunk, ClaimBatch, ClaimChunk, ClaimCommand, ClaimJob,
    DeleteBatch, DeleteJob, Deploy, EndJob, FinishBatch, FinishLost, FlushChunk, ForgetCheckpoints,
    Freshness, JobsPage, ListBatches, ListJobs, MoveBatch, OpenChunk, PutSetting, ReleaseCommand,
    RequestBatch, RequestJob, ReserveChunks, SaveBatchStatistics, SaveCheckpoints, Store,
    StoreFuture, StoreResult, StoreStatistics, SubmitBatch, SubmitLost, TakeCheckpoints, WriteJob,
};

use crate::CassandraStore;
use crate::schema;

/// The verbs of `row_verbs`, each with the function that sends its statement.
macro_rules! forward {
    ($($verb:ident: $operation:ident, $found:ty => $function:ident;)*) => {$(
        fn $verb<'a>(&'a self, operation: &'a $operation) -> StoreFuture<'a, AttemptResult<$found>> {
            Box::pin(self.$function(operation))
        }
    )*};
}

#[async_trait]
impl Store for CassandraStore {
    fn kind(&self) -> &'static str {
        "cassandra"
    }

    forward! {
        claim_command: ClaimCommand, Option<BatchId> => claim_command_row;
        release_command: ReleaseCommand, Option<BatchId> => release_command_row;
        write_job: WriteJob, Option<Job> => write_job_row;
        request_job: RequestJob, Option<Job> => request_job_row;
        claim_batch: ClaimBatch, Option<Batch> => claim_batch_row;
        reserve_chunks: ReserveChunks, Option<Batch> => reserve_chunk_numbers;
        save_batch_statistics: SaveBatchStatistics, Option<Batch> => write_batch_statistics;
        request_batch: RequestBatch, Option<Batch> => request_batch_row;
        claim_chunk: ClaimChunk, Option<ChunkHead> => claim_chunk_row;
        change_chunk: ChangeChunk, Option<ChunkHead> => change_chunk_row;
        take_checkpoints: TakeCheckpoints, Option<CheckpointHead> => take_scope_head;
    }

    fn statistics(&self) -> StoreStatistics {
        self.counters.snapshot()
    }

    async fn schema_version(&self) -> StoreResult<Option<i64>> {
        self.read_schema_version().await
    }

    async fn store_time(&self) -> StoreResult<Timestamp> {
        self.read_server_time().await
    }

    async fn submit_batch(&self, submit: &SubmitBatch) -> AttemptResult<SubmitLost> {
        self.insert_batch_and_job(submit).await
    }

    async fn active_command(&self, command_key: &str) -> StoreResult<Option<BatchId>> {
        self.read_active_command(command_key).await
    }

    async fn claim_job(&self, claim: &ClaimJob) -> AttemptResult<Option<Job>> {
        self.claim_job_row(claim).await
    }

    async fn end_job(&self, end: &EndJob) -> AttemptResult<Option<Job>> {
        self.end_job_row(end).await
    }

    async fn job(&self, key: &JobKey, freshness: Freshness) -> StoreResult<Option<Job>> {
        self.read_job("job", key, freshness).await
    }

    async fn jobs(&self, list: &ListJobs) -> StoreResult<JobsPage> {
        self.list_jobs(list).await
    }

    async fn delete_job(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        self.delete_job_row(delete).await
    }

    async fn forget_runs(&self, key: &JobKey, before: Timestamp) -> StoreResult<usize> {
        self.delete_runs_before(key, before).await
    }

    async fn delete_batch(&self, delete: &DeleteBatch) -> AttemptResult<Option<Batch>> {
        self.delete_batch_row(delete).await
    }

    async fn forget_chunks(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<()> {
        self.delete_chunk_partitions(batch, from, to).await
    }

    async fn job_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        self.read_runs(key, limit).await
    }

    async fn put_follower(&self, job_type: &str, name: &str, follower: &JobKey) -> StoreResult<()> {
        self.write_follower(job_type, name, follower).await
    }

    async fn followers(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<Vec<JobKey>> {
        self.read_followers(job_type, name, after, limit).await
    }

    async fn forget_follower(
        &self,
        job_type: &str,
        name: &str,
        follower: &JobKey,
        before: Timestamp,
    ) -> StoreResult<()> {
        self.delete_follower(job_type, name, follower, before).await
    }

    /// Hints expire.
    async fn forget_hints(&self, _: Timestamp) -> StoreResult<usize> {
        Ok(0)
    }

    async fn put_due(&self, hint: &DueHint) -> StoreResult<()> {
        self.write_due("put_due", hint).await
    }

    async fn due(&self, after: &DueHint, to: Timestamp, limit: usize) -> StoreResult<Vec<DueHint>> {
        self.read_due(after, to, limit).await
    }

    async fn move_batch(&self, change: &MoveBatch) -> AttemptResult<Option<Batch>> {
        self.move_batch_row(change).await
    }

    async fn finish_batch(&self, finish: &FinishBatch) -> AttemptResult<FinishLost> {
        self.finish_batch_and_job(finish).await
    }

    async fn batch(&self, id: BatchId, freshness: Freshness) -> StoreResult<Option<Batch>> {
        self.read_batch("batch", id, freshness).await
    }

    async fn batches(&self, list: &ListBatches) -> StoreResult<BatchPage> {
        self.list_batches(list).await
    }

    async fn open_chunk(&self, open: &OpenChunk) -> AttemptResult<Option<ChunkHead>> {
        self.open_chunk_row(open).await
    }

    async fn flush_chunk(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>> {
        self.flush_chunk_rows(flush).await
    }

    async fn chunk_heads(&self, batch: BatchId, from: i64, to: i64) -> StoreResult<Vec<ChunkHead>> {
        self.read_chunk_heads(batch, from, to).await
    }

    async fn chunk(&self, batch: BatchId, number: i64) -> StoreResult<Option<ChunkContent>> {
        self.read_chunk(batch, number).await
    }

    async fn entities(&self, batch: BatchId, number: i64) -> StoreResult<Vec<EntityRow>> {
        self.read_entities(batch, number).await
    }

    async fn entities_of(
        &self,
        batch: BatchId,
        number: i64,
        ids: &[String],
    ) -> StoreResult<Vec<EntityRow>> {
        self.read_entities_of(batch, number, ids).await
    }

    async fn chunk_filters(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<Vec<(i64, ChunkFilter)>> {
        self.read_chunk_filters(batch, from, to).await
    }

    async fn put_node(&self, row: &NodeRow) -> StoreResult<()> {
        self.write_node(row).await
    }

    async fn nodes(&self) -> StoreResult<Vec<NodeRow>> {
        self.read_nodes().await
    }

    async fn put_node_stats(&self, stats: &NodeStats) -> StoreResult<()> {
        self.write_node_stats(stats).await
    }

    async fn node_stats(&self, batch: BatchId) -> StoreResult<Vec<NodeStats>> {
        self.read_node_stats(batch).await
    }

    async fn instance_heads(
        &self,
        logical_unit: &str,
        ids: &[String],
    ) -> StoreResult<BTreeMap<String, InstanceHead>> {
        self.read_instance_heads(logical_unit, ids).await
    }

    async fn instance(&self, logical_unit: &str, id: &str) -> StoreResult<Option<Instance>> {
        self.read_instance(logical_unit, id).await
    }

    async fn save_instances(&self, logical_unit: &str, instances: &[Instance]) -> StoreResult<()> {
        self.write_instances("save_instances", logical_unit, instances)
            .await
    }

    async fn instance_ids(
        &self,
        logical_unit: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<String>> {
        self.read_instance_ids(logical_unit, after, limit).await
    }

    async fn save_checkpoints(
        &self,
        save: &SaveCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        self.save_scope_items(save).await
    }

    async fn forget_checkpoints(
        &self,
        forget: &ForgetCheckpoints,
    ) -> AttemptResult<Option<CheckpointHead>> {
        self.forget_scope_items(forget).await
    }

    async fn checkpoint_head(
        &self,
        scope: &str,
        freshness: Freshness,
    ) -> StoreResult<Option<CheckpointHead>> {
        self.read_scope_head("checkpoint_head", scope, freshness)
            .await
    }

    async fn checkpoints(
        &self,
        scope: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<Vec<Checkpoint>> {
        self.read_scope_items(scope, after, limit).await
    }

    async fn ensure_logical_units(&self, logical_units: &[String]) -> StoreResult<()> {
        schema::create_unit_keyspaces(&self.connection, &self.options, logical_units).await
    }

    async fn ensure_parsed_tables(&self, tables: &[ParsedTable]) -> StoreResult<()> {
        schema::create_parser_tables(&self.connection, tables).await
    }

    async fn put_parsed_rows(&self, table: &ParsedTable, rows: &[ParsedRow]) -> StoreResult<()> {
        self.write_parsed_rows(table, rows).await
    }

    async fn parsed_rows(
        &self,
        table: &ParsedTable,
        after: Option<&str>,
        limit: usize,
    ) -> StoreResult<ParsedPage> {
        self.read_parsed_page(table, after, limit).await
    }

    async fn parsed_rows_of(
        &self,
        table: &ParsedTable,
        keys: &[Value],
    ) -> StoreResult<Vec<Vec<Value>>> {
        self.read_parsed_rows_of(table, keys).await
    }

    async fn put_bundle(&self, hash: &str, bytes: &[u8]) -> StoreResult<()> {
        self.write_bundle(hash, bytes).await
    }

    async fn bundle(&self, hash: &str) -> StoreResult<Option<Vec<u8>>> {
        self.read_bundle(hash).await
    }

    async fn deploy(&self, deploy: &Deploy) -> AttemptResult<Option<Deployment>> {
        self.write_deployment(deploy).await
    }

    async fn deployment(&self) -> StoreResult<Option<Deployment>> {
        self.read_deployment("deployment", Freshness::Committed)
            .await
    }

    async fn put_setting(&self, put: &PutSetting) -> AttemptResult<Option<Setting>> {
        self.write_setting(put).await
    }

    async fn setting(&self, name: &str, freshness: Freshness) -> StoreResult<Option<Setting>> {
        self.read_setting("setting", name, freshness).await
    }
}
