//! STOPJOB, RESTARTJOB, RESUMEJOB and UPDATEJOB: rows are written where no node runs the job, and requests where one does.

use std::collections::BTreeMap;

use tracing::info;
use weft_model::schedule::JobPolicy;
use weft_model::{Job, JobKey, job_type};
use weft_node::job::Step;
use weft_node::job::change::{self, Update};
use weft_store::JobDefinition;

use super::apply::{Applied, OverEnded, apply};
use super::arguments::stored;
use super::{CHANGED, JobDraft, JobTarget, Patch, changed_row};
use crate::commands::Execution;
use crate::commands::batch::cancel::request_cancel;
use crate::permission::{Permit, needs};
use crate::refusal::Refusal;
use crate::services::Services;

/// A change of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobChange {
    /// End it.
    Stop,
    /// Begin its run again.
    Restart,
    /// Resume it after its end.
    Resume,
    /// Change its definition.
    Update(Box<UpdateJob>),
}

/// A checked draft for an existing job.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateJob {
    pub(super) draft: JobDraft,
    /// The values of the session, which the job keeps with new ARGS.
    pub(super) scope: BTreeMap<String, String>,
}

/// A change of all jobs of a target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChangeJobs {
    pub(crate) target: JobTarget,
    pub(crate) change: JobChange,
}

needs!(Batch: ChangeJobs);

/// Changes the jobs and shows a row for each.
///
/// # Errors
/// There is no such job, or at least one was not changed.
pub(crate) async fn run(
    execution: Execution<'_>,
    permit: Permit<ChangeJobs>,
) -> Result<(), Refusal> {
    let output = execution.output;
    let changed = change_all(execution.services, &permit).await?;
    output.columns(&CHANGED).await;
    let count = changed.len();
    let mut refused = 0;
    for Changed {
        job,
        note,
        is_refused,
    } in changed
    {
        refused += usize::from(is_refused);
        output.row(changed_row(&job, note)).await;
    }
    match refused {
        0 => Ok(()),
        _ => Err(Refusal::failed(format!(
            "{refused} of {count} jobs were not changed; the column Notes says why"
        ))),
    }
}

/// A job of the target, after the change.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) job: Job,
    /// What there is to say about it, or why it was refused.
    pub(crate) note: Option<String>,
    is_refused: bool,
}

/// Changes all jobs of the target.
///
/// # Errors
/// There is no such job, or there is one and it was refused.
pub(crate) async fn change_all(
    services: &Services,
    permit: &Permit<ChangeJobs>,
) -> Result<Vec<Changed>, Refusal> {
    let ChangeJobs { target, change } = permit.request();
    let jobs = target.jobs(services).await?;
    let is_meant = |job: &&Job| match (change, &target.uid) {
        (_, Some(_)) => true,
        (JobChange::Resume, None) => job.archived,
        (JobChange::Stop | JobChange::Restart | JobChange::Update(_), None) => !job.archived,
    };
    let meant: Vec<&Job> = jobs.iter().filter(is_meant).collect();
    if meant.is_empty() {
        let state = match change {
            JobChange::Resume => "archived",
            JobChange::Stop | JobChange::Restart | JobChange::Update(_) => "active",
        };
        return Err(Refusal::conflict(format!(
            "none of the {} jobs {} '{}' is {state}",
            jobs.len(),
            target.job_type,
            target.name
        )));
    }
    let is_one = meant.len() == 1;
    let mut changed = Vec::new();
    let principal = &permit.principal().name;
    for job in meant {
        let (job, note, is_refused) = match change_one(services, job, change, principal).await {
            Ok((job, note)) => (job, note, false),
            Err(refusal) if is_one => return Err(refusal),
            Err(refusal) => (job.clone(), Some(refusal.to_string()), true),
        };
        changed.push(Changed {
            job,
            note,
            is_refused,
        });
    }
    Ok(changed)
}

