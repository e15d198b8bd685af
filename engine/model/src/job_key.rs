//! The identity of a job.

use serde::{Deserialize, Serialize};
use weft_lang::names::JOB_TYPE;

/// Names of job types as stored in the column `type`.
pub mod job_type {
    /// Coordinates one batch; name `BATCH_<LU>`, uid = bid (as in Fabric).
    pub const BATCH_PROCESS: &str = "BATCH PROCESS";
    /// Submits a fresh batch at each of its times.
    pub const BATCH_SCHEDULE: &str = "BATCH_SCHEDULE";
    /// Runs a script of the deployed project.
    pub const PROCESS: &str = "PROCESS";
    /// Syncs instances of a logical unit by a batch.
    pub const MIGRATE: &str = "MIGRATE";
    /// Removes archived jobs, old runs and ended batches.
    pub const CLEANUP: &str = "CLEANUP";
    /// Puts the nodes of a data centre into groups.
    pub const NODE_AFFINITY_COORDINATOR: &str = "NODE_AFFINITY_COORDINATOR_JOB";
}

/// The identity of a job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey {
    /// The kind, in upper case.
    pub job_type: String,
    /// The name within the kind.
    pub name: String,
    /// Tells jobs of one name apart.
    pub uid: String,
}

/// A type of job as the column `type` has it; one that is not known stays as it is, in capitals.
pub fn canonical_job_type(job_type: &str) -> String {
    let known = JOB_TYPE.canonical(job_type).map(str::to_owned);
    known.unwrap_or_else(|| job_type.to_ascii_uppercase())
}

/// The name of a job as its row has it: a script may be written with the folder that it always lies in, and is one job
/// all the same.
pub fn canonical_job_name<'n>(of_type: &str, name: &'n str) -> &'n str {
    if of_type != job_type::PROCESS {
        return name;
    }
    let bare = name
        .strip_prefix("scripts/")
        .filter(|bare| !bare.is_empty());
    bare.unwrap_or(name)
}
