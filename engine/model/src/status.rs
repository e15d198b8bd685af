//! The state machines of jobs and batches: closed enums with one transition function each.
//!
//! `docs/state-machines.md` shows the same tables; a test compares every cell.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? } $(also { $($alias:literal => $target:ident),* })?) => {
        impl $type {
            /// Every value, in declaration order.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in the store, in messages and in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl ::std::str::FromStr for $type {
            type Err = $crate::UnknownName;
            fn from_str(text: &str) -> Result<Self, $crate::UnknownName> {
                match text.to_ascii_uppercase().as_str() {
                    $($name => Ok(Self::$variant),)*
                    $($($alias => Ok(Self::$target),)*)?
                    _ => Err($crate::UnknownName { kind: stringify!($type), name: text.to_owned() }),
                }
            }
        }
    };
}
pub(crate) use names;

/// A name that no value of an enum has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a {kind}")]
pub struct UnknownName {
    /// The name of the enum.
    pub kind: &'static str,
    /// The unknown name.
    pub name: String,
}

/// A transition that a state machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {from} has no move for {event}")]
pub struct IllegalMove {
    /// `job` or `batch`.
    pub machine: &'static str,
    /// The current state.
    pub from: &'static str,
    /// The event.
    pub event: &'static str,
}

/// The state of a job, as in Fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobStatus {
    /// The next run lies in the future.
    Scheduled,
    /// It runs as soon as a node has a free slot.
    Waiting,
    /// A node runs it.
    InProcess,
    /// It succeeded and has no further run.
    Processed,
    /// A stop was requested; the run has not ended yet.
    Stopping,
    /// It was stopped.
    Terminated,
    /// It failed and has no further run.
    Failed,
    /// A restart was requested; the run has not ended yet.
    Restart,
}

names!(JobStatus {
    Scheduled = "SCHEDULED",
    Waiting = "WAITING",
    InProcess = "IN_PROCESS",
    Processed = "PROCESSED",
    Stopping = "STOPPING",
    Terminated = "TERMINATED",
    Failed = "FAILED",
    Restart = "RESTART",
} also { "IN_PROGRESS" => InProcess });

/// An event in the life of a job. Every write of a status is the result of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobEvent {
    /// A user or another job starts it: it may run from now on, or from its retry time.
    Due,
    /// Its next time changed: by UPDATEJOB, or because a missed time was passed over.
    Rescheduled,
    /// Its last time was missed and passed over.
    PassedOver,
    /// A node claimed it, or took it over from a dead node.
    Claimed,
    /// The run succeeded and there is no next run.
    Succeeded,
    /// The run failed and has retries left.
    FailedRetry,
    /// The run failed after its last retry and there is no next run.
    FailedFinally,
    /// The run ended, and the job has a next time or waits for a trigger.
    NextScheduled,
    /// The run ended, and a trigger that fired during the run starts the next one.
    NextTriggered,
    /// The node released it unfinished (drain, self-fence).
    HandedBack,
    /// STOPJOB.
    StopRequested,
    /// The stopped run has ended.
    Stopped,
    /// RESTARTJOB, or a deployment.
    RestartRequested,
    /// The restart is carried out: no node runs it.
    RestartReady,
    /// RESUMEJOB, or STARTJOB with the key of an ended job, to run at once.
    Resumed,
    /// The same, with a next time in the future.
    ResumedScheduled,
}

names!(JobEvent {
    Due = "DUE",
    Rescheduled = "RESCHEDULED",
    PassedOver = "PASSED_OVER",
    Claimed = "CLAIMED",
    Succeeded = "SUCCEEDED",
    FailedRetry = "FAILED_RETRY",
    FailedFinally = "FAILED_FINALLY",
    NextScheduled = "NEXT_SCHEDULED",
    NextTriggered = "NEXT_TRIGGERED",
    HandedBack = "HANDED_BACK",
    StopRequested = "STOP_REQUESTED",
    Stopped = "STOPPED",
    RestartRequested = "RESTART_REQUESTED",
    RestartReady = "RESTART_READY",
    Resumed = "RESUMED",
    ResumedScheduled = "RESUMED_SCHEDULED",
});

impl JobStatus {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] if there is no such transition.
    pub fn next(self, event: JobEvent) -> Result<Self, IllegalMove> {
        use JobEvent as E;
        use JobStatus as S;
        match (self, event) {
            (S::Scheduled | S::Waiting, E::Due) => Ok(S::Waiting),
            (S::Scheduled | S::Waiting, E::Rescheduled) => Ok(S::Scheduled),
            (S::Scheduled, E::PassedOver) => Ok(S::Terminated),
            // A job that is due may be claimed without passing WAITING.
            (S::Waiting | S::Scheduled | S::InProcess, E::Claimed) => Ok(S::InProcess),
            (S::InProcess, E::Succeeded) => Ok(S::Processed),
            (S::InProcess, E::FailedRetry | E::HandedBack | E::NextTriggered) => Ok(S::Waiting),
            (S::InProcess, E::FailedFinally) => Ok(S::Failed),
            (S::InProcess, E::NextScheduled) => Ok(S::Scheduled),
            (S::InProcess, E::StopRequested) => Ok(S::Stopping),
            // A batch is cancelled in its own row, and its job ends without passing STOPPING.
            (S::InProcess, E::Stopped) => Ok(S::Terminated),
            (S::Stopping, E::Stopped | E::Succeeded | E::FailedFinally) => Ok(S::Terminated),
            (S::Scheduled | S::Waiting, E::StopRequested) => Ok(S::Terminated),
            (S::InProcess | S::Stopping | S::Restart, E::RestartRequested) => Ok(S::Restart),
            // The restart is already ending the run. When the run has ended, the job stops.
            (S::Restart, E::StopRequested) => Ok(S::Restart),
            (S::Restart, E::Stopped) => Ok(S::Terminated),
            (S::Scheduled | S::Waiting | S::Restart, E::RestartReady) => Ok(S::Waiting),
            (S::Processed | S::Terminated | S::Failed, E::Resumed) => Ok(S::Waiting),
            (S::Processed | S::Terminated | S::Failed, E::ResumedScheduled) => Ok(S::Scheduled),
            _ => Err(IllegalMove {
                machine: "job",
                from: self.as_str(),
                event: event.as_str(),
            }),
        }
    }

    /// Whether the job has ended, so that its row is archived.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Processed | Self::Terminated | Self::Failed => true,
            Self::Scheduled | Self::Waiting | Self::InProcess | Self::Stopping | Self::Restart => {
                false
            }
        }
    }
}

