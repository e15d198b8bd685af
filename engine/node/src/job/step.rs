//! What is to be done to the row of a job.

use weft_model::clock::Timestamp;
use weft_model::{Job, JobDesired, JobStatus, Token};
use weft_store::{ChangeJob, JobDefinition, JobSeen, RequestJob, WriteJob};

/// What a command, or the end of another job, does to one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Replace the row.
    Write(Box<Job>),
    /// Leave a request for the node that runs the job.
    Request {
        /// The requested state.
        desired: JobDesired,
        /// The status that the row shows from now on.
        status: JobStatus,
        /// The definition from the next run on; `None` leaves it unchanged.
        definition: Option<Box<JobDefinition>>,
    },
    /// Leave the row as it is, for this reason.
    Leave(String),
    /// Reject the command, for this reason.
    Refuse(String),
}

impl Step {
    /// Replaces a row that no node runs, under the next fence.
    pub(super) fn write(job: Job) -> Self {
        Self::Write(Box::new(Job {
            fence: job.fence + 1,
            desired: JobDesired::Run,
            ..job
        }))
    }

    /// Requests another state of a job that a node runs.
    pub(super) fn request(desired: JobDesired, status: JobStatus) -> Self {
        Self::Request {
            desired,
            status,
            definition: None,
        }
    }

    /// Changes the definition of a job that a node runs, and nothing else.
    pub(super) fn redefine(job: &Job, definition: JobDefinition) -> Self {
        Self::Request {
            desired: job.desired,
            status: job.status,
            definition: Some(Box::new(definition)),
        }
    }

    /// The store operation for this step on `row`; `None` if the row stays as it is.
    pub fn operation(self, row: &Job, now: Timestamp, token: Token) -> Option<ChangeJob> {
        match self {
            Self::Write(job) => {
                let write = WriteJob::of(*job, Some(JobSeen::of(row)), now, token);
                Some(ChangeJob::Write(Box::new(write)))
            }
            Self::Request {
                desired,
                status,
                definition,
            } => Some(ChangeJob::Request(Box::new(RequestJob {
                definition: definition.map(|definition| *definition),
                ..RequestJob::of(row, desired, status, token)
            }))),
            Self::Leave(_) | Self::Refuse(_) => None,
        }
    }
}
