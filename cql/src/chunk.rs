//! Chunks: the ids that wait, and the fenced state in the static row.

use std::collections::BTreeMap;
use std::hash::Hash;

use futures::{StreamExt, TryStreamExt, stream};
use scylla::statement::batch::Batch as StatementBatch;
use scylla::statement::prepared::PreparedStatement;
use uuid::Uuid;
use weft_model::{
    BatchId, ChunkContent, ChunkFilter, ChunkHead, ChunkState, Holder, NodeId, NodeShare, Token,
};
use weft_store::{
    Attempt, AttemptResult, ChangeChunk, ClaimChunk, FlushChunk, Freshness, OpenChunk, StoreError,
    StoreResult,
};

use crate::CassandraStore;
use crate::entity::{CHUNKS, EntityValues, FlushValues};
use crate::row::StoredRow;
use crate::values::Values;

/// Heads read at once.
const HEADS_AT_ONCE: usize = 32;
/// The most rows of one flush.
const FLUSH_ROWS: usize = 1_000;

/// Chunks whose filters share a partition.
pub(crate) const FILTERS_IN_BLOCK: i64 = 1_024;

/// The block of a chunk number.
pub(crate) fn block_of(number: i64) -> i64 {
    number.div_euclid(FILTERS_IN_BLOCK)
}

/// The partition of a chunk, for the lock of its compare-and-sets.
fn partition(batch: BatchId, number: i64) -> impl Hash {
    (CHUNKS, batch, number)
}

