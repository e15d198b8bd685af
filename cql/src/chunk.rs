//! Chunks: the ids that wait, the fenced state in the static row, and the rows of handled entities.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::sync::PoisonError;

use futures::{StreamExt, TryStreamExt, stream};
use scylla::SerializeRow;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow as Serializable};
use scylla::serialize::writers::RowWriter;
use scylla::statement::batch::{Batch as Statements, BatchType};
use scylla::value::{CqlTimestamp, MaybeUnset};
use tracing::warn;
use uuid::Uuid;
use weft_model::{
    BatchId, ChunkContent, ChunkHead, ChunkState, EntityRow, EntityStatus, Holder, NodeId,
    NodeShare,
};
use weft_store::{
    Attempt, AttemptResult, ChangeChunk, ClaimChunk, FlushChunk, Freshness, OpenChunk, StoreError,
    StoreResult,
};

use crate::CassandraStore;
use crate::rows::{Found, Values};

const CHUNKS: &str = "batchprocess_entities_info";
/// Heads read at once.
const HEADS_AT_ONCE: usize = 32;
/// Rows of one flush.
const FLUSH_ROWS: usize = 1_000;
/// Failed rows that one process puts into the projection of a batch; all of them are in the chunks.
const PROJECTED_ROWS: usize = 20_000;
/// Characters of an error in the projection, so that its partition stays below 10 MiB.
const PROJECTED_ERROR: usize = 400;
/// Projected rows per write; they are all in one partition.
const PROJECTED_AT_ONCE: usize = 250;
/// A row of a chunk held under a fence up to this one has no earlier row: 1 is the life the chunk was born
/// with, 2 its first claim, and what was opened again starts higher.
const FIRST_LIVES: i64 = 2;

/// The partition of a chunk, for the lane of its compare-and-sets.
fn lane(batch: BatchId, number: i64) -> impl Hash {
    (CHUNKS, batch, number)
}

fn key(batch: BatchId, number: i64) -> Values {
    Values::new().set("bid", batch).set("chunk", number)
}

/// One entity row as it is bound, in the order of the statement.
#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
struct EntityValues<'a> {
    bid: &'a str,
    chunk: i64,
    entityid: &'a str,
    status: &'static str,
    results: MaybeUnset<Option<&'a str>>,
    error: MaybeUnset<Option<&'a str>>,
    nodeid: &'a str,
    start_time: CqlTimestamp,
    end_time: CqlTimestamp,
    duration_us: i64,
    attempt: i32,
    fence: i64,
}

/// What a flush binds: the static row first, then entity rows.
enum FlushValues<'a> {
    Head(Values),
    Row(EntityValues<'a>),
}

