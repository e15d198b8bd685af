//! Removal of archived jobs, old runs, and batches that ended long ago.
//!
//! Rows that are written by LWT are deleted by LWT. Rows that belong to a deleted row, or to one that is final, are
//! deleted by one plain delete per partition.

use std::collections::BTreeSet;

use scylla::statement::prepared::PreparedStatement;
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::{Batch, BatchId, Job, JobKey};
use weft_store::{Attempt, AttemptResult, DeleteBatch, DeleteJob, Freshness, StoreResult};

use crate::CassandraStore;
use crate::batch;
use crate::batch_list::{day_of, day_value};
use crate::chunk::{FILTERS_IN_BLOCK, block_of};
use crate::job;
use crate::job_run::{BUCKETS, MONTHS_BACK, month_before};
use crate::request::all_of;
use crate::values::Values;

/// Deletes in flight.
const DELETES_AT_ONCE: usize = 16;
/// A history row is written after the end of its run, with the timestamp of the coordinator. The deletion covers rows
/// that were written up to this long after the end.
const HISTORY_MARGIN_MS: i64 = 60_000;
/// The TTL of the history table, in milliseconds.
const HISTORY_KEPT_MS: i64 = 30 * 86_400_000;
/// The most runs of one partition that are counted before they are removed.
const RUNS_COUNTED: usize = 10_000;

impl CassandraStore {
    /// Deletes the row, then its name and its history. These deletes have the timestamp of the job's end, so rows of a
    /// new job with the same key are later and stay.
    pub(crate) async fn delete_job_row(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "delete_job";
        let key = &delete.key;
        // Taken before the row is deleted, so a job that starts afterwards writes with later timestamps.
        let timestamp = self.connection.timestamps.next_above(0);
        let values = Values::new()
            .job_key(key)
            .set("seen_status", delete.seen.status.as_str())
            .set("fence", delete.seen.fence)
            .set("desired_seq", delete.seen.desired_seq)
            .set("seen_token", delete.seen_token);
        let attempt = self
            .compare_and_set_text(
                VERB,
                job::partition(key),
                &self.statements.delete_job,
                values,
                "status",
            )
            .await?;
        match attempt {
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(Some(_)) => {
                let found = self.read_job(VERB, key, Freshness::Serial).await?;
                return Ok(Attempt::Lost(found));
            }
            // The row is already gone. Its name and history may remain if the first deletion was interrupted.
            Attempt::Applied | Attempt::Lost(None) => (),
        }
        // The row is gone: from here on no answer may be a definite failure.
        match self.delete_name_and_runs(VERB, delete, timestamp).await {
            Ok(()) => Ok(Attempt::Applied),
            Err(error) => Ok(Attempt::Unknown(error.to_string())),
        }
    }

    async fn delete_name_and_runs(
        &self,
        verb: &'static str,
        delete: &DeleteJob,
        timestamp: i64,
    ) -> StoreResult<()> {
        let DeleteJob {
            key,
            started,
            ended,
            ..
        } = delete;
        let name = Values::new()
            .job_key(key)
            .set("stamp", micros(ended.0).min(timestamp));
        self.write(verb, &self.statements.drop_name, name).await?;
        let last = Timestamp(ended.0.saturating_add(HISTORY_MARGIN_MS));
        let oldest = (*started).max(Timestamp(ended.0.saturating_sub(HISTORY_KEPT_MS)));
        let stamp = micros(last.0).min(timestamp);
        let mut drops = Vec::new();
        for month in months_between(oldest, last) {
            let values = Values::new().job_key(key).set("month", month);
            drops.push((&self.statements.drop_monthly_runs, values));
        }
        for bucket in self.all_buckets(verb, key).await? {
            let values = Values::new().job_key(key).set("bucket", bucket);
            drops.push((&self.statements.drop_runs, values));
        }
        let drops = drops.into_iter().map(|(statement, values)| {
            let values = values.set("before", last).set("stamp", stamp);
            self.write(verb, statement, values)
        });
        // The directory expires by itself; a bucket without runs is only read in vain.
        all_of(DELETES_AT_ONCE, drops.collect()).await.map(drop)
    }

