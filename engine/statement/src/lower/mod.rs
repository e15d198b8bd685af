//! From a syntax tree to a request: names are looked up, options defaulted and capped, everything that can
//! be refused is refused here, before anything exists.

mod batch;
mod bind;
mod flow;
mod job;
mod monitor;
mod node_group;
mod trace;
mod values;

use weft_lang::{
    CancelSpelling, Command, DeployTarget, Get, Instance, ListTarget, Spanned, Statement, Text,
};

pub(super) use self::monitor::about_type;
use weft_model::Session;
use weft_node::NodeConfig;
use weft_node::flow::Flows;
use weft_node::job::JobKinds;
use weft_project::{CatalogueError, Project, ProjectCatalogue, UnknownProjectName};

use self::values::{batch_id, literal};
use super::Refusal;
use super::request::{CancelTarget, DeployRequest, GetRequest, InstanceName, Request};
use crate::inspect::{BatchInfoQuery, InProcessQuery, NodeQuery, SummaryQuery};

/// What statements are lowered with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) session: &'a Session,
    pub(super) catalogue: &'a ProjectCatalogue,
    pub(super) config: &'a NodeConfig,
    pub(super) kinds: &'a JobKinds,
    pub(super) flows: &'a dyn Flows,
}

/// Turns a statement into the request that it means.
///
/// # Errors
/// A [`Refusal`] with the place that is wrong. Nothing was changed.
pub async fn lower(
    statement: &Statement,
    session: &Session,
    catalogue: &ProjectCatalogue,
    config: &NodeConfig,
    kinds: &JobKinds,
    flows: &dyn Flows,
) -> Result<Request, Refusal> {
    if !statement.is_available() {
        return Err(not_available(statement.keyword()));
    }
    let surroundings = Surroundings {
        session,
        catalogue,
        config,
        kinds,
        flows,
    };
    match &statement.command {
        Command::Batch(command) => batch::lower(command, statement, surroundings).await,
        Command::BatchList(list) => monitor::batch_list(list).map(Request::BatchList),
        Command::BatchInfo { batch_id: id } => {
            Ok(Request::BatchInfo(BatchInfoQuery(batch_id(id)?)))
        }
        Command::BatchSummary { batch_id: id, .. } => {
            Ok(Request::BatchSummary(SummaryQuery(batch_id(id)?)))
        }
        Command::BatchDetails(details) => {
            monitor::batch_details(details, config).map(Request::BatchDetails)
        }
        Command::BatchInProcess { filter, .. } => {
            // `.*` in front is what Fabric does; a search finds the same, wherever it begins.
            let filter = filter.as_ref().map(|filter| monitor::regex(filter, ".*"));
            Ok(Request::BatchInProcess(InProcessQuery {
                filter: filter.transpose()?,
                batch: None,
            }))
        }
        Command::BatchCancel {
            spelling,
            batch_id: id,
        } => cancel(*spelling, id.as_ref(), session).map(Request::BatchCancel),
        Command::JobStatus(filter) => monitor::job_status(filter).map(Request::JobStatus),
        Command::Job(command) => job::lower(command, surroundings),
        Command::JobHistory {
            job_type,
            name,
            uid,
            limit,
        } => job::history(job_type, name, uid.as_ref(), limit.as_ref()),
        Command::Ps {
            task: Some(task), ..
        } => Ok(Request::Task(literal(task)?.to_owned())),
        Command::Ps { all, task: None } => Ok(Request::Tasks { all: *all }),
        Command::KillTask { node, task } => job::kill(node, task),
        Command::Deploy {
            target,
            soft_deploy,
        } => match target {
            DeployTarget::Folder(folder) => Ok(Request::Deploy(DeployRequest {
                folder: folder.value.clone().into(),
                is_soft: soft_deploy.as_ref().is_some_and(|soft| soft.value),
            })),
            DeployTarget::Project | DeployTarget::LogicalUnit(_) => Err(Refusal::usage(
                "DEPLOY takes the folder of a project in this version",
            )
            .hint("DEPLOY '<folder on the node>'")),
        },
        Command::ClusterStatus {
            node_affinity: false,
        } => Ok(Request::ClusterStatus(NodeQuery)),
        Command::ClusterStatus {
            node_affinity: true,
        } => Ok(Request::AffinityStatus(NodeQuery)),
        Command::ClusterId => Ok(Request::ClusterId),
        Command::Set { assignments } => values::set(assignments, surroundings).await,
        Command::Help { topic } => Ok(Request::Help(topic.clone())),
        Command::Get(get) => get_instances(get, surroundings).await,
        Command::SyncInstance { instance } => {
            let instance = instance_name(instance, surroundings).await?;
            Ok(Request::SyncInstance(instance))
        }
        Command::Broadway(command) => flow::lower(command, surroundings).await,
        Command::Trace(command) => trace::lower(command).map(Request::Trace),
        Command::Select { sql } => Ok(Request::Select(sql.value.clone())),
        Command::Release { lu } => release(lu.as_ref(), session).map(Request::Release),
        Command::List(ListTarget::AffinityRules) => Ok(Request::ListAffinityRules),
        Command::SetAffinityRules { rules } => node_group::rules(rules.as_ref()),
        Command::List(target) => Ok(Request::List(*target)),
        Command::Echo { text, delay_ms } => Ok(Request::Echo {
            text: literal(text)?.to_owned(),
            delay_ms: delay_ms.as_ref().map_or(0, |delay| delay.value),
        }),
        Command::BatchPause { .. }
        | Command::BatchRetry { .. }
        | Command::BatchEdit { .. }
        | Command::CdcRepublish(_)
        | Command::Other { .. } => Err(not_available(statement.keyword())),
    }
}

