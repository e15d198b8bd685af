//! The syntax tree.
//!
//! Owned, flat values to match on. A [`Spanned`] stands where an engine may find fault with a value
//! that is fine as language: a logical unit that is not there, a query that does not compile.

use crate::keywords::CommandSpec;
use crate::span::Spanned;
use crate::template::EntityTemplate;

/// One parsed statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it says.
    pub command: Command,
    /// The text it was parsed from, as it was.
    pub source: String,
}

/// Two statements are equal when they say the same, however it was written.
impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.command == other.command
    }
}

/// A text value, or the place of one in a prepared statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// The value.
    Literal(String),
    /// The `?` with this number, counted from 0 in the order of the text.
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

/// What a statement says.
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
        /// Whose columns are shown.
        family: Family,
        /// The batch.
        batch_id: Spanned<Text>,
    },
    /// BATCH_DETAILS and MIGRATE_DETAILS.
    BatchDetails(BatchDetails),
    /// BATCH_IN_PROCESS and MIGRATE_IN_PROCESS.
    BatchInProcess {
        /// Whose columns are shown.
        family: Family,
        /// A regular expression over the command.
        filter: Option<Spanned<String>>,
    },
    /// BATCH_CANCEL, CANCEL BATCH and KILL of a batch.
    BatchCancel {
        /// How it was said; without a batch the two spellings mean different ones.
        spelling: CancelSpelling,
        /// The batch; none means the last one.
        batch_id: Option<Spanned<Text>>,
    },
    /// BATCH_PAUSE.
    BatchPause {
        /// The batch; none means the last asynchronous one of the session.
        batch_id: Option<Spanned<Text>>,
    },
    /// BATCH_RETRY and MIGRATE_RESUME.
    BatchRetry {
        /// Which of the two.
        family: Family,
        /// The batch; none means the last asynchronous one of the session.
        batch_id: Option<Spanned<Text>>,
        /// Whether a cancelled batch may be taken up again.
        allow_cancelled: Option<Spanned<bool>>,
    },
    /// BATCH_EDIT.
    BatchEdit {
        /// The batch; none means the last asynchronous one of the session.
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
        /// The type as written, which may be one that we do not know.
        job_type: Spanned<String>,
        /// The name.
        name: Spanned<Text>,
        /// The one of that type and name.
        uid: Option<Spanned<String>>,
        /// How many runs at most, from 1 up.
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
        /// What is deployed.
        target: DeployTarget,
        /// Whether nothing is started.
        soft_deploy: Option<Spanned<bool>>,
    },
    /// CLUSTERSTATUS.
    ClusterStatus {
        /// Whether affinities are shown.
        node_affinity: bool,
    },
    /// CLUSTERID.
    ClusterId,
    /// SET; without assignments it lists the values of the session.
    Set {
        /// What is set, in the order given.
        assignments: Vec<Assignment>,
    },
    /// HELP.
    Help {
        /// The command, by the name it has in the table; none lists them all.
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
        /// The logical unit to let go; none means all.
        lu: Option<Spanned<String>>,
    },
    /// LIST.
    List(ListTarget),
    /// ECHO.
    Echo {
        /// What is answered.
        text: Spanned<Text>,
        /// How long that takes.
        delay_ms: Option<Spanned<u64>>,
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
        /// The rules as JSON.
        rules: Option<Spanned<Text>>,
    },
    /// TRACE.
    Trace(Trace),
    /// A command that is known by its name only; its words are kept as they came.
    Other {
        /// The name it has in the table.
        keyword: &'static str,
        /// The words behind the name.
        arguments: Vec<Argument>,
    },
}

/// TRACE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trace {
    /// OPS: which operations can be traced.
    Operations,
    /// STATUS: of all traces, or what one has written last.
    Status(Option<Spanned<u64>>),
    /// OFF: of all traces, or of one.
    Off(Option<Spanned<u64>>),
    /// REMOVE of one, with what it has written.
    Remove(Spanned<u64>),
    /// A trace begins.
    Begin {
        /// How long it stays; none means with the session.
        scope: Option<TraceScope>,
        /// What is traced, as written.
        operation: Spanned<String>,
        /// Which of its events; none means all.
        parameters: Option<Spanned<String>>,
    },
}

