//! The loop: which jobs are due, which of them this node takes, and how they get there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchId, DueHint, Job, JobDesired, JobKey, JobStatus, NodeRow, job_type};
use weft_model::{batch_of, job_key_of};
use weft_store::{ClaimJob, Freshness, JobSeen, Settled, StoreError, StoreResult};

use super::plan::{Kind, Obstacle, Plan, RowMove, Seen, plan};
use super::ready::{Ready, Waiting};
use super::slots::{Room, room};
use super::timers::{Look, Timers};
use super::{Held, Running, minus, traced, weight};
use crate::Life;
use crate::affinity::Identity;
use crate::batch::Runner;
use crate::job::after::schedule_of;
use crate::job::triggered::{NextRun, lives_on};
use crate::job::{JobRunner, overlap, tell};
use crate::worker::Offers;

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

pub(super) struct Looking {
    life: Life,
    offers: Offers,
    running: Arc<Running>,
    mark: Option<Timestamp>,
    looked_long_at: Duration,
    /// Hints that were seen, with when.
    passed: BTreeMap<DueHint, Timestamp>,
    timers: Timers,
    ready: Ready,
    deferrals: BTreeMap<JobKey, Duration>,
    /// Batches of the dead, or of an earlier life, that could not be read yet.
    unread: BTreeSet<BatchId>,
}

impl Looking {
    pub(super) fn new(life: Life, offers: Offers, running: Arc<Running>) -> Self {
        Self {
            life,
            offers,
            running,
            mark: None,
            looked_long_at: Duration::ZERO,
            passed: BTreeMap::new(),
            timers: Timers::default(),
            ready: Ready::default(),
            deferrals: BTreeMap::new(),
            unread: BTreeSet::new(),
        }
    }

