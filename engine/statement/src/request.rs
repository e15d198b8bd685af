//! Everything that can be asked of a node. Console, API, UI and compatibility layers all end here.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};
use weft_lang::{ListTarget, TraceScope};
use weft_model::schedule::JobPolicy;
use weft_model::{BatchId, BatchSpec, JobKey};
use weft_node::trace::{Filter, Operation as TracedOperation};

use super::flow_request::FlowRequest;
use super::job_draft::PolicyDraft;
use super::node_groups::{ListAffinityRules, SetAffinityRules, SetNodeAffinity};
use super::permit::{Access, Operation, Permission};
use crate::inspect::{
    BatchInfoQuery, BatchListQuery, EntityQuery, InProcessQuery, JobInfoQuery, JobQuery, NodeQuery,
    SummaryQuery,
};

/// One request.
#[derive(Debug)]
pub enum Request {
    /// BATCH and MIGRATE.
    SubmitBatch(Box<SubmitRequest>),
    /// BATCH_LIST.
    BatchList(BatchListQuery),
    /// BATCH_INFO.
    BatchInfo(BatchInfoQuery),
    /// BATCH_SUMMARY.
    BatchSummary(SummaryQuery),
    /// BATCH_DETAILS.
    BatchDetails(EntityQuery),
    /// BATCH_IN_PROCESS.
    BatchInProcess(InProcessQuery),
    /// BATCH_CANCEL, CANCEL BATCH, KILL of a batch.
    BatchCancel(CancelTarget),
    /// JOBSTATUS.
    JobStatus(JobQuery),
    /// STARTJOB.
    StartJob(Box<StartJobRequest>),
    /// STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB.
    ChangeJobs {
        /// Which jobs.
        target: JobTarget,
        /// What becomes of them.
        change: JobChange,
    },
    /// JOBHISTORY.
    JobHistory(JobHistoryRequest),
    /// PS: of this node, or of all.
    Tasks {
        /// Of all nodes.
        all: bool,
    },
    /// PS of one task.
    Task(String),
    /// KILL of a task.
    KillTask(KillRequest),
    /// TRACE.
    Trace(TraceRequest),
    /// CLUSTERSTATUS.
    ClusterStatus(NodeQuery),
    /// CLUSTERSTATUS NODE_AFFINITY_STATUS.
    AffinityStatus(NodeQuery),
    /// SET_GLOBAL AFFINITY_RULES.
    SetAffinityRules(SetAffinityRules),
    /// LIST AFFINITY_RULES.
    ListAffinityRules,
    /// SET NODE_AFFINITY.
    SetNodeAffinity(SetNodeAffinity),
    /// CLUSTERID.
    ClusterId,
    /// DEPLOY of a folder on the node.
    Deploy(DeployRequest),
    /// SET: values of the session, and attached instances where SET FROM names some.
    Set(SetRequest),
    /// HELP, of one command or of all.
    Help(Option<String>),
    /// GET: syncs instances and attaches them.
    Get(GetRequest),
    /// SYNC_INSTANCE.
    SyncInstance(InstanceName),
    /// BROADWAY.
    Broadway(Box<FlowRequest>),
    /// SELECT on attached instances.
    Select(String),
    /// RELEASE of one logical unit or all.
    Release(Option<String>),
    /// LIST.
    List(ListTarget),
    /// ECHO.
    Echo {
        /// What is answered.
        text: String,
        /// How long that takes, in milliseconds.
        delay_ms: u64,
    },
}

/// A batch that shall be submitted: checked, defaulted and capped.
#[derive(Clone, Debug)]
pub struct SubmitRequest {
    /// What it shall do.
    pub spec: BatchSpec,
    /// The command as typed.
    pub command: String,
    /// It runs `sync_instance`, so its result has Added, Updated and Unchanged.
    pub is_sync_instance: bool,
    /// What a person should know of how the command was read.
    pub notices: Vec<String>,
}

/// Which jobs a command is about: all of a type and name, or one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobTarget {
    /// The type, as the column has it.
    pub job_type: String,
    /// The name.
    pub name: String,
    /// The one of that type and name.
    pub uid: Option<String>,
}

/// A job that shall be started.
#[derive(Clone, Debug, PartialEq)]
pub struct StartJobRequest {
    /// Which; without a uid it is a new one.
    pub target: JobTarget,
    /// Which nodes may run it.
    pub affinity: Vec<String>,
    /// ARGS.
    pub arguments: Map<String, Value>,
    /// ARGS were given.
    pub has_arguments: bool,
    /// EXEC_INTERVAL, where it says more than once and now.
    pub execution_interval: Option<String>,
    /// Retries, misfires, bounds.
    pub policy: JobPolicy,
    /// Whoever asks may ask twice: a job that is there and is defined so is the answer, running or ended.
    pub is_repeatable: bool,
}

/// What becomes of jobs.
#[derive(Clone, Debug, PartialEq)]
pub enum JobChange {
    /// They end.
    Stop,
    /// They begin anew.
    Restart,
    /// They are taken up again after their end.
    Resume,
    /// They are defined anew.
    Update(Box<UpdateJob>),
}

