//! The loop: which jobs are due, which of them this node takes, and how they get there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tracing::debug;
use weft_model::clock::Timestamp;
use weft_model::{DueHint, Job, JobKey};
use weft_store::{Freshness, StoreError, StoreResult};

use super::executor::{Executor, Executors, Slots};
use super::plan::{Obstacle, Plan, Seen, plan};
use super::ready::{Ready, Waiting};
use super::slots::{Room, room};
use super::timers::{Look, Timers};
use super::{Running, minus, traced, weight};
use crate::NodeSession;
use crate::affinity::Identity;

/// A poll reads from its mark minus this, for hints that were written late.
const OVERLAP: Duration = Duration::from_secs(2);
/// Every so often a poll reads further back.
const LONG_LOOK_EVERY: Duration = Duration::from_secs(30);
const LONG_LOOK: Duration = Duration::from_secs(120);
/// A poll reads so far ahead of the next one, so that what is due in between is started by its timer.
const AHEAD: Duration = Duration::from_millis(500);
/// A node that starts reads back to this long before the newest earlier heartbeat.
const START_LOOK: Duration = Duration::from_secs(15 * 60);
/// What waits for a slot is hinted anew this long after its last hint: well before a look back would miss it.
const HINT_READY_EVERY: Duration = Duration::from_secs(10 * 60);
/// A hint without a row is looked at again for this long: the row may be on its way.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(60);
const ORPHAN_PAUSE: Duration = Duration::from_secs(2);
/// Clocks count in milliseconds; without a pause a moment that is almost there would be asked for again and again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const HINTS_PER_POLL: usize = 1_000;
const FIRST_DEFERRAL: Duration = Duration::from_secs(60);
const LONGEST_DEFERRAL: Duration = Duration::from_secs(600);
/// Rows read at once.
const READS_AT_ONCE: usize = 32;
/// Of those that wait for a slot, so many are looked through when one comes free.
const READY_SCANNED: usize = 1_000;
/// So many wait for a slot in memory; further ones wait in hints.
const READY_AT_MOST: usize = 50_000;

/// The loop of a node session.
pub(super) struct PollLoop {
    pub(super) session: NodeSession,
    executors: Executors,
    pub(super) running: Arc<Running>,
    mark: Option<Timestamp>,
    looked_long_at: Duration,
    /// Hints that were seen, with when.
    passed: BTreeMap<DueHint, Timestamp>,
    timers: Timers,
    ready: Ready,
    deferrals: BTreeMap<JobKey, Duration>,
}