/// Known by name, and nothing more.
fn not_available(what: &str) -> Refusal {
    Refusal::failed(format!("{what} is known but not available in this version"))
        .hint("HELP shows which commands there are")
}

fn cancel(
    spelling: CancelSpelling,
    id: Option<&Spanned<Text>>,
    session: &Session,
) -> Result<CancelTarget, Refusal> {
    match (spelling, id) {
        (_, Some(id)) => batch_id(id).map(CancelTarget::Batch),
        (CancelSpelling::CancelBatch, None) => Ok(CancelTarget::LastOfNode),
        (CancelSpelling::BatchCancel | CancelSpelling::Kill, None) => {
            session.last_batch.map(CancelTarget::Batch).ok_or_else(|| {
                Refusal::usage("no asynchronous batch was started in this session").hint(
                    "name the batch: BATCH_CANCEL '<batch id>'; BATCH_LIST shows the active ones",
                )
            })
        }
    }
}

fn release(lu: Option<&Spanned<String>>, session: &Session) -> Result<Option<String>, Refusal> {
    let Some(lu) = lu else { return Ok(None) };
    let attached = session.attached.keys();
    match attached
        .clone()
        .find(|name| name.eq_ignore_ascii_case(&lu.value))
    {
        Some(name) => Ok(Some(name.clone())),
        None => Err(
            Refusal::not_found(format!("no instance of {} is attached", lu.value))
                .at(lu.span)
                .near(&lu.value, attached.map(String::as_str)),
        ),
    }
}

async fn get_instances(get: &Get, surroundings: Surroundings<'_>) -> Result<Request, Refusal> {
    let mut instances: Vec<InstanceName> = Vec::new();
    for instance in &get.instances {
        let name = instance_name(instance, surroundings).await?;
        if instances
            .iter()
            .any(|other| other.logical_unit == name.logical_unit)
        {
            let message = "Only single instance per LUT can be used on the same GET command.";
            return Err(Refusal::usage(message).at(instance.lu.span));
        }
        instances.push(name);
    }
    Ok(Request::Get(GetRequest {
        instances,
        stop_on_error: get.stop_on_error.as_ref().is_none_or(|stop| stop.value),
    }))
}

async fn instance_name(
    instance: &Instance,
    surroundings: Surroundings<'_>,
) -> Result<InstanceName, Refusal> {
    let project = project(surroundings.catalogue).await?;
    let logical_unit = project.logical_unit(&instance.lu.value);
    let logical_unit = logical_unit.map_err(|error| unknown(&error).at(instance.lu.span))?;
    Ok(InstanceName {
        logical_unit: logical_unit.name.clone(),
        id: literal(&instance.id)?.to_owned(),
    })
}

/// The deployed project, as new as the store has it.
pub(super) async fn project(
    catalogue: &ProjectCatalogue,
) -> Result<std::sync::Arc<Project>, Refusal> {
    catalogue
        .refresh()
        .await
        .map_err(|error| of_catalogue(&error))?;
    catalogue.current().map_err(|error| of_catalogue(&error))
}

pub(super) fn of_catalogue(error: &CatalogueError) -> Refusal {
    match error {
        CatalogueError::NothingDeployed => {
            Refusal::not_found(error.to_string()).hint("DEPLOY '<folder>' deploys one")
        }
        CatalogueError::Store(store) if store.is_transient() => {
            Refusal::new(super::EndStatus::Unreachable, error.to_string())
        }
        CatalogueError::Invalid(_)
        | CatalogueError::Bundle(_)
        | CatalogueError::Store(_)
        | CatalogueError::UnknownProject(_)
        | CatalogueError::Unsettled
        | CatalogueError::NoThread => Refusal::failed(error.to_string()),
    }
}

/// A name that the project does not have.
fn unknown(error: &UnknownProjectName) -> Refusal {
    let refusal = Refusal::not_found(format!("there is no {} `{}`", error.what, error.name));
    match &error.nearest {
        Some(near) => refusal.hint(format!("did you mean `{near}`?")),
        None => refusal.hint(match error.what {
            "interface" => "LIST INTERFACES shows the interfaces",
            "instance group" => "LIST INSTANCE_GROUPS shows the instance groups",
            _ => "LIST LU shows the logical units",
        }),
    }
}
