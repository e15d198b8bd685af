//! The job that coordinates a batch.

use crate::{Batch, BatchId, Job, JobKey, job_type};

/// The batch that a BATCH PROCESS job coordinates: its uid.
pub fn batch_of(job: &Job) -> Option<BatchId> {
    if job.key.job_type != job_type::BATCH_PROCESS {
        return None;
    }
    job.key.uid.parse().ok()
}

/// The job that coordinates a batch (as in Fabric).
pub fn job_key_of(batch: &Batch) -> JobKey {
    JobKey {
        job_type: job_type::BATCH_PROCESS.to_owned(),
        name: format!("BATCH_{}", batch.spec.logical_unit),
        uid: batch.id.to_string(),
    }
}

/// The waiting job that coordinates a batch. What the session had is kept in the batch alone.
pub fn job_of(batch: &Batch) -> Job {
    Job {
        affinity: batch.spec.job_affinity.clone(),
        arguments: serde_json::json!({ "bid": batch.id }).to_string(),
        ..Job::waiting(job_key_of(batch), batch.creation_time)
    }
}
