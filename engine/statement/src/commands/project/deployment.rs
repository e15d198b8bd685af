//! What a deployment means for jobs: running jobs of its logical units are restarted, and the jobs of the project are started
//! where they do not exist yet (R100–R102).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use tracing::warn;
use weft_model::{Job, JobKey, JobStatus, Principal};
use weft_project::{DeployReport, Project, ProjectJob};
use weft_store::{Freshness, ListJobs, each_job};

use crate::commands::job::change::restart_running;
use crate::commands::job::{JobDraft, start};
use crate::permission::authorize;
use crate::refusal::Refusal;
use crate::services::Services;

/// How many jobs are read at most in search of running ones.
const SCANNED: usize = 100_000;

/// Restarts and starts jobs. Returns, in sentences, what was done and what was not.
pub async fn apply_deployment(
    services: &Services,
    principal: &Principal,
    report: &DeployReport,
) -> Vec<String> {
    let mut notes = Vec::new();
    if report.changed {
        match restart_concerned(services, report).await {
            Ok(restarted) => notes.extend(restarted),
            Err(refusal) => notes.push(format!("running jobs were not restarted: {refusal}")),
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

/// Restarts the running jobs of deployed logical units.
async fn restart_concerned(
    services: &Services,
    report: &DeployReport,
) -> Result<Vec<String>, Refusal> {
    let list = ListJobs {
        active_only: true,
        limit: SCANNED,
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
        notes.push(match restart_running(services, &key).await {
            Ok(()) => format!("'{job_type}.{name}.{uid}' restarts with the new deployment"),
            Err(refusal) => format!("'{job_type}.{name}.{uid}' was not restarted: {refusal}"),
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
            match start_job(services, principal, job).await {
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

/// Starts a job of the project. None where it exists already, in whatever state: a deployment changes no registered job
/// (Fabric R101).
async fn start_job(
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
    let started = start::start(services, &BTreeMap::new(), &permit).await?;
    Ok(Some(started.item.job.status))
}

fn draft(job: &ProjectJob) -> JobDraft {
    let arguments = (!job.arguments.is_empty()).then(|| job.arguments.clone());
    let affinity = (!job.affinity.is_empty()).then(|| job.affinity.clone());
    JobDraft {
        job_type: job.job_type.clone(),
        name: job.name.clone(),
        uid: Some(job.uid.clone()),
        affinity: affinity.into(),
        arguments: arguments.into(),
        exec_interval: job.exec_interval.clone().into(),
        policy: job.policy.clone(),
        ..JobDraft::default()
    }
}
