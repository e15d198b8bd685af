//! The jobs that nodes run now.

use std::ops::ControlFlow;

use weft_model::{Job, JobStatus};
use weft_store::{ListJobs, each_job};

use crate::refusal::Refusal;
use crate::services::Services;

/// How many rows are read at most in search of running jobs.
const SCANNED: usize = 100_000;

/// The jobs that nodes run now, by key.
///
/// # Errors
/// The store failed.
pub(crate) async fn running_jobs(services: &Services) -> Result<Vec<Job>, Refusal> {
    let list = ListJobs {
        active_only: true,
        limit: SCANNED,
        ..ListJobs::default()
    };
    let mut jobs = Vec::new();
    each_job(services.store.as_ref(), &list, |job| {
        if matches!(
            job.status,
            JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
        ) {
            jobs.push(job);
        }
        ControlFlow::Continue(())
    })
    .await?;
    jobs.sort_by(|one: &Job, other| one.key.cmp(&other.key));
    Ok(jobs)
}
