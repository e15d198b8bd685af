//! What is removed: archived jobs, old runs, batches that ended long ago.
//!
//! Rows of LWT tables go by LWT. What only hangs on a row that is gone, or that nobody can take up again, goes by one
//! plain delete per partition.

use std::collections::BTreeSet;

use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::{Batch, BatchId, Job, JobKey};
use weft_store::{Attempt, AttemptResult, DeleteBatch, DeleteJob, ReleaseCommand, StoreResult};

use crate::CassandraStore;
use crate::batch::{self, day_of, day_value};
use crate::connect::{all_of, stamp_above};
use crate::job::{self, MONTHS_BACK, month_before};
use crate::rows::Values;

/// Deletes in flight.
const DELETES_AT_ONCE: usize = 16;
/// A history row is written a moment behind the end that it tells of, by a coordinator's clock.
const HISTORY_MARGIN_MS: i64 = 60_000;
/// The longest that history lives, in milliseconds: the TTL of its table.
const HISTORY_KEPT_MS: i64 = 30 * 86_400_000;
/// Runs of one month that are counted before they are removed.
const RUNS_COUNTED: i32 = 10_000;

impl CassandraStore {
    /// The row, then its name and its history. These are stamped with the job's end: what a job of the same key that is
    /// started meanwhile writes there is later, and stays.
    pub(crate) async fn delete_a_job(&self, delete: &DeleteJob) -> AttemptResult<Option<Job>> {
        const VERB: &str = "delete_job";
        let key = &delete.key;
        // Before the row goes: what a job started after that writes is younger.
        let stamp = stamp_above(&self.link.stamps, 0);
        let values = Values::new()
            .job(key)
            .set("seen_status", delete.seen.status.as_str())
            .set("fence", delete.seen.fence)
            .set("desired_seq", delete.seen.desired_seq)
            .set("seen_token", delete.seen_token);
        let attempt = self
            .compare_and_set_text(
                VERB,
                job::lane(key),
                &self.statements.delete_job,
                values,
                "status",
            )
            .await?;
        match attempt {
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(Some(_)) => return self.with_job(VERB, Attempt::Lost(()), key).await,
            // A row that is missing is gone, whoever removed it; what hangs on it goes as well.
            Attempt::Applied | Attempt::Lost(None) => (),
        }
        // The row is gone: from here on no answer may say that nothing happened.
        match self.forget_what_hangs_on(VERB, delete, stamp).await {
            Ok(()) => Ok(Attempt::Applied),
            Err(error) => Ok(Attempt::Unknown(error.to_string())),
        }
    }

    async fn forget_what_hangs_on(
        &self,
        verb: &'static str,
        delete: &DeleteJob,
        stamp: i64,
    ) -> StoreResult<()> {
        let DeleteJob {
            key,
            started,
            ended,
            ..
        } = delete;
        let name = Values::new()
            .job(key)
            .set("stamp", micros(ended.0).min(stamp));
        self.write(verb, &self.statements.drop_name, name).await?;
        let last = Timestamp(ended.0.saturating_add(HISTORY_MARGIN_MS));
        let oldest = (*started).max(Timestamp(ended.0.saturating_sub(HISTORY_KEPT_MS)));
        let drops = months_between(oldest, last)
            .into_iter()
            .map(|month| {
                let values = Values::new()
                    .job(key)
                    .set("month", month)
                    .set("before", last)
                    .set("stamp", micros(last.0).min(stamp));
                self.write(verb, &self.statements.drop_runs, values)
            })
            .collect();
        all_of(DELETES_AT_ONCE, drops).await.map(drop)
    }

    pub(crate) async fn forget_old_runs(
        &self,
        key: &JobKey,
        before: Timestamp,
    ) -> StoreResult<usize> {
        const VERB: &str = "forget_runs";
        // The table itself forgets what is older.
        let oldest = Timestamp(SystemClock.now().0.saturating_sub(HISTORY_KEPT_MS));
        if before <= oldest {
            return Ok(0);
        }
        let mut removed = 0;
        for month in months_between(oldest, before) {
            let values = Values::new()
                .job(key)
                .set("month", month.as_str())
                .set("before", before);
            let asked = values.clone().set("rows", RUNS_COUNTED);
            let found = self
                .read(VERB, "job_runs", &self.statements.old_runs, asked)
                .await?
                .len();
            if found == 0 {
                continue;
            }
            removed += found;
            let values = values.set("stamp", stamp_above(&self.link.stamps, 0));
            self.write(VERB, &self.statements.drop_runs, values).await?;
        }
        Ok(removed)
    }

    pub(crate) async fn release_a_command(
        &self,
        release: &ReleaseCommand,
    ) -> AttemptResult<Option<BatchId>> {
        let values = Values::new()
            .set("bid", release.batch)
            .set("command_key", &release.command_key);
        let attempt = self
            .compare_and_set_text(
                "release_command",
                ("active_commands", &release.command_key),
                &self.statements.release_command,
                values,
                "bid",
            )
            .await?;
        Ok(match attempt {
            Attempt::Applied | Attempt::Lost(None) => Attempt::Applied,
            Attempt::Lost(Some(found)) => Attempt::Lost(Some(batch::parse_id(&found)?)),
            Attempt::Unknown(reason) => Attempt::Unknown(reason),
        })
    }

    /// Figures and errors, the row, and its line in the directory: found there without a row it is removed by the next
    /// who looks.
    pub(crate) async fn delete_a_batch(
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
                batch::lane(delete.id),
                &self.statements.delete_batch,
                values,
                "status",
            )
            .await?;
        match attempt {
            Attempt::Unknown(reason) => return Ok(Attempt::Unknown(reason)),
            Attempt::Lost(Some(_)) => {
                return self.with_batch(VERB, Attempt::Lost(()), delete.id).await;
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

    pub(crate) async fn forget_chunk_partitions(
        &self,
        batch: BatchId,
        from: i64,
        to: i64,
    ) -> StoreResult<()> {
        const VERB: &str = "forget_chunks";
        let drops = (from..to)
            .flat_map(|number| {
                [&self.statements.drop_chunk, &self.statements.drop_ids].map(|statement| {
                    let values = Values::new().set("bid", batch).set("chunk", number);
                    self.write(VERB, statement, values)
                })
            })
            .collect();
        all_of(DELETES_AT_ONCE, drops).await.map(drop)
    }
}

fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1_000)
}

/// The months that history of this span lies in.
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
    fn a_span_lies_in_its_months() {
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