/// The state of a batch, as in Fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BatchStatus {
    /// The rows of batch and job exist; no node has claimed the job.
    WaitingForJob,
    /// A node has claimed the job; work has not started.
    New,
    /// The list of ids is being generated. Entities may already be handled.
    GenerateIid,
    /// The list is complete; entities are being handled.
    InProgress,
    /// Failed entities of an ended batch are being queued again.
    ResumeFailures,
    /// Paused on request. It can be resumed.
    Paused,
    /// Every entity was handled. Some of them may have failed.
    Done,
    /// The batch itself failed; `error` says why.
    Failed,
    /// Cancelled on request.
    Cancelled,
}

names!(BatchStatus {
    WaitingForJob = "WAITING_FOR_JOB",
    New = "NEW",
    GenerateIid = "GENERATE_IID",
    InProgress = "IN_PROGRESS",
    ResumeFailures = "RESUME_FAILURES",
    Paused = "PAUSED",
    Done = "DONE",
    Failed = "FAILED",
    Cancelled = "CANCELLED",
} also { "GENERATE_IID_LIST" => GenerateIid, "IN_PROCESS" => InProgress });

/// An event in the life of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchEvent {
    /// A node claimed the batch's job.
    Taken,
    /// The owner starts to generate the list of ids.
    GenerationStarted,
    /// The list is complete.
    ListComplete,
    /// Every chunk is done, but they have fewer ids than the list had: the store has lost some.
    IdsLost,
    /// Every chunk is done.
    AllChunksDone,
    /// The source, the command or a rule of the batch failed.
    BatchFailed,
    /// The open chunks were closed after a cancel.
    CancelCarriedOut,
    /// The open chunks were released after a pause.
    PauseCarriedOut,
    /// A retry of an ended batch with a complete list: its failed entities are queued again first.
    RetryFailures,
    /// A retry of a batch with an incomplete list, or a resume of a paused batch.
    Resumed,
    /// The failed entities were queued again.
    FailuresReset,
}

names!(BatchEvent {
    Taken = "TAKEN",
    GenerationStarted = "GENERATION_STARTED",
    ListComplete = "LIST_COMPLETE",
    IdsLost = "IDS_LOST",
    AllChunksDone = "ALL_CHUNKS_DONE",
    BatchFailed = "BATCH_FAILED",
    CancelCarriedOut = "CANCEL_CARRIED_OUT",
    PauseCarriedOut = "PAUSE_CARRIED_OUT",
    RetryFailures = "RETRY_FAILURES",
    Resumed = "RESUMED",
    FailuresReset = "FAILURES_RESET",
});

impl BatchStatus {
    /// The state after `event`.
    ///
    /// # Errors
    /// [`IllegalMove`] if there is no such transition.
    pub fn next(self, event: BatchEvent) -> Result<Self, IllegalMove> {
        use BatchEvent as E;
        use BatchStatus as S;
        match (self, event) {
            (S::WaitingForJob, E::Taken) => Ok(S::New),
            (S::New, E::GenerationStarted) => Ok(S::GenerateIid),
            (S::GenerateIid, E::ListComplete) => Ok(S::InProgress),
            (S::InProgress, E::IdsLost) => Ok(S::GenerateIid),
            (S::InProgress, E::AllChunksDone) => Ok(S::Done),
            (
                S::WaitingForJob | S::New | S::GenerateIid | S::InProgress | S::ResumeFailures,
                E::BatchFailed,
            ) => Ok(S::Failed),
            (
                S::WaitingForJob
                | S::New
                | S::GenerateIid
                | S::InProgress
                | S::ResumeFailures
                | S::Paused,
                E::CancelCarriedOut,
            ) => Ok(S::Cancelled),
            (
                S::WaitingForJob | S::New | S::GenerateIid | S::InProgress | S::ResumeFailures,
                E::PauseCarriedOut,
            ) => Ok(S::Paused),
            (S::Done | S::Failed | S::Cancelled, E::RetryFailures) => Ok(S::ResumeFailures),
            (S::Paused | S::Failed | S::Cancelled, E::Resumed) => Ok(S::GenerateIid),
            (S::ResumeFailures, E::FailuresReset) => Ok(S::InProgress),
            _ => Err(IllegalMove {
                machine: "batch",
                from: self.as_str(),
                event: event.as_str(),
            }),
        }
    }

    /// Whether the batch has ended: no node works on it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Failed | Self::Cancelled => true,
            Self::WaitingForJob
            | Self::New
            | Self::GenerateIid
            | Self::InProgress
            | Self::ResumeFailures
            | Self::Paused => false,
        }
    }

    /// Whether entities may be handled in this state.
    pub fn admits_work(self) -> bool {
        match self {
            Self::GenerateIid | Self::InProgress => true,
            Self::WaitingForJob
            | Self::New
            | Self::ResumeFailures
            | Self::Paused
            | Self::Done
            | Self::Failed
            | Self::Cancelled => false,
        }
    }
}
