//! The directory of batches by day, which lists read: copies of batch rows.

use scylla::value::{CqlDate, CqlValue};
use tracing::warn;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, BatchListing};
use weft_store::{BatchPage, Freshness, ListBatches, StoreResult};

use crate::CassandraStore;
use crate::row::StoredRow;
use crate::values::Values;

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 in the numbering of CQL dates.
const EPOCH_DAY: i64 = 1 << 31;
/// Days that a list searches; each is a partition.
const DAYS_BACK: i64 = 400;
/// Days read at once.
const DAYS_AT_ONCE: usize = 16;
/// Characters of a command in the directory.
const COMMAND_HEAD: usize = 200;

impl CassandraStore {
    /// Copies the current row for lists. A failure is only logged: the next move copies again.
    pub(crate) async fn copy_for_lists(&self, verb: &'static str, id: BatchId) {
        let copied = match self.read_batch(verb, id, Freshness::Committed).await {
            Ok(Some(batch)) => {
                // Above the timestamp of the submission, even if this node's clock is behind.
                let least = submission_timestamp(&batch);
                let timestamp = self.connection.timestamps.next_above(least);
                self.write_listing(verb, &batch, timestamp).await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = copied {
            warn!(batch.id = %id, "Batch {id} moved, but lists show its old state: {error}");
        }
    }

    pub(crate) async fn write_listing(
        &self,
        verb: &'static str,
        batch: &Batch,
        timestamp: i64,
    ) -> StoreResult<()> {
        let failed = batch
            .statistics
            .as_ref()
            .map_or(0, |statistics| statistics.total().failed);
        let command: String = batch.command.chars().take(COMMAND_HEAD).collect();
        let values = Values::new()
            .set("day", day_value(day_of(batch.creation_time)))
            .set("creation_time", batch.creation_time)
            .set("bid", batch.id)
            .set("status", batch.status.as_str())
            .set("end_time", batch.end_time)
            .set("command", command)
            .set("failed", failed)
            .set("stamp", timestamp);
        self.write(verb, &self.statements.put_listing, values).await
    }

    /// Reads day by day backwards, until there is one row more than requested.
    pub(crate) async fn list_batches(&self, list: &ListBatches) -> StoreResult<BatchPage> {
        let (before_time, before_bid) = match list.before {
            Some((time, id)) if time < list.to => (time, id.to_string()),
            _ => (list.to, String::new()),
        };
        let newest = day_of(before_time);
        let oldest = day_of(list.from).max(newest.saturating_sub(DAYS_BACK));
        let wanted = list.limit.saturating_add(1);
        let days: Vec<i64> = (oldest..=newest).rev().collect();
        let mut listings: Vec<BatchListing> = Vec::new();
        for days in days.chunks(DAYS_AT_ONCE) {
            let reads = days
                .iter()
                .map(|day| self.list_day(*day, list.from, before_time, &before_bid, wanted));
            for found in futures::future::try_join_all(reads).await? {
                listings.extend(found);
            }
            if listings.len() >= wanted {
                break;
            }
        }
        let more = listings.len() > list.limit;
        listings.truncate(list.limit);
        Ok(BatchPage { listings, more })
    }

    async fn list_day(
        &self,
        day: i64,
        from: Timestamp,
        before_time: Timestamp,
        before_bid: &str,
        limit: usize,
    ) -> StoreResult<Vec<BatchListing>> {
        let values = Values::new()
            .set("day", day_value(day))
            .set("before_time", before_time)
            .set("before_bid", before_bid)
            .set("from_time", from)
            .limit(limit);
        self.read(
            "batches",
            "batchprocess_by_day",
            &self.statements.listings,
            values,
        )
        .await?
        .into_iter()
        .map(listing_of)
        .collect()
    }
}

/// The write timestamp of the submission, in microseconds since 1970.
pub(crate) fn submission_timestamp(batch: &Batch) -> i64 {
    batch.creation_time.0.saturating_mul(1_000)
}

pub(crate) fn day_of(time: Timestamp) -> i64 {
    time.0.div_euclid(DAY_MS)
}

pub(crate) fn day_value(day: i64) -> CqlValue {
    CqlValue::Date(CqlDate(
        u32::try_from(day.saturating_add(EPOCH_DAY)).unwrap_or(0),
    ))
}

fn listing_of(mut row: StoredRow) -> StoreResult<BatchListing> {
    Ok(BatchListing {
        id: row.take_parsed("bid")?,
        creation_time: row.require("creation_time")?,
        status: row.take_parsed("status")?,
        end_time: row.take("end_time")?,
        command: row.take("command")?.unwrap_or_default(),
        failed: row.take("failed")?.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(day_of(Timestamp(0)), 0);
        assert_eq!(day_of(Timestamp(-1)), -1);
        assert_eq!(day_value(0), CqlValue::Date(CqlDate(1 << 31)));
    }
}
