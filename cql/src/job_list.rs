//! Lists of jobs.

use tracing::warn;
use weft_model::{Job, JobKey};
use weft_store::{Freshness, JobsPage, ListJobs, StoreResult};

use crate::CassandraStore;
use crate::job::{JOBS, job_of};
use crate::request::all_of;
use crate::values::Values;

/// Reads in flight.
const READS_AT_ONCE: usize = 32;
/// Largest page of a list: each row has its arguments and output.
const PAGE: usize = 10_000;
/// Extra rows of a page, for keys that share the token of the last key.
const SAME_TOKEN: usize = 8;

impl CassandraStore {
    pub(crate) async fn list_jobs(&self, list: &ListJobs) -> StoreResult<JobsPage> {
        const VERB: &str = "jobs";
        let limit = list.limit.clamp(1, PAGE);
        let mut page = match (&list.job_type, &list.name, &list.uid) {
            (Some(job_type), Some(name), Some(uid)) => {
                let key = JobKey {
                    job_type: job_type.clone(),
                    name: name.clone(),
                    uid: uid.clone(),
                };
                let job = self.read_job(VERB, &key, Freshness::Committed).await?;
                let jobs = job.into_iter();
                JobsPage {
                    jobs: jobs
                        .filter(|job| list.after.as_ref().is_none_or(|after| job.key > *after))
                        .collect(),
                    next: None,
                }
            }
            (Some(job_type), Some(name), None) => {
                self.list_jobs_of_name(job_type, name, list.after.as_ref(), limit)
                    .await?
            }
            (job_type, _, _) => {
                let mut page = self.list_all_jobs(list.after.as_ref(), limit).await?;
                page.jobs.retain(|job| {
                    job_type
                        .as_ref()
                        .is_none_or(|wanted| job.key.job_type == *wanted)
                });
                page
            }
        };
        page.jobs.retain(|job| !list.active_only || !job.archived);
        Ok(page)
    }

    async fn list_jobs_of_name(
        &self,
        job_type: &str,
        name: &str,
        after: Option<&JobKey>,
        limit: usize,
    ) -> StoreResult<JobsPage> {
        const VERB: &str = "jobs";
        let values = Values::new()
            .set("type", job_type)
            .set("name", name)
            .set("after", after.map_or("", |key| &key.uid))
            .limit(limit.saturating_add(1));
        let mut keys: Vec<JobKey> = self
            .read(VERB, "jobs_by_name", &self.statements.jobs_by_name, values)
            .await?
            .into_iter()
            .map(|mut row| {
                Ok(JobKey {
                    job_type: job_type.to_owned(),
                    name: name.to_owned(),
                    uid: row.require("uid")?,
                })
            })
            .collect::<StoreResult<_>>()?;
        let more = keys.len() > limit;
        keys.truncate(limit);
        let reads = keys
            .iter()
            .map(|key| self.read_job(VERB, key, Freshness::Committed))
            .collect();
        let jobs = all_of(READS_AT_ONCE, reads).await?;
        Ok(JobsPage {
            // A name may have no row: its job was never written, or was removed.
            jobs: jobs.into_iter().flatten().collect(),
            next: keys.pop().filter(|_| more),
        })
    }

    /// Lists in the order of the partitioner, which never changes.
    async fn list_all_jobs(&self, after: Option<&JobKey>, limit: usize) -> StoreResult<JobsPage> {
        let wanted = limit.saturating_add(SAME_TOKEN);
        let values = Values::new().limit(wanted);
        let (statement, values) = match after {
            Some(key) => (&self.statements.next_jobs, values.job_key(key)),
            None => (&self.statements.first_jobs, values),
        };
        let rows = self.scan("jobs", JOBS, statement, values, wanted).await?;
        let mut keyed: Vec<(JobKey, Option<Job>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let key = row.clone().take_job_key()?;
            // One unreadable row, such as one without a status, must not hide the others.
            let job =
                job_of(row).inspect_err(|error| warn!("A job is left out of a list: {error}"));
            keyed.push((key, job.ok()));
        }
        if let Some(after) = after
            && let Some(position) = keyed.iter().position(|(key, _)| key == after)
        {
            keyed.drain(..=position);
        }
        let more = keyed.len() > limit;
        keyed.truncate(limit);
        let next = keyed.last().filter(|_| more).map(|(key, _)| key.clone());
        Ok(JobsPage {
            jobs: keyed.into_iter().filter_map(|(_, job)| job).collect(),
            next,
        })
    }
}
