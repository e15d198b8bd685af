//! The projection of failed entities by batch, which people read instead of all chunks.

use std::sync::PoisonError;

use tracing::warn;
use weft_model::{EntityRow, EntityStatus};
use weft_store::{ChangeChunk, FlushChunk};

use crate::CassandraStore;
use crate::values::Values;

/// Failed rows of a batch that one process projects; the chunks have all of them.
const PROJECTED_ROWS: usize = 20_000;
/// Characters of a projected error, so that the partition stays below 10 MiB.
const PROJECTED_ERROR: usize = 400;
/// Projected rows per write; they are all in one partition.
const PROJECTED_AT_ONCE: usize = 250;

impl CassandraStore {
    /// Copies failed rows into the projection, up to a limit per batch. A failure is only logged: the chunks have all
    /// rows.
    pub(crate) async fn project_errors(&self, verb: &'static str, flush: &FlushChunk) {
        let failed: Vec<&EntityRow> = flush
            .rows
            .iter()
            .filter(|row| row.status == EntityStatus::Failed)
            .take(self.reserve_projection(flush))
            .collect();
        for rows in failed.chunks(PROJECTED_AT_ONCE) {
            let values = rows.iter().map(|row| error_values(flush, row)).collect();
            let statement = &self.statements.put_error;
            if let Err(error) = self.write_rows(verb, statement, values).await {
                let id = flush.batch;
                warn!(batch.id = %id, "Failures of batch {id} are recorded, but not all are in batchprocess_entities_errors: {error}");
                return;
            }
        }
    }

    /// Reserves room in the projection for the failures of a flush, and returns the number of rows that fit.
    fn reserve_projection(&self, flush: &FlushChunk) -> usize {
        let wanted = flush
            .rows
            .iter()
            .filter(|row| row.status == EntityStatus::Failed)
            .count();
        if wanted == 0 {
            return 0;
        }
        let mut projected = self
            .projected_errors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A batch whose count is cleared may exceed the limit; no batch gets fewer rows.
        if projected.len() > 1_000 {
            projected.clear();
        }
        let used = projected.entry(flush.batch).or_default();
        let room = wanted.min(PROJECTED_ROWS.saturating_sub(*used));
        *used += room;
        room
    }

    /// Removes the failures of a chunk that is reopened.
    pub(crate) async fn delete_errors(&self, verb: &'static str, change: &ChangeChunk) {
        let values = Values::new()
            .chunk_key(change.batch, change.number)
            .set("stamp", write_timestamp(change.seen_fence));
        if let Err(error) = self
            .write(verb, &self.statements.forget_errors, values)
            .await
        {
            let id = change.batch;
            warn!(batch.id = %id, "Batch {id} is tried again, but batchprocess_entities_errors shows old failures: {error}");
        }
    }
}

/// The write timestamp under a fence. Writes under a later fence replace earlier ones whatever the clocks say, and a
/// deletion under a fence covers the writes under it, since a deletion wins over a write of the same timestamp.
fn write_timestamp(fence: i64) -> i64 {
    fence
}

fn error_values(flush: &FlushChunk, row: &EntityRow) -> Values {
    let error = row.error.as_deref().unwrap_or_default();
    let error: String = error.chars().take(PROJECTED_ERROR).collect();
    Values::new()
        .chunk_key(flush.batch, flush.number)
        .set("entityid", &row.id)
        .set("error", error)
        .set("nodeid", &row.node)
        .set("stamp", write_timestamp(flush.fence))
}