/// How long a trace stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceScope {
    /// Until its session ends.
    Session,
    /// Until it is turned off.
    Global,
}

impl TraceScope {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Session, Self::Global];

    /// The word of the language.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session_scope",
            Self::Global => "global_scope",
        }
    }
}

/// Which of two families of commands a command was given in; results differ in their columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// BATCH…
    Batch,
    /// MIGRATE…
    Migrate,
}

/// BATCH, BATCHF, MIGRATE and MIGRATEF.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// MIGRATE is BATCH with `sync_instance` as its command.
    pub family: Family,
    /// The logical unit.
    pub lu: Spanned<String>,
    /// The data centre behind `@`.
    pub dc: Option<Spanned<String>>,
    /// The function of BATCHF and MIGRATEF that makes an entity id of a raw id.
    pub function: Option<Spanned<String>>,
    /// Where the entity ids come from.
    pub source: EntitySource,
    /// The command for each entity, as text; MIGRATE has `sync_instance <LU>.?`.
    pub fabric_command: Spanned<Text>,
    /// The command for each entity, parsed; none while it is a parameter.
    pub template: Option<EntityTemplate>,
    /// What stands behind WITH.
    pub options: BatchOptions,
}

/// Where the entity ids of a batch come from.
#[derive(Clone, Debug, PartialEq)]
pub enum EntitySource {
    /// All instances of the logical unit, by its root table's query.
    LogicalUnit,
    /// The ids of an instance group.
    InstanceGroup(Spanned<String>),
    /// A list of ids.
    Ids(Spanned<Vec<Spanned<Text>>>),
    /// FROM an interface USING its query; for a message queue the query is a topic.
    Query {
        /// The interface.
        interface: Spanned<String>,
        /// The query.
        query: Spanned<Text>,
    },
    /// FROM fabric: the instances that are stored already.
    Fabric,
    /// FROM fabric USING a query on common tables or attached instances.
    FabricQuery {
        /// The query.
        query: Spanned<Text>,
    },
    /// FROM fabric USING a BROADWAY command.
    FabricFlow {
        /// The command as text, from the word BROADWAY on.
        command: Spanned<String>,
    },
}

/// The options of BATCH and MIGRATE; what was not given is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOptions {
    /// Nodes and data centres that run entities.
    pub affinity: Option<Spanned<String>>,
    /// Nodes and data centres that may own the batch.
    pub job_affinity: Option<Spanned<String>>,
    /// Whether the statement returns at once.
    pub run_async: Option<Spanned<bool>>,
    /// Whether the list of ids is completed before the first entity runs.
    pub generate_entities_first: Option<Spanned<bool>>,
    /// Whether the same batch may run twice at once.
    pub allow_multiple: Option<Spanned<bool>>,
    /// On how many nodes it runs at most.
    pub max_nodes: Option<Spanned<u64>>,
    /// How many workers it has on a node at most.
    pub max_workers_per_node: Option<Spanned<u64>>,
    /// The total to show until the real one is known.
    pub estimated_entities_count: Option<Spanned<u64>>,
    /// How often an entity is tried.
    pub max_attempts: Option<Spanned<u64>>,
    /// How long an entity may take.
    pub entity_timeout_ms: Option<Spanned<u64>>,
    /// How long to wait before an entity is tried again.
    pub retry_delay_ms: Option<Spanned<u64>>,
    /// Values for the `?` of the source's query.
    pub bind_params: Option<Spanned<String>>,
    /// What stands between them.
    pub bind_params_separator: Option<Spanned<String>>,
    /// The same as a JSON array.
    pub bind_params_json: Option<Spanned<String>>,
}

/// BATCH_LIST and MIGRATE_LIST.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchList {
    /// Which of the two.
    pub family: Family,
    /// One of [`BATCH_STATUS`](crate::names::BATCH_STATUS), as we write it.
    pub status: Option<Spanned<String>>,
    /// The first day or moment.
    pub from_date: Option<Spanned<String>>,
    /// The last day or moment.
    pub to_date: Option<Spanned<String>>,
    /// A regular expression over commands and execution ids.
    pub filter: Option<Spanned<String>>,
}

