//! Jobs that wait for the ends of others: who follows whom is written down before a job is, and circles are refused.

use std::collections::BTreeSet;

use weft_model::schedule::Condition;
use weft_model::{Job, JobKey};
use weft_store::ListJobs;

use super::{Refusal, Services};

/// Jobs that are looked at in search of a circle.
const LOOKED_AT: usize = 2_000;

/// Notes for each job that this one waits for that it is followed.
///
/// # Errors
/// It follows itself, directly or by way of others; or what the store said.
pub(super) async fn follow(services: &Services, job: &Job) -> Result<(), Refusal> {
    refuse_circles(services, job).await?;
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

/// Looks back from job to job, those that are switched off included: they may be switched on. Two that are started at the
/// same time may still make a circle.
async fn refuse_circles(services: &Services, job: &Job) -> Result<(), Refusal> {
    let mut seen: BTreeSet<JobKey> = BTreeSet::new();
    let mut open: Vec<(Condition, Vec<String>)> = conditions(job)
        .map(|condition| (condition.clone(), Vec::new()))
        .collect();
    while let Some((condition, path)) = open.pop() {
        let mut path = path;
        path.push(condition.job());
        if condition.is_about(&job.key) {
            return Err(circle(&path));
        }
        let mut list = ListJobs {
            job_type: Some(condition.job_type.clone()),
            name: Some(condition.name.clone()),
            uid: condition.uid.clone(),
            active_only: true,
            limit: LOOKED_AT,
            after: None,
        };
        loop {
            let page = services.store.jobs(&list).await?;
            for found in page.jobs {
                if !seen.insert(found.key.clone()) {
                    continue;
                }
                if seen.len() > LOOKED_AT {
                    let message = format!("it follows more than {LOOKED_AT} other jobs");
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

fn circle(path: &[String]) -> Refusal {
    let message = match path {
        [_] => "a job cannot wait for itself".to_owned(),
        _ => format!(
            "it would wait for itself: {}",
            path.join(", which waits for ")
        ),
    };
    Refusal::failed(message).about("AFTER")
}
