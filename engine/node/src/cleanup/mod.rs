//! The clean-up: removes archived jobs, their history, and batches, some time after their end.
//!
//! A job is removed by one compare-and-set on everything that was read of it, so a RESUMEJOB in between wins. A batch has more
//! than one partition: its row is marked first, so that no node resumes it, then its chunks are removed, and the row last. A
//! pass that finds a marked row continues with it, so a crash needs no other repair.
//!
//! Batches are removed from the oldest to the newest, in windows of time, and a cluster setting says how far
//! ([`RemovedBatches`]). The next pass begins there, and with the batches that stayed behind.
//!
//! One node of the cluster cleans up, slowly, every few hours. Batches and jobs are separate passes, so that neither waits
//! for the other. The job kind CLEANUP does both on request.
//!
//! A pass rests by what it has done (`pace`). A batch costs the store a read of its row, two compare-and-sets (mark and
//! delete; a third one if it ran with ALLOW_MULTIPLE=false) and plain deletes.

mod kind;
mod pace;
#[cfg(test)]
mod tests;

pub use kind::Cleanup;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use weft_model::clock::{SharedClock, Timestamp};
use weft_model::command_key;
use weft_model::ids::Ids;
use weft_model::{Batch, BatchDesired, BatchId, BatchStatus, Job};
use weft_store::SelfFence;
use weft_store::{
    BatchPage, Conditional, DeleteBatch, DeleteJob, Freshness, ListBatches, ListJobs, PutSetting,
    ReleaseCommand, RequestBatch, Settled, SharedStore, StoreError, settle,
};

use self::pace::Pace;
use crate::NodeSession;
use crate::job::NOTE_AGE;
use crate::removed_batches::RemovedBatches;

/// The number of rows to read at once.
const PAGE: usize = 200;
/// Units of the removal of a batch, beside its chunks: its compare-and-sets, and what hangs on its id. To check a row is one
/// unit, and so is to remove a chunk number.
const BATCH_UNITS: i64 = 6;
/// The entities whose removal is one unit more.
const ENTITIES_PER_UNIT: i64 = 100;
/// The most entities of a chunk.
const CHUNK_ENTITIES: i64 = 1_000;
/// The number of chunks to remove at once.
const CHUNKS: i64 = 16;
/// The age from which due hints are removed. No node reads hints that old.
const HINT_AGE: Duration = Duration::from_secs(30 * 86_400);
/// The least span of time that is read at once, in milliseconds. A pass that is interrupted reads over the lines that it
/// has removed of one span, which are 10,000 at a million batches a day.
const WINDOW_MS: i64 = 15 * 60_000;
/// The number of batches to remove at once.
const BATCHES_AT_ONCE: usize = 8;
/// The latest start of the first pass of a node session, so that a node that restarts every day cleans up too, and of the
/// pass after one that ended early.
const FIRST_PASS: Duration = Duration::from_secs(600);

/// The ages from which to remove; none: keep all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// Since the end of an archived job.
    pub jobs: Option<Duration>,
    /// Since the start of a run of a job that stays.
    pub history: Option<Duration>,
    /// Since the end of a batch.
    pub batches: Option<Duration>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Archived jobs, with their history.
    pub jobs: usize,
    /// Runs of jobs that stay.
    pub runs: usize,
    /// Batches, with all that is known of their entities.
    pub batches: usize,
}

/// A line of the directory: when the batch was submitted, and its id.
type Line = (Timestamp, BatchId);

/// What became of a line of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Its batch was removed.
    Removed,
    /// It had no batch any more.
    Gone,
    /// The batch is not old, or changes.
    Stays,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stop was requested, or the node has fenced itself.
    #[error("a stop was requested")]
    Stopped,
}

/// Cleans up from time to time until the node fences itself.
pub async fn run(session: NodeSession) {
    let config = &session.context.config;
    let jobs = Ages {
        jobs: Some(config.job_archiving_time),
        history: Some(config.job_archiving_time),
        batches: None,
    };
    let batches = Ages {
        batches: Some(config.batch_kept),
        ..Ages::default()
    };
    futures::future::join(
        run_periodically(&session, jobs),
        run_periodically(&session, batches),
    )
    .await;
}