/// BATCH_DETAILS and MIGRATE_DETAILS.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchDetails {
    /// Which of the two.
    pub family: Family,
    /// The batch.
    pub batch_id: Spanned<Text>,
    /// One of [`ENTITY_STATUS`](crate::names::ENTITY_STATUS), as we write it.
    pub status: Option<Spanned<String>>,
    /// Entity ids, separated by commas.
    pub entities: Option<Spanned<String>>,
    /// Nodes and data centres, separated by commas.
    pub affinity: Option<Spanned<String>>,
    /// How many rows at most; -1 is all of them.
    pub limit: Option<Spanned<i64>>,
    /// Whether the slowest entities are shown instead.
    pub sort_by_process_time: Option<Spanned<bool>>,
}

/// How a batch was asked to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelSpelling {
    /// BATCH_CANCEL; without an id: the last asynchronous batch of the session.
    BatchCancel,
    /// CANCEL BATCH; without an id: the last batch that this node started.
    CancelBatch,
    /// KILL, always with an id.
    Kill,
}

/// What is done to a job.
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

/// STARTJOB, STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB.
#[derive(Clone, Debug, PartialEq)]
pub struct JobCommand {
    /// What is done.
    pub verb: JobVerb,
    /// The type as written; see [`JOB_TYPE`](crate::names::JOB_TYPE) for aliases.
    pub job_type: Spanned<String>,
    /// The instance of a `cdc_republish_instance_job`, which has no name.
    pub target: Option<Spanned<String>>,
    /// NAME; always there unless `target` is.
    pub name: Option<Spanned<String>>,
    /// UID.
    pub uid: Option<Spanned<String>>,
    /// AFFINITY.
    pub affinity: Option<Spanned<String>>,
    /// ARGS as text, JSON or not.
    pub args: Option<Spanned<String>>,
    /// EXEC_INTERVAL; empty turns a recurring job into a one-time job.
    pub exec_interval: Option<Spanned<String>>,
    /// RESET_END_TIME of UPDATEJOB.
    pub reset_end_time: Option<Spanned<bool>>,
    /// When else and how it runs, for STARTJOB and UPDATEJOB.
    pub policy: JobPolicyOptions,
    /// TABLES of a `cdc_republish_instance_job`.
    pub tables: Option<Spanned<String>>,
}

/// When else and how a job runs; what was not given is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobPolicyOptions {
    /// START_AT as text: no run before this moment.
    pub start_at: Option<Spanned<String>>,
    /// END_AT as text: no run after this moment.
    pub end_at: Option<Spanned<String>>,
    /// TIME_ZONE as text, in which the schedule and both moments are read.
    pub time_zone: Option<Spanned<String>>,
    /// MISFIRE: one of [`MISFIRE`](crate::names::MISFIRE) as we write it, or `ALL:` and a number from 1 up.
    pub misfire: Option<Spanned<String>>,
    /// One of [`OVERLAP`](crate::names::OVERLAP), as we write it.
    pub overlap: Option<Spanned<String>>,
    /// After how many runs it is over.
    pub max_runs: Option<Spanned<u64>>,
    /// How much later than planned a run may start, by chance.
    pub jitter_ms: Option<Spanned<u64>>,
    /// How often a run is tried; -1 is always again, else from 1 up.
    pub max_attempts: Option<Spanned<i64>>,
    /// How long to wait before a run is tried again.
    pub retry_delay_ms: Option<Spanned<u64>>,
    /// RETRY_FACTOR as text, which is a decimal number of at least 1.
    pub retry_factor: Option<Spanned<String>>,
    /// How long to wait at most.
    pub retry_max_delay_ms: Option<Spanned<u64>>,
    /// How long a run may take.
    pub timeout_ms: Option<Spanned<u64>>,
    /// Whether nodes outside the affinity may run it while none of the affinity lives.
    pub relocate: Option<Spanned<bool>>,
    /// Whether its schedule stands still.
    pub paused: Option<Spanned<bool>>,
    /// AFTER as text: the triggers, separated by `;`.
    pub after: Option<Spanned<String>>,
}

