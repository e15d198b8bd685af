//! Everything that can be requested of a node. Statements from the console, the API and jobs all become a [`Request`].
//!
//! The enum is closed. A new command adds a variant, and a line to each of the three matches.

use weft_lang::{Command, ListTarget, Statement};

use crate::commands::batch::cancel::CancelTarget;
use crate::commands::batch::submit::SubmitRequest;
use crate::commands::cluster::id::ClusterId;
use crate::commands::flow::FlowRequest;
use crate::commands::instance::get::GetRequest;
use crate::commands::instance::release::ReleaseRequest;
use crate::commands::instance::select::SelectRequest;
use crate::commands::instance::{self, InstanceName};
use crate::commands::job::change::ChangeJobs;
use crate::commands::job::history::JobHistoryRequest;
use crate::commands::job::start::StartJobRequest;
use crate::commands::job::typed::JobRequest;
use crate::commands::node_group::node_affinity::SetNodeAffinity;
use crate::commands::node_group::rules::{ListAffinityRules, SetAffinityRules};
use crate::commands::node_group::status::AffinityStatus;
use crate::commands::project::deploy::DeployRequest;
use crate::commands::project::list::ListProject;
use crate::commands::session::echo::EchoRequest;
use crate::commands::session::help::HelpRequest;
use crate::commands::session::set::SetRequest;
use crate::commands::task::kill::KillRequest;
use crate::commands::task::ps::PsRequest;
use crate::commands::trace::TraceRequest;
use crate::commands::{
    Execution, Lowering, batch, cluster, flow, job, node_group, project, session, task, trace,
};
use crate::inspect::{
    BatchInfoQuery, BatchListQuery, EntityQuery, InProcessQuery, JobQuery, NodeQuery, SummaryQuery,
};
use crate::permission::{Access, Operation, Permit};
use crate::refusal::Refusal;

/// One request.
#[derive(Debug)]
pub(crate) enum Request {
    AffinityStatus(AffinityStatus),
    BatchCancel(CancelTarget),
    BatchDetails(EntityQuery),
    BatchInfo(BatchInfoQuery),
    BatchInProcess(InProcessQuery),
    BatchList(BatchListQuery),
    BatchSummary(SummaryQuery),
    Broadway(Box<FlowRequest>),
    ChangeJobs(ChangeJobs),
    ClusterId(ClusterId),
    ClusterStatus(NodeQuery),
    Deploy(DeployRequest),
    Echo(EchoRequest),
    Get(GetRequest),
    Help(HelpRequest),
    JobHistory(JobHistoryRequest),
    JobStatus(JobQuery),
    KillTask(KillRequest),
    List(ListProject),
    ListAffinityRules(ListAffinityRules),
    Ps(PsRequest),
    Release(ReleaseRequest),
    Select(SelectRequest),
    Set(SetRequest),
    SetAffinityRules(SetAffinityRules),
    SetNodeAffinity(SetNodeAffinity),
    StartJob(Box<StartJobRequest>),
    SubmitBatch(Box<SubmitRequest>),
    SyncInstance(InstanceName),
    Trace(TraceRequest),
}

