//! Everything that can be requested of a node. Statements from the console, the API and jobs all become a [`Request`].

use weft_lang::{Command, ListTarget, Statement};

use crate::commands::job::typed::JobRequest;
use crate::commands::{
    Execution, Lowering, batch, cluster, flow, instance, job, node_group, project, session, task,
    trace,
};
use crate::inspect::{
    BatchInfoQuery, BatchListQuery, EntityQuery, InProcessQuery, JobQuery, NodeQuery, SummaryQuery,
};
use crate::permission::{Access, Operation, Permit};
use crate::refusal::Refusal;

/// Declares the closed enum: for each variant its request, and the function that carries the request out.
macro_rules! requests {
    ($($variant:ident($request:ty) => $run:path;)+) => {
        /// One request.
        #[derive(Debug)]
        pub(crate) enum Request {
            $($variant($request),)+
        }

        impl Operation for Request {
            fn access(&self) -> Access {
                match self {
                    $(Self::$variant(request) => request.access(),)+
                }
            }
        }

        impl Request {
            /// Carries out a permitted request.
            ///
            /// # Errors
            /// Why it was not carried out, or that what it started ended badly.
            pub(crate) async fn carry_out(
                permit: Permit<Self>,
                execution: Execution<'_>,
            ) -> Result<(), Refusal> {
                let (grant, request) = permit.open();
                match request {
                    $(Self::$variant(request) => $run(execution, grant.permit(request)).await,)+
                }
            }
        }
    };
}

requests! {
    AffinityStatus(node_group::status::AffinityStatus) => node_group::status::run;
    BatchCancel(batch::cancel::CancelTarget) => batch::cancel::run;
    BatchDetails(EntityQuery) => batch::details::run;
    BatchInfo(BatchInfoQuery) => batch::info::run;
    BatchInProcess(InProcessQuery) => batch::in_process::run;
    BatchList(BatchListQuery) => batch::list::run;
    BatchSummary(SummaryQuery) => batch::summary::run;
    Broadway(flow::FlowRequest) => flow::run;
    ChangeJobs(job::change::ChangeJobs) => job::change::run;
    ClusterId(cluster::id::ClusterId) => cluster::id::run;
    ClusterStatus(NodeQuery) => cluster::status::run;
    Deploy(project::deploy::DeployRequest) => project::deploy::run;
    Echo(session::echo::EchoRequest) => session::echo::run;
    Get(instance::get::GetRequest) => instance::get::run;
    Help(session::help::HelpRequest) => session::help::run;
    JobHistory(job::history::JobHistoryRequest) => job::history::run;
    JobStatus(JobQuery) => job::status::run;
    KillTask(task::kill::KillRequest) => task::kill::run;
    List(project::list::ListProject) => project::list::run;
    ListAffinityRules(node_group::rules::ListAffinityRules) => node_group::rules::list;
    Ps(task::ps::PsRequest) => task::ps::run;
    Release(instance::release::ReleaseRequest) => instance::release::run;
    Select(instance::select::SelectRequest) => instance::select::run;
    Set(session::set::SetRequest) => session::set::run;
    SetAffinityRules(node_group::rules::SetAffinityRules) => node_group::rules::set;
    SetNodeAffinity(node_group::node_affinity::SetNodeAffinity) => node_group::node_affinity::run;
    StartJob(job::start::StartJobRequest) => job::start::run;
    SubmitBatch(batch::submit::SubmitRequest) => batch::submit::run;
    SyncInstance(instance::InstanceName) => instance::sync_instance::run;
    Trace(trace::TraceRequest) => trace::run;
}

