//! A job: one identity (type, name, uid), its schedule, its owner and its last run.

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{Fence, Holder, Incarnation, JobKey, JobStatus, NodeId, Token};
use crate::TriggerState;
use crate::clock::Timestamp;
use crate::schedule::JobPolicy;

/// What a person wants of a job; a weaker wish never replaces a stronger one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum JobDesired {
    /// Run as scheduled.
    #[default]
    Run,
    /// Start over.
    Restart,
    /// End and be archived.
    Stop,
    /// End at once.
    Kill,
}

names!(JobDesired { Run = "RUN", Restart = "RESTART", Stop = "STOP", Kill = "KILL" });

/// One row of `k2viewsystem.jobs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its identity.
    pub key: JobKey,
    /// Where it stands.
    pub status: JobStatus,
    /// Which nodes may run it; empty = any.
    pub affinity: Vec<String>,
    /// Ended for good.
    pub archived: bool,
    /// Arguments as JSON text, without secrets.
    pub arguments: String,
    /// The last STARTJOB.
    pub creation_time: Timestamp,
    /// Start of the last run.
    pub start_time: Option<Timestamp>,
    /// End of the last run.
    pub end_time: Option<Timestamp>,
    /// Last failure, as JSON text.
    pub error: Option<String>,
    /// EXEC_INTERVAL as typed.
    pub execution_interval: Option<String>,
    /// What the last run returned; a batch job: the bid.
    pub output: Option<String>,
    /// Failed runs since the last success.
    pub tries: i32,
    /// The node that runs it or ran it last.
    pub worker: Option<NodeId>,
    /// Which life of that node.
    pub owner_incarnation: Option<Incarnation>,
    /// When it may run next: the scheduled time, or the end of the pause before another try.
    pub next_run: Option<Timestamp>,
    /// The scheduled time that the run now, or the next one, is for; none where it is started by hand or at once.
    pub planned_run: Option<Timestamp>,
    /// Runs that ended, each with all its tries.
    pub runs: i64,
    /// Retries, misfires, bounds: what else was said when it was started.
    pub policy: JobPolicy,
    /// Who started it.
    pub created_by: String,
    /// Grows with every claim.
    pub fence: Fence,
    /// The last writer's attempt.
    pub op_token: Option<Token>,
    /// What shall become of it.
    pub desired: JobDesired,
    /// Grows with every wish.
    pub desired_seq: i64,
    /// The last wisher's attempt.
    pub desired_token: Option<Token>,
    /// Why it waits, for people.
    pub notes: Option<String>,
    /// Where it stands with its triggers and with those that wait for it.
    #[serde(default)]
    pub triggers: TriggerState,
}

impl Job {
    /// A job that nobody has taken yet, to be run as soon as a node of any affinity looks; no arguments.
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
}

impl Job {
    /// Who holds it, if a node does.
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

    /// The hint at the next moment somebody must look at this row, which nobody holds; none where nothing becomes of it by
    /// itself.
    pub fn due_hint(&self, now: Timestamp) -> Option<DueHint> {
        // Nobody looks into the past.
        let next_run = self.next_run.map(|next_run| next_run.max(now));
        let due_at = match self.status {
            _ if self.archived => None,
            JobStatus::Scheduled => next_run,
            _ => next_run.or(Some(now)),
        };
        // Those that wait for its end are to be told.
        let owes = (!self.triggers.untold.is_empty()).then_some(now);
        Some(DueHint {
            due_at: [due_at, owes].into_iter().flatten().min()?,
            key: self.key.clone(),
        })
    }
}

/// The text of `error_msg`: JSON with the documented keys (as in Fabric).
pub fn job_error(exception_type: &str, message: &str, now: Timestamp, node: &NodeId) -> String {
    serde_json::json!({
        "exception_type": exception_type,
        "trace_element": message,
        "time": now.to_rfc3339(),
        "worker_id": node.0,
    })
    .to_string()
}

/// Says that somebody must look at a job at a moment. A hint, never the truth.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DueHint {
    /// When to look.
    pub due_at: Timestamp,
    /// At what.
    pub key: JobKey,
}

impl DueHint {
    /// Stands in front of every hint of this moment: where a reading begins.
    pub fn in_front_of(moment: Timestamp) -> Self {
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

/// One run of a job, written once at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// The job.
    pub key: JobKey,
    /// When the run started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The fence it ran under.
    pub fence: Fence,
    /// The node that ran it.
    pub node: NodeId,
    /// How it ended.
    pub status: JobStatus,
    /// Which try it was, from 1.
    pub attempt: i32,
    /// The scheduled time it was for.
    pub planned: Option<Timestamp>,
    /// What the process ended with, where it was one.
    pub exit_code: Option<i32>,
    /// Why it failed.
    pub error: Option<String>,
    /// The head of its output.
    pub output: Option<String>,
}
