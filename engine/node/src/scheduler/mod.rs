//! Finds due jobs by their hints, claims them, and starts what runs them.
//!
//! A hint says when somebody must look; the row says what is true. Whoever cannot act leaves the next hint
//! before passing this one, so a job is never forgotten.

mod executor;
mod kind_executor;
mod plan;
mod poll_loop;
mod ready;
mod slots;
mod starts;
#[cfg(test)]
mod tests;
mod timers;
mod traced;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

pub use executor::{Claimed, Executor, Executors, Slots};
pub use plan::{Obstacle, Plan, RowMove, Seen, plan};
pub use slots::{Room, room};

use weft_model::clock::Timestamp;
use weft_model::{Batch, DueHint, Fence, JobKey, Token, batch_job};
use weft_store::SubmitBatch;

use self::poll_loop::PollLoop;
use crate::NodeSession;
use crate::job::{Lender, Slot};

/// The scheduler as the rest of a node session sees it.
#[derive(Clone, Debug)]
pub struct Scheduler {
    running: Arc<Running>,
}

/// The jobs that this node session runs.
#[derive(Debug, Default)]
pub struct Running {
    jobs: Mutex<BTreeMap<JobKey, Held>>,
    /// Somebody waits until nothing runs.
    changed: Notify,
    /// The loop waits for a slot.
    slot_freed: Notify,
}

#[derive(Clone, Debug)]
struct Held {
    fence: Fence,
    hinted_at: Duration,
    /// It counts against the pool.
    takes_slot: bool,
    /// How often its slot is lent now; while it is, it does not count.
    lent: usize,
    /// The logical id whose slot it takes, if one limits it.
    slot: Option<String>,
}

impl Scheduler {
    /// Starts looking for due jobs, which these executors run.
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
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobKey, Held>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job counts as running until what is returned is dropped.
    fn enter(self: &Arc<Self>, key: &JobKey, held: Held) -> Finished {
        let fence = held.fence;
        self.lock().insert(key.clone(), held);
        Finished(Entry {
            running: Arc::clone(self),
            key: key.clone(),
            fence,
        })
    }

    /// It runs here under this fence, or is being claimed from it.
    fn runs(&self, key: &JobKey, fence: Fence) -> bool {
        let jobs = self.lock();
        jobs.get(key)
            .is_some_and(|held| held.fence == fence || held.fence == fence + 1)
    }

    fn count_of(&self, job_type: &str) -> usize {
        let jobs = self.lock();
        jobs.keys().filter(|key| key.job_type == job_type).count()
    }

    fn job_count(&self) -> usize {
        self.lock().values().filter(|held| held.counts()).count()
    }

    /// The slots of the pool that jobs take.
    fn job_slots(&self) -> Vec<Option<String>> {
        let jobs = self.lock();
        let jobs = jobs.values().filter(|held| held.counts());
        jobs.map(|held| held.slot.clone()).collect()
    }

    fn hinted_before(&self, moment: Duration) -> Vec<JobKey> {
        let jobs = self.lock();
        let stale = jobs.iter().filter(|(_, held)| held.hinted_at <= moment);
        stale.map(|(key, _)| key.clone()).collect()
    }

    fn hinted(&self, key: &JobKey, now: Duration) {
        if let Some(held) = self.lock().get_mut(key) {
            held.hinted_at = now;
        }
    }
}

impl Held {
    fn counts(&self) -> bool {
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
    fn change(&self, change: impl FnOnce(&mut Held)) {
        let mut running = self.running.lock();
        if let Some(held) = running
            .get_mut(&self.key)
            .filter(|held| held.fence == self.fence)
        {
            change(held);
        }
    }
}

impl Lender for Entry {
    fn lend(&self) {
        self.change(|held| held.lent += 1);
        self.running.slot_freed.notify_one();
    }

    fn take_back(&self) {
        self.change(|held| held.lent = held.lent.saturating_sub(1));
    }
}

/// Takes a job out of the running ones, also when its task is aborted.
struct Finished(Entry);

impl Finished {
    /// The slot that the job takes.
    fn slot(&self) -> Slot {
        Slot::new(Arc::new(self.0.clone()))
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        let Entry {
            running,
            key,
            fence,
        } = &self.0;
        let mut jobs = running.lock();
        if jobs.get(key).is_some_and(|held| held.fence == *fence) {
            jobs.remove(key);
        }
        drop(jobs);
        running.changed.notify_waiters();
        running.slot_freed.notify_one();
    }
}

/// Submits a batch with its job, due at once.
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

/// Rendezvous hashing: the live node of highest weight goes first.
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