impl Request {
    /// The request that a statement means. Long, because it has an arm for each command.
    ///
    /// # Errors
    /// A [`Refusal`] with the place that is wrong. Nothing was changed.
    pub(crate) async fn lower(
        statement: &Statement,
        context: Lowering<'_>,
    ) -> Result<Self, Refusal> {
        let not_available = || Err(Refusal::not_available(statement.keyword()));
        if !statement.is_available() {
            return not_available();
        }
        Ok(match &statement.command {
            Command::Batch(command) => {
                Self::SubmitBatch(batch::definition::lower(command, statement, context).await?)
            }
            Command::BatchList(list) => Self::BatchList(batch::list::lower(list)?),
            Command::BatchInfo { batch_id } => Self::BatchInfo(batch::info::lower(batch_id)?),
            Command::BatchSummary { batch_id, .. } => {
                Self::BatchSummary(batch::summary::lower(batch_id)?)
            }
            Command::BatchDetails(details) => {
                Self::BatchDetails(batch::details::lower(details, context)?)
            }
            Command::BatchInProcess { filter, .. } => {
                Self::BatchInProcess(batch::in_process::lower(filter.as_ref())?)
            }
            Command::BatchCancel { spelling, batch_id } => Self::BatchCancel(batch::cancel::lower(
                *spelling,
                batch_id.as_ref(),
                context.session,
            )?),
            Command::JobStatus(filter) => Self::JobStatus(job::status::lower(filter)?),
            Command::Job(command) => match job::typed::lower(command, context)? {
                JobRequest::Start(start) => Self::StartJob(*start),
                JobRequest::Change(change) => Self::ChangeJobs(change),
            },
            Command::JobHistory {
                job_type,
                name,
                uid,
                limit,
            } => Self::JobHistory(job::history::lower(
                job_type,
                name,
                uid.as_ref(),
                limit.as_ref(),
            )?),
            Command::Ps { all, task } => Self::Ps(task::ps::lower(*all, task.as_ref())?),
            Command::KillTask { node, task } => Self::KillTask(task::kill::lower(node, task)?),
            Command::Deploy {
                target,
                soft_deploy,
            } => Self::Deploy(project::deploy::lower(target, soft_deploy.as_ref())?),
            Command::ClusterStatus {
                node_affinity: false,
            } => Self::ClusterStatus(NodeQuery),
            Command::ClusterStatus {
                node_affinity: true,
            } => Self::AffinityStatus(node_group::status::AffinityStatus::default()),
            Command::ClusterId => Self::ClusterId(cluster::id::ClusterId),
            Command::Set { assignments } => match session::set::node_affinity(assignments) {
                Some(value) => Self::SetNodeAffinity(node_group::node_affinity::lower(value)?),
                None => Self::Set(session::set::lower(assignments, context).await?),
            },
            Command::Help { topic } => Self::Help(session::help::HelpRequest(topic.clone())),
            Command::Get(get) => Self::Get(instance::get::lower(get, context).await?),
            Command::SyncInstance { instance } => {
                Self::SyncInstance(instance::InstanceName::lower(instance, context).await?)
            }
            Command::Broadway(command) => {
                Self::Broadway(flow::parameters::lower(command, context).await?)
            }
            Command::Trace(command) => Self::Trace(trace::lower(command)?),
            Command::Select { sql } => {
                Self::Select(instance::select::SelectRequest(sql.value.clone()))
            }
            Command::Release { lu } => {
                Self::Release(instance::release::lower(lu.as_ref(), context.session)?)
            }
            Command::List(ListTarget::LogicalUnits) => {
                Self::List(project::list::ListProject::LogicalUnits)
            }
            Command::List(ListTarget::InstanceGroups) => {
                Self::List(project::list::ListProject::InstanceGroups)
            }
            Command::List(ListTarget::Interfaces) => {
                Self::List(project::list::ListProject::Interfaces)
            }
            Command::List(ListTarget::AffinityRules) => {
                Self::ListAffinityRules(node_group::rules::ListAffinityRules)
            }
            Command::SetAffinityRules { rules } => {
                Self::SetAffinityRules(node_group::rules::lower(rules.as_ref())?)
            }
            Command::Echo { text, delay_ms } => {
                Self::Echo(session::echo::lower(text, delay_ms.as_ref())?)
            }
            Command::Process { script, .. } => {
                let name = script.value.replace('\'', "''");
                return Err(Refusal::usage("PROCESS runs a script for each entity of a batch")
                    .hint(format!(
                        "STARTJOB PROCESS NAME='{name}' runs it once; in a batch write FABRIC_COMMAND=\"process {name} ?\""
                    )));
            }
            Command::BatchPause { .. }
            | Command::BatchRetry { .. }
            | Command::BatchEdit { .. }
            | Command::CdcRepublish(_)
            | Command::Other { .. } => return not_available(),
        })
    }
}