async fn run_periodically(session: &NodeSession, ages: Ages) {
    let config = &session.context.config;
    let mut pause = config.cleanup_interval.min(FIRST_PASS);
    loop {
        if !session
            .self_fence
            .wait(pause + session.context.ids.jitter(pause / 2))
            .await
        {
            return;
        }
        pause = config.cleanup_interval;
        // One node is enough. If two nodes disagree about which nodes are live, the second finds nothing to remove.
        let nodes = session.live_nodes();
        if nodes
            .first()
            .is_none_or(|node| node.guid != session.me.node)
        {
            continue;
        }
        let mut sweep = Sweep {
            store: session.context.store.clone(),
            clock: session.context.clock.clone(),
            ids: session.context.ids.clone(),
            self_fence: session.self_fence.clone(),
            stop: session.draining.clone(),
            pause: Duration::from_secs(1),
            pace: Pace::default(),
            removed: Removed::default(),
        };
        match sweep.all(&ages).await {
            Ok(()) => (),
            Err(error) => {
                debug!(error = %error, "The clean-up ended early: {error}");
                pause = pause.min(FIRST_PASS);
            }
        }
        let removed = sweep.removed;
        if removed != Removed::default() {
            let Removed {
                jobs,
                runs,
                batches,
            } = removed;
            info!("Removed {jobs} archived jobs, {runs} old runs and {batches} old batches");
        }
    }
}

/// One pass.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) store: SharedStore,
    pub(super) clock: SharedClock,
    pub(super) ids: Ids,
    /// How long it may act.
    pub(super) self_fence: SelfFence,
    /// Cancelled when the pass must end.
    pub(super) stop: CancellationToken,
    /// A rest.
    pub(super) pause: Duration,
    /// Says when to rest.
    pace: Pace,
    /// What it removed so far.
    pub(super) removed: Removed,
}

impl Sweep {
    /// Removes everything of these ages.
    ///
    /// # Errors
    /// The pass ended early. What it has removed stays removed.
    pub(super) async fn all(&mut self, ages: &Ages) -> Result<(), SweepError> {
        if let Some(age) = ages.batches {
            self.batches(self.clock.now().minus(age)).await?;
        }
        if ages.jobs.is_some() || ages.history.is_some() {
            let now = self.clock.now();
            let before = |age: Option<Duration>| age.map(|age| now.minus(age));
            self.jobs(before(ages.jobs), before(ages.history)).await?;
            let before = self.clock.now().minus(HINT_AGE);
            while self.store.forget_hints(before).await? > 0 {
                self.rest().await?;
            }
        }
        Ok(())
    }

    async fn jobs(
        &mut self,
        ended_before: Option<Timestamp>,
        started_before: Option<Timestamp>,
    ) -> Result<(), SweepError> {
        let mut list = ListJobs {
            limit: PAGE,
            ..ListJobs::default()
        };
        loop {
            let page = self.store.jobs(&list).await?;
            for job in &page.jobs {
                let delete = DeleteJob::of(job)
                    .filter(|delete| ended_before.is_some_and(|before| delete.ended < before));
                self.work(1).await?;
                match (delete, started_before) {
                    (Some(delete), _) => {
                        let gone = self.settle(&delete).await?;
                        self.removed.jobs += usize::from(gone);
                        self.forget_notes(job).await?;
                    }
                    (None, Some(before)) => {
                        self.removed.runs += self.store.forget_runs(&job.key, before).await?;
                    }
                    (None, None) => (),
                }
            }
            list.after = page.next;
            if list.after.is_none() {
                return Ok(());
            }
        }
    }

    /// Removes the notes that a removed job waits for others, unless a command has written them anew.
    async fn forget_notes(&self, job: &Job) -> Result<(), SweepError> {
        let before = self.clock.now().minus(NOTE_AGE);
        let conditions = job.policy.after.iter().flat_map(|after| &after.conditions);
        for condition in conditions {
            let (job_type, name) = (&condition.job_type, &condition.name);
            self.store
                .forget_follower(job_type, name, &job.key, before)
                .await?;
        }
        Ok(())
    }