impl Serializable for FlushValues<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Head(values) => values.serialize(context, writer),
            Self::Row(values) => values.serialize(context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

impl CassandraStore {
    /// The ids first, under a key of this attempt; the compare-and-set then says which row of ids counts.
    pub(crate) async fn open(&self, open: &OpenChunk) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "open_chunk";
        let total = i64::try_from(open.ids.len()).unwrap_or(i64::MAX);
        let opening = (!open.ids.is_empty()).then_some(open.token);
        if let Some(opening) = opening {
            let values = key(open.batch, open.number)
                .set("opening", opening)
                .set("ids", open.ids.as_slice());
            self.write(VERB, &self.statements.put_ids, values).await?;
        }
        let values = key(open.batch, open.number)
            .set("c_state", open.state.as_str())
            .set("c_owner", open.holder.as_ref().map(|holder| &holder.node))
            .set(
                "c_inc",
                open.holder.as_ref().map(|holder| holder.incarnation),
            )
            .set("c_token", open.token)
            .set("c_total", total)
            .set("c_source_pos", open.source_position.as_ref())
            .set("c_ids", opening);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(open.batch, open.number),
                &self.statements.open_chunk,
                values,
                ("c_token", open.token),
            )
            .await?;
        self.with_head(VERB, attempt, open.batch, open.number).await
    }

    pub(crate) async fn claim_a_chunk(
        &self,
        claim: &ClaimChunk,
    ) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "claim_chunk";
        let values = key(claim.batch, claim.number)
            .set("c_owner", &claim.holder.node)
            .set("c_inc", claim.holder.incarnation)
            .set("to_fence", claim.seen_fence + 1)
            .set("c_fence", claim.seen_fence)
            .set("c_crashes", claim.crashes)
            .set("c_token", claim.token);
        let attempt = self
            .compare_and_set(
                VERB,
                lane(claim.batch, claim.number),
                &self.statements.claim_chunk,
                values,
                ("c_token", claim.token),
            )
            .await?;
        self.with_head(VERB, attempt, claim.batch, claim.number)
            .await
    }

    /// Instances, then one conditional batch on the chunk's partition, then the projection of failures.
    pub(crate) async fn flush(&self, flush: &FlushChunk) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "flush_chunk";
        if flush.rows.len() > FLUSH_ROWS {
            return Err(StoreError::Refused(format!(
                "a flush of {} rows is over the limit of {FLUSH_ROWS}",
                flush.rows.len()
            )));
        }
        if !flush.instances.is_empty() {
            self.put_instances(VERB, &flush.logical_unit, &flush.instances)
                .await?;
        }
        let bid = flush.batch.to_string();
        let (statements, values) = self.flush_statements(flush, &bid);
        // Boxed: the future of a thousand bound rows is too large for the stacks it passes through.
        let attempt = Box::pin(self.compare_and_set_rows(
            VERB,
            lane(flush.batch, flush.number),
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
    ) -> (Statements, Vec<FlushValues<'a>>) {
        let head = if flush.done {
            &self.statements.flush_head_done
        } else {
            &self.statements.flush_head
        };
        let mut statements = Statements::new(BatchType::Unlogged);
        statements.set_execution_profile_handle(Some(self.link.profiles.compare_and_set.clone()));
        statements.set_is_idempotent(false);
        statements.append_statement(head.clone());
        let mut values = Vec::with_capacity(flush.rows.len() + 1);
        values.push(FlushValues::Head(
            key(flush.batch, flush.number)
                .set("to_seq", flush.seq)
                .set("c_seq", flush.seq - 1)
                .set("c_ok", flush.ok)
                .set("c_failed", flush.failed)
                .set_json("c_results", &flush.shares)
                .set("c_token", flush.token)
                .set("c_fence", flush.fence),
        ));
        for row in &flush.rows {
            statements.append_statement(self.statements.insert_entity.clone());
            values.push(FlushValues::Row(entity_values(bid, flush.number, row)));
        }
        (statements, values)
    }

    pub(crate) async fn change(&self, change: &ChangeChunk) -> AttemptResult<Option<ChunkHead>> {
        const VERB: &str = "change_chunk";
        let values = key(change.batch, change.number)
            .set("c_state", change.to.as_str())
            .set("to_fence", change.seen_fence + 1)
            .set("c_token", change.token)
            .set("c_fence", change.seen_fence)
            .set("seen_state", change.from.as_str());
        let attempt = self
            .compare_and_set(
                VERB,
                lane(change.batch, change.number),
                &self.statements.change_chunk,
                values,
                ("c_token", change.token),
            )
            .await?;
        if attempt == Attempt::Applied && change.from == ChunkState::Done {
            self.forget_errors(VERB, change).await;
        }
        self.with_head(VERB, attempt, change.batch, change.number)
            .await
    }

    /// A refusal with the state that refused. The answer is definite already, so reading may follow.
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
        let statement = match freshness {
            Freshness::Committed => &self.statements.chunk_head,
            Freshness::Serial => &self.statements.chunk_head_serial,
        };
        let row = self
            .read_one(verb, CHUNKS, statement, key(batch, number))
            .await?;
        Ok(row.map(head_of).transpose()?.flatten())
    }

    pub(crate) async fn heads(
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

    pub(crate) async fn content(
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
        let (ids, handled) =
            futures::future::try_join(self.ids_of(batch, number, opening), self.handled_of(&head))
                .await?;
        Ok(Some(ChunkContent { head, ids, handled }))
    }

    async fn ids_of(
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
                key(batch, number).set("opening", opening),
            )
            .await?;
        match row {
            Some(mut row) => Ok(row.take("ids")?.unwrap_or_default()),
            // Written at a quorum before the chunk was opened: its absence must never look like an empty chunk.
            None => Err(StoreError::Unavailable(format!(
                "the ids of chunk {number} of batch {batch} are not readable yet"
            ))),
        }
    }

    async fn handled_of(&self, head: &ChunkHead) -> StoreResult<Vec<String>> {
        if head.seq == 0 {
            return Ok(Vec::new());
        }
        self.scan(
            "chunk",
            CHUNKS,
            &self.statements.handled,
            key(head.batch, head.number),
            usize::MAX,
        )
        .await?
        .into_iter()
        .filter_map(|mut row| row.take("entityid").transpose())
        .collect()
    }

    pub(crate) async fn entity_rows(
        &self,
        batch: BatchId,
        number: i64,
    ) -> StoreResult<Vec<EntityRow>> {
        let rows = self
            .scan(
                "entities",
                CHUNKS,
                &self.statements.entities,
                key(batch, number),
                usize::MAX,
            )
            .await?;
        let mut entities = Vec::with_capacity(rows.len());
        for row in rows {
            entities.extend(entity_of(row)?);
        }
        Ok(entities)
    }

    /// Copies failed rows to where people look for them. Stamped by fence, not by a clock, and never more
    /// than a partition bears; a copy that fails is only a copy.
    async fn project_errors(&self, verb: &'static str, flush: &FlushChunk) {
        let failed: Vec<&EntityRow> = flush
            .rows
            .iter()
            .filter(|row| row.status == EntityStatus::Failed)
            .take(self.room_for_errors(flush))
            .collect();
        for part in failed.chunks(PROJECTED_AT_ONCE) {
            let mut statements = Statements::new(BatchType::Unlogged);
            statements.set_is_idempotent(true);
            let values: Vec<Values> = part.iter().map(|row| error_values(flush, row)).collect();
            for _ in part {
                statements.append_statement(self.statements.put_error.clone());
            }
            if let Err(error) = self.write_rows(verb, &statements, values).await {
                let id = flush.batch;
                warn!(batch.id = %id, "Failures of batch {id} are recorded, but not all are in batchprocess_entities_errors: {error}");
                return;
            }
        }
    }

    fn room_for_errors(&self, flush: &FlushChunk) -> usize {
        let wanted = flush
            .rows
            .iter()
            .filter(|row| row.status == EntityStatus::Failed)
            .count();
        if wanted == 0 {
            return 0;
        }
        let mut projected = self
            .projected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Only a bound: forgetting the counts of old batches lets them have more rows, no fewer.
        if projected.len() > 1_000 {
            projected.clear();
        }
        let used = projected.entry(flush.batch).or_default();
        let room = wanted.min(PROJECTED_ROWS.saturating_sub(*used));
        *used += room;
        room
    }

    /// The failures of a chunk that is opened again are failures no longer.
    async fn forget_errors(&self, verb: &'static str, change: &ChangeChunk) {
        let values = key(change.batch, change.number).set("stamp", stamp_of(change.seen_fence));
        if let Err(error) = self
            .write(verb, &self.statements.forget_errors, values)
            .await
        {
            let id = change.batch;
            warn!(batch.id = %id, "Batch {id} is tried again, but batchprocess_entities_errors shows old failures: {error}");
        }
    }
}