/// Which jobs JOBSTATUS shows.
#[derive(Clone, Debug, PartialEq)]
pub enum JobFilter {
    /// Those not archived.
    Active,
    /// Those of the last days, archived or not.
    DaysAgo(Spanned<u32>),
    /// Those of a type, which may be one that we do not know.
    Type(Spanned<String>),
    /// Those of a type and name.
    Name {
        /// The type as written.
        job_type: Spanned<String>,
        /// The name.
        name: Spanned<Text>,
        /// The one of that type and name.
        uid: Option<Spanned<String>>,
    },
}

/// What DEPLOY deploys.
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

/// GET and USE.
#[derive(Clone, Debug, PartialEq)]
pub struct Get {
    /// Which of the two.
    pub verb: GetVerb,
    /// At most one instance of each logical unit.
    pub instances: Vec<Instance>,
    /// Whether the first error ends the command.
    pub stop_on_error: Option<Spanned<bool>>,
    /// Whether instances are fetched side by side.
    pub parallel: Option<Spanned<bool>>,
}

/// GET or USE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetVerb {
    /// GET.
    Get,
    /// USE.
    Use,
}

/// `LU.id`.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The logical unit.
    pub lu: Spanned<String>,
    /// The instance id.
    pub id: Spanned<Text>,
}

/// What LIST shows.
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

/// CDC_REPUBLISH_INSTANCE.
#[derive(Clone, Debug, PartialEq)]
pub struct CdcRepublish {
    /// The instance.
    pub instance: Instance,
    /// Tables, separated by commas.
    pub tables: Option<Spanned<String>>,
    /// Types, separated by commas.
    pub types: Option<Spanned<String>>,
    /// Whether the target is emptied first.
    pub truncate: Option<Spanned<bool>>,
}

/// BROADWAY.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadway {
    /// The logical unit.
    pub lu: Spanned<String>,
    /// The flow.
    pub flow: Spanned<String>,
    /// The inputs of the flow and the settings of the run, in the order given.
    pub parameters: Vec<Assignment>,
}

/// One word of a command that is known by its name only.
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
    /// The command's name in the table, in capitals.
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
            Self::BatchCancel { spelling, .. } => match spelling {
                CancelSpelling::BatchCancel => "BATCH_CANCEL",
                CancelSpelling::CancelBatch => "CANCEL BATCH",
                CancelSpelling::Kill => "KILL",
            },
            Self::BatchPause { .. } => "BATCH_PAUSE",
            Self::BatchRetry { family, .. } => family.choose("BATCH_RETRY", "MIGRATE_RESUME"),
            Self::BatchEdit { .. } => "BATCH_EDIT",
            Self::Job(job) => match job.verb {
                JobVerb::Start => "STARTJOB",
                JobVerb::Stop => "STOPJOB",
                JobVerb::Restart => "RESTARTJOB",
                JobVerb::Resume => "RESUMEJOB",
                JobVerb::Update => "UPDATEJOB",
            },
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
            Self::List(target) => match target {
                ListTarget::InstanceGroups => "LIST INSTANCE_GROUPS",
                ListTarget::LogicalUnits => "LIST LU",
                ListTarget::Interfaces => "LIST INTERFACES",
                ListTarget::AffinityRules => "LIST AFFINITY_RULES",
            },
            Self::Echo { .. } => "ECHO",
            Self::SyncInstance { .. } => "SYNC_INSTANCE",
            Self::CdcRepublish(_) => "CDC_REPUBLISH_INSTANCE",
            Self::Broadway(_) => "BROADWAY",
            Self::SetAffinityRules { .. } => "SET_GLOBAL",
            Self::Trace(_) => "TRACE",
            Self::Other { keyword, .. } => keyword,
        }
    }

    /// The command's place in the table.
    pub fn spec(&self) -> &'static CommandSpec {
        CommandSpec::find(self.keyword()).expect("every keyword of the tree is in the table")
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
