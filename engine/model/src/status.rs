//! The state machines of jobs and batches: closed enums with one transition function each.
//!
//! `docs/state-machines.md` holds the same tables for people; a test walks every state and event.

use serde::{Deserialize, Serialize};

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? } $(also { $($alias:literal => $target:ident),* })?) => {
        impl $type {
            /// Every value, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stored name.
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

/// A stored or typed name that no value has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a {kind}")]
pub struct UnknownName {
    /// The type that has no such name.
    pub kind: &'static str,
    /// What was found.
    pub name: String,
}

/// A move that the state machine does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {machine} that is {from} has no move for {event}")]
pub struct IllegalMove {
    /// `job` or `batch`.
    pub machine: &'static str,
    /// The state it is in.
    pub from: &'static str,
    /// What happened.
    pub event: &'static str,
}

/// Where a job stands (as in Fabric).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobStatus {
    /// Its next run lies in the future.
    Scheduled,
    /// It may run as soon as a node has room.
    Waiting,
    /// A node runs it.
    InProcess,
    /// It ended well and will not run again.
    Processed,
    /// It was told to stop and has not yet.
    Stopping,
    /// It was stopped.
    Terminated,
    /// It ended badly and will not run again.
    Failed,
    /// It was told to start over and has not yet.
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

/// What can happen to a job. Every write of a status is one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobEvent {
    /// It may run from now on, or from its retry time: a person or another job starts it.
    Due,
    /// It has another next time, or none: UPDATEJOB, or a missed time was passed over.
    Rescheduled,
    /// Its last time was missed and is passed over.
    PassedOver,
    /// A node claimed it, or took it over from a dead one.
    Claimed,
    /// The run ended well and there is no next one.
    Succeeded,
    /// The run failed and tries are left.
    FailedRetry,
    /// The run failed for good and there is no next one.
    FailedFinally,
    /// The run ended, and the job has a next time or waits for a trigger.
    NextScheduled,
    /// The run ended, and a trigger that fired meanwhile starts the next one.
    NextTriggered,
    /// The node released it unfinished (drain, self-fence).
    HandedBack,
    /// STOPJOB.
    StopRequested,
    /// The stopped run has ended.
    Stopped,
    /// RESTARTJOB, deployment, or give-up.
    RestartRequested,
    /// It starts over: no node runs it.
    RestartReady,
    /// RESUMEJOB, or STARTJOB of the same identity, to run as soon as a node has room.
    Resumed,
    /// The same with a time in the future.
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
    /// [`IllegalMove`] where the machine has no such move.
    pub fn next(self, event: JobEvent) -> Result<Self, IllegalMove> {
        use JobEvent as E;
        use JobStatus as S;
        match (self, event) {
            (S::Scheduled | S::Waiting, E::Due) => Ok(S::Waiting),
            (S::Scheduled | S::Waiting, E::Rescheduled) => Ok(S::Scheduled),
            (S::Scheduled, E::PassedOver) => Ok(S::Terminated),
            // A row whose time has come may be claimed without a stop at WAITING.
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
            // The run ends in the same way as for the restart, and then for good.
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

    /// Ended for good: the row is archived.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Processed | Self::Terminated | Self::Failed => true,
            Self::Scheduled | Self::Waiting | Self::InProcess | Self::Stopping | Self::Restart => {
                false
            }
        }
    }
}

/// Where a batch stands (as in Fabric).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BatchStatus {
    /// Batch and job rows exist, no node has taken the job.
    WaitingForJob,
    /// A node has the job, work has not begun.
    New,
    /// The list of ids is being made; entities may already be handled.
    GenerateIid,
    /// The list is complete, entities are being handled.
    InProgress,
    /// Failed entities of an ended run are being put back.
    ResumeFailures,
    /// Stopped by a person; can go on.
    Paused,
    /// Every entity was handled, some of them may have failed.
    Done,
    /// The batch itself failed; `error` says why.
    Failed,
    /// Stopped by a person for good.
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

/// What can happen to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchEvent {
    /// A node claimed the batch's job.
    Taken,
    /// The owner begins to make the list of ids.
    GenerationStarted,
    /// The list is complete.
    ListComplete,
    /// Every chunk is done.
    AllChunksDone,
    /// The source, the command or a rule of the batch failed.
    BatchFailed,
    /// Open chunks are closed after a cancel.
    CancelCarriedOut,
    /// Open chunks are handed back after a pause.
    PauseCarriedOut,
    /// Retry of an ended batch whose list is complete: failed entities are put back first.
    RetryFailures,
    /// Retry where the list is incomplete, or resume of a paused batch.
    Resumed,
    /// Failed entities are put back.
    FailuresReset,
}

names!(BatchEvent {
    Taken = "TAKEN",
    GenerationStarted = "GENERATION_STARTED",
    ListComplete = "LIST_COMPLETE",
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
    /// [`IllegalMove`] where the machine has no such move.
    pub fn next(self, event: BatchEvent) -> Result<Self, IllegalMove> {
        use BatchEvent as E;
        use BatchStatus as S;
        match (self, event) {
            (S::WaitingForJob, E::Taken) => Ok(S::New),
            (S::New, E::GenerationStarted) => Ok(S::GenerateIid),
            (S::GenerateIid, E::ListComplete) => Ok(S::InProgress),
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

    /// Ended: nobody works on it any more.
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

    /// Entities may be handled in this state.
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