    /// The buckets of a job that have runs: at most one for 256 runs of the last 30 days.
    async fn all_buckets(&self, verb: &'static str, key: &JobKey) -> StoreResult<Vec<i64>> {
        let mut all = Vec::new();
        loop {
            let below = all.last().copied().unwrap_or(i64::MAX);
            let page = self.buckets_below(verb, key, below).await?;
            let is_last = page.len() < BUCKETS;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    pub(crate) async fn delete_runs_before(
        &self,
        key: &JobKey,
        before: Timestamp,
    ) -> StoreResult<usize> {
        // Older rows have expired.
        let oldest = Timestamp(SystemClock.now().0.saturating_sub(HISTORY_KEPT_MS));
        if before <= oldest {
            return Ok(0);
        }
        let mut removed = 0;
        for month in months_between(oldest, before) {
            let values = Values::new().job_key(key).set("month", month.as_str());
            let read = &self.statements.old_monthly_runs;
            let drop = &self.statements.drop_monthly_runs;
            removed += self.drop_counted(read, drop, values, before).await?;
        }
        for bucket in self.all_buckets("forget_runs", key).await? {
            let values = Values::new().job_key(key).set("bucket", bucket);
            let (read, drop) = (&self.statements.old_runs, &self.statements.drop_runs);
            removed += self.drop_counted(read, drop, values, before).await?;
        }
        Ok(removed)
    }

    /// Removes the runs of one partition that started before; answers how many there were.
    async fn drop_counted(
        &self,
        read: &PreparedStatement,
        drop: &PreparedStatement,
        values: Values,
        before: Timestamp,
    ) -> StoreResult<usize> {
        const VERB: &str = "forget_runs";
        let values = values.set("before", before);
        let counted = values.clone().limit(RUNS_COUNTED);
        let found = self.read(VERB, "job_runs", read, counted).await?.len();
        if found > 0 {
            let values = values.set("stamp", self.connection.timestamps.next_above(0));
            self.write(VERB, drop, values).await?;
        }
        Ok(found)
    }

    /// Deletes the statistics and errors, then the row, then its copy in the directory. A copy without a row is removed
    /// by the next clean-up.
    pub(crate) async fn delete_batch_row(
        &self,
        delete: &DeleteBatch,
    ) -> AttemptResult<Option<Batch>> {
        const VERB: &str = "delete_batch";
        for statement in [
            &self.statements.drop_node_info,
            &self.statements.drop_errors,
        ] {
            let values = Values::new().set("bid", delete.id);
            self.write(VERB, statement, values).await?;
        }
        let values = Values::new()
            .set("bid", delete.id)
            .set("seen_status", delete.seen_status.as_str())
            .set("fence", delete.seen_fence)
            .set("desired_seq", delete.desired_seq);
        let attempt = self
            .compare_and_set_text(
                VERB,
                batch::partition(delete.id),
                &self.statements.delete_batch,
                values,
                "status",
            )
            .await?;
        match attempt {
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(Some(_)) => {
                let found = self.read_batch(VERB, delete.id, Freshness::Serial).await?;
                return Ok(Attempt::Lost(found));
            }
            Attempt::Applied | Attempt::Lost(None) => (),
        }
        let values = Values::new()
            .set("day", day_value(day_of(delete.creation_time)))
            .set("creation_time", delete.creation_time)
            .set("bid", delete.id);
        match self
            .write(VERB, &self.statements.drop_listing, values)
            .await
        {
            Ok(()) => Ok(Attempt::Applied),
            Err(error) => Ok(Attempt::Unknown(error.to_string())),
        }
    }

    pub(crate) async fn delete_chunk_partitions(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<()> {
        const VERB: &str = "forget_chunks";
        let drops = (from..to)
            .flat_map(|number| {
                [&self.statements.drop_chunk, &self.statements.drop_ids].map(|statement| {
                    let values = Values::new().chunk_key(batch, number);
                    self.write(VERB, statement, values)
                })
            })
            .collect();
        all_of(DELETES_AT_ONCE, drops).await.map(drop)?;
        // Chunks are removed from the end, so with the first chunk of a block the block is over.
        for block in block_of(from + FILTERS_IN_BLOCK - 1)..=block_of(to - 1) {
            let values = Values::new().set("bid", batch).set("block", block);
            self.write(VERB, &self.statements.drop_filters, values)
                .await?;
        }
        Ok(())
    }
}

fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1_000)
}

/// The months of a span of time, as far back as history goes.
fn months_between(from: Timestamp, to: Timestamp) -> BTreeSet<String> {
    let first = month_before(from, 0);
    (0..MONTHS_BACK)
        .map(|back| month_before(to, back))
        .filter(|month| *month >= first)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_the_months_of_its_days() {
        let march = Timestamp(1_772_323_200_000); // 2026-03-01
        let day = 86_400_000;
        let months = |from: i64, to: i64| {
            months_between(
                Timestamp(march.0 + from * day),
                Timestamp(march.0 + to * day),
            )
            .into_iter()
            .collect::<Vec<_>>()
        };
        assert_eq!(months(0, 0), ["2026-03"]);
        assert_eq!(months(-1, 0), ["2026-02", "2026-03"]);
        assert_eq!(months(-30, 1), ["2026-01", "2026-02", "2026-03"]);
    }
}
