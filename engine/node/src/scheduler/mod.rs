//! Finds due jobs by their hints, claims them, and starts their executors.
//!
//! A due hint says when a node must check a job; the row says what is true. A node that cannot act writes the next hint
//! before it passes this one, so a job is never forgotten.

mod executor;
mod kind_executor;
mod plan;
mod poll_loop;
mod queue;
mod ready;
mod slots;
mod starts;
#[cfg(test)]
mod tests;
mod timers;
mod traced;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

pub use executor::{Claimed, Executor, Executors, Slots};
pub use plan::{Obstacle, Plan, RowMove, Seen, plan};
pub use slots::{SlotOffer, offer_slot};

use weft_model::clock::Timestamp;
use weft_model::{Batch, DueHint, Fence, JobKey, Token, batch_job};
use weft_store::SubmitBatch;

use self::poll_loop::PollLoop;
use self::timers::Timer;
use crate::NodeSession;
use crate::job::{Lender, Slot};
use crate::lock::lock;

/// The scheduler as the rest of a node session sees it.
#[derive(Clone, Debug)]
pub struct Scheduler {
    running: Arc<Running>,
}

/// The jobs that this node session runs.
#[derive(Debug, Default)]
pub struct Running {
    jobs: Mutex<BTreeMap<JobKey, RunningJob>>,
    /// Notified when a job has ended.
    changed: Notify,
    /// Notified when a slot is free; the poll loop waits for it.
    slot_freed: Notify,
    /// The hint of each job that a background task has in hand, by number.
    in_hand: Mutex<BTreeMap<u64, Duration>>,
    /// Jobs to check again, because a background task has failed.
    rechecks: Mutex<Vec<(JobKey, Timer)>>,
}

#[derive(Clone, Debug)]
struct RunningJob {
    fence: Fence,
    hinted_at: Duration,
    /// Whether it counts against the pool.
    takes_slot: bool,
    /// How many times its slot is lent. While it is lent, the job does not count against the pool.
    lent: usize,
    /// The logical id whose slot it takes, if a logical id limits it.
    slot: Option<String>,
}

impl Scheduler {
    /// Starts the poll loop, which runs due jobs with these executors.
    pub fn start(session: &NodeSession, executors: Executors) -> Self {
        let running = Arc::new(Running::default());
        let poll_loop = PollLoop::new(session.clone(), executors, Arc::clone(&running));
        session
            .tasks
            .spawn_vital(&session.self_fence, poll_loop.run());
        Self { running }
    }

    /// Resolves when no job runs.
    pub async fn idle(&self) {
        loop {
            let changed = self.running.changed.notified();
            if self.running.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }
}

impl Running {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobKey, RunningJob>> {
        lock(&self.jobs)
    }

    /// The job counts as running until the returned guard is dropped.
    fn enter(self: &Arc<Self>, key: &JobKey, job: RunningJob) -> RunningGuard {
        let fence = job.fence;
        self.lock().insert(key.clone(), job);
        RunningGuard(Entry {
            running: Arc::clone(self),
            key: key.clone(),
            fence,
        })
    }

    /// The hint in `timer` is not passed until the returned value is dropped, because a background task still has to do
    /// what the hint is for.
    fn hold_hint(self: &Arc<Self>, timer: Timer) -> HintInHand {
        let mut in_hand = lock(&self.in_hand);
        let number = in_hand.last_key_value().map_or(0, |(last, _)| last + 1);
        if let Some(hinted) = timer.hinted {
            in_hand.insert(number, hinted);
        }
        drop(in_hand);
        HintInHand {
            running: Arc::clone(self),
            number,
            timer,
        }
    }

    fn oldest_hint(&self) -> Option<Duration> {
        let in_hand = lock(&self.in_hand).values().min().copied();
        let rechecks = lock(&self.rechecks);
        let waiting = rechecks.iter().filter_map(|(_, timer)| timer.hinted);
        in_hand.into_iter().chain(waiting).min()
    }

    fn take_rechecks(&self) -> Vec<(JobKey, Timer)> {
        std::mem::take(&mut *lock(&self.rechecks))
    }

