//! Finds due jobs by their hints, claims them, and starts what runs them.
//!
//! A hint says when somebody must look; the row says what is true. Whoever cannot act leaves the next hint
//! before passing this one, so a job is never forgotten.

mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::{debug, info, warn};

pub use plan::{Obstacle, Plan, Seen, plan};

use crate::batch::Runner;
use crate::clock::Timestamp;
use crate::model::{
    Batch, BatchId, DueHint, Fence, Job, JobKey, JobStatus, NodeRow, Token, job_type,
};
use crate::node::Life;
use crate::node::affinity::Identity;
use crate::store::{ClaimJob, Freshness, Settled, StoreResult, SubmitBatch};
use crate::worker::Offers;

/// A poll reads from its mark minus this, for hints that were written late.
const OVERLAP: Duration = Duration::from_secs(2);
/// Every so often a poll reads further back.
const LONG_LOOK_EVERY: Duration = Duration::from_secs(30);
const LONG_LOOK: Duration = Duration::from_secs(120);
/// A node that starts reads back to this long before the newest earlier heartbeat.
const START_LOOK: Duration = Duration::from_secs(15 * 60);
/// A hint without a row is looked at again for this long: the row may be on its way.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(60);
const ORPHAN_PAUSE: Duration = Duration::from_secs(2);
const HINTS_PER_POLL: usize = 1_000;
const FIRST_DEFERRAL: Duration = Duration::from_secs(60);
const LONGEST_DEFERRAL: Duration = Duration::from_secs(600);

/// The scheduler as the rest of a life sees it.
#[derive(Clone, Debug)]
pub struct Scheduler {
    deaths: mpsc::Sender<NodeRow>,
    running: Arc<Running>,
}

/// The jobs that this life runs.
#[derive(Debug, Default)]
pub struct Running {
    jobs: Mutex<BTreeMap<JobKey, Held>>,
    changed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    fence: Fence,
    hinted_at: Duration,
}

impl Scheduler {
    /// Starts looking, beginning with what an earlier life of this node held.
    pub fn start(life: &Life, offers: Offers, inherited: Vec<BatchId>) -> Self {
        let (deaths, died) = mpsc::channel(64);
        let running = Arc::new(Running::default());
        let looking = Looking {
            life: life.clone(),
            offers,
            running: Arc::clone(&running),
            mark: None,
            looked_long_at: Duration::ZERO,
            passed: BTreeMap::new(),
            again: BTreeMap::new(),
            deferrals: BTreeMap::new(),
            unread: BTreeSet::new(),
        };
        life.tasks
            .spawn_vital(&life.trust, looking.run(died, inherited));
        Self { deaths, running }
    }

    /// Where deaths of nodes are reported.
    pub fn deaths(&self) -> mpsc::Sender<NodeRow> {
        self.deaths.clone()
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
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Duration,
    since: Duration,
}

struct Looking {
    life: Life,
    offers: Offers,
    running: Arc<Running>,
    mark: Option<Timestamp>,
    looked_long_at: Duration,
    passed: BTreeMap<DueHint, Timestamp>,
    again: BTreeMap<JobKey, Look>,
    deferrals: BTreeMap<JobKey, Duration>,
    /// Batches of the dead, or of an earlier life, that could not be read yet.
    unread: BTreeSet<BatchId>,
}

impl Looking {
    async fn run(mut self, mut died: mpsc::Receiver<NodeRow>, inherited: Vec<BatchId>) {
        let context = Arc::clone(&self.life.context);
        for batch in inherited {
            self.look_at_batch(batch).await;
            // Whatever was mine is claimed again by now, or somebody else's.
            if !self.runs_batch(batch) {
                self.life.heartbeat.release(batch);
            }
        }
        loop {
            for batch in std::mem::take(&mut self.unread) {
                self.look_at_batch(batch).await;
            }
            let pause = match self.poll().await {
                Ok(()) => self.pause(),
                Err(error) => {
                    debug!(error = %error, "Could not look for due jobs: {error}");
                    // What is due stays due: without a pause of its own this would go round at once.
                    context.config.poll_interval
                }
            };
            tokio::select! {
                biased;
                () = self.life.trust.ended() => return,
                Some(dead) = died.recv() => {
                    for batch in dead.coordinates {
                        self.look_at_batch(batch).await;
                    }
                }
                () = context.wake.jobs_woken() => (),
                () = tokio::time::sleep(pause) => (),
            }
        }
    }

