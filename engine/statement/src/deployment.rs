//! What a deployment means for jobs: running ones of its logical units begin anew, and those that the project brings along
//! are started where they are not there yet (R100–R102).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tracing::warn;
use weft_model::Principal;
use weft_model::{Job, JobKey, JobStatus};
use weft_project::{DeployReport, Project, ProjectJob};
use weft_store::{Freshness, ListJobs, each_job};

use super::permit::authorize;
use super::{Ask, JobDraft, PolicyDraft, Refusal, Services, jobs};

/// Jobs that are looked at; nobody runs more at a time.
const LOOKED_AT: usize = 100_000;

/// Makes it so, and says what was done and what could not be, in sentences.
pub async fn apply_deployment(
    services: &Services,
    principal: &Principal,
    report: &DeployReport,
) -> Vec<String> {
    let mut notes = Vec::new();
    if report.changed {
        match restart_running(services, report).await {
            Ok(restarted) => notes.extend(restarted),
            Err(refusal) => notes.push(format!("jobs that run go on as they are: {refusal}")),
        }
    }
    let project = match services.catalogue.current_project().await {
        Ok(project) => project,
        Err(error) => {
            notes.push(format!("the jobs of the project were not started: {error}"));
            return notes;
        }
    };
    notes.extend(start_missing(services, principal, &project).await);
    notes
}

async fn restart_running(
    services: &Services,
    report: &DeployReport,
) -> Result<Vec<String>, Refusal> {
    let list = ListJobs {
        active_only: true,
        limit: LOOKED_AT,
        ..ListJobs::default()
    };
    let mut running = Vec::new();
    let is_concerned = |job: &Job| {
        let kind = services.kinds.get(&job.key.job_type);
        let unit = job.key.name.split('.').next().unwrap_or_default();
        job.status == JobStatus::InProcess
            && kind.is_some_and(|kind| kind.uses_project())
            && report
                .deployment
                .logical_units
                .iter()
                .any(|known| known.eq_ignore_ascii_case(unit))
    };
    each_job(services.store.as_ref(), &list, |job| {
        if is_concerned(&job) {
            running.push(job.key);
        }
        ControlFlow::Continue(())
    })
    .await?;
    let mut notes = Vec::new();
    for key in running {
        let JobKey {
            job_type,
            name,
            uid,
        } = &key;
        notes.push(match jobs::restart_running(services, &key).await {
            Ok(()) => format!("'{job_type}.{name}.{uid}' begins anew with what is deployed now"),
            Err(refusal) => format!("'{job_type}.{name}.{uid}' goes on as it is: {refusal}"),
        });
    }
    Ok(notes)
}

async fn start_missing(
    services: &Services,
    principal: &Principal,
    project: &Project,
) -> Vec<String> {
    let mut notes = Vec::new();
    for unit in project.logical_units() {
        for job in unit.jobs.iter().filter(|job| job.is_active) {
            match start(services, principal, job).await {
                Ok(None) => (),
                Ok(Some(started)) => notes.push(format!(
                    "'{}.{}.{}' is {}",
                    job.job_type, job.name, job.uid, started
                )),
                Err(refusal) => {
                    warn!(
                        job.uid = job.uid,
                        "A job of the project was not started: {refusal}"
                    );
                    notes.push(format!(
                        "'{}.{}.{}' was not started: {refusal}",
                        job.job_type, job.name, job.uid
                    ));
                }
            }
        }
    }
    notes
}

/// None where the job is there already, in whatever state: a deployment changes no registered job (Fabric R101).
async fn start(
    services: &Services,
    principal: &Principal,
    job: &ProjectJob,
) -> Result<Option<JobStatus>, Refusal> {
    let key = JobKey {
        job_type: job.job_type.clone(),
        name: job.name.clone(),
        uid: job.uid.clone(),
    };
    if services.store.job(&key, Freshness::Serial).await?.is_some() {
        return Ok(None);
    }
    let request = draft(job).start(&services.kinds)?;
    let permit = authorize(services.policy.as_ref(), principal, request)?;
    let begun = jobs::begin(services, &BTreeMap::<String, String>::new(), &permit).await?;
    Ok(Some(begun.item.job.status))
}

fn draft(job: &ProjectJob) -> JobDraft {
    let arguments = (!job.arguments.is_empty()).then(|| job.arguments.clone());
    let text = |text: &Option<String>| -> Ask<String> { text.clone().into() };
    JobDraft {
        job_type: job.job_type.clone(),
        name: job.name.clone(),
        uid: Some(job.uid.clone()),
        affinity: (!job.affinity.is_empty())
            .then(|| job.affinity.clone())
            .into(),
        arguments: arguments.into(),
        exec_interval: text(&job.exec_interval),
        policy: PolicyDraft {
            time_zone: text(&job.time_zone),
            after: text(&job.after),
            max_attempts: job.max_attempts.into(),
            retry_delay_ms: job.retry_delay_ms.into(),
            timeout_ms: job.timeout_ms.into(),
            ..PolicyDraft::default()
        },
        ..JobDraft::default()
    }
}
