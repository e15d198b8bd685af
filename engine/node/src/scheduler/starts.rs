//! What the poll loop starts beside itself: claims with their runs, moves of rows that no node runs, notifications. A
//! store that does not answer one of them holds up no other job.

use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info, warn};
use weft_model::{DueHint, Job, JobEvent, JobKey, JobStatus};
use weft_store::{ClaimJob, JobSeen, Settled, StoreResult};

use super::executor::{Claimed, Executor, Slots};
use super::plan::RowMove;
use super::poll_loop::PollLoop;
use super::slots::Room;
use super::{Held, traced};
use crate::NodeSession;
use crate::job::schedule::schedule_of;
use crate::job::{notify_followers, overlap};

impl PollLoop {
    /// The job takes its slot at once, so that the next look counts it, and is claimed and run beside the loop.
    pub(super) fn claim_in_background(&self, job: Job, room: Room, executor: Arc<dyn Executor>) {
        let session = self.session.clone();
        if let Err(illegal) = job.status.next(JobEvent::Claimed) {
            warn!(job.uid = job.key.uid, "Left a job alone: {illegal}");
            return;
        }
        let now = session.context.clock.now();
        let claim = claim_of(&session, &job);
        let covered = overlap::covered_until(&job, now);
        let (slot, give_up_after) = match room {
            Room::Exceptional(name) if !is_recurring(&job) => {
                (Some(name), Some(give_up_after(&session)))
            }
            // Recurring jobs are left where they are (Fabric R97).
            Room::Exceptional(name) => (Some(name), None),
            Room::Free(name) => (name, None),
            Room::Full => (None, None),
        };
        let slots = executor.slots();
        let held = Held {
            fence: job.fence + 1,
            hinted_at: session.context.clock.monotonic(),
            takes_slot: slots == Slots::Pool,
            lent: 0,
            slot,
        };
        if slots == Slots::Pool {
            traced::slot_taken(&session, &self.running, &job.key, held.slot.as_deref());
        }
        let done = self.running.enter(&job.key, held);
        let claimed = Claimed {
            job,
            slot: done.slot(),
            give_up_after,
            covered,
        };
        session.tasks.clone().spawn(async move {
            let key = claim.key.clone();
            let ran = claim_and_run(&session, executor.as_ref(), &claim, claimed).await;
            drop(done);
            match slots {
                Slots::Pool => traced::slot_free(&session, &key),
                // What waits for one of these slots waits in hints.
                Slots::Limit(_) => session.context.wake.jobs(),
                Slots::Unlimited => (),
            }
            match ran {
                Ok(true) => notify_followers(&session, &key).await,
                Ok(false) => (),
                Err(error) => {
                    debug!(error = %error, "Could not claim a job: {error}");
                    look_again(&session, key);
                }
            }
        });
    }

    /// Moves a row that no node runs. Where another node was faster, its hint leads here again.
    pub(super) fn move_in_background(&self, job: &Job, change: RowMove) {
        let session = self.session.clone();
        let moved = match change.apply(job, session.context.clock.now()) {
            Ok(moved) => moved,
            Err(illegal) => {
                warn!(job.uid = job.key.uid, "Left a job alone: {illegal}");
                return;
            }
        };
        let seen = JobSeen::of(job);
        let held = Held {
            fence: job.fence,
            hinted_at: session.context.clock.monotonic(),
            takes_slot: false,
            lent: 0,
            slot: None,
        };
        let done = self.running.enter(&job.key, held);
        session.tasks.clone().spawn(async move {
            let key = moved.key.clone();
            traced::moved(&session, &moved);
            info!(
                job.uid = key.uid,
                "'{}.{}.{}' is now {} without a run", key.job_type, key.name, key.uid, moved.status
            );
            let written = session.write_job(moved, Some(seen)).await;
            drop(done);
            if let Err(error) = written {
                debug!(error = %error, "Could not move a job: {error}");
                look_again(&session, key);
            }
        });
    }

    /// Notifies the jobs that wait for the last end of this one.
    pub(super) fn tell_in_background(&self, key: JobKey) {
        let session = self.session.clone();
        session
            .tasks
            .clone()
            .spawn(async move { notify_followers(&session, &key).await });
    }
}

/// Answers whether others wait for the end of the run.
async fn claim_and_run(
    session: &NodeSession,
    executor: &dyn Executor,
    claim: &ClaimJob,
    claimed: Claimed,
) -> StoreResult<bool> {
    if !executor.prepare(&claimed.job).await {
        return Ok(false);
    }
    match settle_claim(session, claim).await {
        Ok(true) => (),
        // Another node was faster, or the job was stopped: normal.
        Ok(false) => {
            executor.withdraw(&claimed.job);
            return Ok(false);
        }
        Err(error) => {
            executor.withdraw(&claimed.job);
            return Err(error);
        }
    }
    if claimed.job.status == JobStatus::InProcess {
        metrics::counter!("takeovers_total", "kind" => "job").increment(1);
    }
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
    Ok(executor.run(Claimed { job, ..claimed }).await)
}

async fn settle_claim(session: &NodeSession, claim: &ClaimJob) -> StoreResult<bool> {
    let settled = session.settle(claim).await;
    traced::claimed(session, claim, &settled);
    match settled? {
        Settled::Applied => Ok(true),
        Settled::Lost(_) | Settled::StillUnknown => Ok(false),
    }
}

fn claim_of(session: &NodeSession, job: &Job) -> ClaimJob {
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
        token: context.ids.token(),
    }
}

/// The hint of this job is passed here, and nothing else may lead to it.
fn look_again(session: &NodeSession, key: JobKey) {
    let context = &session.context;
    let due_at = context.clock.now().plus(context.config.poll_interval);
    context.wake.due(DueHint { due_at, key });
}

fn is_recurring(job: &Job) -> bool {
    schedule_of(job).is_some_and(|schedule| schedule.is_recurring())
}

/// By lot between the bounds, so that not all nodes give up at once (Fabric R96).
fn give_up_after(session: &NodeSession) -> Duration {
    let config = &session.context.config;
    let span = config.max_give_up.saturating_sub(config.min_give_up);
    config.min_give_up + session.context.ids.jitter(span)
}
