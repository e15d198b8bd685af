//! The background tasks of the poll loop: claims with their runs, moves of rows that no node runs, and notifications. A
//! store that does not answer one of them delays no other job.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use weft_model::{DueHint, Job, JobEvent, JobKey, JobStatus};
use weft_store::{ClaimJob, JobSeen, Settled, StoreResult};

use super::executor::{Claimed, Executor, Slots};
use super::plan::RowMove;
use super::poll_loop::PollLoop;
use super::slots::SlotOffer;
use super::timers::{Timer, uptime};
use super::{HintInHand, RunningJob, traced};
use crate::NodeSession;
use crate::job::schedule::schedule_of;
use crate::job::{crash, notify_followers, overlap};

impl PollLoop {
    /// Claims and runs a job in the background. It takes its slot at once, so that the next check counts it. `timer` led
    /// here.
    pub(super) fn claim_in_background(
        &self,
        job: Job,
        offer: SlotOffer,
        executor: Arc<dyn Executor>,
        timer: Timer,
    ) {
        let session = self.session.clone();
        if let Err(illegal) = job.status.next(JobEvent::Claimed) {
            warn!(job.uid = job.key.uid, "Left a job alone: {illegal}");
            return;
        }
        let now = session.context.clock.now();
        let claim = claim_operation(&session, &job);
        let covered = overlap::covered_until(&job, now);
        let (slot, give_up_after) = accept_offer(&session, &job, offer);
        let slots = executor.slots();
        let running_job = RunningJob {
            fence: job.fence + 1,
            hinted_at: uptime(session.context.clock.as_ref()),
            takes_slot: slots == Slots::Pool,
            lent: 0,
            slot,
        };
        if slots == Slots::Pool {
            traced::slot_taken(
                &session,
                &self.running,
                &job.key,
                running_job.slot.as_deref(),
            );
        }
        let guard = self.running.enter(&job.key, running_job);
        let hint = self.running.hold_hint(timer);
        let claimed = Claimed {
            job,
            slot: guard.slot(),
            give_up_after,
            covered,
            failure: None,
            follows_death: claim.cut_short.is_some(),
        };
        session.tasks.clone().spawn(async move {
            let key = claim.key.clone();
            let ran = claim_and_run(&session, executor.as_ref(), &claim, claimed, hint).await;
            drop(guard);
            if slots == Slots::Pool {
                traced::slot_free(&session, &key);
            }
            if ran {
                notify_followers(&session, &key).await;
            }
        });
    }

    /// Moves a row that no node runs. If another node was faster, its hint leads here again.
    pub(super) fn move_in_background(&self, job: &Job, change: RowMove, timer: Timer) {
        let session = self.session.clone();
        let moved = match change.apply(job, session.context.clock.now()) {
            Ok(moved) => moved,
            Err(illegal) => {
                warn!(job.uid = job.key.uid, "Left a job alone: {illegal}");
                return;
            }
        };
        let seen = JobSeen::of(job);
        let running_job = RunningJob {
            fence: job.fence,
            hinted_at: uptime(session.context.clock.as_ref()),
            takes_slot: false,
            lent: 0,
            slot: None,
        };
        let guard = self.running.enter(&job.key, running_job);
        let hint = self.running.hold_hint(timer);
        session.tasks.clone().spawn(async move {
            let key = moved.key.clone();
            traced::moved(&session, &moved);
            info!(
                job.uid = key.uid,
                "'{}.{}.{}' is now {} without a run", key.job_type, key.name, key.uid, moved.status
            );
            let written = session.write_job(moved, Some(seen)).await;
            drop(guard);
            if let Err(error) = written {
                debug!(error = %error, "Could not move a job: {error}");
                recheck_soon(&session, key, hint);
            }
        });
    }

