//! From a permitted request to its frames.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use weft_model::Session;

use super::node_groups::{self, ListAffinityRules};
use super::output::Output;
use super::permit::part;
use super::request::Request;
use super::{Permit, Refusal, Services, cancel, flow_request, instances, jobs, project, select};
use super::{submit, tables, tasks, traces, values};
use crate::inspect::{InProcessQuery, Inspector};

/// Carries out one request.
///
/// # Errors
/// Why it was not carried out, or that what it started ended badly.
pub(super) async fn execute(
    services: &Services,
    session: &mut Session,
    permit: Permit,
    output: &Output,
    stop: &CancellationToken,
) -> Result<(), Refusal> {
    let inspector = Inspector::new(services);
    let (who, request) = permit.open();
    match request {
        Request::SubmitBatch(request) => {
            submit::submit(services, session, part(&who, *request), output, stop).await
        }
        Request::BatchList(query) => {
            tables::batch_list(&inspector, &part(&who, query), output).await
        }
        Request::BatchInfo(query) => {
            tables::batch_info(&inspector, &part(&who, query), output).await
        }
        Request::BatchSummary(query) => {
            tables::batch_summary(&inspector, &part(&who, query), output).await
        }
        Request::BatchDetails(query) => {
            tables::batch_details(&inspector, &part(&who, query), output).await
        }
        Request::BatchInProcess(query) => {
            tables::batch_in_process(&inspector, &part(&who, query), output).await
        }
        Request::BatchCancel(target) => cancel::cancel(services, part(&who, target), output).await,
        Request::JobStatus(query) => {
            tables::job_status(&inspector, &part(&who, query), output).await
        }
        Request::StartJob(request) => {
            jobs::start(services, session, part(&who, *request), output).await
        }
        Request::ChangeJobs { target, change } => {
            jobs::change(services, part(&who, (target, change)), output).await
        }
        Request::JobHistory(request) => jobs::history(services, part(&who, request), output).await,
        Request::Tasks { all } => {
            let entities = part(&who, InProcessQuery::default());
            tasks::list(services, &inspector, &part(&who, all), &entities, output).await
        }
        Request::Task(task) => {
            let entities = part(&who, InProcessQuery::default());
            tasks::show(services, &inspector, &part(&who, task), &entities, output).await
        }
        Request::KillTask(request) => jobs::kill(services, part(&who, request), output).await,
        Request::Trace(request) => {
            traces::trace(services, session, part(&who, request), output).await
        }
        Request::ClusterStatus(query) => {
            tables::cluster_status(&inspector, &part(&who, query), output).await
        }
        Request::AffinityStatus(query) => {
            let running = tasks::running_jobs(services).await?;
            let groups = node_groups::groups(services).await?;
            let nodes = tables::Groups {
                running: &running,
                groups: &groups,
            };
            tables::affinity_status(&inspector, &part(&who, query), &nodes, output).await
        }
        Request::SetAffinityRules(request) => {
            node_groups::set_rules(services, part(&who, request), output).await
        }
        Request::ListAffinityRules => {
            let request = part(&who, ListAffinityRules);
            node_groups::list_rules(services, request, output).await
        }
        Request::SetNodeAffinity(request) => {
            node_groups::set_node_affinity(services, part(&who, request), output).await
        }
        Request::ClusterId => {
            let id = json!(services.cluster_id);
            output.one_row(&["Cluster id"], vec![id]).await;
            Ok(())
        }
        Request::Deploy(deploy) => project::deploy(services, part(&who, deploy), output).await,
        Request::Set(request) => {
            values::set(session, request, output).await;
            Ok(())
        }
        Request::Help(topic) => values::help(topic.as_deref(), output).await,
        Request::Get(request) => {
            instances::get(services, session, part(&who, request), output, stop).await
        }
        Request::SyncInstance(instance) => {
            instances::sync_instance(services, session, part(&who, instance), output, stop).await
        }
        Request::Broadway(request) => {
            flow_request::run(services, session, part(&who, *request), output, stop).await
        }
        Request::Select(sql) => {
            select::select(services, session, part(&who, sql), output, stop).await
        }
        Request::Release(logical_unit) => {
            values::release(session, logical_unit.as_deref());
            Ok(())
        }
        Request::List(target) => project::list(services, part(&who, target), output).await,
        Request::Echo { text, delay_ms } => {
            let delay = Duration::from_millis(delay_ms);
            values::echo(&text, delay, output, stop).await
        }
    }
}