    /// Removes batches from the oldest to the newest, and notes how far it is.
    async fn batches(&mut self, ended_before: Timestamp) -> Result<(), SweepError> {
        let store = Arc::clone(&self.store);
        let now = self.clock.now();
        let (noted, mut seq) = RemovedBatches::read(store.as_ref(), now).await?;
        let mut done = RemovedBatches {
            before: noted.before,
            left: self.lines(&noted.left, ended_before).await?,
        };
        let mut noted = noted;
        let mut can_name_all = true;
        let mut from = done.before;
        let mut span = ended_before.millis_since(from);
        while from < ended_before {
            let (window, page) = self.window(from, &mut span, ended_before).await?;
            let left = self.pages(&window, page, ended_before).await?;
            can_name_all = can_name_all && done.examined(window.to, left);
            from = window.to;
            if can_name_all && done != noted {
                seq = self.note(&done, seq).await?;
                noted = done.clone();
            }
        }
        if done != noted {
            self.note(&done, seq).await?;
        }
        Ok(())
    }

    /// The next window, and its newest lines. It is as large as fits on a page, or a quarter of an hour.
    async fn window(
        &self,
        from: Timestamp,
        span: &mut i64,
        ended_before: Timestamp,
    ) -> Result<(ListBatches, BatchPage), SweepError> {
        loop {
            self.work(1).await?;
            let list = ListBatches {
                from,
                to: Timestamp(from.0.saturating_add(*span)).min(ended_before),
                before: None,
                limit: PAGE,
            };
            let found = self.store.batches(&list).await;
            let fits = found.as_ref().is_ok_and(|page| !page.more);
            let width = list.to.millis_since(from);
            if fits || width <= WINDOW_MS {
                *span = width.saturating_mul(2).max(WINDOW_MS);
                return Ok((list, found?));
            }
            // An error too: Cassandra refuses to read over too many removed lines.
            *span = (width / 2).max(WINDOW_MS);
        }
    }

    /// Removes the old batches of a window, whose newest lines are `page`; answers which ones stay.
    async fn pages(
        &mut self,
        window: &ListBatches,
        mut page: BatchPage,
        ended_before: Timestamp,
    ) -> Result<Vec<Line>, SweepError> {
        let mut left = Vec::new();
        loop {
            let lines: Vec<Line> = page
                .listings
                .iter()
                .map(|listing| (listing.creation_time, listing.id))
                .collect();
            left.extend(self.lines(&lines, ended_before).await?);
            let Some(last) = lines.last().filter(|_| page.more) else {
                return Ok(left);
            };
            let list = ListBatches {
                before: Some(*last),
                ..window.clone()
            };
            page = self.store.batches(&list).await?;
        }
    }