/// Grows with the fence, so that what a later life of the chunk writes wins over an earlier one, and what is
/// deleted under a fence covers what was written under it (a deletion wins over a write of its own stamp).
fn stamp_of(fence: i64) -> i64 {
    fence
}

fn error_values(flush: &FlushChunk, row: &EntityRow) -> Values {
    let error = row.error.as_deref().unwrap_or_default();
    let error: String = error.chars().take(PROJECTED_ERROR).collect();
    key(flush.batch, flush.number)
        .set("entityid", &row.id)
        .set("error", error)
        .set("nodeid", &row.node)
        .set("stamp", stamp_of(flush.fence))
}

fn entity_values<'a>(bid: &'a str, number: i64, row: &'a EntityRow) -> EntityValues<'a> {
    // A null is a tombstone, and a thousand of them per chunk make reads warn. Only a row that may replace
    // an earlier one has something to clear.
    let keep_or_clear = |text: Option<&'a str>| match text {
        None if row.fence <= FIRST_LIVES => MaybeUnset::Unset,
        text => MaybeUnset::Set(text),
    };
    EntityValues {
        bid,
        chunk: number,
        entityid: &row.id,
        status: row.status.as_str(),
        results: keep_or_clear(row.result.as_deref()),
        error: keep_or_clear(row.error.as_deref()),
        nodeid: &row.node.0,
        start_time: CqlTimestamp(row.start_time.0),
        end_time: CqlTimestamp(row.end_time.0),
        duration_us: row.duration_us,
        attempt: row.attempt,
        fence: row.fence,
    }
}

