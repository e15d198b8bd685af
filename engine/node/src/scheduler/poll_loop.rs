//! The poll loop: finds due jobs, decides what this node does about each, and does it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tracing::debug;
use weft_model::clock::Timestamp;
use weft_model::{Bug, DueHint, Job, JobKey};
use weft_store::{Freshness, StoreError, StoreResult};

use super::executor::{Executor, Executors, Slots};
use super::plan::{Obstacle, Plan, Seen, plan};
use super::queue::Queues;
use super::slots::{SlotOffer, offer_slot};
use super::timers::{Timer, Timers, uptime};
use super::{Running, minus, traced, weight};
use crate::NodeSession;
use crate::affinity::Identity;

/// A poll reads from its mark minus this, to find hints that were written late.
const OVERLAP: Duration = Duration::from_secs(2);
/// How often a poll reads further back, and how far.
const LONG_LOOKBACK_EVERY: Duration = Duration::from_secs(30);
const LONG_LOOKBACK: Duration = Duration::from_secs(120);
/// A poll reads this far beyond the next one, so that timers start the jobs that become due in between.
const AHEAD: Duration = Duration::from_millis(500);
/// A node that starts reads back to this long before the moment up to which any node has read hints.
const START_LOOKBACK: Duration = Duration::from_secs(15 * 60);
/// The age of a hint beyond which this node does not count as read what it still has to do about it.
const OLDEST_IN_HAND: Duration = Duration::from_secs(12 * 60);
/// How long to check again for the row of a hint: it is written after the hint.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(60);
const ORPHAN_PAUSE: Duration = Duration::from_secs(2);
/// The clock has millisecond resolution; without this pause the loop would spin just before a due time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const HINTS_PER_POLL: usize = 1_000;
const FIRST_DEFERRAL: Duration = Duration::from_secs(60);
const LONGEST_DEFERRAL: Duration = Duration::from_secs(600);
/// The number of rows to read concurrently.
pub(super) const READS_AT_ONCE: usize = 32;
/// How many deferrals to remember.
const DEFERRALS_AT_MOST: usize = 50_000;

/// The loop of a node session.
pub(super) struct PollLoop {
    pub(super) session: NodeSession,
    pub(super) executors: Executors,
    pub(super) running: Arc<Running>,
    mark: Option<Timestamp>,
    looked_back_at: Duration,
    /// Hints that were seen, and when.
    passed: BTreeMap<DueHint, Timestamp>,
    pub(super) timers: Timers,
    /// The jobs that wait for a slot.
    pub(super) queues: Queues,
    deferrals: BTreeMap<JobKey, Duration>,
}