    /// Notifies the jobs that wait for the last end of this one.
    pub(super) fn notify_in_background(&self, key: JobKey, timer: Timer) {
        let session = self.session.clone();
        let hint = self.running.hold_hint(timer);
        session.tasks.clone().spawn(async move {
            if !notify_followers(&session, &key).await {
                recheck_soon(&session, key, hint);
            }
        });
    }
}

/// The logical id whose slot the job takes, and when to hand the job over to other nodes.
fn accept_offer(
    session: &NodeSession,
    job: &Job,
    offer: SlotOffer,
) -> (Option<String>, Option<Duration>) {
    match offer {
        SlotOffer::Exceptional(name) if !is_recurring(job) => {
            (Some(name), Some(draw_give_up_after(session)))
        }
        // A recurring job stays on its node (Fabric R97).
        SlotOffer::Exceptional(name) => (Some(name), None),
        SlotOffer::Free(name) => (name, None),
        SlotOffer::Full => (None, None),
    }
}

/// Returns whether other jobs wait for the end of the run. `hint` is the one that led here; the claim writes the next.
async fn claim_and_run(
    session: &NodeSession,
    executor: &dyn Executor,
    claim: &ClaimJob,
    claimed: Claimed,
    hint: HintInHand,
) -> bool {
    if !executor.prepare(&claimed.job).await {
        return false;
    }
    match settle_claim(session, claim).await {
        Ok(true) => drop(hint),
        // Another node was faster, or the job was stopped: normal.
        Ok(false) => {
            executor.withdraw(&claimed.job);
            return false;
        }
        Err(error) => {
            executor.withdraw(&claimed.job);
            debug!(error = %error, "Could not claim a job: {error}");
            recheck_soon(session, claim.key.clone(), hint);
            return false;
        }
    }
    if claimed.job.status == JobStatus::InProcess {
        metrics::counter!("takeovers_total", "kind" => "job").increment(1);
    }
    let failure = match executor.ends_after_crashes() {
        true => crash::failure_after(session, claim).await,
        false => None,
    };
    let job = claim.apply(claimed.job);
    let key = &job.key;
    info!(
        job.name = key.name,
        job.uid = key.uid,
        "'{}.{}.{}' is now {} by {}",
        key.job_type,
        key.name,
        key.uid,
        job.status,
        session.me.node
    );
    traced::handed_over(session, &job);
    let claimed = Claimed {
        job,
        failure,
        ..claimed
    };
    executor.run(claimed).await
}

async fn settle_claim(session: &NodeSession, claim: &ClaimJob) -> StoreResult<bool> {
    let settled = session.settle(claim).await;
    traced::claimed(session, claim, &settled);
    match settled? {
        Settled::Applied => Ok(true),
        Settled::Lost(_) | Settled::StillUnknown => Ok(false),
    }
}

fn claim_operation(session: &NodeSession, job: &Job) -> ClaimJob {
    let context = &session.context;
    let now = context.clock.now();
    ClaimJob {
        key: job.key.clone(),
        seen_status: job.status,
        seen_fence: job.fence,
        holder: session.me.clone(),
        now,
        due: DueHint {
            due_at: now.plus(context.config.dead_after()),
            key: job.key.clone(),
        },
        cut_short: crash::cut_short(session, job),
        token: context.ids.token(),
    }
}

/// Checks the job again after a poll interval.
fn recheck_soon(session: &NodeSession, key: JobKey, hint: HintInHand) {
    let context = &session.context;
    hint.recheck(
        key,
        uptime(context.clock.as_ref()) + context.config.poll_interval,
    );
}

fn is_recurring(job: &Job) -> bool {
    schedule_of(job).is_some_and(|schedule| schedule.is_recurring())
}

/// A random time between the bounds, so that not all nodes give up at once (Fabric R96).
fn draw_give_up_after(session: &NodeSession) -> Duration {
    let config = &session.context.config;
    let span = config.max_give_up.saturating_sub(config.min_give_up);
    config.min_give_up + session.context.ids.jitter(span)
}
