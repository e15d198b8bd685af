//! Jobs that wait for the ends of others: who follows which job is written before the row of the follower, and cycles are
//! refused.

use std::collections::BTreeSet;

use weft_model::schedule::Condition;
use weft_model::{Job, JobKey};
use weft_store::ListJobs;

use crate::refusal::Refusal;
use crate::services::Services;

/// How many jobs the search for a cycle reads at most.
const SCANNED: usize = 2_000;

/// Notes the job as a follower of each job that it waits for.
///
/// # Errors
/// It follows itself, directly or through other jobs; or the store failed.
pub(super) async fn follow(services: &Services, job: &Job) -> Result<(), Refusal> {
    refuse_cycles(services, job).await?;
    let names: BTreeSet<(&str, &str)> = conditions(job)
        .map(|condition| (condition.job_type.as_str(), condition.name.as_str()))
        .collect();
    for (job_type, name) in names {
        services
            .store
            .put_follower(job_type, name, &job.key)
            .await?;
    }
    Ok(())
}

fn conditions(job: &Job) -> impl Iterator<Item = &Condition> {
    job.policy
        .after
        .iter()
        .flat_map(|trigger| &trigger.conditions)
}

/// Follows the conditions from job to job. Switched-off ones count, because they can be switched on later. Two jobs that
/// are started at the same time can still form a cycle.
async fn refuse_cycles(services: &Services, job: &Job) -> Result<(), Refusal> {
    let mut seen: BTreeSet<JobKey> = BTreeSet::new();
    let mut open: Vec<(Condition, Vec<String>)> = conditions(job)
        .map(|condition| (condition.clone(), Vec::new()))
        .collect();
    while let Some((condition, path)) = open.pop() {
        let mut path = path;
        path.push(condition.job());
        if condition.is_about(&job.key) {
            return Err(cycle(&path));
        }
        let mut list = ListJobs {
            job_type: Some(condition.job_type.clone()),
            name: Some(condition.name.clone()),
            uid: condition.uid.clone(),
            active_only: true,
            limit: SCANNED,
            after: None,
        };
        loop {
            let page = services.store.jobs(&list).await?;
            for found in page.jobs {
                if !seen.insert(found.key.clone()) {
                    continue;
                }
                if seen.len() > SCANNED {
                    let message = format!("it follows more than {SCANNED} other jobs");
                    return Err(Refusal::failed(message).about("AFTER"));
                }
                let further = conditions(&found).cloned();
                open.extend(further.map(|condition| (condition, path.clone())));
            }
            list.after = page.next;
            if list.after.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn cycle(path: &[String]) -> Refusal {
    let message = match path {
        [_] => "a job cannot wait for itself".to_owned(),
        _ => format!(
            "it would wait for itself: {}",
            path.join(", which waits for ")
        ),
    };
    Refusal::failed(message).about("AFTER")
}