    fn pause(&self) -> Duration {
        let now = self.life.context.clock.monotonic();
        let poll = self.life.context.config.poll_interval;
        let next = self
            .again
            .values()
            .map(|look| look.at.saturating_sub(now))
            .min();
        next.map_or(poll, |next| next.clamp(Duration::from_millis(1), poll))
    }

    fn runs_batch(&self, batch: BatchId) -> bool {
        let uid = batch.to_string();
        self.running.lock().keys().any(|key| key.uid == uid)
    }

    async fn poll(&mut self) -> StoreResult<()> {
        self.keep_hints_ahead().await?;
        if !self.life.takes_work() {
            return Ok(());
        }
        let context = Arc::clone(&self.life.context);
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
        let mut from = from;
        loop {
            let hints = context.store.due(from, now, HINTS_PER_POLL).await?;
            let full = hints.len() >= HINTS_PER_POLL;
            let last = hints.last().map(|hint| hint.due_at);
            for hint in hints {
                if self.passed.contains_key(&hint) {
                    continue;
                }
                self.look(&hint.key).await?;
                self.passed.insert(hint, now);
            }
            match last {
                // A page of one and the same moment must not hold the poll up for ever.
                Some(last) if full && last > from => from = last,
                Some(last) if full => from = Timestamp(last.0 + 1),
                _ => break,
            }
        }
        self.mark = Some(now);
        let horizon = minus(now, LONG_LOOK * 2);
        self.passed
            .retain(|hint, seen_at| hint.due_at >= horizon || *seen_at >= horizon);
        self.look_again().await
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

    async fn look_again(&mut self) -> StoreResult<()> {
        let now = self.life.context.clock.monotonic();
        let due: Vec<JobKey> = self
            .again
            .iter()
            .filter(|(_, look)| look.at <= now)
            .map(|(key, _)| key.clone())
            .collect();
        for key in due {
            let look = self.again.get(&key).copied();
            if let Err(error) = self.look(&key).await {
                // No hint may come again for it.
                if let Some(look) = look {
                    self.again.insert(key, look);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn look_at_batch(&mut self, batch: BatchId) {
        match self
            .life
            .context
            .store
            .batch(batch, Freshness::Committed)
            .await
        {
            Ok(Some(found)) => {
                let key = job_key_of(&found);
                if let Err(error) = self.look(&key).await {
                    debug!(error = %error, "Could not look at the job of batch {batch}: {error}");
                    self.look_soon(key);
                }
            }
            Ok(None) => (),
            Err(error) => {
                debug!(error = %error, "Could not look at batch {batch}: {error}");
                self.unread.insert(batch);
            }
        }
    }

    /// A look that failed comes again: perhaps nothing else would lead to this job.
    fn look_soon(&mut self, key: JobKey) {
        let context = &self.life.context;
        let since = context.clock.monotonic();
        let at = since + context.config.poll_interval;
        self.again.entry(key).or_insert(Look { at, since });
    }

    async fn look(&mut self, key: &JobKey) -> StoreResult<()> {
        let context = Arc::clone(&self.life.context);
        let monotonic = context.clock.monotonic();
        let since = self.again.remove(key).map_or(monotonic, |look| look.since);
        let Some(job) = context.store.job(key, Freshness::Committed).await? else {
            if monotonic.saturating_sub(since) < ORPHAN_PATIENCE {
                self.again.insert(
                    key.clone(),
                    Look {
                        at: monotonic + ORPHAN_PAUSE,
                        since,
                    },
                );
            }
            return Ok(());
        };
        let batch = match batch_of(&job) {
            Some(id) => context.store.batch(id, Freshness::Committed).await?,
            None => None,
        };
        match self.decide(&job, batch.as_ref(), monotonic.saturating_sub(since)) {
            Plan::Pass => {
                self.deferrals.remove(key);
            }
            Plan::Claim => self.claim(job).await?,
            Plan::NotBefore(moment) => {
                context
                    .store
                    .put_due(&DueHint {
                        due_at: moment,
                        key: key.clone(),
                    })
                    .await?;
            }
            Plan::Defer(obstacle) => self.defer(key, obstacle).await?,
            Plan::Again(pause) => {
                self.again.insert(
                    key.clone(),
                    Look {
                        at: monotonic + pause,
                        since,
                    },
                );
            }
        }
        Ok(())
    }

    fn decide(&self, job: &Job, batch: Option<&Batch>, waited: Duration) -> Plan {
        let life = &self.life;
        let holder = job.holder();
        let (running, batches) = {
            let running = self.running.lock();
            (running.get(&job.key).copied(), running.len())
        };
        let live = life.live_nodes();
        let rank = live
            .iter()
            .filter(|row| Identity::from(*row).matches(&job.affinity))
            .filter(|row| row.guid != life.me.node)
            .filter(|row| weight(&row.guid.0, &job.key) > weight(&life.me.node.0, &job.key))
            .count();
        plan(&Seen {
            job,
            batch,
            matches: life.identity().matches(&job.affinity),
            has_room: batches < life.context.config.max_running_batches,
            runs_here: running.is_some_and(|held| held.fence == job.fence),
            held_by_me: holder.as_ref() == Some(&life.me),
            holder_is_dead: holder
                .as_ref()
                .is_none_or(|holder| life.membership.may_take_from(holder)),
            rank: u32::try_from(rank).unwrap_or(u32::MAX),
            waited,
            now: life.context.clock.now(),
        })
    }

    /// The next hint first, then this one is passed (design section 6, the due index).
    async fn defer(&mut self, key: &JobKey, obstacle: Obstacle) -> StoreResult<()> {
        let context = &self.life.context;
        let pause = self
            .deferrals
            .get(key)
            .map_or(FIRST_DEFERRAL, |pause| (*pause * 2).min(LONGEST_DEFERRAL));
        // Rounded up to the minute, so that all nodes write the same row.
        let minute = 60_000;
        let due_at = Timestamp((context.clock.now().plus(pause).0 / minute + 1) * minute);
        context
            .store
            .put_due(&DueHint {
                due_at,
                key: key.clone(),
            })
            .await?;
        debug!(
            job.uid = key.uid,
            ?obstacle,
            "Passed over job {} {}",
            key.job_type,
            key.name
        );
        self.deferrals.insert(key.clone(), pause);
        if obstacle == Obstacle::NoRoom {
            // The durable hint is for others and for later; a slot may come free here any moment.
            let at = context.clock.monotonic() + context.config.poll_interval;
            self.again.insert(key.clone(), Look { at, since: at });
        }
        Ok(())
    }

    async fn claim(&mut self, mut job: Job) -> StoreResult<()> {
        let life = self.life.clone();
        let now = life.context.clock.now();
        if let Some(batch) = batch_of(&job)
            && !life.heartbeat.coordinate(batch, &life.trust).await
        {
            return Ok(());
        }
        let claim = ClaimJob {
            key: job.key.clone(),
            seen_status: job.status,
            seen_fence: job.fence,
            holder: life.me.clone(),
            now,
            due: DueHint {
                due_at: now.plus(life.context.config.dead_after()),
                key: job.key.clone(),
            },
            token: life.context.ids.token(),
        };
        let settled = life.settle(&claim).await;
        match settled {
            Ok(Settled::Applied) => {
                if job.status == JobStatus::InProcess {
                    metrics::counter!("takeovers_total", "kind" => "job").increment(1);
                }
                job.status = JobStatus::InProcess;
                job.fence += 1;
                job.worker = Some(life.me.node.clone());
                job.owner_incarnation = Some(life.me.incarnation);
                job.start_time = Some(now);
                self.start(job);
                Ok(())
            }
            Ok(Settled::Lost(_) | Settled::StillUnknown) => {
                self.release(&job);
                Ok(())
            }
            Err(error) => {
                self.release(&job);
                Err(error)
            }
        }
    }

    fn release(&self, job: &Job) {
        if let Some(batch) = batch_of(job) {
            self.life.heartbeat.release(batch);
        }
    }

    fn start(&self, job: Job) {
        let life = self.life.clone();
        let key = job.key.clone();
        info!(
            job.name = key.name,
            job.uid = key.uid,
            "'{}.{}.{}' is now IN_PROCESS by {}",
            key.job_type,
            key.name,
            key.uid,
            life.me.node
        );
        let held = Held {
            fence: job.fence,
            hinted_at: life.context.clock.monotonic(),
        };
        self.running.lock().insert(key.clone(), held);
        let running = Arc::clone(&self.running);
        let runner = Runner::new(life.clone(), job.clone(), self.offers.clone());
        let release = batch_of(&job);
        life.tasks.clone().spawn(async move {
            let done = Finished {
                running,
                key,
                fence: held.fence,
            };
            if let Err(error) = runner.run().await {
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
        let stale: Vec<JobKey> = self
            .running
            .lock()
            .iter()
            .filter(|(_, held)| monotonic.saturating_sub(held.hinted_at) >= every)
            .map(|(key, _)| key.clone())
            .collect();
        for key in stale {
            let due_at = context.clock.now().plus(context.config.dead_after());
            context
                .store
                .put_due(&DueHint {
                    due_at,
                    key: key.clone(),
                })
                .await?;
            if let Some(held) = self.running.lock().get_mut(&key) {
                held.hinted_at = monotonic;
            }
        }
        Ok(())
    }
}

/// Takes a job out of the running ones, also when its task is aborted.
struct Finished {
    running: Arc<Running>,
    key: JobKey,
    fence: Fence,
}

impl Drop for Finished {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        if running
            .get(&self.key)
            .is_some_and(|held| held.fence == self.fence)
        {
            running.remove(&self.key);
        }
        drop(running);
        self.running.changed.notify_waiters();
    }
}

/// The batch that a BATCH PROCESS job coordinates: its uid.
pub fn batch_of(job: &Job) -> Option<BatchId> {
    if job.key.job_type != job_type::BATCH_PROCESS {
        return None;
    }
    job.key.uid.parse().ok()
}

/// The job that coordinates a batch (Fabric A.9, rows 2 and 3).
pub fn job_key_of(batch: &Batch) -> JobKey {
    JobKey {
        job_type: job_type::BATCH_PROCESS.to_owned(),
        name: format!("BATCH_{}", batch.spec.logical_unit),
        uid: batch.id.to_string(),
    }
}

/// The waiting job that coordinates a batch. What the session had is kept in the batch alone.
pub fn job_of(batch: &Batch) -> Job {
    Job {
        affinity: batch.spec.job_affinity.clone(),
        arguments: serde_json::json!({ "bid": batch.id }).to_string(),
        ..Job::waiting(job_key_of(batch), batch.creation_time)
    }
}

/// Submits a batch with its job, due at once.
pub fn submission_of(batch: Batch, token: Token) -> SubmitBatch {
    let job = job_of(&batch);
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
    crate::hash::stable(&[node, &key.job_type, &key.name, &key.uid])
}

fn minus(moment: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(
        moment
            .0
            .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
    )
}
