//! PS of one task: what it does now, and since when.

use serde_json::json;

use super::output::Output;
use super::{Permit, Refusal, Services, jobs};
use crate::inspect::{InProcessQuery, Inspector};
use crate::job::run_key;
use crate::model::{BatchId, Job, JobDesired, job_type};
use crate::store::Freshness;

const COLUMNS: [&str; 7] = [
    "Node", "Task", "Kind", "Command", "Since", "For (ms)", "Doing",
];

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
    for job in jobs::running_jobs(services).await? {
        let Some(holder) = job.holder().filter(|_| job.key.uid == *task) else {
            continue;
        };
        let since = job.start_time.unwrap_or(now);
        rows.push(vec![
            json!(holder.node.0),
            json!(job.key.uid),
            json!("job"),
            json!(format!("{} {}", job.key.job_type, job.key.name)),
            json!(since.to_seconds_text()),
            json!(now.millis_since(since).max(0)),
            json!(doing(services, &job).await?),
        ]);
    }
    for item in inspector.in_process(entities).await? {
        let id = format!("{}/{}", item.batch, item.entity);
        if id != *task {
            continue;
        }
        let doing = format!(
            "runs the command for one entity of batch {}, execution {}",
            item.batch, item.execution_id
        );
        rows.push(vec![
            json!(item.node.0),
            json!(id),
            json!("entity"),
            json!(item.command),
            json!(item.since.to_seconds_text()),
            json!(item.millis),
            json!(doing),
        ]);
    }
    if rows.is_empty() {
        let refusal = Refusal::not_found(format!("no task `{task}` runs"));
        return Err(refusal.hint("PS ALL shows the tasks; JOBSTATUS shows jobs that do not run"));
    }
    output.columns(&COLUMNS).await;
    for row in rows {
        output.row(row).await;
    }
    Ok(())
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
