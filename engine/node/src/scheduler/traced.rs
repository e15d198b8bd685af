//! The trace events of the scheduler, one function each.

use std::time::Duration;

use serde_json::{Value, json};
use weft_model::clock::Timestamp;
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_store::{ClaimJob, Settled, StoreResult};

use super::Running;
use super::plan::{Obstacle, Plan, RowMove, Seen};
use super::slots::SlotOffer;
use crate::NodeSession;
use crate::trace::TracedOperation::{
    JobsPoolExecutorGet, JobsPoolExecutorSubmit, JobsReconcile, JobsScheduler,
};

/// A due hint was found; the job is checked at its time.
pub(super) fn noted(session: &NodeSession, hint: &DueHint) {
    let fields = || json!({"due_at": hint.due_at.to_rfc3339()});
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "noted", &hint.key, fields);
}

/// The timer of a job is due.
pub(super) fn due(session: &NodeSession, key: &JobKey, late: Duration) {
    let fields = || json!({"late_ms": millis(late)});
    session
        .context
        .traces
        .event(JobsScheduler, "due", key, fields);
}

/// The row says that the job is due later.
pub(super) fn next_time(session: &NodeSession, key: &JobKey, moment: Timestamp) {
    let fields = || json!({"next_run": moment.to_rfc3339()});
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "next time", key, fields);
}

/// The job cannot run here; the hint is for other nodes and for later.
pub(super) fn deferred(session: &NodeSession, hint: &DueHint) {
    let fields = || json!({"due_at": hint.due_at.to_rfc3339()});
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "deferred", &hint.key, fields);
}

/// A row that no live node owns is moved without a run.
pub(super) fn moved(session: &NodeSession, job: &Job) {
    let fields = || {
        let next_run = job.next_run.map(Timestamp::to_rfc3339);
        json!({"status": job.status.to_string(), "next_run": next_run})
    };
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "moved", &job.key, fields);
}

/// The answer of the store to a claim.
pub(super) fn claimed<F>(
    session: &NodeSession,
    claim: &ClaimJob,
    answer: &StoreResult<Settled<F>>,
) {
    let fields = || {
        let answer = match answer {
            Ok(Settled::Applied) => "applied",
            Ok(Settled::Lost(_)) => "lost",
            Ok(Settled::StillUnknown) => "unknown",
            Err(_) => "failed",
        };
        let from = claim.seen_status.to_string();
        json!({"answer": answer, "from": from, "fence": claim.seen_fence + 1})
    };
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "claim", &claim.key, fields);
}

/// A job takes a slot of the pool, and of a logical id if one limits it.
pub(super) fn slot_taken(
    session: &NodeSession,
    running: &Running,
    key: &JobKey,
    logical_id: Option<&str>,
) {
    let fields = || {
        let size = session.context.config.job_pool_size;
        json!({"taken": running.job_count() + 1, "size": size, "logical_id": logical_id})
    };
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorGet, "taken", key, fields);
}

/// A job waits for a slot.
pub(super) fn no_slot(session: &NodeSession, running: &Running, key: &JobKey) {
    let fields = || {
        let size = session.context.config.job_pool_size;
        json!({"taken": running.job_count(), "size": size})
    };
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorGet, "not free", key, fields);
}

/// A job released its slot.
pub(super) fn slot_free(session: &NodeSession, key: &JobKey) {
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorGet, "free again", key, || json!({}));
}

/// A claimed job goes to its executor.
pub(super) fn handed_over(session: &NodeSession, job: &Job) {
    let fields = || json!({"try": job.tries + 1, "fence": job.fence});
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorSubmit, "handed over", &job.key, fields);
}

/// A hint leads to a job that has no row.
pub(super) fn no_row(session: &NodeSession, key: &JobKey, looks_again: bool) {
    let fields = || json!({"looks_again": looks_again});
    let traces = &session.context.traces;
    traces.event(JobsReconcile, "no row", key, fields);
}

/// The decision about a row.
pub(super) fn decided(session: &NodeSession, seen: &Seen<'_>, plan: &Plan) {
    let fields = || decision(seen, plan);
    let traces = &session.context.traces;
    traces.event(JobsReconcile, "decided", &seen.job.key, fields);
}

fn decision(seen: &Seen<'_>, plan: &Plan) -> Value {
    let job = seen.job;
    let mut fields = json!({
        "plan": name(plan),
        "why": why(seen, plan),
        "status": job.status.to_string(),
        "fence": job.fence,
        "waited_ms": millis(seen.waited),
    });
    match plan {
        Plan::NotBefore(moment) => fields["not_before"] = json!(moment.to_rfc3339()),
        Plan::Move(RowMove::PassTo(Some(next))) => fields["next_run"] = json!(next.to_rfc3339()),
        Plan::Again(pause) | Plan::LeaveToOwner(pause) => {
            fields["rank"] = json!(seen.rank);
            fields["again_in_ms"] = json!(millis(*pause));
        }
        Plan::Claim(_)
        | Plan::Pass
        | Plan::Defer(_)
        | Plan::AwaitSlot
        | Plan::Move(_)
        | Plan::Notify => (),
    }
    fields
}

fn name(plan: &Plan) -> &'static str {
    match plan {
        Plan::Pass => "pass",
        Plan::Claim(_) => "claim",
        Plan::NotBefore(_) => "not before",
        Plan::Defer(_) => "defer",
        Plan::AwaitSlot => "await a slot",
        Plan::Again(_) | Plan::LeaveToOwner(_) => "look again",
        Plan::Move(RowMove::Terminate) => "terminate",
        Plan::Move(RowMove::StartOver) => "start over",
        Plan::Move(RowMove::PassTo(_)) => "pass over",
        Plan::Notify => "tell",
    }
}

/// The rule of [`plan`](super::plan::plan) that decided, in words.
fn why(seen: &Seen<'_>, plan: &Plan) -> &'static str {
    let job = seen.job;
    let is_owned = matches!(
        job.status,
        JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
    );
    match plan {
        Plan::Pass if job.archived || job.status.is_ended() => "it has ended",
        Plan::Pass if seen.is_running_here => "it runs here",
        Plan::Pass if job.policy.paused => "its schedule is paused",
        Plan::Pass => "it waits for the end of another job",
        Plan::Claim(_) if is_owned => "the session that owned it is over",
        Plan::Claim(SlotOffer::Exceptional(_)) => "it is due, above the recommended size",
        Plan::Claim(_) => "it is due and there is room",
        Plan::NotBefore(_) => "its time has not come",
        Plan::Defer(Obstacle::Affinity) => "its affinity names other nodes",
        Plan::Defer(Obstacle::NoSlot) => "the limit of its type is reached here",
        Plan::Defer(Obstacle::UnknownKind) => "this node does not know its type",
        Plan::Defer(Obstacle::Clock) => "the clock of this node is wrong",
        Plan::AwaitSlot => "no slot is free",
        Plan::LeaveToOwner(_) => "a live node owns it",
        Plan::Again(_) if seen.rank > 0 => "other nodes go first",
        Plan::Again(_) => "another node may have a slot below its recommended size",
        Plan::Move(RowMove::Terminate) => "a stop was requested, and its owner is gone",
        Plan::Move(RowMove::StartOver) => "a restart was requested, and its owner is gone",
        Plan::Move(RowMove::PassTo(_)) => "its time was missed by more than its policy allows",
        Plan::Notify => "other jobs wait for its last end and may not have been notified",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
