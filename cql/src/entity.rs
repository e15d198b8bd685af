//! Entity rows: the rows of a chunk's partition, one per processed entity.

use scylla::SerializeRow;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow as SerializeRowTrait};
use scylla::serialize::writers::RowWriter;
use scylla::value::{CqlTimestamp, MaybeUnset};
use weft_model::{BatchId, ChunkHead, EntityRow};
use weft_store::{StoreResult, check_sought_id};

use crate::CassandraStore;
use crate::request::all_of;
use crate::row::StoredRow;
use crate::values::Values;

/// The table of chunks: its static columns are the state of the chunk, its rows the processed entities.
pub(crate) const CHUNKS: &str = "batchprocess_entities_info";
/// The fence of the first claim of a chunk. Under a fence up to this one, a row replaces no earlier row.
const FIRST_CLAIM_FENCE: i64 = 2;
/// Entities read at once by their ids.
const ENTITIES_AT_ONCE: usize = 16;

/// The values of an entity row, in the order of the statement.
#[derive(SerializeRow)]
#[scylla(flavor = "enforce_order", skip_name_checks)]
pub(crate) struct EntityValues<'a> {
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

impl<'a> EntityValues<'a> {
    pub(crate) fn new(bid: &'a str, number: i64, row: &'a EntityRow) -> Self {
        // A null is a tombstone, and a thousand of them in a chunk make the server log warnings. Only a row that may
        // replace an earlier one has columns to clear.
        let keep_or_clear = |text: Option<&'a str>| match text {
            None if row.fence <= FIRST_CLAIM_FENCE => MaybeUnset::Unset,
            text => MaybeUnset::Set(text),
        };
        Self {
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
}

/// The values of one statement of a flush: of the static row, which comes first, or of an entity row.
pub(crate) enum FlushValues<'a> {
    Head(Values),
    Row(EntityValues<'a>),
}

impl SerializeRowTrait for FlushValues<'_> {
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
    /// The ids of the processed entities of a chunk.
    pub(crate) async fn read_handled(&self, head: &ChunkHead) -> StoreResult<Vec<String>> {
        if head.seq == 0 {
            return Ok(Vec::new());
        }
        self.scan(
            "chunk",
            CHUNKS,
            &self.statements.handled,
            Values::new().chunk_key(head.batch, head.number),
            usize::MAX,
        )
        .await?
        .into_iter()
        .filter_map(|mut row| row.take("entityid").transpose())
        .collect()
    }

    pub(crate) async fn read_entities(
        &self,
        batch: BatchId,
        number: i64,
    ) -> StoreResult<Vec<EntityRow>> {
        let rows = self
            .scan(
                "entities",
                CHUNKS,
                &self.statements.entities,
                Values::new().chunk_key(batch, number),
                usize::MAX,
            )
            .await?;
        let mut entities = Vec::with_capacity(rows.len());
        for row in rows {
            entities.extend(entity_of(row)?);
        }
        Ok(entities)
    }

    pub(crate) async fn read_entities_of(
        &self,
        batch: BatchId,
        number: i64,
        ids: &[String],
    ) -> StoreResult<Vec<EntityRow>> {
        ids.iter().try_for_each(|id| check_sought_id(id))?;
        let reads = ids
            .iter()
            .map(|id| {
                let values = Values::new().chunk_key(batch, number).set("entityid", id);
                self.read_one("entities_of", CHUNKS, &self.statements.entity, values)
            })
            .collect();
        let rows = all_of(ENTITIES_AT_ONCE, reads).await?;
        let found = rows.into_iter().flatten().map(entity_of);
        found.filter_map(Result::transpose).collect()
    }
}

/// `None` for the row of nulls that the server returns for a partition that has only a static row.
fn entity_of(mut row: StoredRow) -> StoreResult<Option<EntityRow>> {
    let Some(id) = row.take("entityid")? else {
        return Ok(None);
    };
    Ok(Some(EntityRow {
        id,
        status: row.take_parsed("status")?,
        result: row.take("results")?,
        error: row.take("error")?,
        node: row.require("nodeid")?,
        start_time: row.require("start_time")?,
        end_time: row.require("end_time")?,
        duration_us: row.require("duration_us")?,
        attempt: row.require("attempt")?,
        fence: row.require("fence")?,
    }))
}

#[cfg(test)]
mod tests {
    use weft_model::clock::Timestamp;
    use weft_model::{EntityStatus, NodeId};

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
            EntityValues::new("b", 0, &first).error,
            MaybeUnset::Unset
        ));
        let again = completed(3);
        assert!(matches!(
            EntityValues::new("b", 0, &again).error,
            MaybeUnset::Set(None)
        ));
    }
}
