//! The history of runs.
//!
//! It lies in buckets of the job's fence. A directory, written first, names the buckets that have runs. Versions before 7
//! write a table with a partition per month instead, which is read until its rows have expired.

use std::cmp::Reverse;

use chrono::{Datelike, Months, NaiveDate};
use scylla::statement::prepared::PreparedStatement;
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::{Fence, JobKey, JobRun};
use weft_store::{Attempt, AttemptResult, Freshness, StoreResult};

use crate::CassandraStore;
use crate::request::all_of;
use crate::row::StoredRow;
use crate::values::Values;

/// Values of the fence in a bucket. A run has at most 64 KiB of output and 96 KiB of error (16 KiB, escaped), so a partition
/// stays below 80 MiB.
pub(crate) const BUCKET_FENCES: i64 = 512;
/// Buckets in a page of the directory.
pub(crate) const BUCKETS: usize = 1_000;
/// Buckets or months read at once.
pub(crate) const AT_ONCE: usize = 8;
/// Months of history to search; each is a partition, and older runs have passed their TTL.
pub(crate) const MONTHS_BACK: u32 = 13;

impl CassandraStore {
    /// Inserts the history row of a run. A row that is already there comes from an earlier sending, and is the same.
    pub(crate) async fn insert_run(&self, verb: &'static str, run: &JobRun) -> AttemptResult<()> {
        let bucket = bucket_of(run.fence);
        let directory = Values::new().job_key(&run.key).set("bucket", bucket);
        self.write(verb, &self.statements.put_bucket, directory)
            .await?;
        let values = Values::new()
            .job_key(&run.key)
            .set("bucket", bucket)
            .set("started", run.started)
            .set("run_fence", run.fence)
            .set("ended", run.ended)
            .set("node", &run.node)
            .set("status", run.status.as_str())
            .set("error", run.error.as_ref())
            .set("output", run.output.as_ref())
            .set("attempt", run.attempt)
            .set("planned", run.planned)
            .set("exit_code", run.exit_code);
        let partition = ("job_history", &run.key, bucket);
        let attempt = self
            .compare_and_set_text(verb, partition, &self.statements.insert_run, values, "uid")
            .await?;
        Ok(match attempt {
            Attempt::Applied | Attempt::Lost(_) => Attempt::Applied,
            Attempt::Unknown(reason) => Attempt::Unknown(reason),
        })
    }

    /// The latest runs of both tables, newest first.
    pub(crate) async fn read_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        // CQL has no LIMIT of zero.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut runs = self.read_bucketed_runs(key, limit).await?;
        runs.extend(self.read_monthly_runs(key, limit).await?);
        // A run has a fence of its own. The row of its own node comes first: a later claim by a node of another version may
        // have recorded the same run as cut short.
        runs.sort_by_key(|run| (Reverse(run.started), Reverse(run.fence), is_cut_short(run)));
        runs.dedup_by_key(|run| (run.started, run.fence));
        runs.truncate(limit);
        Ok(runs)
    }

    /// From the newest bucket on, as many as the limit needs.
    async fn read_bucketed_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        const VERB: &str = "job_runs";
        let mut runs = Vec::new();
        let mut below = i64::MAX;
        loop {
            let buckets = self.buckets_below(VERB, key, below).await?;
            for group in buckets.chunks(AT_ONCE) {
                let reads = group.iter().map(|bucket| {
                    let values = Values::new().job_key(key).set("bucket", *bucket);
                    self.runs_of(&self.statements.runs, values.limit(limit))
                });
                for found in all_of(AT_ONCE, reads.collect()).await? {
                    runs.extend(found);
                }
                if runs.len() >= limit {
                    return Ok(runs);
                }
            }
            match buckets.last() {
                Some(last) if buckets.len() == BUCKETS => below = *last,
                _ => return Ok(runs),
            }
        }
    }

    /// A page of the directory, descending.
    pub(crate) async fn buckets_below(
        &self,
        verb: &'static str,
        key: &JobKey,
        below: i64,
    ) -> StoreResult<Vec<i64>> {
        let values = Values::new().job_key(key).set("below", below);
        let statement = &self.statements.buckets;
        let found = self.read(
            verb,
            "job_history_buckets",
            statement,
            values.limit(BUCKETS),
        );
        let buckets = found.await?.into_iter();
        buckets.map(|mut row| row.require("bucket")).collect()
    }

    /// Backwards from the month of the job's last run; each month is a partition.
    async fn read_monthly_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        let job = self.read_job("job_runs", key, Freshness::Committed).await?;
        let newest = job
            .and_then(|job| job.start_time.max(job.end_time))
            .unwrap_or_else(|| SystemClock.now());
        let reads = (0..MONTHS_BACK).map(|back| {
            let month = month_before(newest, back);
            let values = Values::new().job_key(key).set("month", month).limit(limit);
            self.runs_of(&self.statements.monthly_runs, values)
        });
        let found = all_of(AT_ONCE, reads.collect()).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn runs_of(
        &self,
        statement: &PreparedStatement,
        values: Values,
    ) -> StoreResult<Vec<JobRun>> {
        const VERB: &str = "job_runs";
        let rows = self.read(VERB, VERB, statement, values).await?;
        rows.into_iter().map(run_of).collect()
    }
}

fn bucket_of(fence: Fence) -> i64 {
    fence.div_euclid(BUCKET_FENCES)
}

fn is_cut_short(run: &JobRun) -> bool {
    run.error
        .as_ref()
        .is_some_and(|error| error.contains("\"Crashed\""))
}

pub(crate) fn month_before(time: Timestamp, months: u32) -> String {
    let date = time.to_utc().date_naive();
    let first = NaiveDate::from_ymd_opt(date.year(), date.month(), 1).unwrap_or(date);
    let month = first
        .checked_sub_months(Months::new(months))
        .unwrap_or(first);
    month.format("%Y-%m").to_string()
}

fn run_of(mut row: StoredRow) -> StoreResult<JobRun> {
    Ok(JobRun {
        key: row.take_job_key()?,
        started: row.require("started")?,
        ended: row.require("ended")?,
        fence: row.require("run_fence")?,
        node: row.require("node")?,
        status: row.take_parsed("status")?,
        error: row.take("error")?,
        output: row.take("output")?,
        attempt: row.take("attempt")?.unwrap_or(1),
        planned: row.take("planned")?,
        exit_code: row.take("exit_code")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_before_january_are_of_the_last_year() {
        let march = Timestamp(1_772_323_200_000); // 2026-03-01
        assert_eq!(month_before(march, 0), "2026-03");
        assert_eq!(month_before(march, 2), "2026-01");
        assert_eq!(month_before(march, 3), "2025-12");
    }
}
