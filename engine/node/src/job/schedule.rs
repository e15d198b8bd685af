//! The schedule of a job, as its row has it.

use weft_model::Job;
use weft_model::clock::Timestamp;
use weft_model::hash;
use weft_model::schedule::{Schedule, is_still_planned};

/// The schedule in the row; `None` if it cannot be read because a newer version wrote it. Such a job has no next run.
pub fn schedule_of(job: &Job) -> Option<Schedule> {
    let text = job.execution_interval.as_deref().unwrap_or_default();
    Schedule::parse(text, job.policy.zone().ok()?).ok()
}

/// Spreads the jitter of different jobs; the same on every node.
pub fn seed_of(job: &Job) -> u64 {
    hash::stable(&[&job.key.job_type, &job.key.name, &job.key.uid])
}

/// The scheduled time that is still ahead while the job runs for another reason; `None` if its schedule no longer has it.
pub fn planned_for_later(job: &Job, now: Timestamp) -> Option<Timestamp> {
    let planned = job.planned_run.filter(|planned| *planned > now)?;
    let is_planned = schedule_of(job).is_none_or(|schedule| {
        is_still_planned(&schedule, &job.policy, planned, now, seed_of(job))
    });
    is_planned.then_some(planned)
}
