//! The syntax tree: plain values to match on.
//!
//! Values that an engine may refuse although they are correct as language are [`Spanned`], so that its message can point
//! into the statement: a logical unit that does not exist, a query that does not compile.

mod batch;
mod instance;
mod job;
mod template;

pub use batch::{Batch, BatchDetails, BatchList, CancelSpelling, EntitySource};
pub use instance::{Broadway, CdcRepublish, Get, GetVerb, Instance};
pub use job::{JobCommand, JobFilter, JobVerb, Trace, TraceScope};
pub use template::{EntityTemplate, Pattern};

use crate::span::Spanned;

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The command with its arguments.
    pub command: Command,
    /// The text from which it was parsed.
    pub source: String,
}

/// Two statements are equal if their commands are, however they were written.
impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.command == other.command
    }
}

/// A text value, or the placeholder of one in a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The value.
    Literal(String),
    /// The `?` with this number, counted from 0.
    Parameter(usize),
}

impl Text {
    /// The value, if it is known.
    pub fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(value) => Some(value),
            Self::Parameter(_) => None,
        }
    }
}

impl From<&str> for Text {
    fn from(value: &str) -> Self {
        Self::Literal(value.to_owned())
    }
}

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// BATCH, BATCHF, MIGRATE and MIGRATEF.
    Batch(Box<Batch>),
    /// BATCH_LIST and MIGRATE_LIST.
    BatchList(BatchList),
    /// BATCH_INFO.
    BatchInfo {
        /// The batch.
        batch_id: Spanned<Text>,
    },
    /// BATCH_SUMMARY and MIGRATE_SUMMARY.
    BatchSummary {
        /// Which of the two; it decides which columns are shown.
        family: Family,
        /// The batch.
        batch_id: Spanned<Text>,
    },
    /// BATCH_DETAILS and MIGRATE_DETAILS.
    BatchDetails(BatchDetails),
    /// BATCH_IN_PROCESS and MIGRATE_IN_PROCESS.
    BatchInProcess {
        /// Which of the two; it decides which columns are shown.
        family: Family,
        /// A regular expression over the command.
        filter: Option<Spanned<String>>,
    },
    /// BATCH_CANCEL, CANCEL BATCH and KILL of a batch.
    BatchCancel {
        /// Which of them; without an id they mean different batches.
        spelling: CancelSpelling,
        /// The batch; `None` means the last one.
        batch_id: Option<Spanned<Text>>,
    },
    /// BATCH_PAUSE.
    BatchPause {
        /// The batch; `None` means the last asynchronous one of the session.
        batch_id: Option<Spanned<Text>>,
    },
    /// BATCH_RETRY and MIGRATE_RESUME.
    BatchRetry {
        /// Which of the two.
        family: Family,
        /// The batch; `None` means the last asynchronous one of the session.
        batch_id: Option<Spanned<Text>>,
        /// Whether a cancelled batch may be resumed.
        allow_cancelled: Option<Spanned<bool>>,
    },
    /// BATCH_EDIT.
    BatchEdit {
        /// The batch; `None` means the last asynchronous one of the session.
        batch_id: Option<Spanned<Text>>,
        /// The new number of workers per node.
        max_workers_per_node: Spanned<u64>,
    },
    /// STARTJOB, STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB.
    Job(Box<JobCommand>),
    /// JOBSTATUS.
    JobStatus(JobFilter),
    /// JOBHISTORY.
    JobHistory {
        /// The type as written, which may be unknown.
        job_type: Spanned<String>,
        /// The name.
        name: Spanned<Text>,
        /// Tells jobs of the same type and name apart.
        uid: Option<Spanned<String>>,
        /// Maximum number of runs, from 1 up.
        limit: Option<Spanned<u64>>,
    },
    /// PS.
    Ps {
        /// Whether tasks of all nodes are shown.
        all: bool,
        /// The task whose stack is shown.
        task: Option<Spanned<Text>>,
    },
    /// KILL of a task on a node.
    KillTask {
        /// The node.
        node: Spanned<Text>,
        /// The task.
        task: Spanned<Text>,
    },
    /// DEPLOY.
    Deploy {
        /// What to deploy.
        target: DeployTarget,
        /// Whether deploying starts no jobs.
        soft_deploy: Option<Spanned<bool>>,
    },
    /// CLUSTERSTATUS.
    ClusterStatus {
        /// Whether affinities are shown.
        node_affinity: bool,
    },
    /// CLUSTERID.
    ClusterId,
    /// SET; without assignments, list the values of the session.
    Set {
        /// The values to set, in the order given.
        assignments: Vec<Assignment>,
    },
    /// HELP.
    Help {
        /// A command or job type, by its name in the table; `None` lists the commands.
        topic: Option<String>,
    },
    /// GET and USE.
    Get(Get),
    /// SELECT and WITH, passed through.
    Select {
        /// The query as it was written, without the `;`.
        sql: Spanned<String>,
    },
    /// RELEASE.
    Release {
        /// The logical unit to detach; `None` means all.
        lu: Option<Spanned<String>>,
    },
    /// LIST.
    List(ListTarget),
    /// ECHO.
    Echo {
        /// The answer.
        text: Spanned<Text>,
        /// How long to wait before answering.
        delay_ms: Option<Spanned<u64>>,
    },
    /// PROCESS.
    Process {
        /// The script, below `scripts/` of the project.
        script: Spanned<String>,
        /// Its arguments, in the order given.
        arguments: Vec<Spanned<Text>>,
    },
    /// SYNC_INSTANCE.
    SyncInstance {
        /// The instance.
        instance: Instance,
    },
    /// CDC_REPUBLISH_INSTANCE.
    CdcRepublish(CdcRepublish),
    /// BROADWAY.
    Broadway(Broadway),
    /// SET_GLOBAL AFFINITY_RULES, and RESET_AFFINITY_RULES, which has none.
    SetAffinityRules {
        /// The rules as JSON; `None` removes them.
        rules: Option<Spanned<Text>>,
    },
    /// TRACE.
    Trace(Trace),
    /// A command that is known by name only. Its arguments are kept as written.
    Other {
        /// The name it has in the table.
        keyword: &'static str,
        /// The words after the name.
        arguments: Vec<Argument>,
    },
}