/// What UPDATEJOB changes; what is none stays.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateJob {
    /// Which nodes may run it.
    pub affinity: Option<Vec<String>>,
    /// ARGS.
    pub arguments: Option<Map<String, Value>>,
    /// EXEC_INTERVAL as typed; empty makes it a job that runs once.
    pub execution_interval: Option<String>,
    /// RESET_END_TIME.
    pub reset_end_time: Option<bool>,
    /// The other options.
    pub policy: PolicyDraft,
    /// SET values of the session.
    pub session: BTreeMap<String, String>,
}

/// Whose runs shall be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobHistoryRequest {
    /// Of which jobs.
    pub target: JobTarget,
    /// How many runs at most, of each job.
    pub limit: usize,
}

/// Which task shall end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillRequest {
    /// The node it runs on.
    pub node: String,
    /// The task, as PS shows it.
    pub task: String,
}

/// What shall become of the traces of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceRequest {
    /// OPS: which operations can be traced.
    Operations,
    /// STATUS: of all traces, or what one has written last.
    Status(Option<u64>),
    /// One begins.
    Begin {
        /// How long it stays.
        scope: TraceScope,
        /// What is traced.
        operation: TracedOperation,
        /// Which of its events.
        filter: Filter,
    },
    /// OFF: of all, or of one.
    Off(Option<u64>),
    /// REMOVE of one.
    Remove(u64),
}

/// Which batch shall be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelTarget {
    /// This one.
    Batch(BatchId),
    /// The last one that this node coordinates (CANCEL BATCH without an id).
    LastOfNode,
}

/// Values for the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetRequest {
    /// Names and values, in order; an empty value takes the name out. None at all lists them.
    pub values: Vec<(String, String)>,
    /// Instances to attach without a sync.
    pub attached: Vec<InstanceName>,
}

/// GET of instances.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// At most one of each logical unit.
    pub instances: Vec<InstanceName>,
    /// The first error ends it.
    pub stop_on_error: bool,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceName {
    /// The logical unit, as deployed.
    pub logical_unit: String,
    /// The instance id.
    pub id: String,
}

/// DEPLOY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployRequest {
    /// The folder, on the node.
    pub folder: PathBuf,
    /// SOFT_DEPLOY: jobs are left alone.
    pub is_soft: bool,
}

impl Operation for DeployRequest {
    fn access(&self) -> Access {
        Access::to(Permission::Deploy)
    }
}

impl Operation for Request {
    fn access(&self) -> Access {
        match self {
            Self::SubmitBatch(submit) => {
                Access::on(Permission::Batch, [submit.spec.logical_unit.as_str()])
            }
            Self::BatchCancel(_) => Access::to(Permission::Batch),
            Self::BatchList(query) => query.access(),
            Self::BatchInfo(query) => query.access(),
            Self::BatchSummary(query) => query.access(),
            Self::BatchDetails(query) => query.access(),
            Self::BatchInProcess(query) => query.access(),
            Self::JobStatus(query) => query.access(),
            Self::StartJob(request) => request.access(),
            Self::ChangeJobs { .. } | Self::KillTask(_) => Access::to(Permission::Batch),
            Self::JobHistory(request) => request.access(),
            Self::Tasks { .. } | Self::Task(_) => Access::to(Permission::BatchRead),
            Self::Trace(request) => request.access(),
            Self::ClusterStatus(query) | Self::AffinityStatus(query) => query.access(),
            Self::SetAffinityRules(request) => request.access(),
            Self::ListAffinityRules => ListAffinityRules.access(),
            Self::SetNodeAffinity(request) => request.access(),
            Self::ClusterId | Self::List(_) => Access::to(Permission::BatchRead),
            Self::Deploy(deploy) => deploy.access(),
            Self::Get(get) => Access::on(
                Permission::Write,
                get.instances
                    .iter()
                    .map(|instance| instance.logical_unit.as_str()),
            ),
            Self::SyncInstance(instance) => {
                Access::on(Permission::Write, [instance.logical_unit.as_str()])
            }
            Self::Broadway(request) => request.access(),
            Self::Select(_) => Access::to(Permission::Read),
            Self::Set(_) | Self::Help(_) | Self::Release(_) | Self::Echo { .. } => {
                Access::to(Permission::None)
            }
        }
    }
}

impl Operation for TraceRequest {
    fn access(&self) -> Access {
        Access::to(match self {
            Self::Operations | Self::Status(_) => Permission::BatchRead,
            // It takes room on the node's disk, or takes away what others look at.
            Self::Begin { .. } | Self::Off(_) | Self::Remove(_) => Permission::Batch,
        })
    }
}

impl Operation for StartJobRequest {
    fn access(&self) -> Access {
        Access::to(Permission::Batch)
    }
}

/// An archived job shall be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveJob(pub JobKey);

impl Operation for RemoveJob {
    fn access(&self) -> Access {
        Access::to(Permission::Batch)
    }
}

impl Operation for (JobTarget, JobChange) {
    fn access(&self) -> Access {
        Access::to(Permission::Batch)
    }
}

macro_rules! reads {
    ($($query:ty),* $(,)?) => {$(
        impl Operation for $query {
            fn access(&self) -> Access {
                Access::to(Permission::BatchRead)
            }
        }
    )*};
}

reads!(
    BatchListQuery,
    BatchInfoQuery,
    SummaryQuery,
    EntityQuery,
    InProcessQuery,
    JobQuery,
    JobInfoQuery,
    JobHistoryRequest,
    NodeQuery,
);