impl PollLoop {
    pub(super) fn new(session: NodeSession, executors: Executors, running: Arc<Running>) -> Self {
        Self {
            session,
            executors,
            running,
            mark: None,
            looked_long_at: Duration::ZERO,
            passed: BTreeMap::new(),
            timers: Timers::default(),
            ready: Ready::default(),
            deferrals: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let context = Arc::clone(&self.session.context);
        let mut poll_at = Duration::ZERO;
        loop {
            let now = context.clock.monotonic();
            let done = if now >= poll_at {
                poll_at = now + context.config.poll_interval;
                self.poll().await
            } else {
                self.look_at_what_is_due().await
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
                () = self.running.slot_freed.notified(), if !self.ready.is_empty() => (),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    fn pause(&self, poll_at: Duration) -> Duration {
        let now = self.session.context.clock.monotonic();
        // A node that leaves lets its timers pass; the hints stay for others.
        let next = self.timers.next().filter(|_| self.session.takes_work());
        let next = next.map_or(poll_at, |next| next.min(poll_at));
        next.saturating_sub(now).max(SHORTEST_PAUSE)
    }

    /// Reads hints of a span that ends a little ahead of the next poll.
    async fn poll(&mut self) -> StoreResult<()> {
        self.keep_hints_ahead().await?;
        if !self.session.takes_work() {
            return Ok(());
        }
        let context = Arc::clone(&self.session.context);
        if context.wake.take_affinity_changed() {
            // What was passed over may be for this node now. Its hints are never further apart than a start looks back.
            self.mark = self.mark.map(|mark| minus(mark, START_LOOK));
            self.passed.clear();
            self.deferrals.clear();
            self.look_again_at_ready_ones();
        }
        let now = context.clock.now();
        let monotonic = context.clock.monotonic();
        let from = match self.mark {
            None => self.start_of_look(now).await?,
            Some(mark) if monotonic.saturating_sub(self.looked_long_at) >= LONG_LOOK_EVERY => {
                self.looked_long_at = monotonic;
                minus(mark, LONG_LOOK)
            }
            Some(mark) => minus(mark, OVERLAP),
        };
        let to = now.plus(context.config.poll_interval + AHEAD);
        let mut after = DueHint::first_at(from);
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
            self.look_at_what_is_due().await?;
            let Some(last) = last else { break };
            after = last;
        }
        self.mark = Some(now);
        let horizon = minus(now, LONG_LOOK * 2);
        self.passed
            .retain(|hint, seen_at| hint.due_at >= horizon || *seen_at >= horizon);
        self.hint_ready_ones().await
    }

    /// A hint becomes a look at its moment; it is due since then, by this process's own clock.
    fn note(&mut self, hint: &DueHint, now: Timestamp, monotonic: Duration) {
        traced::noted(&self.session, hint);
        let apart = Duration::from_millis(hint.due_at.millis_since(now).unsigned_abs());
        let look = if hint.due_at > now {
            let at = monotonic + apart;
            Look { at, since: at }
        } else {
            let since = monotonic.saturating_sub(apart);
            Look {
                at: monotonic,
                since,
            }
        };
        self.timers.set_if_earlier(hint.key.clone(), look);
    }

    async fn start_of_look(&self, now: Timestamp) -> StoreResult<Timestamp> {
        let rows = self.session.context.store.nodes().await?;
        let newest = rows
            .iter()
            .filter(|row| {
                row.guid != self.session.me.node || row.incarnation != self.session.me.incarnation
            })
            .map(|row| row.heartbeat_at)
            .max();
        let earlier = self.session.earlier_heartbeat.max(newest).unwrap_or(now);
        Ok(minus(earlier.min(now), START_LOOK))
    }

    /// What this process was told, whose timer has come, or for which a slot has come free.
    async fn look_at_what_is_due(&mut self) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let (now, monotonic) = (context.clock.now(), context.clock.monotonic());
        let horizon = now.plus(context.config.poll_interval + AHEAD);
        for hint in context.wake.take_due() {
            if hint.due_at > horizon {
                // A poll will read it in time. Were it noted now, an earlier timer could swallow it.
                continue;
            }
            self.note(&hint, now, monotonic);
            // A poll that reads it need not look again.
            self.passed.insert(hint, now);
        }
        if !self.session.takes_work() {
            return Ok(());
        }
        // Those that have waited go first.
        let first = self.free_slots();
        let waited = self.take_ready(first);
        self.look_at(waited).await?;
        let due = self.timers.take_due(monotonic);
        for (key, look) in &due {
            traced::due(&self.session, key, monotonic.saturating_sub(look.since));
        }
        self.look_at(due).await
    }

    fn free_slots(&self) -> usize {
        let size = self.session.context.config.job_pool_size;
        size.saturating_sub(self.running.job_count())
    }

    fn take_ready(&mut self, count: usize) -> Vec<(JobKey, Look)> {
        if count == 0 || self.ready.is_empty() {
            return Vec::new();
        }
        let at = self.session.context.clock.monotonic();
        let (running, session) = (Arc::clone(&self.running), self.session.clone());
        let may_run = |waiting: &Waiting| {
            waiting
                .affinity
                .as_ref()
                .is_none_or(|affinity| room_here(&session, &running, affinity) != Room::Full)
        };
        let taken = self.ready.take(count, READY_SCANNED, may_run);
        taken
            .into_iter()
            .map(|(key, waiting)| {
                let since = waiting.since;
                (key, Look { at, since })
            })
            .collect()
    }

    /// What waits for a slot of a logical id that this node does not carry any more is left to others.
    fn look_again_at_ready_ones(&mut self) {
        let own = self.session.logical_ids();
        let identity = self.session.identity(&own);
        let is_strange = |waiting: &Waiting| {
            let affinity = waiting.affinity.as_ref();
            affinity.is_some_and(|affinity| !identity.matches(affinity))
        };
        let strange = self.ready.take(usize::MAX, usize::MAX, is_strange);
        let at = self.session.context.clock.monotonic();
        for (key, waiting) in strange {
            let since = waiting.since;
            self.timers.set_if_earlier(key, Look { at, since });
        }
    }

    /// Those whose hint would be missed by a node that starts after all have died.
    async fn hint_ready_ones(&mut self) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let now = context.clock.monotonic();
        let Some(before) = now.checked_sub(HINT_READY_EVERY) else {
            return Ok(());
        };
        for key in self.ready.stale(before, HINTS_PER_POLL) {
            let due_at = next_minute(context.clock.now());
            let hint = DueHint {
                due_at,
                key: key.clone(),
            };
            context.store.put_due(&hint).await?;
            // It comes back with the hint, if nobody has run it until then.
            self.ready.remove(&key);
            let since = now;
            let at = now + FIRST_DEFERRAL;
            self.timers.set_if_earlier(key, Look { at, since });
        }
        Ok(())
    }

    /// Reads rows and acts on them, one after the other. Those that could not be looked at come again: perhaps nothing
    /// else would lead to them.
    async fn look_at(&mut self, looks: Vec<(JobKey, Look)>) -> StoreResult<()> {
        let mut looks = looks.into_iter().peekable();
        let mut failed: Option<StoreError> = None;
        while looks.peek().is_some() {
            let mut group = Vec::new();
            for (key, look) in looks.by_ref().take(READS_AT_ONCE) {
                if self.executors.takes_pool_slot(&key.job_type) && self.free_slots() <= group.len()
                {
                    if let Err(error) = self.await_room(key.clone(), look, None).await {
                        self.come_back(key, look);
                        failed = Some(error);
                    }
                } else {
                    group.push((key, look));
                }
            }
            let store = Arc::clone(&self.session.context.store);
            let rows = futures::stream::iter(group)
                .map(|(key, look)| {
                    let store = Arc::clone(&store);
                    async move {
                        let row = store.job(&key, Freshness::Committed).await;
                        (key, look, row)
                    }
                })
                .buffered(READS_AT_ONCE);
            let rows: Vec<_> = rows.collect().await;
            for (key, look, row) in rows {
                let acted = match row {
                    Ok(row) => self.act(&key, look, row).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = acted {
                    self.come_back(key, look);
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn come_back(&mut self, key: JobKey, look: Look) {
        let pause = self.session.context.config.poll_interval;
        let at = self.session.context.clock.monotonic() + pause;
        let since = look.since;
        self.timers.set_if_earlier(key, Look { at, since });
    }

    /// It waits in memory for a slot to come free; where too many do, or none ever will, a hint keeps it for later.
    async fn await_room(
        &mut self,
        key: JobKey,
        look: Look,
        affinity: Option<Vec<String>>,
    ) -> StoreResult<()> {
        traced::no_slot(&self.session, &self.running, &key);
        let has_pool = self.session.context.config.job_pool_size > 0;
        if !has_pool || self.ready.len() >= READY_AT_MOST {
            return self.defer(&key, Obstacle::NoRoom).await;
        }
        let waiting = Waiting {
            since: look.since,
            affinity,
        };
        self.ready.put(key, waiting);
        Ok(())
    }

    async fn act(&mut self, key: &JobKey, look: Look, row: Option<Job>) -> StoreResult<()> {
        let context = Arc::clone(&self.session.context);
        let monotonic = context.clock.monotonic();
        let since = look.since;
        let waited = monotonic.saturating_sub(since);
        let Some(job) = row else {
            traced::no_row(&self.session, key, waited < ORPHAN_PATIENCE);
            if waited < ORPHAN_PATIENCE {
                let at = monotonic + ORPHAN_PAUSE;
                self.timers.set_if_earlier(key.clone(), Look { at, since });
            }
            return Ok(());
        };
        let executor = self.executors.get(&job.key.job_type);
        let plan = self.decide(&job, executor.as_deref(), waited).await?;
        match plan {
            Plan::Pass => {
                self.deferrals.remove(key);
            }
            Plan::Claim(room) => {
                if let Some(executor) = executor {
                    self.claim_in_background(job, room, executor);
                }
            }
            Plan::NotBefore(moment) => self.not_before(key, moment).await?,
            Plan::Defer(obstacle) => {
                self.defer(key, obstacle).await?;
                if obstacle == Obstacle::NoRoom {
                    // The durable hint is for others and for later; room may come here any moment.
                    self.come_back(key.clone(), look);
                }
            }
            Plan::AwaitRoom => {
                self.await_room(key.clone(), look, Some(job.affinity))
                    .await?;
            }
            Plan::Again(pause) => {
                let at = monotonic + pause;
                self.timers.set_if_earlier(key.clone(), Look { at, since });
            }
            Plan::Move(change) => self.move_in_background(&job, change),
            Plan::Tell => self.tell_in_background(job.key),
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
        let holder = job.holder();
        let live = session.live_nodes();
        let matches_any = || {
            live.iter()
                .any(|row| Identity::from(row).matches(&job.affinity))
        };
        // Its nodes are gone and it may go elsewhere.
        let relocates = job.policy.relocate && !matches_any();
        let affinity: &[String] = if relocates { &[] } else { &job.affinity };
        let rank = live
            .iter()
            .filter(|row| row.guid != session.me.node)
            .filter(|row| Identity::from(*row).matches(affinity))
            .filter(|row| {
                precedence(&row.guid.0, job, executor)
                    > precedence(&session.me.node.0, job, executor)
            })
            .count();
        let matches = session.identity(&session.logical_ids()).matches(affinity);
        let slots = executor.map(Executor::slots);
        let room = match slots {
            None | Some(Slots::Unlimited) => Room::Free(None),
            Some(Slots::Limit(most)) if self.running.count_of(&job.key.job_type) < most => {
                Room::Free(None)
            }
            Some(Slots::Limit(_)) => Room::Full,
            Some(Slots::Pool) => room_here(session, &self.running, affinity),
        };
        let ignores_affinity = match executor {
            Some(executor) if !matches => executor.ignores_affinity(job).await?,
            Some(_) | None => false,
        };
        let seen = Seen {
            job,
            slots,
            ignores_affinity,
            matches,
            room,
            exceptional_pause: config.claim_exceptional_interval,
            runs_here: self.running.runs(&job.key, job.fence),
            held_by_me: holder.as_ref() == Some(&session.me),
            holder_is_dead: holder
                .as_ref()
                .is_none_or(|holder| session.membership.may_take_from(holder)),
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
            waited,
            now: session.context.clock.now(),
        };
        let plan = plan(&seen);
        traced::decided(session, &seen, &plan);
        Ok(plan)
    }

    /// Its row says when; a moment that comes soon gets a timer here.
    async fn not_before(&mut self, key: &JobKey, moment: Timestamp) -> StoreResult<()> {
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
            self.note(&hint, now, context.clock.monotonic());
            self.passed.insert(hint, now);
        }
        Ok(())
    }

    /// The next hint first, then this one is passed.
    async fn defer(&mut self, key: &JobKey, obstacle: Obstacle) -> StoreResult<()> {
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
        context.store.put_due(&hint).await?;
        traced::deferred(&self.session, &hint);
        debug!(
            job.uid = key.uid,
            ?obstacle,
            "Passed over job {} {}",
            key.job_type,
            key.name
        );
        if self.deferrals.len() >= READY_AT_MOST {
            // Their pauses begin anew, which costs a hint or two.
            self.deferrals.clear();
        }
        self.deferrals.insert(key.clone(), pause);
        Ok(())
    }

    /// The owner of a running job keeps its hint ahead of the time at which it would count as dead.
    async fn keep_hints_ahead(&self) -> StoreResult<()> {
        let context = &self.session.context;
        let monotonic = context.clock.monotonic();
        let every = context.config.dead_after() / 2;
        for key in self.running.hinted_before(monotonic.saturating_sub(every)) {
            let due_at = context.clock.now().plus(context.config.dead_after());
            let hint = DueHint {
                due_at,
                key: key.clone(),
            };
            context.store.put_due(&hint).await?;
            self.running.hinted(&key, monotonic);
        }
        Ok(())
    }
}

fn room_here(session: &NodeSession, running: &Running, affinity: &[String]) -> Room {
    let slots = running.job_slots();
    room(
        &session.identity(&session.logical_ids()),
        affinity,
        slots.iter().map(|slot| slot.as_deref()),
        session.context.config.job_pool_size,
    )
}

/// Rendezvous hashing: the live node of highest weight goes first; before it, the node that ran the job last, which may
/// have come back (Fabric R73).
fn precedence(node: &str, job: &Job, executor: Option<&dyn Executor>) -> (bool, u64) {
    let ran_it = job.worker.as_ref().is_some_and(|worker| worker.0 == node);
    let prefers_it = executor.is_some_and(Executor::prefers_last_node);
    (ran_it && prefers_it, weight(node, &job.key))
}

/// Rounded up to the minute, so that all nodes write the same row.
fn next_minute(moment: Timestamp) -> Timestamp {
    const MINUTE_MS: i64 = 60_000;
    Timestamp((moment.0 / MINUTE_MS + 1) * MINUTE_MS)
}
