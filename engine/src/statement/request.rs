//! Everything that can be asked of a node. Console, API, UI and compatibility layers all end here.

use std::path::PathBuf;

use weft_lang::ListTarget;

use super::permit::{Access, Operation, Permission};
use crate::inspect::{
    BatchInfoQuery, BatchListQuery, EntityQuery, InProcessQuery, JobQuery, NodeQuery, SummaryQuery,
};
use crate::model::{BatchId, BatchSpec};

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
    /// CLUSTERSTATUS.
    ClusterStatus(NodeQuery),
    /// CLUSTERID.
    ClusterId,
    /// DEPLOY of a folder on the node.
    Deploy(PathBuf),
    /// SET: values of the session, and attached instances where SET FROM names some.
    Set(SetRequest),
    /// HELP, of one command or of all.
    Help(Option<String>),
    /// GET: syncs instances and attaches them.
    Get(GetRequest),
    /// SYNC_INSTANCE.
    SyncInstance(InstanceName),
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
            Self::ClusterStatus(query) => query.access(),
            Self::ClusterId | Self::List(_) => Access::to(Permission::BatchRead),
            Self::Deploy(_) => Access::to(Permission::Deploy),
            Self::Get(get) => Access::on(
                Permission::Write,
                get.instances
                    .iter()
                    .map(|instance| instance.logical_unit.as_str()),
            ),
            Self::SyncInstance(instance) => {
                Access::on(Permission::Write, [instance.logical_unit.as_str()])
            }
            Self::Select(_) => Access::to(Permission::Read),
            Self::Set(_) | Self::Help(_) | Self::Release(_) | Self::Echo { .. } => {
                Access::to(Permission::None)
            }
        }
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
    NodeQuery,
);
