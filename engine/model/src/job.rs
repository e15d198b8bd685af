//! A job: its key, its schedule, its owner and its last run.

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{Fence, Holder, Incarnation, JobKey, JobStatus, NodeId, Token};
use crate::TriggerState;
use crate::clock::Timestamp;
use crate::schedule::JobPolicy;

/// The requested state of a job, from weakest to strongest. A weaker request never replaces a stronger one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum JobDesired {
    /// Run as scheduled.
    #[default]
    Run,
    /// End the current run and start a new one.
    Restart,
    /// End the current run and archive the job.
    Stop,
    /// As [`Stop`](Self::Stop), without waiting for the run to end by itself.
    Kill,
}

names!(JobDesired { Run = "RUN", Restart = "RESTART", Stop = "STOP", Kill = "KILL" });

/// One row of `k2viewsystem.jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The identity of the job.
    pub key: JobKey,
    /// The state.
    pub status: JobStatus,
    /// Nodes and data centres that may run it; empty = any.
    pub affinity: Vec<String>,
    /// Whether it has ended. Only a resume or a new STARTJOB revives it.
    pub archived: bool,
    /// The arguments as JSON text, without secrets.
    pub arguments: String,
    /// Time of the last STARTJOB.
    pub creation_time: Timestamp,
    /// Start of the last run.
    pub start_time: Option<Timestamp>,
    /// End of the last run.
    pub end_time: Option<Timestamp>,
    /// The last failure, as the JSON text of [`job_error`].
    pub error: Option<String>,
    /// EXEC_INTERVAL as the user typed it.
    pub execution_interval: Option<String>,
    /// The output of the last run. Of a BATCH PROCESS job: the id of the batch.
    pub output: Option<String>,
    /// Failed runs since the last success.
    pub tries: i32,
    /// The node that runs it or ran it last.
    pub worker: Option<NodeId>,
    /// The incarnation of `worker`.
    pub owner_incarnation: Option<Incarnation>,
    /// The earliest time of the next run: a scheduled time, or the end of the pause before a retry.
    pub next_run: Option<Timestamp>,
    /// The scheduled time of the current or next run; none for a run that starts at once or on request.
    pub planned_run: Option<Timestamp>,
    /// The number of runs that ended. A run includes its retries.
    pub runs: i64,
    /// The options on retries, missed times, overlaps and bounds.
    pub policy: JobPolicy,
    /// The user who started it.
    pub created_by: String,
    /// Increases with every claim and every change of a row that no node holds.
    pub fence: Fence,
    /// Token of the last write.
    pub op_token: Option<Token>,
    /// The requested state.
    pub desired: JobDesired,
    /// Increases with every accepted request.
    pub desired_seq: i64,
    /// Token of the last accepted request.
    pub desired_token: Option<Token>,
    /// Why it waits, as a sentence for users.
    pub notes: Option<String>,
    /// The state of its triggers, and the notifications that it still has to send.
    #[serde(default)]
    pub triggers: TriggerState,
}

impl Job {
    /// A waiting job without arguments that any node may claim at once.
    pub fn waiting(key: JobKey, creation_time: Timestamp) -> Self {
        Self {
            key,
            status: JobStatus::Waiting,
            affinity: Vec::new(),
            archived: false,
            arguments: "{}".to_owned(),
            creation_time,
            start_time: None,
            end_time: None,
            error: None,
            execution_interval: None,
            output: None,
            tries: 0,
            worker: None,
            owner_incarnation: None,
            next_run: None,
            planned_run: None,
            runs: 0,
            policy: JobPolicy::default(),
            created_by: String::new(),
            fence: 0,
            op_token: None,
            desired: JobDesired::Run,
            desired_seq: 0,
            desired_token: None,
            notes: None,
            triggers: TriggerState::default(),
        }
    }

    /// The node session that holds it, if any.
    pub fn holder(&self) -> Option<Holder> {
        match (self.status, &self.worker, self.owner_incarnation) {
            (
                JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart,
                Some(node),
                Some(incarnation),
            ) => Some(Holder {
                node: node.clone(),
                incarnation,
            }),
            _ => None,
        }
    }

    /// The hint for the next time at which a node has to check this row, provided that no node holds it. None where
    /// only a request can change the row.
    pub fn due_hint(&self, now: Timestamp) -> Option<DueHint> {
        // The poll loop does not read hints of the past.
        let next_run = self.next_run.map(|next_run| next_run.max(now));
        let due_at = match self.status {
            _ if self.archived => None,
            JobStatus::Scheduled => next_run,
            _ => next_run.or(Some(now)),
        };
        // Followers still have to be notified of its end.
        let notify_at = (!self.triggers.pending_notifications.is_empty()).then_some(now);
        Some(DueHint {
            due_at: [due_at, notify_at].into_iter().flatten().min()?,
            key: self.key.clone(),
        })
    }
}

/// The most bytes of the message of an error; each run of the history has one.
const ERROR_BYTES: usize = 16 * 1024;

/// The JSON text for the column `error_msg`, with the keys of Fabric's documentation. A message above 16 KiB is cut.
pub fn job_error(exception_type: &str, message: &str, now: Timestamp, node: &NodeId) -> String {
    let kept = &message[..message.floor_char_boundary(ERROR_BYTES)];
    let message = match kept.len() == message.len() {
        true => kept.to_owned(),
        false => format!("{kept}… ({} bytes in all)", message.len()),
    };
    serde_json::json!({
        "exception_type": exception_type,
        "trace_element": message,
        "time": now.to_rfc3339(),
        "worker_id": node.0,
    })
    .to_string()
}

/// The time at which a node has to check a job. Only a hint: the job row decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueHint {
    /// The time of the check.
    pub due_at: Timestamp,
    /// The job to check.
    pub key: JobKey,
}

impl DueHint {
    /// A cursor before all hints of this moment.
    pub fn first_at(moment: Timestamp) -> Self {
        Self {
            due_at: moment,
            key: JobKey {
                job_type: String::new(),
                name: String::new(),
                uid: String::new(),
            },
        }
    }
}

/// The history row of a run, written once at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// The job.
    pub key: JobKey,
    /// Start of the run.
    pub started: Timestamp,
    /// End of the run.
    pub ended: Timestamp,
    /// The fence of the job during the run.
    pub fence: Fence,
    /// The node that ran it.
    pub node: NodeId,
    /// The outcome of the run, as a job status.
    pub status: JobStatus,
    /// The number of the try within its run, from 1.
    pub attempt: i32,
    /// The scheduled time of the run; none for a run that started at once or on request.
    pub planned: Option<Timestamp>,
    /// The exit code, if the run was a process.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// The beginning of its output.
    pub output: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_of_an_error_is_cut_between_characters() {
        let node = NodeId("n".to_owned());
        let error = |message: &str| job_error("Failed", message, Timestamp(0), &node);
        assert!(error("it failed").contains("\"it failed\""));
        let long = "ü".repeat(ERROR_BYTES);
        let cut = error(&long);
        assert!(cut.len() < ERROR_BYTES + 200, "{}", cut.len());
        assert!(cut.contains("(32768 bytes in all)"));
    }
}