/// Whether a command of a pair is that of BATCH or of MIGRATE. The columns of their results differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BATCH…
    Batch,
    /// MIGRATE…
    Migrate,
}

/// What DEPLOY is to deploy.
#[derive(Clone, Debug, PartialEq)]
pub enum DeployTarget {
    /// The whole project.
    Project,
    /// One logical unit.
    LogicalUnit(Spanned<String>),
    /// The project in a folder.
    Folder(Spanned<String>),
}

/// One `name = value` of SET.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// The name, which may have dots.
    pub name: Spanned<String>,
    /// The value as text.
    pub value: Spanned<Text>,
}

/// Which LIST command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListTarget {
    /// LIST INSTANCE_GROUPS.
    InstanceGroups,
    /// LIST LU.
    LogicalUnits,
    /// LIST INTERFACES.
    Interfaces,
    /// LIST AFFINITY_RULES.
    AffinityRules,
}

/// One argument of a command that is known by name only.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A bare word.
    Word(Spanned<String>),
    /// A string or a parameter.
    Text(Spanned<Text>),
    /// `name = value`.
    Named(Assignment),
    /// `,` or a bracket.
    Symbol(char),
}

impl Command {
    /// The command's name in the table of commands, in capitals.
    pub fn keyword(&self) -> &'static str {
        match self {
            Self::Batch(batch) => match (batch.family, &batch.function) {
                (Family::Batch, None) => "BATCH",
                (Family::Batch, Some(_)) => "BATCHF",
                (Family::Migrate, None) => "MIGRATE",
                (Family::Migrate, Some(_)) => "MIGRATEF",
            },
            Self::BatchList(list) => list.family.choose("BATCH_LIST", "MIGRATE_LIST"),
            Self::BatchInfo { .. } => "BATCH_INFO",
            Self::BatchSummary { family, .. } => family.choose("BATCH_SUMMARY", "MIGRATE_SUMMARY"),
            Self::BatchDetails(details) => {
                details.family.choose("BATCH_DETAILS", "MIGRATE_DETAILS")
            }
            Self::BatchInProcess { family, .. } => {
                family.choose("BATCH_IN_PROCESS", "MIGRATE_IN_PROCESS")
            }
            Self::BatchCancel { spelling, .. } => spelling.keyword(),
            Self::BatchPause { .. } => "BATCH_PAUSE",
            Self::BatchRetry { family, .. } => family.choose("BATCH_RETRY", "MIGRATE_RESUME"),
            Self::BatchEdit { .. } => "BATCH_EDIT",
            Self::Job(job) => job.verb.keyword(),
            Self::JobStatus(_) => "JOBSTATUS",
            Self::JobHistory { .. } => "JOBHISTORY",
            Self::Ps { .. } => "PS",
            Self::KillTask { .. } => "KILL",
            Self::Deploy { .. } => "DEPLOY",
            Self::ClusterStatus { .. } => "CLUSTERSTATUS",
            Self::ClusterId => "CLUSTERID",
            Self::Set { .. } => "SET",
            Self::Help { .. } => "HELP",
            Self::Get(get) => match get.verb {
                GetVerb::Get => "GET",
                GetVerb::Use => "USE",
            },
            Self::Select { sql } => match sql.value.get(..4) {
                Some(word) if word.eq_ignore_ascii_case("WITH") => "WITH",
                Some(_) | None => "SELECT",
            },
            Self::Release { .. } => "RELEASE",
            Self::List(target) => target.keyword(),
            Self::Echo { .. } => "ECHO",
            Self::Process { .. } => "PROCESS",
            Self::SyncInstance { .. } => "SYNC_INSTANCE",
            Self::CdcRepublish(_) => "CDC_REPUBLISH_INSTANCE",
            Self::Broadway(_) => "BROADWAY",
            Self::SetAffinityRules { .. } => "SET_GLOBAL",
            Self::Trace(_) => "TRACE",
            Self::Other { keyword, .. } => keyword,
        }
    }
}

impl Family {
    fn choose(self, batch: &'static str, migrate: &'static str) -> &'static str {
        match self {
            Self::Batch => batch,
            Self::Migrate => migrate,
        }
    }
}

impl ListTarget {
    fn keyword(self) -> &'static str {
        match self {
            Self::InstanceGroups => "LIST INSTANCE_GROUPS",
            Self::LogicalUnits => "LIST LU",
            Self::Interfaces => "LIST INTERFACES",
            Self::AffinityRules => "LIST AFFINITY_RULES",
        }
    }
}
