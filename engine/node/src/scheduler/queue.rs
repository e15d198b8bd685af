//! The jobs that wait for a slot: one queue for the pool, and one for each type that has slots of its own.
//!
//! A job that waits costs no call of the store except a new hint now and then, however many wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use weft_model::{DueHint, JobKey};
use weft_store::StoreResult;

use super::executor::{Executors, Slots};
use super::plan::Obstacle;
use super::poll_loop::{PollLoop, READS_AT_ONCE, next_minute, offer_slot_here};
use super::ready::{Ready, Waiting};
use super::slots::SlotOffer;
use super::timers::{Timer, uptime};
use super::traced;

/// A job that waits for a slot gets a new hint this long after its last one. With the most jobs waiting, the last of them gets
/// it within 15 minutes, which is as far as a node that starts reads back.
const HINT_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How many jobs that wait get a new hint within a second.
const HINTS_PER_SECOND: f64 = 100.0;
/// How many waiting jobs to examine when a slot frees up.
const SCANNED: usize = 1_000;
/// How many jobs may wait for a slot in memory. Further ones wait in hints.
const AT_MOST: usize = 50_000;
/// A job that runs here is checked again after this.
const RUNNING_PAUSE: Duration = Duration::from_secs(5);

/// What a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Queue {
    /// A slot of the pool.
    Pool,
    /// A slot of its type.
    OfType(String),
}

impl Queue {
    fn of(executors: &Executors, job_type: &str) -> Option<Self> {
        match executors.slots(job_type)? {
            Slots::Pool => Some(Self::Pool),
            Slots::Limit(_) => Some(Self::OfType(job_type.to_owned())),
            Slots::Unlimited => None,
        }
    }
}

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_queue: BTreeMap<Queue, Ready>,
    /// Jobs may be left for which slots are free.
    pub has_more: bool,
}

impl Queues {
    pub fn is_empty(&self) -> bool {
        self.by_queue.values().all(Ready::is_empty)
    }

    /// The oldest among the last hints of the jobs that wait.
    pub fn oldest_hint(&self) -> Option<Duration> {
        self.by_queue.values().filter_map(Ready::oldest_hint).min()
    }

    pub fn remove(&mut self, key: &JobKey) {
        for ready in self.by_queue.values_mut() {
            ready.remove(key);
        }
    }

    fn len(&self) -> usize {
        self.by_queue.values().map(Ready::len).sum()
    }
}

/// The slots that are free, less those of the jobs about to be read.
pub(super) struct Claimable(BTreeMap<Queue, usize>);

impl Claimable {
    /// Counts a job. False if no slot is left for it, so that its row need not be read.
    pub fn take(&mut self, executors: &Executors, key: &JobKey) -> bool {
        let Some(queue) = Queue::of(executors, &key.job_type) else {
            return true;
        };
        match self.0.get_mut(&queue) {
            Some(free) if *free > 0 => {
                *free -= 1;
                true
            }
            Some(_) | None => false,
        }
    }
}

impl PollLoop {
    /// The slots that are free now.
    pub(super) fn claimable_slots(&self) -> Claimable {
        let pool = self.session.context.config.job_pool_size;
        let free = pool.saturating_sub(self.running.job_count());
        let limited = self.executors.limits().map(|(job_type, most)| {
            let free = most.saturating_sub(self.running.count_of(job_type));
            (Queue::OfType(job_type.to_owned()), free)
        });
        Claimable([(Queue::Pool, free)].into_iter().chain(limited).collect())
    }

