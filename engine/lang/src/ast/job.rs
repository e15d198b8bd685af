//! Jobs: changing them, listing them, and traces of them.

use super::Text;
use crate::options::JobOptions;
use crate::span::Spanned;

/// Which of the job commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobVerb {
    /// STARTJOB.
    Start,
    /// STOPJOB.
    Stop,
    /// RESTARTJOB.
    Restart,
    /// RESUMEJOB.
    Resume,
    /// UPDATEJOB.
    Update,
}

impl JobVerb {
    pub(super) fn keyword(self) -> &'static str {
        match self {
            Self::Start => "STARTJOB",
            Self::Stop => "STOPJOB",
            Self::Restart => "RESTARTJOB",
            Self::Resume => "RESUMEJOB",
            Self::Update => "UPDATEJOB",
        }
    }
}

/// STARTJOB, STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB.
#[derive(Clone, Debug, PartialEq)]
pub struct JobCommand {
    /// Which of them.
    pub verb: JobVerb,
    /// The type as written; see [`JOB_TYPE`](crate::names::JOB_TYPE) for aliases.
    pub job_type: Spanned<String>,
    /// The instance of a `cdc_republish_instance_job`, which has no name.
    pub target: Option<Spanned<String>>,
    /// The options. NAME is given unless `target` is.
    pub options: JobOptions,
}

/// Which jobs JOBSTATUS shows.
#[derive(Clone, Debug, PartialEq)]
pub enum JobFilter {
    /// Those that are not archived.
    Active,
    /// Those of the last days, archived or not.
    DaysAgo(Spanned<u32>),
    /// Those of a type, which may be unknown.
    Type(Spanned<String>),
    /// Those of a type and name.
    Name {
        /// The type as written.
        job_type: Spanned<String>,
        /// The name.
        name: Spanned<Text>,
        /// Tells jobs of the same type and name apart.
        uid: Option<Spanned<String>>,
    },
}

/// TRACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// OPS: list the operations that can be traced.
    Operations,
    /// STATUS: list all traces, or show what one wrote last.
    Status(Option<Spanned<u64>>),
    /// OFF: end all traces, or one.
    Off(Option<Spanned<u64>>),
    /// REMOVE: end one and delete what it has written.
    Remove(Spanned<u64>),
    /// Start a trace.
    Begin {
        /// How long it lasts; `None` means until the session ends.
        scope: Option<TraceScope>,
        /// The operation as written.
        operation: Spanned<String>,
        /// Filters on its events; `None` means all events.
        parameters: Option<Spanned<String>>,
    },
}

/// How long a trace lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceScope {
    /// Until its session ends.
    Session,
    /// Until it is turned off.
    Global,
}

impl TraceScope {
    /// Both scopes.
    pub const ALL: [Self; 2] = [Self::Session, Self::Global];

    /// The word of the language.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session_scope",
            Self::Global => "global_scope",
        }
    }
}
