//! What a trace says of the scheduler: each function is one of its events.

use std::time::Duration;

use serde_json::{Value, json};
use weft_model::clock::Timestamp;
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_store::{ClaimJob, Settled, StoreResult};

use super::Running;
use super::plan::{Obstacle, Plan, RowMove, Seen};
use super::slots::Room;
use crate::NodeSession;
use crate::trace::TracedOperation::{
    JobsPoolExecutorGet, JobsPoolExecutorSubmit, JobsReconcile, JobsScheduler,
};

/// Somebody will look at this moment.
pub(super) fn noted(session: &NodeSession, hint: &DueHint) {
    let fields = || json!({"due_at": hint.due_at.to_rfc3339()});
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "noted", &hint.key, fields);
}

/// The moment has come.
pub(super) fn due(session: &NodeSession, key: &JobKey, late: Duration) {
    let fields = || json!({"late_ms": millis(late)});
    session
        .context
        .traces
        .event(JobsScheduler, "due", key, fields);
}

/// The row says when it is due, which is later.
pub(super) fn next_time(session: &NodeSession, key: &JobKey, moment: Timestamp) {
    let fields = || json!({"next_run": moment.to_rfc3339()});
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "next time", key, fields);
}

/// It cannot be taken here; the hint is for others and for later.
pub(super) fn deferred(session: &NodeSession, hint: &DueHint) {
    let fields = || json!({"due_at": hint.due_at.to_rfc3339()});
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "deferred", &hint.key, fields);
}

/// A row that nobody holds becomes this, without a run.
pub(super) fn moved(session: &NodeSession, job: &Job) {
    let fields = || {
        let next_run = job.next_run.map(Timestamp::to_rfc3339);
        json!({"status": job.status.to_string(), "next_run": next_run})
    };
    let traces = &session.context.traces;
    traces.event(JobsScheduler, "moved", &job.key, fields);
}

/// What the store answered to a claim.
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

/// A job takes a slot of the pool, and perhaps one of a logical id.
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

/// A job waits for one.
pub(super) fn no_slot(session: &NodeSession, running: &Running, key: &JobKey) {
    let fields = || {
        let size = session.context.config.job_pool_size;
        json!({"taken": running.job_count(), "size": size})
    };
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorGet, "not free", key, fields);
}

/// A job gave its slot back.
pub(super) fn slot_free(session: &NodeSession, key: &JobKey) {
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorGet, "free again", key, || json!({}));
}

/// A claimed job goes to what runs it.
pub(super) fn handed_over(session: &NodeSession, job: &Job) {
    let fields = || json!({"try": job.tries + 1, "fence": job.fence});
    let traces = &session.context.traces;
    traces.event(JobsPoolExecutorSubmit, "handed over", &job.key, fields);
}

/// There is no row where a hint led.
pub(super) fn no_row(session: &NodeSession, key: &JobKey, looks_again: bool) {
    let fields = || json!({"looks_again": looks_again});
    let traces = &session.context.traces;
    traces.event(JobsReconcile, "no row", key, fields);
}

/// What looking at a row decided.
pub(super) fn decided(session: &NodeSession, seen: &Seen<'_>, plan: &Plan) {
    let fields = || decision(seen, plan);
    let traces = &session.context.traces;
    traces.event(JobsReconcile, "decided", &seen.job.key, fields);
}

fn decision(seen: &Seen<'_>, plan: &Plan) -> Value {
    let job = seen.job;
    let mut told = json!({
        "plan": name(plan),
        "why": why(seen, plan),
        "status": job.status.to_string(),
        "fence": job.fence,
        "waited_ms": millis(seen.waited),
    });
    match plan {
        Plan::NotBefore(moment) => told["not_before"] = json!(moment.to_rfc3339()),
        Plan::Move(RowMove::PassTo(Some(next))) => told["next_run"] = json!(next.to_rfc3339()),
        Plan::Again(pause) => {
            told["rank"] = json!(seen.rank);
            told["again_in_ms"] = json!(millis(*pause));
        }
        Plan::Claim(_)
        | Plan::Pass
        | Plan::Defer(_)
        | Plan::AwaitRoom
        | Plan::Move(_)
        | Plan::Tell => (),
    }
    told
}

fn name(plan: &Plan) -> &'static str {
    match plan {
        Plan::Pass => "pass",
        Plan::Claim(_) => "claim",
        Plan::NotBefore(_) => "not before",
        Plan::Defer(_) => "defer",
        Plan::AwaitRoom => "await a slot",
        Plan::Again(_) => "look again",
        Plan::Move(RowMove::Terminate) => "terminate",
        Plan::Move(RowMove::StartOver) => "start over",
        Plan::Move(RowMove::PassTo(_)) => "pass over",
        Plan::Tell => "tell",
    }
}

/// The rule of [`plan`](super::plan::plan) that decided, in words.
fn why(seen: &Seen<'_>, plan: &Plan) -> &'static str {
    let job = seen.job;
    let is_held = matches!(
        job.status,
        JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
    );
    match plan {
        Plan::Pass if job.archived || job.status.is_ended() => "it has ended",
        Plan::Pass if seen.runs_here => "it runs here",
        Plan::Pass if job.policy.paused => "its schedule is paused",
        Plan::Pass => "it waits for the end of another job",
        Plan::Claim(_) if is_held => "the session that held it is over",
        Plan::Claim(Room::Exceptional(_)) => "it is due, above the recommended size",
        Plan::Claim(_) => "it is due and there is room",
        Plan::NotBefore(_) => "its time has not come",
        Plan::Defer(Obstacle::Affinity) => "its affinity names other nodes",
        Plan::Defer(Obstacle::NoRoom) => "as many of its type run here as may",
        Plan::Defer(Obstacle::UnknownKind) => "this node does not know its type",
        Plan::AwaitRoom => "no slot is free",
        Plan::Again(_) if is_held && !seen.held_by_me && !seen.holder_is_dead => {
            "a live node holds it"
        }
        Plan::Again(_) if seen.rank > 0 => "other nodes go first",
        Plan::Again(_) => "another node may have a slot below its recommended size",
        Plan::Move(RowMove::Terminate) => "it was told to stop, and its owner is gone",
        Plan::Move(RowMove::StartOver) => "it was told to start over, and its owner is gone",
        Plan::Move(RowMove::PassTo(_)) => "its time was missed by more than its policy allows",
        Plan::Tell => "others wait for its last end and were perhaps not told",
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