    /// Takes at most `most` waiting jobs for which slots are free.
    pub(super) fn take_queued(&mut self, most: usize) -> Vec<(JobKey, Timer)> {
        let at = uptime(self.session.context.clock.as_ref());
        let free = self.claimable_slots().0;
        let (running, session) = (Arc::clone(&self.running), self.session.clone());
        let mut taken = Vec::new();
        for (queue, ready) in &mut self.queues.by_queue {
            let may_run = |waiting: &Waiting| {
                let affinity = waiting.affinity.as_ref().filter(|_| *queue == Queue::Pool);
                affinity.is_none_or(|affinity| {
                    offer_slot_here(&session, &running, affinity) != SlotOffer::Full
                })
            };
            let count = free.get(queue).copied().unwrap_or(0);
            if count > 0 && !ready.is_empty() {
                let room = most.saturating_sub(taken.len());
                taken.extend(ready.take(count.min(room), SCANNED, may_run));
            }
        }
        // Some of these may turn out to run elsewhere, or to have ended.
        self.queues.has_more = !taken.is_empty();
        let timer = |waiting: Waiting| Timer {
            at,
            since: waiting.since,
            hinted: Some(waiting.hinted_at),
        };
        let taken = taken.into_iter();
        taken.map(|(key, waiting)| (key, timer(waiting))).collect()
    }

    /// Checks again the waiting jobs whose affinity this node no longer matches.
    pub(super) fn recheck_queued_jobs(&mut self) {
        let own = self.session.logical_ids();
        let identity = self.session.identity(&own);
        let is_foreign = |waiting: &Waiting| {
            let affinity = waiting.affinity.as_ref();
            affinity.is_some_and(|affinity| !identity.matches(affinity))
        };
        let at = uptime(self.session.context.clock.as_ref());
        for ready in self.queues.by_queue.values_mut() {
            for (key, waiting) in ready.take(usize::MAX, usize::MAX, is_foreign) {
                let timer = Timer {
                    at,
                    since: waiting.since,
                    hinted: Some(waiting.hinted_at),
                };
                self.timers.set_if_earlier(key, timer);
            }
        }
    }

    /// Writes new hints for waiting jobs. A node that starts after all others have died would miss the old ones.
    pub(super) async fn renew_queued_hints(&mut self) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let now = uptime(context.clock.as_ref());
        let Some(before) = now.checked_sub(HINT_INTERVAL) else {
            return Ok(());
        };
        let seconds = context.config.poll_interval.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a poll interval is a few seconds"
        )]
        let most = (HINTS_PER_SECOND * seconds).ceil() as usize;
        let due_at = next_minute(context.clock.now());
        let mut hints = Vec::new();
        for ready in self.queues.by_queue.values() {
            let room = most.saturating_sub(hints.len());
            let keys = ready.stale(before, room).into_iter();
            hints.extend(keys.map(|key| DueHint { due_at, key }));
        }
        let mut written = futures::stream::iter(hints)
            .map(|hint| {
                let store = Arc::clone(&context.store);
                async move { store.put_due(&hint).await.map(|()| hint.key) }
            })
            .buffered(READS_AT_ONCE);
        while let Some(key) = written.next().await {
            let key = key?;
            for ready in self.queues.by_queue.values_mut() {
                ready.set_hinted_at(&key, now);
            }
        }
        Ok(())
    }

    /// Lets a job wait in memory for a free slot. If too many wait, or there can be none, it waits in a hint.
    pub(super) async fn await_slot(
        &mut self,
        key: JobKey,
        timer: Timer,
        affinity: Option<Vec<String>>,
    ) -> StoreResult<()> {
        traced::no_slot(&self.session, &self.running, &key);
        if self.running.contains(&key) {
            // Its own hint led here.
            let at = uptime(self.session.context.clock.as_ref()) + RUNNING_PAUSE;
            self.timers.set_if_earlier(key, Timer { at, ..timer });
            return Ok(());
        }
        let capacity = match self.executors.slots(&key.job_type) {
            Some(Slots::Pool) => self.session.context.config.job_pool_size,
            Some(Slots::Limit(most)) => most,
            Some(Slots::Unlimited) | None => 0,
        };
        let queue = Queue::of(&self.executors, &key.job_type).filter(|_| capacity > 0);
        let Some(queue) = queue.filter(|_| self.queues.len() < AT_MOST) else {
            return self.defer(&key, Obstacle::NoSlot).await;
        };
        let waiting = Waiting {
            since: timer.since,
            hinted_at: timer.hinted.unwrap_or(timer.since),
            affinity,
        };
        let ready = self.queues.by_queue.entry(queue).or_default();
        ready.put(key, waiting);
        Ok(())
    }
}