    /// Whether the job runs here under this fence, or is being claimed from it.
    fn is_running(&self, key: &JobKey, fence: Fence) -> bool {
        let jobs = self.lock();
        jobs.get(key)
            .is_some_and(|job| job.fence == fence || job.fence == fence + 1)
    }

    /// Whether a run of the job, or the claim of one, is under way here.
    fn contains(&self, key: &JobKey) -> bool {
        self.lock().contains_key(key)
    }

    fn count_of(&self, job_type: &str) -> usize {
        let jobs = self.lock();
        jobs.keys().filter(|key| key.job_type == job_type).count()
    }

    fn job_count(&self) -> usize {
        self.lock()
            .values()
            .filter(|job| job.counts_against_pool())
            .count()
    }

    /// The pool slots in use, each with the logical id that it counts for.
    fn job_slots(&self) -> Vec<Option<String>> {
        let jobs = self.lock();
        let jobs = jobs.values().filter(|job| job.counts_against_pool());
        jobs.map(|job| job.slot.clone()).collect()
    }

    fn hinted_before(&self, moment: Duration) -> Vec<JobKey> {
        let jobs = self.lock();
        let stale = jobs.iter().filter(|(_, job)| job.hinted_at <= moment);
        stale.map(|(key, _)| key.clone()).collect()
    }

    fn set_hinted_at(&self, key: &JobKey, now: Duration) {
        if let Some(job) = self.lock().get_mut(key) {
            job.hinted_at = now;
        }
    }
}

impl RunningJob {
    fn counts_against_pool(&self) -> bool {
        self.takes_slot && self.lent == 0
    }
}

/// One job among the running ones.
#[derive(Clone, Debug)]
struct Entry {
    running: Arc<Running>,
    key: JobKey,
    fence: Fence,
}

impl Entry {
    fn change(&self, change: impl FnOnce(&mut RunningJob)) {
        let mut running = self.running.lock();
        if let Some(job) = running
            .get_mut(&self.key)
            .filter(|job| job.fence == self.fence)
        {
            change(job);
        }
    }
}

impl Lender for Entry {
    fn lend(&self) {
        self.change(|job| job.lent += 1);
        self.running.slot_freed.notify_one();
    }

    fn take_back(&self) {
        self.change(|job| job.lent = job.lent.saturating_sub(1));
    }
}

/// Removes a job from the running ones when it is dropped, also when its task is aborted.
struct RunningGuard(Entry);

impl RunningGuard {
    /// The slot that the job takes.
    fn slot(&self) -> Slot {
        Slot::new(Arc::new(self.0.clone()))
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        let Entry {
            running,
            key,
            fence,
        } = &self.0;
        let mut jobs = running.lock();
        if jobs.get(key).is_some_and(|job| job.fence == *fence) {
            jobs.remove(key);
        }
        drop(jobs);
        running.changed.notify_waiters();
        running.slot_freed.notify_one();
    }
}

/// See [`Running::hold_hint`].
struct HintInHand {
    running: Arc<Running>,
    number: u64,
    timer: Timer,
}

impl HintInHand {
    /// Has the job checked again at `at`: its hint has been passed here, and nothing else may lead to it.
    fn recheck(self, key: JobKey, at: Duration) {
        let timer = Timer { at, ..self.timer };
        lock(&self.running.rechecks).push((key, timer));
    }
}

impl Drop for HintInHand {
    fn drop(&mut self) {
        lock(&self.running.in_hand).remove(&self.number);
    }
}

/// The submission of a batch with its job, due at once.
pub fn submission_of(batch: Batch, token: Token) -> SubmitBatch {
    let job = batch_job(&batch);
    SubmitBatch {
        due: DueHint {
            due_at: batch.creation_time,
            key: job.key.clone(),
        },
        batch,
        job,
        token,
    }
}

/// Rendezvous hashing: the live node with the highest weight is preferred.
fn weight(node: &str, key: &JobKey) -> u64 {
    weft_model::hash::stable(&[node, &key.job_type, &key.name, &key.uid])
}

fn minus(moment: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(
        moment
            .0
            .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
    )
}
