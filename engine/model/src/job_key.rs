//! The identity of a job.

use serde::{Deserialize, Serialize};
use weft_lang::names::JOB_TYPE;

/// Job types as stored in the column `type`.
pub mod job_type {
    /// Coordinates one batch. As in Fabric, the name is `BATCH_<LU>` and the uid is the id of the batch.
    pub const BATCH_PROCESS: &str = "BATCH PROCESS";
    /// Submits a new batch at each scheduled time.
    pub const BATCH_SCHEDULE: &str = "BATCH_SCHEDULE";
    /// Runs a script of the deployed project.
    pub const PROCESS: &str = "PROCESS";
    /// Syncs instances of a logical unit with a batch.
    pub const MIGRATE: &str = "MIGRATE";
    /// Removes archived jobs, old runs and ended batches.
    pub const CLEANUP: &str = "CLEANUP";
    /// Assigns the nodes of a data centre to groups.
    pub const NODE_AFFINITY_COORDINATOR: &str = "NODE_AFFINITY_COORDINATOR_JOB";
}

/// The identity of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// The type of the job, in upper case.
    pub job_type: String,
    /// The name, whose meaning depends on the type: a script, a function, a flow, ….
    pub name: String,
    /// Distinguishes jobs of the same type and name.
    pub uid: String,
}

/// The stored form of a job type. An unknown type is only converted to upper case.
pub fn canonical_job_type(job_type: &str) -> String {
    let known = JOB_TYPE.canonical(job_type).map(str::to_owned);
    known.unwrap_or_else(|| job_type.to_ascii_uppercase())
}

/// The stored form of a job name. Commands may name a script with its folder `scripts/`, and mean the same job
/// without it.
pub fn canonical_job_name<'n>(of_type: &str, name: &'n str) -> &'n str {
    if of_type != job_type::PROCESS {
        return name;
    }
    let bare = name
        .strip_prefix("scripts/")
        .filter(|bare| !bare.is_empty());
    bare.unwrap_or(name)
}