    /// Removes the old ones of these batches, some at once; answers which ones stay.
    async fn lines(
        &mut self,
        lines: &[Line],
        ended_before: Timestamp,
    ) -> Result<Vec<Line>, SweepError> {
        let (mut left, mut count) = (Vec::new(), 0);
        let sweep = &*self;
        let mut removals = Vec::with_capacity(lines.len());
        for line in lines {
            removals.push(async move { Ok((*line, sweep.batch(*line, ended_before).await?)) });
        }
        let mut removals = futures::stream::iter(removals).buffer_unordered(BATCHES_AT_ONCE);
        // A page that ends early has removed something too.
        let end = loop {
            match removals.try_next().await {
                Ok(Some((_, Found::Removed))) => count += 1,
                Ok(Some((_, Found::Gone))) => (),
                Ok(Some((line, Found::Stays))) => left.push(line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        drop(removals);
        self.removed.batches += count;
        end.map(|()| left)
    }

    /// Notes how far batches are removed; answers the `seq` of the setting.
    async fn note(&self, done: &RemovedBatches, seq: i64) -> Result<i64, SweepError> {
        let now = self.clock.now();
        let put = PutSetting {
            setting: done.setting(seq, now),
            token: self.ids.token(),
        };
        if self.settle(&put).await? {
            return Ok(seq + 1);
        }
        // Another pass has noted how far it is, which is as true.
        Ok(RemovedBatches::read(self.store.as_ref(), now).await?.1)
    }

    /// Removes one batch if it is old. The row decides, because the directory may be out of date.
    ///
    /// The row need not be read at SERIAL: the mark is a compare-and-set on what was read, and an ended batch is not moved.
    async fn batch(&self, line: Line, ended_before: Timestamp) -> Result<Found, SweepError> {
        self.work(1).await?;
        let row = self.store.batch(line.1, Freshness::Committed).await?;
        let Some(batch) = row else {
            // A pass removed the row and died: only the line in the directory is left.
            return Ok(match self.settle(&orphan(line)).await? {
                true => Found::Gone,
                false => Found::Stays,
            });
        };
        if !is_old(&batch, ended_before) {
            return Ok(Found::Stays);
        }
        self.work(BATCH_UNITS).await?;
        let Some(marked) = self.mark(batch).await? else {
            return Ok(Found::Stays);
        };
        self.forget_chunks(&marked).await?;
        if !marked.spec.allow_multiple {
            // Lost: another batch runs the same command now.
            self.settle(&ReleaseCommand {
                command_key: command_key(&marked),
                batch: marked.id,
            })
            .await?;
        }
        let delete = DeleteBatch {
            id: marked.id,
            creation_time: marked.creation_time,
            seen_status: marked.status,
            seen_fence: marked.fence,
            desired_seq: marked.desired_seq,
        };
        Ok(match self.settle(&delete).await? {
            true => Found::Removed,
            false => Found::Stays,
        })
    }

    /// Removes the chunks of a marked batch. From the end, so that the chunks that are left after a crash still begin with
    /// number 0.
    async fn forget_chunks(&self, marked: &Batch) -> Result<(), SweepError> {
        let used = marked.used_chunks();
        let entities = marked
            .total_entities
            .unwrap_or(used.saturating_mul(CHUNK_ENTITIES));
        let mut to = used;
        while to > 0 {
            let from = (to - CHUNKS).max(0);
            let count = to - from;
            let units = count + count.saturating_mul(entities) / used / ENTITIES_PER_UNIT;
            self.work(units).await?;
            self.store.forget_chunks(marked.id, from, to).await?;
            to = from;
        }
        Ok(())
    }

    /// The row with the request to remove it. None if another request came in between.
    async fn mark(&self, batch: Batch) -> Result<Option<Batch>, SweepError> {
        if batch.desired == BatchDesired::Remove {
            return Ok(Some(batch));
        }
        let request = RequestBatch {
            id: batch.id,
            desired: BatchDesired::Remove,
            seq: batch.desired_seq + 1,
            allowed: vec![batch.status],
            due: None,
            token: self.ids.token(),
        };
        let is_marked = self.settle(&request).await?;
        Ok(is_marked.then(|| request.apply(batch)))
    }

    /// Settles an operation. Returns whether it was applied.
    async fn settle<C: Conditional>(&self, operation: &C) -> Result<bool, SweepError> {
        match settle(self.store.as_ref(), &self.ids, &self.self_fence, operation).await? {
            Settled::Applied => Ok(true),
            Settled::Lost(_) => Ok(false),
            Settled::StillUnknown => Err(SweepError::Stopped),
        }
    }

    /// Counts work that begins, after a rest if one is due.
    async fn work(&self, units: i64) -> Result<(), SweepError> {
        self.pace.spend(units, self.rest()).await
    }

    async fn rest(&self) -> Result<(), SweepError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(SweepError::Stopped),
            may_act = self.self_fence.wait(self.pause) => match may_act {
                true => Ok(()),
                false => Err(SweepError::Stopped),
            },
        }
    }
}

/// Whether a batch ended before. Its submission does not count, because it may have run for days.
fn is_old(batch: &Batch, ended_before: Timestamp) -> bool {
    batch.status.is_final() && batch.end_time.is_some_and(|end| end < ended_before)
}

/// Removes the line of a batch that has no row. If it has one after all, that of a new batch does not match.
fn orphan((creation_time, id): Line) -> DeleteBatch {
    DeleteBatch {
        id,
        creation_time,
        seen_status: BatchStatus::Done,
        seen_fence: 0,
        desired_seq: 0,
    }
}

/// The self-fence of a pass on request: it may act until it is stopped.
fn unbounded(clock: SharedClock) -> SelfFence {
    SelfFence::until(clock, Duration::MAX, CancellationToken::new())
}