impl Request {
    /// The request that a statement means.
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
            Command::Batch(command) => Self::SubmitBatch(Box::new(
                batch::definition::lower(command, statement, context).await?,
            )),
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
                JobRequest::Start(start) => Self::StartJob(start),
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
            } => Self::AffinityStatus(AffinityStatus::default()),
            Command::ClusterId => Self::ClusterId(ClusterId),
            Command::Set { assignments } => match session::set::node_affinity(assignments) {
                Some(value) => Self::SetNodeAffinity(node_group::node_affinity::lower(value)?),
                None => Self::Set(session::set::lower(assignments, context).await?),
            },
            Command::Help { topic } => Self::Help(HelpRequest(topic.clone())),
            Command::Get(get) => Self::Get(instance::get::lower(get, context).await?),
            Command::SyncInstance { instance } => {
                Self::SyncInstance(InstanceName::lower(instance, context).await?)
            }
            Command::Broadway(command) => {
                Self::Broadway(Box::new(flow::parameters::lower(command, context).await?))
            }
            Command::Trace(command) => Self::Trace(trace::lower(command)?),
            Command::Select { sql } => Self::Select(SelectRequest(sql.value.clone())),
            Command::Release { lu } => {
                Self::Release(instance::release::lower(lu.as_ref(), context.session)?)
            }
            Command::List(ListTarget::LogicalUnits) => Self::List(ListProject::LogicalUnits),
            Command::List(ListTarget::InstanceGroups) => Self::List(ListProject::InstanceGroups),
            Command::List(ListTarget::Interfaces) => Self::List(ListProject::Interfaces),
            Command::List(ListTarget::AffinityRules) => Self::ListAffinityRules(ListAffinityRules),
            Command::SetAffinityRules { rules } => {
                Self::SetAffinityRules(node_group::rules::lower(rules.as_ref())?)
            }
            Command::Echo { text, delay_ms } => {
                Self::Echo(session::echo::lower(text, delay_ms.as_ref())?)
            }
            Command::BatchPause { .. }
            | Command::BatchRetry { .. }
            | Command::BatchEdit { .. }
            | Command::CdcRepublish(_)
            | Command::Other { .. } => return not_available(),
        })
    }

    /// Carries out a permitted request.
    ///
    /// # Errors
    /// Why it was not carried out, or that what it started ended badly.
    pub(crate) async fn carry_out(
        permit: Permit<Self>,
        with: Execution<'_>,
    ) -> Result<(), Refusal> {
        let (grant, request) = permit.open();
        match request {
            Self::AffinityStatus(query) => node_group::status::run(with, grant.permit(query)).await,
            Self::BatchCancel(target) => batch::cancel::run(with, grant.permit(target)).await,
            Self::BatchDetails(query) => batch::details::run(with, grant.permit(query)).await,
            Self::BatchInfo(query) => batch::info::run(with, grant.permit(query)).await,
            Self::BatchInProcess(query) => batch::in_process::run(with, grant.permit(query)).await,
            Self::BatchList(query) => batch::list::run(with, grant.permit(query)).await,
            Self::BatchSummary(query) => batch::summary::run(with, grant.permit(query)).await,
            Self::Broadway(request) => flow::run(with, grant.permit(*request)).await,
            Self::ChangeJobs(request) => job::change::run(with, grant.permit(request)).await,
            Self::ClusterId(request) => {
                cluster::id::run(with, grant.permit(request)).await;
                Ok(())
            }
            Self::ClusterStatus(query) => cluster::status::run(with, grant.permit(query)).await,
            Self::Deploy(request) => project::deploy::run(with, grant.permit(request)).await,
            Self::Echo(request) => session::echo::run(with, grant.permit(request)).await,
            Self::Get(request) => instance::get::run(with, grant.permit(request)).await,
            Self::Help(request) => session::help::run(with, grant.permit(request)).await,
            Self::JobHistory(request) => job::history::run(with, grant.permit(request)).await,
            Self::JobStatus(query) => job::status::run(with, grant.permit(query)).await,
            Self::KillTask(request) => task::kill::run(with, grant.permit(request)).await,
            Self::List(request) => project::list::run(with, grant.permit(request)).await,
            Self::ListAffinityRules(request) => {
                node_group::rules::list(with, grant.permit(request)).await
            }
            Self::Ps(request) => task::ps::run(with, grant.permit(request)).await,
            Self::Release(request) => {
                instance::release::run(with, &grant.permit(request));
                Ok(())
            }
            Self::Select(request) => instance::select::run(with, grant.permit(request)).await,
            Self::Set(request) => {
                session::set::run(with, grant.permit(request)).await;
                Ok(())
            }
            Self::SetAffinityRules(request) => {
                node_group::rules::set(with, grant.permit(request)).await
            }
            Self::SetNodeAffinity(request) => {
                node_group::node_affinity::run(with, grant.permit(request)).await
            }
            Self::StartJob(request) => job::start::run(with, grant.permit(*request)).await,
            Self::SubmitBatch(request) => batch::submit::run(with, grant.permit(*request)).await,
            Self::SyncInstance(name) => {
                instance::sync_instance::run(with, grant.permit(name)).await
            }
            Self::Trace(request) => trace::run(with, grant.permit(request)).await,
        }
    }
}

impl Operation for Request {
    fn access(&self) -> Access {
        match self {
            Self::AffinityStatus(query) => query.access(),
            Self::BatchCancel(target) => target.access(),
            Self::BatchDetails(query) => query.access(),
            Self::BatchInfo(query) => query.access(),
            Self::BatchInProcess(query) => query.access(),
            Self::BatchList(query) => query.access(),
            Self::BatchSummary(query) => query.access(),
            Self::Broadway(request) => request.access(),
            Self::ChangeJobs(request) => request.access(),
            Self::ClusterId(request) => request.access(),
            Self::ClusterStatus(query) => query.access(),
            Self::Deploy(request) => request.access(),
            Self::Echo(request) => request.access(),
            Self::Get(request) => request.access(),
            Self::Help(request) => request.access(),
            Self::JobHistory(request) => request.access(),
            Self::JobStatus(query) => query.access(),
            Self::KillTask(request) => request.access(),
            Self::List(request) => request.access(),
            Self::ListAffinityRules(request) => request.access(),
            Self::Ps(request) => request.access(),
            Self::Release(request) => request.access(),
            Self::Select(request) => request.access(),
            Self::Set(request) => request.access(),
            Self::SetAffinityRules(request) => request.access(),
            Self::SetNodeAffinity(request) => request.access(),
            Self::StartJob(request) => request.access(),
            Self::SubmitBatch(request) => request.access(),
            Self::SyncInstance(name) => name.access(),
            Self::Trace(request) => request.access(),
        }
    }
}
