//! One change of one job: read the row, decide, and write the row or leave a request in it.

use std::time::Duration;

use tracing::debug;
use weft_model::{DueHint, Job, JobKey};
use weft_node::job::Step;
use weft_node::job::overlap;
use weft_store::{ChangeJob, Decided, Decision, Freshness, SelfFence, WriteJob, decide_and_settle};

use super::followers::follow;
use crate::frame::EndStatus;
use crate::refusal::Refusal;
use crate::services::Services;

/// How long to re-send a change whose outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a row that is written over the row of an ended job holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverEnded {
    /// A new definition, which the kind of the job must check.
    NewDefinition,
    /// The definition of the ended job, which was checked when it was started.
    SameDefinition,
}

/// A job after the decision was carried out.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) job: Job,
    /// What there is to say about it.
    pub(crate) note: Option<String>,
    /// The row was written, or a request was left in it.
    pub(crate) is_changed: bool,
}

/// Reads the row, decides, and carries the step out; decides again when the row changed in between.
///
/// # Errors
/// The decision or a check refuses the change, or the outcome is unknown.
pub(crate) async fn apply(
    services: &Services,
    key: &JobKey,
    over_ended: OverEnded,
    decide: impl Fn(Option<&Job>) -> Result<Step, Refusal>,
) -> Result<Applied, Refusal> {
    let store = services.store.as_ref();
    let self_fence = SelfFence::for_duration(services.clock.clone(), PATIENCE);
    let read = store.job(key, Freshness::Serial);
    let decide = |found: Option<Job>| {
        let step = decide(found.as_ref());
        async move { next_operation(services, over_ended, found, step?).await }
    };
    match decide_and_settle(store, &services.ids, &self_fence, read, decide).await? {
        Decided::Applied { operation, before } => Ok(applied(services, operation, before)),
        Decided::Stopped(applied) => Ok(applied),
        Decided::StillUnknown(operation) => {
            if let ChangeJob::Write(write) = operation
                && let Some(due) = write.due
            {
                put_later_hint(services, &due).await;
                services.wake.due(due);
            }
            Err(outcome_unknown(key))
        }
        Decided::MovedTooFast(_) => Err(Refusal::conflict("the job changes too fast; ask again")),
    }
}

/// The operation that carries out a step on the row as it was found.
async fn next_operation(
    services: &Services,
    over_ended: OverEnded,
    found: Option<Job>,
    step: Step,
) -> Result<Decision<ChangeJob, Applied>, Refusal> {
    let (now, token) = (services.clock.now(), services.ids.token());
    match (step, found) {
        (Step::Refuse(why), _) => Err(Refusal::conflict(why)),
        (Step::Leave(note), Some(job)) => Ok(Decision::Stop(Applied {
            job,
            note: Some(note),
            is_changed: false,
        })),
        (Step::Write(job), None) => {
            check(services, &job).await?;
            follow(services, &job).await?;
            let write = WriteJob::of(*job, None, now, token);
            Ok(Decision::Settle(ChangeJob::Write(Box::new(write))))
        }
        (step, Some(row)) => {
            check_step(services, over_ended, &row, &step).await?;
            let operation = step.operation(&row, now, token);
            let operation = operation.expect("a write and a request change the row");
            Ok(Decision::Settle(operation))
        }
        (Step::Leave(_) | Step::Request { .. }, None) => Err(Refusal::not_found("the job is gone")),
    }
}

/// Wakes the part of the node that continues with the job, and returns the job as it is now.
fn applied(services: &Services, operation: ChangeJob, before: Option<Job>) -> Applied {
    match operation {
        ChangeJob::Write(write) => {
            if let Some(due) = write.due {
                services.wake.due(due);
            }
            Applied {
                note: write.job.notes.clone(),
                job: write.job,
                is_changed: true,
            }
        }
        ChangeJob::Request(request) => {
            services.wake.requests();
            let before = before.expect("a request is left in a row that was found");
            Applied {
                job: Job {
                    status: request.status,
                    ..before
                },
                note: Some("the node that runs it carries it out".to_owned()),
                is_changed: true,
            }
        }
    }
}

/// Checks the definition that the step makes new, and notes which jobs this one follows.
async fn check_step(
    services: &Services,
    over_ended: OverEnded,
    row: &Job,
    step: &Step,
) -> Result<(), Refusal> {
    match step {
        Step::Write(job) => {
            let is_changed = job.policy != row.policy || job.arguments != row.arguments;
            let is_ended = row.status.is_ended();
            if is_changed || is_ended && over_ended == OverEnded::NewDefinition {
                check(services, job).await?;
            }
            // Resuming a job can close a dependency cycle that was broken while the job was archived.
            if job.policy != row.policy || is_ended && !job.archived {
                follow(services, job).await?;
            }
        }
        Step::Request {
            definition: Some(definition),
            ..
        } => {
            let defined = definition.applied_to(row);
            check(services, &defined).await?;
            follow(services, &defined).await?;
        }
        Step::Request {
            definition: None, ..
        }
        | Step::Leave(_)
        | Step::Refuse(_) => (),
    }
    Ok(())
}

/// Lets the kind of the job check its definition, before it is written.
async fn check(services: &Services, job: &Job) -> Result<(), Refusal> {
    let Some(kind) = services.kinds.get(&job.key.job_type) else {
        return Err(Refusal::failed(format!(
            "this node cannot run jobs of type {}",
            job.key.job_type
        )));
    };
    if let Some(why) = overlap::refusal(job) {
        return Err(Refusal::usage(why).about("OVERLAP"));
    }
    kind.check(job).await.map_err(|check| {
        let refusal = Refusal::failed(check.message);
        match check.hint {
            Some(hint) => refusal.hint(hint),
            None => refusal,
        }
    })
}

/// The row may still be written, after nodes have found the old one and passed its hint. A later hint leads them there.
async fn put_later_hint(services: &Services, due: &DueHint) {
    let hint = DueHint {
        due_at: services.clock.now().plus(PATIENCE),
        key: due.key.clone(),
    };
    if let Err(error) = services.store.put_due(&hint).await {
        debug!(error = %error, "Could not write the later due hint of a job: {error}");
    }
}

fn outcome_unknown(key: &JobKey) -> Refusal {
    let message = "the store does not answer: the job may or may not have been changed";
    Refusal::new(EndStatus::Unreachable, message).hint(format!(
        "look with JOBSTATUS {} '{}' WITH UID='{}' before you repeat it",
        key.job_type, key.name, key.uid
    ))
}