/// Restarts one job, if a node runs it.
///
/// # Errors
/// The restart was refused, or the store failed.
pub(crate) async fn restart_running(services: &Services, key: &JobKey) -> Result<(), Refusal> {
    let restarted = apply_to_existing(services, key, |job| {
        Ok(match job.holder() {
            Some(_) => change::restart(job)?,
            None => Step::Leave(format!("it is {}", job.status)),
        })
    });
    restarted.await.map(drop)
}

/// Changes a row that must exist.
pub(crate) async fn apply_to_existing(
    services: &Services,
    key: &JobKey,
    decide: impl Fn(&Job) -> Result<Step, Refusal>,
) -> Result<Applied, Refusal> {
    apply(
        services,
        key,
        OverEnded::SameDefinition,
        |found| match found {
            Some(job) => decide(job),
            None => Err(Refusal::not_found("the job is gone")),
        },
    )
    .await
}

async fn change_one(
    services: &Services,
    job: &Job,
    change: &JobChange,
    principal: &str,
) -> Result<(Job, Option<String>), Refusal> {
    if job.key.job_type == job_type::BATCH_PROCESS {
        return change_batch(services, job, change, principal).await;
    }
    let key = &job.key;
    let Applied { job, note, .. } = apply_to_existing(services, key, |job| {
        let now = services.clock.now();
        match change {
            JobChange::Stop => Ok(change::stop(job, now)?),
            JobChange::Restart => Ok(change::restart(job)?),
            JobChange::Resume => Ok(change::resume(job, now)?),
            JobChange::Update(update) => Ok(change::update(job, updated(job, update)?, now)?),
        }
    })
    .await?;
    info!(
        job.name = key.name,
        job.uid = key.uid,
        principal,
        "{principal} changed '{}.{}.{}', which is {} now",
        key.job_type,
        key.name,
        key.uid,
        job.status
    );
    Ok((job, note))
}

/// STOPJOB of the job of a batch is BATCH_CANCEL (as in Fabric). The other changes are made through the batch.
pub(crate) async fn change_batch(
    services: &Services,
    job: &Job,
    change: &JobChange,
    principal: &str,
) -> Result<(Job, Option<String>), Refusal> {
    let hint = match change {
        JobChange::Stop => {
            let id = job.key.uid.parse().map_err(|_| {
                Refusal::failed(format!("the uid `{}` is not a batch id", job.key.uid))
            })?;
            let (_, note) = request_cancel(services, id, principal).await?;
            return Ok((job.clone(), Some(note.to_owned())));
        }
        JobChange::Restart | JobChange::Update(_) => "STOPJOB or BATCH_CANCEL ends it",
        JobChange::Resume => "submit the batch again",
    };
    Err(Refusal::failed("the job of a batch is changed through its batch").hint(hint))
}

/// The definition of a job with the changes of an UPDATEJOB.
fn updated(job: &Job, update: &UpdateJob) -> Result<Update, Refusal> {
    let draft = &update.draft;
    let policy = draft.policy.apply(job.policy.clone())?;
    let execution_interval = match &draft.exec_interval {
        Patch::Keep => job.execution_interval.clone(),
        Patch::Reset => None,
        Patch::Set(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
    };
    let schedule_of = |policy: &JobPolicy| {
        (
            policy.start_at,
            policy.end_at,
            policy.time_zone.clone(),
            policy.jitter_ms,
            policy.after.is_empty(),
        )
    };
    Ok(Update {
        reschedules: execution_interval != job.execution_interval
            || schedule_of(&policy) != schedule_of(&job.policy),
        runs_now: draft.reset_end_time == Some(true),
        definition: JobDefinition {
            affinity: draft.affinity().unwrap_or_else(|| job.affinity.clone()),
            arguments: match draft.arguments()? {
                None => job.arguments.clone(),
                Some(arguments) => stored(arguments, &update.scope),
            },
            execution_interval,
            policy,
            triggers: job.triggers.clone(),
        },
    })
}
