//! PS: the tasks at work and since when, and of one task what it does now.

use std::ops::ControlFlow;

use serde_json::{Value, json};
use weft_model::clock::Timestamp;
use weft_model::{BatchId, Holder, Job, JobDesired, JobStatus, job_type};
use weft_node::job::run_key;
use weft_store::{Freshness, ListJobs, each_job};

use super::output::Output;
use super::{Permit, Refusal, Services};
use crate::inspect::{InProcessItem, InProcessQuery, Inspector};

const COLUMNS: [&str; 6] = ["Node", "Task", "Kind", "Command", "Since", "For (ms)"];
/// Rows that are looked at for those that run.
const LOOKED_AT: usize = 100_000;

/// The jobs and entities at work, here or everywhere.
///
/// # Errors
/// What the store said.
pub(super) async fn list(
    services: &Services,
    inspector: &Inspector,
    permit: &Permit<bool>,
    entities: &Permit<InProcessQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let all = *permit.request();
    let is_shown = |node: &str| all || node == services.config.guid.0;
    let now = services.clock.now();
    output.columns(&COLUMNS).await;
    for job in running_jobs(services).await? {
        if let Some(holder) = job.holder().filter(|holder| is_shown(&holder.node.0)) {
            output.row(of_job(&job, &holder, now)).await;
        }
    }
    for item in inspector.in_process(entities).await? {
        if is_shown(&item.node.0) {
            output.row(of_entity(&item)).await;
        }
    }
    Ok(())
}

/// The task of this id, on whatever node it runs.
///
/// # Errors
/// No such task runs, or what the store said.
pub(super) async fn show(
    services: &Services,
    inspector: &Inspector,
    permit: &Permit<String>,
    entities: &Permit<InProcessQuery>,
    output: &Output,
) -> Result<(), Refusal> {
    let task = permit.request();
    let now = services.clock.now();
    let mut rows = Vec::new();
    for job in running_jobs(services).await? {
        if let Some(holder) = job.holder().filter(|_| job.key.uid == *task) {
            let mut row = of_job(&job, &holder, now);
            row.push(json!(doing(services, &job).await?));
            rows.push(row);
        }
    }
    for item in inspector.in_process(entities).await? {
        if id_of(&item) == *task {
            let mut row = of_entity(&item);
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

/// The jobs that nodes hold now, by key.
///
/// # Errors
/// What the store said.
pub(super) async fn running_jobs(services: &Services) -> Result<Vec<Job>, Refusal> {
    let list = ListJobs {
        active_only: true,
        limit: LOOKED_AT,
        ..ListJobs::default()
    };
    let mut jobs = Vec::new();
    each_job(services.store.as_ref(), &list, |job| {
        if matches!(
            job.status,
            JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
        ) {
            jobs.push(job);
        }
        ControlFlow::Continue(())
    })
    .await?;
    jobs.sort_by(|one: &Job, other| one.key.cmp(&other.key));
    Ok(jobs)
}

fn of_job(job: &Job, holder: &Holder, now: Timestamp) -> Vec<Value> {
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

fn of_entity(item: &InProcessItem) -> Vec<Value> {
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
            let told = match services.kinds.get(other) {
                Some(kind) => kind.doing(job).await,
                None => None,
            };
            let told = told.map_or_else(String::new, |told| format!(": {told}"));
            format!("runs try {} of {}{told}", job.tries + 1, tries(job))
        }
    };
    if let Some(limit) = job.policy.timeout_ms {
        doing.push_str(&format!("; it is ended after {limit} ms"));
    }
    match job.desired {
        JobDesired::Run => (),
        JobDesired::Stop => doing.push_str("; it was told to stop"),
        JobDesired::Restart => doing.push_str("; it was told to start over"),
        JobDesired::Kill => doing.push_str("; it was told to end at once"),
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