    pub(super) async fn run(mut self, mut died: mpsc::Receiver<NodeRow>, inherited: Vec<BatchId>) {
        let context = Arc::clone(&self.life.context);
        for batch in inherited {
            self.look_at_batch(batch).await;
            // Whatever was mine is claimed again by now, or somebody else's.
            if !self.running.has_batch(batch) {
                self.life.heartbeat.release(batch);
            }
        }
        let mut poll_at = Duration::ZERO;
        loop {
            for batch in std::mem::take(&mut self.unread) {
                self.look_at_batch(batch).await;
            }
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
                () = self.life.trust.ended() => return,
                Some(dead) = died.recv() => {
                    for batch in dead.coordinates {
                        self.look_at_batch(batch).await;
                    }
                }
                () = context.wake.jobs_woken() => poll_at = Duration::ZERO,
                () = context.wake.due_told() => (),
                () = self.running.slot_freed.notified(), if !self.ready.is_empty() => (),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    fn pause(&self, poll_at: Duration) -> Duration {
        let now = self.life.context.clock.monotonic();
        // A node that leaves lets its timers pass; the hints stay for others.
        let next = self.timers.next().filter(|_| self.life.takes_work());
        let next = next.map_or(poll_at, |next| next.min(poll_at));
        next.saturating_sub(now).max(SHORTEST_PAUSE)
    }

    /// Reads hints of a span that ends a little ahead of the next poll.
    async fn poll(&mut self) -> StoreResult<()> {
        self.keep_hints_ahead().await?;
        if !self.life.takes_work() {
            return Ok(());
        }
        let context = Arc::clone(&self.life.context);
        if context.wake.take_carries_others() {
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
        let mut after = DueHint::in_front_of(from);
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
        traced::noted(&self.life, hint);
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
        let rows = self.life.context.store.nodes().await?;
        let newest = rows
            .iter()
            .filter(|row| {
                row.guid != self.life.me.node || row.incarnation != self.life.me.incarnation
            })
            .map(|row| row.heartbeat_at)
            .max();
        let earlier = self.life.earlier_heartbeat.max(newest).unwrap_or(now);
        Ok(minus(earlier.min(now), START_LOOK))
    }

    /// What this process was told, whose timer has come, or for which a slot has come free.
    async fn look_at_what_is_due(&mut self) -> StoreResult<()> {
        let context = Arc::clone(&self.life.context);
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
        if !self.life.takes_work() {
            return Ok(());
        }
        // Those that have waited go first.
        let first = self.free_slots();
        let waited = self.take_ready(first);
        self.look_at(waited).await?;
        let due = self.timers.take_due(monotonic);
        for (key, look) in &due {
            traced::due(&self.life, key, monotonic.saturating_sub(look.since));
        }
        self.look_at(due).await
    }

    fn free_slots(&self) -> usize {
        let size = self.life.context.config.job_pool_size;
        size.saturating_sub(self.running.job_count())
    }

    fn take_ready(&mut self, count: usize) -> Vec<(JobKey, Look)> {
        if count == 0 || self.ready.is_empty() {
            return Vec::new();
        }
        let at = self.life.context.clock.monotonic();
        let (running, life) = (Arc::clone(&self.running), self.life.clone());
        let may_run = |waiting: &Waiting| {
            waiting
                .affinity
                .as_ref()
                .is_none_or(|affinity| room_here(&life, &running, affinity) != Room::Full)
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
        let own = self.life.logical_ids();
        let identity = self.life.identity(&own);
        let is_strange = |waiting: &Waiting| {
            let affinity = waiting.affinity.as_ref();
            affinity.is_some_and(|affinity| !identity.matches(affinity))
        };
        let strange = self.ready.take(usize::MAX, usize::MAX, is_strange);
        let at = self.life.context.clock.monotonic();
        for (key, waiting) in strange {
            let since = waiting.since;
            self.timers.set_if_earlier(key, Look { at, since });
        }
    }

    /// Those whose hint would be missed by a node that starts after all have died.
    async fn hint_ready_ones(&mut self) -> StoreResult<()> {
        let context = Arc::clone(&self.life.context);
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

    async fn look_at_batch(&mut self, batch: BatchId) {
        let store = &self.life.context.store;
        match store.batch(batch, Freshness::Committed).await {
            Ok(Some(found)) => {
                let since = self.life.context.clock.monotonic();
                let look = Look { at: since, since };
                let looked = self.look_at(vec![(job_key_of(&found), look)]).await;
                if let Err(error) = looked {
                    debug!(error = %error, "Could not look at the job of batch {batch}: {error}");
                }
            }
            Ok(None) => (),
            Err(error) => {
                debug!(error = %error, "Could not look at batch {batch}: {error}");
                self.unread.insert(batch);
            }
        }
    }

    /// Reads rows and acts on them, one after the other. Those that could not be looked at come again: perhaps nothing
    /// else would lead to them.
    async fn look_at(&mut self, looks: Vec<(JobKey, Look)>) -> StoreResult<()> {
        let mut looks = looks.into_iter().peekable();
        let mut failed: Option<StoreError> = None;
        while looks.peek().is_some() {
            let mut group = Vec::new();
            for (key, look) in looks.by_ref().take(READS_AT_ONCE) {
                if takes_slot(&self.life, &key) && self.free_slots() <= group.len() {
                    if let Err(error) = self.await_room(key.clone(), look, None).await {
                        self.come_back(key, look);
                        failed = Some(error);
                    }
                } else {
                    group.push((key, look));
                }
            }
            let store = Arc::clone(&self.life.context.store);
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
        let pause = self.life.context.config.poll_interval;
        let at = self.life.context.clock.monotonic() + pause;
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
        traced::no_slot(&self.life, &self.running, &key);
        let has_pool = self.life.context.config.job_pool_size > 0;
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
        let context = Arc::clone(&self.life.context);
        let monotonic = context.clock.monotonic();
        let since = look.since;
        let waited = monotonic.saturating_sub(since);
        let Some(job) = row else {
            traced::no_row(&self.life, key, waited < ORPHAN_PATIENCE);
            if waited < ORPHAN_PATIENCE {
                let at = monotonic + ORPHAN_PAUSE;
                self.timers.set_if_earlier(key.clone(), Look { at, since });
            }
            return Ok(());
        };
        let batch = match batch_of(&job) {
            Some(id) => context.store.batch(id, Freshness::Committed).await?,
            None => None,
        };
        match self.decide(&job, batch.as_ref(), waited) {
            Plan::Pass => {
                self.deferrals.remove(key);
            }
            Plan::Claim(room) if job.key.job_type == job_type::BATCH_PROCESS => {
                debug_assert_ne!(room, Room::Full, "a plan to claim has a slot");
                self.claim_batch_job(job).await?;
            }
            Plan::Claim(room) => self.claim_in_background(job, room),
            Plan::NotBefore(moment) => self.not_before(key, moment).await?,
            Plan::Defer(obstacle) => {
                self.defer(key, obstacle).await?;
                if obstacle == Obstacle::NoRoom {
                    // The durable hint is for others and for later; room for a batch may come here any moment.
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
            Plan::Move(change) => self.move_row(job, change).await?,
            Plan::Tell => self.tell_in_background(job.key),
        }
        Ok(())
    }

    fn decide(&self, job: &Job, batch: Option<&Batch>, waited: Duration) -> Plan {
        let life = &self.life;
        let config = &life.context.config;
        let holder = job.holder();
        let is_batch = job.key.job_type == job_type::BATCH_PROCESS;
        let live = life.live_nodes();
        let matches_any = || {
            live.iter()
                .any(|row| Identity::from(row).matches(&job.affinity))
        };
        // Its nodes are gone and it may go elsewhere.
        let relocates = job.policy.relocate && !matches_any();
        let affinity: &[String] = if relocates { &[] } else { &job.affinity };
        let rank = live
            .iter()
            .filter(|row| row.guid != life.me.node)
            .filter(|row| Identity::from(*row).matches(affinity))
            .filter(|row| precedence(&row.guid.0, job) > precedence(&life.me.node.0, job))
            .count();
        let room = match (is_batch, self.running.batch_count()) {
            (true, count) if count < config.max_running_batches => Room::Free(None),
            (true, _) => Room::Full,
            (false, _) if !takes_slot(life, &job.key) => Room::Free(None),
            (false, _) => room_here(life, &self.running, affinity),
        };
        let kind = match is_batch {
            true => Kind::Batch(batch),
            false if life.context.kinds.get(&job.key.job_type).is_some() => Kind::Known,
            false => Kind::Unknown,
        };
        let seen = Seen {
            job,
            kind,
            matches: life.identity(&life.logical_ids()).matches(affinity),
            room,
            exceptional_pause: config.claim_exceptional_interval,
            runs_here: self.running.runs(&job.key, job.fence),
            held_by_me: holder.as_ref() == Some(&life.me),
            holder_is_dead: holder
                .as_ref()
                .is_none_or(|holder| life.membership.may_take_from(holder)),
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
            waited,
            now: life.context.clock.now(),
        };
        let plan = plan(&seen);
        traced::decided(life, &seen, &plan);
        plan
    }

    /// Its row says when; a moment that comes soon gets a timer here.
    async fn not_before(&mut self, key: &JobKey, moment: Timestamp) -> StoreResult<()> {
        let context = Arc::clone(&self.life.context);
        let hint = DueHint {
            due_at: moment,
            key: key.clone(),
        };
        let now = context.clock.now();
        traced::next_time(&self.life, key, moment);
        if !self.passed.contains_key(&hint) {
            context.store.put_due(&hint).await?;
        }
        if moment <= now.plus(context.config.poll_interval + AHEAD) {
            self.note(&hint, now, context.clock.monotonic());
            self.passed.insert(hint, now);
        }
        Ok(())
    }

    /// The next hint first, then this one is passed (design section 6, the due index).
    async fn defer(&mut self, key: &JobKey, obstacle: Obstacle) -> StoreResult<()> {
        let context = Arc::clone(&self.life.context);
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
        traced::deferred(&self.life, &hint);
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

    /// Moves a row that nobody runs. If somebody else was faster, his hint leads here again.
    async fn move_row(&mut self, job: Job, change: RowMove) -> StoreResult<()> {
        let now = self.life.context.clock.now();
        let seen = JobSeen::of(&job);
        let fence = job.fence + 1;
        let moved = match change {
            RowMove::Terminate => Job {
                status: JobStatus::Terminated,
                archived: true,
                end_time: Some(now),
                next_run: None,
                ..job
            },
            RowMove::StartOver => Job {
                status: JobStatus::Waiting,
                desired: JobDesired::Run,
                worker: None,
                owner_incarnation: None,
                next_run: None,
                tries: 0,
                runs: job.runs + 1,
                ..job
            },
            RowMove::PassTo(next)
                if next.is_some()
                    || job.triggers.fired_for.is_some()
                    || lives_on(&job, job.runs, now) =>
            {
                let next = NextRun::of(next, job.triggers.fired_for);
                let mut passed = job;
                passed.status = next.status;
                passed.next_run = next.next_run;
                passed.planned_run = next.planned_run;
                passed.triggers.fired_for = next.fired_for;
                passed.notes = Some("a missed run was passed over".to_owned());
                passed
            }
            RowMove::PassTo(_) => Job {
                status: JobStatus::Terminated,
                archived: true,
                next_run: None,
                notes: Some("the last run was missed and passed over".to_owned()),
                ..job
            },
        };
        let moved = Job { fence, ..moved };
        traced::moved(&self.life, &moved);
        let key = &moved.key;
        info!(
            job.uid = key.uid,
            "'{}.{}.{}' is now {} without a run", key.job_type, key.name, key.uid, moved.status
        );
        self.life.write_job(moved, Some(seen)).await.map(drop)
    }

    fn claim_of(&self, job: &Job, now: Timestamp) -> ClaimJob {
        let context = &self.life.context;
        ClaimJob {
            key: job.key.clone(),
            seen_status: job.status,
            seen_fence: job.fence,
            holder: self.life.me.clone(),
            now,
            due: DueHint {
                due_at: now.plus(context.config.dead_after()),
                key: job.key.clone(),
            },
            token: context.ids.token(),
        }
    }

    /// The job takes its slot at once, so that the next look counts it, and is claimed and run beside the loop.
    fn claim_in_background(&mut self, job: Job, room: Room) {
        let life = self.life.clone();
        let Some(kind) = life.context.kinds.get(&job.key.job_type).cloned() else {
            return;
        };
        let now = life.context.clock.now();
        let claim = self.claim_of(&job, now);
        let covered = overlap::covered(&job, now);
        let (slot, give_up_after) = match room {
            Room::Exceptional(name) if !is_recurring(&job) => {
                (Some(name), Some(give_up_after(&life)))
            }
            // Recurring jobs are left where they are (Fabric R97).
            Room::Exceptional(name) => (Some(name), None),
            Room::Free(name) => (name, None),
            Room::Full => (None, None),
        };
        let held = Held {
            fence: job.fence + 1,
            hinted_at: life.context.clock.monotonic(),
            takes_slot: kind.takes_slot(),
            lent: 0,
            slot,
        };
        let takes_slot = held.takes_slot;
        if takes_slot {
            traced::slot_taken(&life, &self.running, &job.key, held.slot.as_deref());
        }
        let done = self.running.enter(&job.key, held);
        let slot = done.slot();
        life.tasks.clone().spawn(async move {
            let (key, mut followed) = (claim.key.clone(), false);
            match claim_and_tell(&life, &claim, job).await {
                Ok(Some(job)) => {
                    traced::handed_over(&life, &job);
                    let uid = job.key.uid.clone();
                    let runner = JobRunner::new(life.clone(), job, kind, slot, give_up_after)
                        .with_runs_beside_from(covered);
                    match runner.run().await {
                        Ok(Some(ended)) => {
                            ended
                                .due
                                .into_iter()
                                .for_each(|due| life.context.wake.due(due));
                            followed = ended.is_followed;
                        }
                        Ok(None) => (),
                        Err(error) => warn!(
                            job.uid = uid,
                            error = %error,
                            "The end of a job could not be written: {error}"
                        ),
                    }
                }
                // Another node was faster, or it was stopped: normal.
                Ok(None) => (),
                Err(error) => {
                    debug!(error = %error, "Could not claim a job: {error}");
                    // Its hint is passed here; it is looked at again.
                    let due_at = life
                        .context
                        .clock
                        .now()
                        .plus(life.context.config.poll_interval);
                    let key = claim.key.clone();
                    life.context.wake.due(DueHint { due_at, key });
                }
            }
            drop(done);
            if takes_slot {
                traced::slot_free(&life, &key);
            }
            if followed {
                tell(&life, &key).await;
            }
        });
    }

    /// Tells those that wait for the last end of this job.
    fn tell_in_background(&self, key: JobKey) {
        let life = self.life.clone();
        life.tasks
            .clone()
            .spawn(async move { tell(&life, &key).await });
    }

    async fn claim_batch_job(&mut self, job: Job) -> StoreResult<()> {
        let life = self.life.clone();
        let batch = batch_of(&job);
        if let Some(batch) = batch
            && !life.heartbeat.coordinate(batch, &life.trust).await
        {
            return Ok(());
        }
        let claim = self.claim_of(&job, life.context.clock.now());
        let claimed = claim_and_tell(&life, &claim, job).await;
        match claimed {
            Ok(Some(job)) => {
                self.start_batch(job);
                Ok(())
            }
            Ok(None) => {
                batch
                    .into_iter()
                    .for_each(|batch| life.heartbeat.release(batch));
                Ok(())
            }
            Err(error) => {
                batch
                    .into_iter()
                    .for_each(|batch| life.heartbeat.release(batch));
                Err(error)
            }
        }
    }

    fn start_batch(&self, job: Job) {
        let life = self.life.clone();
        let held = Held {
            fence: job.fence,
            hinted_at: life.context.clock.monotonic(),
            takes_slot: false,
            lent: 0,
            slot: None,
        };
        let done = self.running.enter(&job.key, held);
        let release = batch_of(&job);
        let key = job.key.clone();
        traced::handed_over(&life, &job);
        let runner = Runner::new(life.clone(), job, self.offers.clone());
        life.tasks.clone().spawn(async move {
            traced::batch_begun(&life, &key);
            let ran = runner.run().await;
            traced::batch_ended(&life, &key, ran.is_ok());
            if let Err(error) = ran {
                warn!(error = %error, "A batch could not be run to its end here: {error}");
            }
            if let Some(batch) = release {
                life.heartbeat.release(batch);
            }
            drop(done);
            life.context.wake.jobs();
        });
    }

    /// The owner of a running job keeps its hint ahead of the time at which it would count as dead.
    async fn keep_hints_ahead(&self) -> StoreResult<()> {
        let context = &self.life.context;
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

/// Claims; answers the job as it stands then, or none where somebody else was faster.
async fn claim_and_tell(life: &Life, claim: &ClaimJob, job: Job) -> StoreResult<Option<Job>> {
    let settled = life.settle(claim).await;
    traced::claimed(life, claim, &settled);
    match settled? {
        Settled::Applied => (),
        Settled::Lost(_) | Settled::StillUnknown => return Ok(None),
    }
    if job.status == JobStatus::InProcess {
        metrics::counter!("takeovers_total", "kind" => "job").increment(1);
    }
    let job = claim.apply(job);
    info!(
        job.name = job.key.name,
        job.uid = job.key.uid,
        "'{}.{}.{}' is now IN_PROCESS by {}",
        job.key.job_type,
        job.key.name,
        job.key.uid,
        life.me.node
    );
    Ok(Some(job))
}

/// Batches have a limit of their own, and what only waits needs none.
fn takes_slot(life: &Life, key: &JobKey) -> bool {
    let kind = life.context.kinds.get(&key.job_type);
    kind.is_some_and(|kind| kind.takes_slot())
}

fn room_here(life: &Life, running: &Running, affinity: &[String]) -> Room {
    let slots = running.job_slots();
    room(
        &life.identity(&life.logical_ids()),
        affinity,
        slots.iter().map(|slot| slot.as_deref()),
        life.context.config.job_pool_size,
    )
}

fn is_recurring(job: &Job) -> bool {
    schedule_of(job).is_some_and(|schedule| schedule.is_recurring())
}

/// By lot between the bounds, so that not all nodes give up at once (Fabric R96).
fn give_up_after(life: &Life) -> Duration {
    let config = &life.context.config;
    let span = config.max_give_up.saturating_sub(config.min_give_up);
    config.min_give_up + life.context.ids.jitter(span)
}

/// Rendezvous hashing: the live node of highest weight goes first; before it, the node that ran the job last, which may
/// have come back (Fabric R73).
fn precedence(node: &str, job: &Job) -> (bool, u64) {
    let ran_it = job.worker.as_ref().is_some_and(|worker| worker.0 == node);
    let is_batch = job.key.job_type == job_type::BATCH_PROCESS;
    (ran_it && !is_batch, weight(node, &job.key))
}

/// Rounded up to the minute, so that all nodes write the same row.
fn next_minute(moment: Timestamp) -> Timestamp {
    const MINUTE_MS: i64 = 60_000;
    Timestamp((moment.0 / MINUTE_MS + 1) * MINUTE_MS)
}
