//! PS: the tasks at work and since when; of one task, what it is doing now.

use serde_json::{Value, json};
use weft_lang::{Spanned, Text};
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Holder, Job, JobDesired, job_type};
use weft_node::job::run_key;
use weft_store::Freshness;

use crate::commands::Execution;
use crate::commands::job::running::running_jobs;
use crate::commands::literal::literal;
use crate::inspect::{InProcessItem, InProcessQuery};
use crate::permission::{Access, Operation, Permit};
use crate::refusal::Refusal;
use crate::services::Services;

const COLUMNS: [&str; 6] = ["Node", "Task", "Kind", "Command", "Since", "For (ms)"];

/// Which tasks to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PsRequest {
    OfThisNode,
    OfAllNodes,
    /// One, wherever it runs, and what it is doing now.
    One(String),
}

impl Operation for PsRequest {
    fn access(&self) -> Access {
        InProcessQuery::default().access()
    }
}

pub(crate) fn lower(all: bool, task: Option<&Spanned<Text>>) -> Result<PsRequest, Refusal> {
    Ok(match (task, all) {
        (Some(task), _) => PsRequest::One(literal(task)?.to_owned()),
        (None, true) => PsRequest::OfAllNodes,
        (None, false) => PsRequest::OfThisNode,
    })
}

/// Shows the jobs and entities at work.
///
/// # Errors
/// The named task does not run, or the store failed.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<PsRequest>,
) -> Result<(), Refusal> {
    let (grant, request) = permit.open();
    let jobs = running_jobs(execution.services).await?;
    let inspector = execution.inspector();
    let entities = inspector
        .in_process(&grant.permit(InProcessQuery::default()))
        .await?;
    match request {
        PsRequest::One(task) => show_one(execution, &task, &jobs, &entities).await,
        PsRequest::OfThisNode | PsRequest::OfAllNodes => {
            let is_all = request == PsRequest::OfAllNodes;
            list(execution, is_all, &jobs, &entities).await;
            Ok(())
        }
    }
}

async fn list(execution: Execution<'_>, is_all: bool, jobs: &[Job], entities: &[InProcessItem]) {
    let Execution {
        services, output, ..
    } = execution;
    let is_shown = |node: &str| is_all || node == services.config.guid.0;
    let now = services.clock.now();
    output.columns(&COLUMNS).await;
    for job in jobs {
        if let Some(holder) = job.holder().filter(|holder| is_shown(&holder.node.0)) {
            output.row(job_row(job, &holder, now)).await;
        }
    }
    for item in entities {
        if is_shown(&item.node.0) {
            output.row(entity_row(item)).await;
        }
    }
}

async fn show_one(
    execution: Execution<'_>,
    task: &str,
    jobs: &[Job],
    entities: &[InProcessItem],
) -> Result<(), Refusal> {
    let Execution {
        services, output, ..
    } = execution;
    let now = services.clock.now();
    let mut rows = Vec::new();
    for job in jobs {
        if let Some(holder) = job.holder().filter(|_| job.key.uid == task) {
            let mut row = job_row(job, &holder, now);
            row.push(json!(doing(services, job).await?));
            rows.push(row);
        }
    }
    for item in entities {
        if id_of(item) == task {
            let mut row = entity_row(item);
            row.push(json!(format!(
                "runs the command for one entity of batch {}, execution {}",
                item.batch, item.execution_id
            )));
            rows.push(row);
        }
    }
    if rows.is_empty() {
        let refusal = Refusal::not_found(format!("no task `{task}` runs"));
        return Err(refusal.hint("PS ALL shows the tasks; JOBSTATUS shows jobs that do not run"));
    }
    output.columns(&[&COLUMNS[..], &["Doing"]].concat()).await;
    for row in rows {
        output.row(row).await;
    }
    Ok(())
}

fn job_row(job: &Job, holder: &Holder, now: Timestamp) -> Vec<Value> {
    let since = job.start_time.unwrap_or(now);
    vec![
        json!(holder.node.0),
        json!(job.key.uid),
        json!("job"),
        json!(format!("{} {}", job.key.job_type, job.key.name)),
        json!(since.to_seconds_text()),
        json!(now.millis_since(since).max(0)),
    ]
}

fn entity_row(item: &InProcessItem) -> Vec<Value> {
    vec![
        json!(item.node.0),
        json!(id_of(item)),
        json!("entity"),
        json!(item.command),
        json!(item.since.to_seconds_text()),
        json!(item.millis),
    ]
}

fn id_of(item: &InProcessItem) -> String {
    format!("{}/{}", item.batch, item.entity)
}

/// There is no stack to show: what a run waits for says more (Fabric R86).
async fn doing(services: &Services, job: &Job) -> Result<String, Refusal> {
    let mut doing = match job.key.job_type.as_str() {
        job_type::BATCH_PROCESS => match job.key.uid.parse() {
            Ok(id) => format!(
                "coordinates its batch, {}",
                batch(services, BatchId(id)).await?
            ),
            Err(_) => "coordinates its batch".to_owned(),
        },
        job_type::BATCH_SCHEDULE | job_type::MIGRATE => {
            let id = BatchId(run_key(job));
            format!("waits for batch {id}, {}", batch(services, id).await?)
        }
        other => {
            let of_kind = match services.kinds.get(other) {
                Some(kind) => kind.describe_progress(job).await,
                None => None,
            };
            let of_kind = of_kind.map_or_else(String::new, |doing| format!(": {doing}"));
            format!("runs try {} of {}{of_kind}", job.tries + 1, tries(job))
        }
    };
    if let Some(limit) = job.policy.timeout_ms {
        doing.push_str(&format!("; it is ended after {limit} ms"));
    }
    match job.desired {
        JobDesired::Run => (),
        JobDesired::Stop => doing.push_str("; a stop was requested"),
        JobDesired::Restart => doing.push_str("; a restart was requested"),
        JobDesired::Kill => doing.push_str("; a kill was requested"),
    }
    Ok(doing)
}

fn tries(job: &Job) -> String {
    match job.policy.max_attempts {
        most if most < 0 => "any number".to_owned(),
        most => most.to_string(),
    }
}

async fn batch(services: &Services, id: BatchId) -> Result<String, Refusal> {
    let row = services.store.batch(id, Freshness::Committed).await?;
    Ok(match row {
        None => "which is being submitted".to_owned(),
        Some(batch) => match batch.total_entities {
            Some(total) => format!("which is {} with {total} entities", batch.status),
            None => format!("which is {}", batch.status),
        },
    })
}
