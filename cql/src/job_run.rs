//! The history of runs.

use chrono::{Datelike, Months, NaiveDate};
use weft_model::clock::{Clock, SystemClock, Timestamp};
use weft_model::{JobKey, JobRun};
use weft_store::{Attempt, AttemptResult, Freshness, StoreResult};

use crate::CassandraStore;
use crate::row::StoredRow;
use crate::values::Values;

/// Months of history to search; each is a partition, and older runs have passed their TTL.
pub(crate) const MONTHS_BACK: u32 = 13;

impl CassandraStore {
    /// Inserts the history row of a run. A row that is already there comes from an earlier sending, and is the same.
    pub(crate) async fn insert_run(&self, verb: &'static str, run: &JobRun) -> AttemptResult<()> {
        let month = month_of(run.started);
        let values = Values::new()
            .job_key(&run.key)
            .set("month", month.as_str())
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
        let partition = ("job_runs", &run.key, month.as_str());
        let attempt = self
            .compare_and_set_text(verb, partition, &self.statements.insert_run, values, "uid")
            .await?;
        Ok(match attempt {
            Attempt::Applied | Attempt::Lost(_) => Attempt::Applied,
            Attempt::Unknown(reason) => Attempt::Unknown(reason),
        })
    }

    /// Reads backwards from the month of the job's last run; each month is a partition.
    pub(crate) async fn read_runs(&self, key: &JobKey, limit: usize) -> StoreResult<Vec<JobRun>> {
        const VERB: &str = "job_runs";
        // CQL has no LIMIT of zero.
        if limit == 0 {
            return Ok(Vec::new());
        }
        let job = self.read_job(VERB, key, Freshness::Committed).await?;
        let newest = job
            .and_then(|job| job.start_time.max(job.end_time))
            .unwrap_or_else(|| SystemClock.now());
        let mut runs = Vec::new();
        for back in 0..MONTHS_BACK {
            let values = Values::new()
                .job_key(key)
                .set("month", month_before(newest, back))
                .limit(limit - runs.len());
            for row in self.read(VERB, VERB, &self.statements.runs, values).await? {
                runs.push(run_of(row)?);
            }
            if runs.len() >= limit {
                break;
            }
        }
        Ok(runs)
    }
}

pub(crate) fn month_of(time: Timestamp) -> String {
    month_before(time, 0)
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
        assert_eq!(month_of(march), "2026-03");
        assert_eq!(month_before(march, 2), "2026-01");
        assert_eq!(month_before(march, 3), "2025-12");
    }
}