/// The state of a chunk and the key of its ids; none for a partition without a state.
fn head_of(mut row: Found) -> StoreResult<Option<(ChunkHead, Option<Uuid>)>> {
    if row.peek_is_null("c_state") {
        return Ok(None);
    }
    let node: Option<NodeId> = row.take("c_owner")?;
    let holder = match (node, row.take("c_inc")?) {
        (Some(node), Some(incarnation)) => Some(Holder { node, incarnation }),
        _ => None,
    };
    let shares: Option<BTreeMap<NodeId, NodeShare>> = row.json("c_results")?;
    let head = ChunkHead {
        batch: row.parse("bid")?,
        number: row.need("chunk")?,
        state: row.parse("c_state")?,
        holder,
        fence: row.need("c_fence")?,
        seq: row.need("c_seq")?,
        token: row.take("c_token")?,
        total: row.need("c_total")?,
        ok: row.need("c_ok")?,
        failed: row.need("c_failed")?,
        shares: shares.unwrap_or_default(),
        source_position: row.take("c_source_pos")?,
        crashes: row.take("c_crashes")?.unwrap_or(0),
    };
    Ok(Some((head, row.take("c_ids")?)))
}

/// A partition with a state and no rows answers one row of nulls.
fn entity_of(mut row: Found) -> StoreResult<Option<EntityRow>> {
    let Some(id) = row.take("entityid")? else {
        return Ok(None);
    };
    Ok(Some(EntityRow {
        id,
        status: row.parse("status")?,
        result: row.take("results")?,
        error: row.take("error")?,
        node: row.need("nodeid")?,
        start_time: row.need("start_time")?,
        end_time: row.need("end_time")?,
        duration_us: row.need("duration_us")?,
        attempt: row.need("attempt")?,
        fence: row.need("fence")?,
    }))
}

#[cfg(test)]
mod tests {
    use weft_model::clock::Timestamp;

    use super::*;

    fn completed(fence: i64) -> EntityRow {
        EntityRow {
            id: "1".to_owned(),
            status: EntityStatus::Completed,
            result: Some("{}".to_owned()),
            error: None,
            node: NodeId("n".to_owned()),
            start_time: Timestamp(1),
            end_time: Timestamp(2),
            duration_us: 1_000,
            attempt: 1,
            fence,
        }
    }

    #[test]
    fn only_a_row_that_may_replace_another_writes_nulls() {
        let first = completed(2);
        assert!(matches!(
            entity_values("b", 0, &first).error,
            MaybeUnset::Unset
        ));
        let again = completed(3);
        assert!(matches!(
            entity_values("b", 0, &again).error,
            MaybeUnset::Set(None)
        ));
    }
}