impl CassandraStore {
    /// Writes the ids first, under a key of this attempt. The compare-and-set then names the row of ids that counts.
    pub(crate) async fn open_chunk_row(
        &self,
        open: &OpenChunk,
    ) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "open_chunk";
        open.check_ids()?;
        let total = i64::try_from(open.ids.len()).unwrap_or(i64::MAX);
        let opening = (!open.ids.is_empty()).then_some(open.token);
        if let Some(opening) = opening {
            let values = Values::new()
                .chunk_key(open.batch, open.number)
                .set("opening", opening)
                .set("ids", open.ids.as_slice());
            let ids = self.write(VERB, &self.statements.put_ids, values);
            futures::future::try_join(ids, self.write_filter(VERB, open)).await?;
        }
        let values = Values::new()
            .chunk_key(open.batch, open.number)
            .set("c_state", open.state.as_str())
            .set("c_owner", open.holder.as_ref().map(|holder| &holder.node))
            .set(
                "c_inc",
                open.holder.as_ref().map(|holder| holder.incarnation),
            )
            .set("c_total", total)
            .set("c_source_pos", open.source_position.as_ref())
            .set("c_source_read", open.source_read)
            .set("c_ids", opening);
        let (statement, token) = (&self.statements.open_chunk, ("c_token", open.token));
        self.change_head(VERB, (open.batch, open.number), statement, values, token)
            .await
    }

    async fn write_filter(&self, verb: &'static str, open: &OpenChunk) -> StoreResult<()> {
        let Some(filter) = open.filter() else {
            return Ok(());
        };
        let values = Values::new()
            .chunk_key(open.batch, open.number)
            .set("block", block_of(open.number))
            .set("opening", open.token)
            .set("filter", filter.bytes());
        self.write(verb, &self.statements.put_filter, values).await
    }

    pub(crate) async fn read_chunk_filters(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<Vec<(i64, ChunkFilter)>> {
        let mut filters = Vec::new();
        if from >= to {
            return Ok(filters);
        }
        for block in block_of(from)..=block_of(to - 1) {
            let values = Values::new()
                .set("bid", batch)
                .set("block", block)
                .set("from_chunk", from)
                .set("to_chunk", to);
            let rows = self
                .scan(
                    "chunk_filters",
                    "batchprocess_chunk_filters",
                    &self.statements.filters,
                    values,
                    usize::MAX,
                )
                .await?;
            for mut row in rows {
                let bytes: Vec<u8> = row.take("filter")?.unwrap_or_default();
                filters.push((row.require("chunk")?, ChunkFilter::from_bytes(bytes)));
            }
        }
        Ok(filters)
    }

    pub(crate) async fn claim_chunk_row(
        &self,
        claim: &ClaimChunk,
    ) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "claim_chunk";
        let values = Values::new()
            .chunk_key(claim.batch, claim.number)
            .set("c_owner", &claim.holder.node)
            .set("c_inc", claim.holder.incarnation)
            .set("to_fence", claim.seen_fence + 1)
            .set("c_fence", claim.seen_fence)
            .set("c_crashes", claim.crashes);
        let (statement, token) = (&self.statements.claim_chunk, ("c_token", claim.token));
        self.change_head(VERB, (claim.batch, claim.number), statement, values, token)
            .await
    }

    /// Writes instances, then one conditional batch on the chunk's partition, then the projection of failures.
    pub(crate) async fn flush_chunk_rows(
        &self,
        flush: &FlushChunk,
    ) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "flush_chunk";
        flush.check_ids()?;
        if flush.rows.len() > FLUSH_ROWS {
            return Err(StoreError::Refused(format!(
                "a flush of {} rows is over the limit of {FLUSH_ROWS}",
                flush.rows.len()
            )));
        }
        if !flush.instances.is_empty() {
            self.write_instances(VERB, &flush.logical_unit, &flush.instances)
                .await?;
        }
        let bid = flush.batch.to_string();
        let (statements, values) = self.flush_statements(flush, &bid);
        // Boxed, because the future of a thousand bound rows is too large for the stack.
        let attempt = Box::pin(self.compare_and_set_rows(
            VERB,
            partition(flush.batch, flush.number),
            &statements,
            values.as_slice(),
            ("c_token", flush.token),
        ))
        .await?;
        if attempt == Attempt::Applied {
            self.project_errors(VERB, flush).await;
        }
        self.with_head(VERB, attempt, flush.batch, flush.number)
            .await
    }

    fn flush_statements<'a>(
        &self,
        flush: &'a FlushChunk,
        bid: &'a str,
    ) -> (StatementBatch, Vec<FlushValues<'a>>) {
        let head = if flush.done {
            &self.statements.flush_head_done
        } else {
            &self.statements.flush_head
        };
        let mut statements = self.conditional_batch();
        statements.append_statement(head.clone());
        let mut values = Vec::with_capacity(flush.rows.len() + 1);
        values.push(FlushValues::Head(
            Values::new()
                .chunk_key(flush.batch, flush.number)
                .set("to_seq", flush.seq)
                .set("c_seq", flush.seq - 1)
                .set("c_ok", flush.ok)
                .set("c_failed", flush.failed)
                .set_json("c_results", &flush.shares)
                .set("c_crashes", flush.crashes)
                .set("c_token", flush.token)
                .set("c_fence", flush.fence)
                .set("c_owner", &flush.holder.node)
                .set("c_inc", flush.holder.incarnation),
        ));
        for row in &flush.rows {
            statements.append_statement(self.statements.insert_entity.clone());
            values.push(FlushValues::Row(EntityValues::new(bid, flush.number, row)));
        }
        (statements, values)
    }

    pub(crate) async fn change_chunk_row(
        &self,
        change: &ChangeChunk,
    ) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "change_chunk";
        let values = Values::new()
            .chunk_key(change.batch, change.number)
            .set("c_state", change.to.as_str())
            .set("to_fence", change.seen_fence + 1)
            .set("c_fence", change.seen_fence)
            .set("seen_state", change.from.as_str());
        let attempt = self
            .compare_and_set(
                VERB,
                partition(change.batch, change.number),
                &self.statements.change_chunk,
                values,
                ("c_token", change.token),
            )
            .await?;
        if attempt == Attempt::Applied && change.from == ChunkState::Done {
            self.delete_errors(VERB, change).await;
        }
        self.with_head(VERB, attempt, change.batch, change.number)
            .await
    }

    /// Sends a compare-and-set on the state of a chunk.
    async fn change_head(
        &self,
        verb: &'static str,
        (batch, number): (BatchId, i64),
        statement: &PreparedStatement,
        values: Values,
        token: (&'static str, Token),
    ) -> AttemptResult<Option<ChunkHead>> {
        let partition = partition(batch, number);
        let attempt = self
            .compare_and_set(verb, partition, statement, values, token)
            .await?;
        self.with_head(verb, attempt, batch, number).await
    }

    /// Adds to a refusal the state that is there. The answer is already definite, so a read may follow it.
    async fn with_head(
        &self,
        verb: &'static str,
        attempt: Attempt<()>,
        batch: BatchId,
        number: i64,
    ) -> AttemptResult<Option<ChunkHead>> {
        let found = self.read_head(verb, batch, number, Freshness::Serial);
        let found = attempt.or_found(found).await?;
        Ok(found.map_lost(|found| found.map(|(head, _)| head)))
    }

    async fn read_head(
        &self,
        verb: &'static str,
        batch: BatchId,
        number: i64,
        freshness: Freshness,
    ) -> StoreResult<Option<(ChunkHead, Option<Uuid>)>> {
        let statement = self.statements.chunk_head.at(freshness);
        let row = self
            .read_one(
                verb,
                CHUNKS,
                statement,
                Values::new().chunk_key(batch, number),
            )
            .await?;
        Ok(row.map(head_of).transpose()?.flatten())
    }

    pub(crate) async fn read_chunk_heads(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<Vec<ChunkHead>> {
        let reads = (from..to)
            .map(|number| self.read_head("chunk_heads", batch, number, Freshness::Committed));
        stream::iter(reads)
            .buffered(HEADS_AT_ONCE)
            .try_filter_map(|found| async move { Ok(found.map(|(head, _)| head)) })
            .try_collect()
            .await
    }

    pub(crate) async fn read_chunk(
        &self,
        batch: BatchId,
        number: i64,
    ) -> StoreResult<Option<ChunkContent>> {
        let found = self
            .read_head("chunk", batch, number, Freshness::Committed)
            .await?;
        let Some((head, opening)) = found else {
            return Ok(None);
        };
        let (ids, handled) = futures::future::try_join(
            self.read_ids(batch, number, opening),
            self.read_handled(&head),
        )
        .await?;
        Ok(Some(ChunkContent { head, ids, handled }))
    }

    async fn read_ids(
        &self,
        batch: BatchId,
        number: i64,
        opening: Option<Uuid>,
    ) -> StoreResult<Vec<String>> {
        let Some(opening) = opening else {
            return Ok(Vec::new());
        };
        let row = self
            .read_one(
                "chunk",
                "batchprocess_chunk_ids",
                &self.statements.ids,
                Values::new()
                    .chunk_key(batch, number)
                    .set("opening", opening),
            )
            .await?;
        match row {
            Some(mut row) => Ok(row.take("ids")?.unwrap_or_default()),
            // The row was written at a quorum before the chunk was opened, so its absence must not look like an empty
            // chunk.
            None => Err(StoreError::Unavailable(format!(
                "the ids of chunk {number} of batch {batch} are not readable yet"
            ))),
        }
    }
}

/// The state of a chunk and the key of its ids; `None` for a partition without a state.
fn head_of(mut row: StoredRow) -> StoreResult<Option<(ChunkHead, Option<Uuid>)>> {
    if row.is_null("c_state") {
        return Ok(None);
    }
    let node: Option<NodeId> = row.take("c_owner")?;
    let holder = match (node, row.take("c_inc")?) {
        (Some(node), Some(incarnation)) => Some(Holder { node, incarnation }),
        _ => None,
    };
    let shares: Option<BTreeMap<NodeId, NodeShare>> = row.take_json("c_results")?;
    let head = ChunkHead {
        batch: row.take_parsed("bid")?,
        number: row.require("chunk")?,
        state: row.take_parsed("c_state")?,
        holder,
        fence: row.require("c_fence")?,
        seq: row.require("c_seq")?,
        token: row.take("c_token")?,
        total: row.require("c_total")?,
        ok: row.require("c_ok")?,
        failed: row.require("c_failed")?,
        shares: shares.unwrap_or_default(),
        source_position: row.take("c_source_pos")?,
        source_read: row.take("c_source_read")?,
        crashes: row.take("c_crashes")?.unwrap_or(0),
    };
    Ok(Some((head, row.take("c_ids")?)))
}