impl PollLoop {
    pub(super) fn new(session: NodeSession, executors: Executors, running: Arc<Running>) -> Self {
        Self {
            session,
            executors,
            running,
            mark: None,
            looked_back_at: Duration::ZERO,
            passed: BTreeMap::new(),
            timers: Timers::default(),
            queues: Queues::default(),
            deferrals: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let context = Arc::clone(&self.session.context);
        let mut poll_at = Duration::ZERO;
        loop {
            let now = uptime(context.clock.as_ref());
            let done = if now >= poll_at {
                poll_at = now + context.config.poll_interval;
                self.poll().await
            } else {
                self.check_due_jobs().await
            };
            if let Err(error) = done {
                debug!(error = %error, "Could not look for due jobs: {error}");
            }
            let pause = self.pause(poll_at);
            tokio::select! {
                biased;
                () = self.session.self_fence.fenced() => return,
                () = context.wake.jobs_woken() => poll_at = Duration::ZERO,
                () = context.wake.due_woken() => (),
                () = self.running.slot_freed.notified(), if !self.queues.is_empty() => (),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    fn pause(&self, poll_at: Duration) -> Duration {
        let now = uptime(self.session.context.clock.as_ref());
        // A node that is leaving ignores its timers; the hints stay for other nodes.
        let next = self.timers.next().filter(|_| self.session.takes_work());
        let next = match self.queues.has_more && self.session.takes_work() {
            true => now,
            false => next.map_or(poll_at, |next| next.min(poll_at)),
        };
        next.saturating_sub(now).max(SHORTEST_PAUSE)
    }

    /// Reads hints up to a little beyond the next poll.
    async fn poll(&mut self) -> StoreResult<()> {
        self.renew_running_hints().await?;
        if !self.session.takes_work() {
            return Ok(());
        }
        let context = Arc::clone(&self.session.context);
        if context.wake.take_affinity_changed() {
            // Deferred jobs may match this node now. Their hints are never further apart than START_LOOKBACK.
            self.mark = self.mark.map(|mark| minus(mark, START_LOOKBACK));
            self.passed.clear();
            self.deferrals.clear();
            self.recheck_queued_jobs();
        }
        let now = context.clock.now();
        let monotonic = uptime(context.clock.as_ref());
        if self.mark.is_some_and(|mark| now < mark) {
            // The wall clock was set back. Other nodes write their hints where this one has read before.
            self.mark = Some(minus(now, START_LOOKBACK));
        }
        let from = match self.mark {
            None => self.first_poll_from(now).await?,
            Some(mark) if monotonic.saturating_sub(self.looked_back_at) >= LONG_LOOKBACK_EVERY => {
                self.looked_back_at = monotonic;
                minus(mark, LONG_LOOKBACK)
            }
            Some(mark) => minus(mark, OVERLAP),
        };
        let to = now.plus(context.config.poll_interval + AHEAD);
        let mut after = DueHint::first_at(from);
        let mut checked = Ok(());
        loop {
            let hints = context.store.due(&after, to, HINTS_PER_POLL).await?;
            let last = hints
                .last()
                .filter(|_| hints.len() >= HINTS_PER_POLL)
                .cloned();
            for hint in hints {
                if !self.passed.contains_key(&hint) {
                    self.note(&hint, now, monotonic);
                    self.passed.insert(hint, now);
                }
            }
            // A job that could not be checked has a timer; the hints of the others are read all the same.
            checked = self.check_due_jobs().await.and(checked);
            let Some(last) = last else { break };
            after = last;
        }
        self.mark = Some(now);
        let horizon = minus(now, LONG_LOOKBACK * 2);
        self.passed
            .retain(|hint, seen_at| hint.due_at >= horizon || *seen_at >= horizon);
        checked = self.renew_queued_hints().await.and(checked);
        self.session
            .heartbeat
            .set_hints_read_until(self.hints_read_until(now));
        checked
    }

    /// A node that starts after this one has died may begin to read [`START_LOOKBACK`] before this moment: it then finds
    /// a hint of everything that this node has in hand.
    fn hints_read_until(&self, now: Timestamp) -> Timestamp {
        if Bug::HintsInHandForgotten.is_planted() {
            return now;
        }
        let in_hand = [
            self.timers.oldest_hint(),
            self.queues.oldest_hint(),
            self.running.oldest_hint(),
        ];
        let oldest = in_hand.into_iter().flatten().min();
        let age = oldest.map_or(Duration::ZERO, |since| {
            uptime(self.session.context.clock.as_ref()).saturating_sub(since)
        });
        minus(now, age.saturating_sub(OLDEST_IN_HAND))
    }

    /// Sets a timer for the time of a hint, on the monotonic clock.
    fn note(&mut self, hint: &DueHint, now: Timestamp, monotonic: Duration) {
        traced::noted(&self.session, hint);
        let apart = Duration::from_millis(hint.due_at.millis_since(now).unsigned_abs());
        let timer = if hint.due_at > now {
            let at = monotonic + apart;
            Timer {
                at,
                since: at,
                hinted: Some(at),
            }
        } else {
            let since = monotonic.saturating_sub(apart);
            Timer {
                at: monotonic,
                since,
                hinted: Some(since),
            }
        };
        self.timers.set_if_earlier(hint.key.clone(), timer);
    }

    async fn first_poll_from(&self, now: Timestamp) -> StoreResult<Timestamp> {
        // The row of this session still has the time of the session before it.
        let rows = self.session.context.store.nodes().await?;
        let newest = rows.iter().map(|row| row.heartbeat_at).max();
        Ok(minus(newest.unwrap_or(now).min(now), START_LOOKBACK))
    }

    /// Checks the jobs whose hints this process wrote, whose timer is due, or for which a slot is free.
    async fn check_due_jobs(&mut self) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let (now, monotonic) = (context.clock.now(), uptime(context.clock.as_ref()));
        let horizon = now.plus(context.config.poll_interval + AHEAD);
        for hint in context.wake.take_due() {
            if hint.due_at > horizon {
                // A poll reads it in time. An earlier timer of the job would hide it if it were noted now.
                continue;
            }
            self.note(&hint, now, monotonic);
            // A poll that reads it does not have to note it again.
            self.passed.insert(hint, now);
        }
        for key in context.wake.take_to_check() {
            let timer = Timer {
                at: monotonic,
                since: monotonic,
                hinted: None,
            };
            self.timers.set_if_earlier(key, timer);
        }
        for (key, timer) in self.running.take_rechecks() {
            self.timers.set_if_earlier(key, timer);
        }
        if !self.session.takes_work() {
            return Ok(());
        }
        // Waiting jobs go first, but only so many that they do not delay the others.
        let waited = self.take_queued(READS_AT_ONCE);
        self.check_jobs(waited).await?;
        let due = self.timers.take_due(monotonic);
        for (key, timer) in &due {
            traced::due(&self.session, key, monotonic.saturating_sub(timer.since));
        }
        self.check_jobs(due).await
    }

    /// Reads rows and acts on them in sequence. Jobs whose check failed are checked again, because nothing else may
    /// lead to them.
    async fn check_jobs(&mut self, timers: Vec<(JobKey, Timer)>) -> StoreResult<()> {
        let mut timers = timers.into_iter().peekable();
        let mut failed: Option<StoreError> = None;
        while timers.peek().is_some() {
            let mut group = Vec::new();
            let mut claimable = self.claimable_slots();
            for (key, timer) in timers.by_ref().take(READS_AT_ONCE) {
                if claimable.take(&self.executors, &key) {
                    self.queues.remove(&key);
                    group.push((key, timer));
                } else if let Err(error) = self.await_slot(key.clone(), timer, None).await {
                    self.retry_later(key, timer);
                    failed = Some(error);
                }
            }
            let store = Arc::clone(&self.session.context.store);
            let rows = futures::stream::iter(group)
                .map(|(key, timer)| {
                    let store = Arc::clone(&store);
                    async move {
                        let row = store.job(&key, Freshness::Committed).await;
                        (key, timer, row)
                    }
                })
                .buffered(READS_AT_ONCE);
            let rows: Vec<_> = rows.collect().await;
            for (key, timer, row) in rows {
                let acted = match row {
                    Ok(row) => self.act(&key, timer, row).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = acted {
                    self.retry_later(key, timer);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn retry_later(&mut self, key: JobKey, timer: Timer) {
        let pause = self.session.context.config.poll_interval;
        let at = uptime(self.session.context.clock.as_ref()) + pause;
        self.timers.set_if_earlier(key, Timer { at, ..timer });
    }

    async fn act(&mut self, key: &JobKey, timer: Timer, row: Option<Job>) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let monotonic = uptime(context.clock.as_ref());
        let waited = monotonic.saturating_sub(timer.since);
        let Some(job) = row else {
            traced::no_row(&self.session, key, waited < ORPHAN_PATIENCE);
            if waited < ORPHAN_PATIENCE {
                let at = monotonic + ORPHAN_PAUSE;
                self.timers
                    .set_if_earlier(key.clone(), Timer { at, ..timer });
            }
            return Ok(());
        };
        let executor = self.executors.get(&job.key.job_type);
        let plan = self.decide(&job, executor.as_deref(), waited).await?;
        match plan {
            Plan::Pass => {
                self.deferrals.remove(key);
            }
            Plan::Claim(slot) => {
                if let Some(executor) = executor {
                    self.claim_in_background(job, slot, executor, timer);
                }
            }
            Plan::NotBefore(moment) => self.wait_until(key, moment).await?,
            Plan::Defer(obstacle) => self.defer(key, obstacle).await?,
            Plan::AwaitSlot => {
                self.await_slot(key.clone(), timer, Some(job.affinity))
                    .await?;
            }
            Plan::Again(pause) => {
                let at = monotonic + pause;
                self.timers
                    .set_if_earlier(key.clone(), Timer { at, ..timer });
            }
            Plan::LeaveToOwner(pause) => {
                // Its owner keeps a hint ahead. If the owner has died by then, the nodes take turns from then on.
                let at = monotonic + pause;
                let since = at;
                self.timers
                    .set_if_earlier(key.clone(), Timer { at, since, ..timer });
            }
            Plan::Move(change) => self.move_in_background(&job, change, timer),
            Plan::Notify => self.notify_in_background(job.key, timer),
        }
        Ok(())
    }

    async fn decide(
        &self,
        job: &Job,
        executor: Option<&dyn Executor>,
        waited: Duration,
    ) -> StoreResult<Plan> {
        let session = &self.session;
        let config = &session.context.config;
        let owner = job.holder();
        let live = session.live_nodes();
        let matches_any = || {
            live.iter()
                .any(|row| Identity::from(row).matches(&job.affinity))
        };
        // No live node matches its affinity, and it may run elsewhere.
        let relocates = job.policy.relocate && !matches_any();
        let affinity: &[String] = if relocates { &[] } else { &job.affinity };
        let own_precedence = precedence(&session.me.node.0, job, executor);
        let rank = live
            .iter()
            .filter(|row| row.guid != session.me.node)
            .filter(|row| Identity::from(*row).matches(affinity))
            .filter(|row| precedence(&row.guid.0, job, executor) > own_precedence)
            .count();
        let matches_affinity = session.identity(&session.logical_ids()).matches(affinity);
        let slots = executor.map(Executor::slots);
        let slot = match slots {
            None | Some(Slots::Unlimited) => SlotOffer::Free(None),
            Some(Slots::Limit(most)) if self.running.count_of(&job.key.job_type) < most => {
                SlotOffer::Free(None)
            }
            Some(Slots::Limit(_)) => SlotOffer::Full,
            Some(Slots::Pool) => offer_slot_here(session, &self.running, affinity),
        };
        let ignores_affinity = match executor {
            Some(executor) if !matches_affinity => executor.ignores_affinity(job).await?,
            Some(_) | None => false,
        };
        let seen = Seen {
            job,
            slots,
            ignores_affinity,
            matches_affinity,
            slot,
            exceptional_pause: config.claim_exceptional_interval,
            is_running_here: self.running.is_running(&job.key, job.fence),
            is_owned_here: owner.as_ref() == Some(&session.me),
            owner_is_dead: owner
                .as_ref()
                .is_none_or(|owner| session.membership.may_take_from(owner)),
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
            waited,
            now: session.context.clock.now(),
            clock_is_near: session.context.node_clock.is_near(),
        };
        let plan = plan(&seen);
        traced::decided(session, &seen, &plan);
        Ok(plan)
    }

    /// Writes the hint for a later time, and sets a timer if that time is soon.
    async fn wait_until(&mut self, key: &JobKey, moment: Timestamp) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let hint = DueHint {
            due_at: moment,
            key: key.clone(),
        };
        let now = context.clock.now();
        traced::next_time(&self.session, key, moment);
        if !self.passed.contains_key(&hint) {
            context.store.put_due(&hint).await?;
        }
        if moment <= now.plus(context.config.poll_interval + AHEAD) {
            self.note(&hint, now, uptime(context.clock.as_ref()));
            self.passed.insert(hint, now);
        } else {
            // A later poll notes it. It was noted before if the wall clock was set back since.
            self.passed.remove(&hint);
        }
        Ok(())
    }

    /// Writes a hint for later. It is written before the present one is passed.
    pub(super) async fn defer(&mut self, key: &JobKey, obstacle: Obstacle) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let pause = self
            .deferrals
            .get(key)
            .map_or(FIRST_DEFERRAL, |pause| (*pause * 2).min(LONGEST_DEFERRAL));
        let due_at = next_minute(context.clock.now().plus(pause));
        let hint = DueHint {
            due_at,
            key: key.clone(),
        };
        if !Bug::DeferWithoutHint.is_planted() {
            context.store.put_due(&hint).await?;
        }
        traced::deferred(&self.session, &hint);
        debug!(
            job.uid = key.uid,
            ?obstacle,
            "Deferred job {} {}",
            key.job_type,
            key.name
        );
        if self.deferrals.len() >= DEFERRALS_AT_MOST {
            // The pauses start over, which costs a few hints.
            self.deferrals.clear();
        }
        self.deferrals.insert(key.clone(), pause);
        Ok(())
    }

    /// Keeps the hint of each running job ahead of the time at which this node would count as dead.
    async fn renew_running_hints(&self) -> StoreResult<()> {
        let context = &self.session.context;
        let monotonic = uptime(context.clock.as_ref());
        let every = context.config.dead_after() / 2;
        for key in self.running.hinted_before(monotonic.saturating_sub(every)) {
            let due_at = context.clock.now().plus(context.config.dead_after());
            let hint = DueHint {
                due_at,
                key: key.clone(),
            };
            context.store.put_due(&hint).await?;
            self.running.set_hinted_at(&key, monotonic);
        }
        Ok(())
    }
}

pub(super) fn offer_slot_here(
    session: &NodeSession,
    running: &Running,
    affinity: &[String],
) -> SlotOffer {
    let slots = running.job_slots();
    offer_slot(
        &session.identity(&session.logical_ids()),
        affinity,
        slots.iter().map(|slot| slot.as_deref()),
        session.context.config.job_pool_size,
    )
}

/// Rendezvous hashing: the live node with the highest weight is preferred. The node that ran the job last goes before it,
/// because it may have restarted (Fabric R73).
fn precedence(node: &str, job: &Job, executor: Option<&dyn Executor>) -> (bool, u64) {
    let ran_it = job.worker.as_ref().is_some_and(|worker| worker.0 == node);
    let prefers_it = executor.is_some_and(Executor::prefers_last_node);
    (ran_it && prefers_it, weight(node, &job.key))
}

/// The next full minute, so that all nodes write the same row.
pub(super) fn next_minute(moment: Timestamp) -> Timestamp {
    const MINUTE_MS: i64 = 60_000;
    Timestamp((moment.0 / MINUTE_MS + 1) * MINUTE_MS)
}
