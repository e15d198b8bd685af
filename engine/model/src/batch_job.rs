//! The BATCH PROCESS job that coordinates a batch.

use crate::{Batch, BatchId, Job, JobKey, job_type};

/// The batch that a BATCH PROCESS job coordinates: the uid of the job is the id of the batch.
pub fn coordinated_batch(job: &Job) -> Option<BatchId> {
    if job.key.job_type != job_type::BATCH_PROCESS {
        return None;
    }
    job.key.uid.parse().ok()
}

/// The key of the job that coordinates a batch, as in Fabric.
pub fn batch_job_key(batch: &Batch) -> JobKey {
    JobKey {
        job_type: job_type::BATCH_PROCESS.to_owned(),
        name: format!("BATCH_{}", batch.spec.logical_unit),
        uid: batch.id.to_string(),
    }
}

/// The waiting job that coordinates a batch. The session scope is kept in the batch only.
pub fn batch_job(batch: &Batch) -> Job {
    Job {
        affinity: batch.spec.job_affinity.clone(),
        arguments: serde_json::json!({ "bid": batch.id }).to_string(),
        ..Job::waiting(batch_job_key(batch), batch.creation_time)
    }
}
