//! The part of a job that can change while a node runs it.

use weft_model::schedule::JobPolicy;
use weft_model::{Job, TriggerState};

/// What UPDATEJOB can change, and what the ends of other jobs do.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDefinition {
    /// The nodes that may run it.
    pub affinity: Vec<String>,
    /// Arguments as JSON text.
    pub arguments: String,
    /// EXEC_INTERVAL as typed.
    pub execution_interval: Option<String>,
    /// Retries, misfires, bounds.
    pub policy: JobPolicy,
    /// The state of its triggers.
    pub triggers: TriggerState,
}

impl JobDefinition {
    /// The definition in this row.
    pub fn of(job: &Job) -> Self {
        Self {
            affinity: job.affinity.clone(),
            arguments: job.arguments.clone(),
            execution_interval: job.execution_interval.clone(),
            policy: job.policy.clone(),
            triggers: job.triggers.clone(),
        }
    }

    /// The row with this definition instead of its own.
    #[must_use]
    pub fn applied_to(&self, job: &Job) -> Job {
        let Self {
            affinity,
            arguments,
            execution_interval,
            policy,
            triggers,
        } = self.clone();
        Job {
            affinity,
            arguments,
            execution_interval,
            policy,
            triggers,
            ..job.clone()
        }
    }
}
