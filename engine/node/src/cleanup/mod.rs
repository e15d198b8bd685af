//! The clean-up: removes archived jobs, their history, and batches, some time after their end.
//!
//! A job is removed by one compare-and-set on everything that was read of it, so a RESUMEJOB in between wins. A batch has more
//! than one partition: its row is marked first, so that no node resumes it, then its chunks are removed, and the row last. A
//! pass that finds a marked row continues with it, so a crash needs no other repair.
//!
//! One node of the cluster cleans up, slowly, every few hours. The job kind CLEANUP does it on request.

mod kind;
#[cfg(test)]
mod tests;

pub use kind::Cleanup;

use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use weft_model::clock::{SharedClock, Timestamp};
use weft_model::command_key;
use weft_model::ids::Ids;
use weft_model::{Batch, BatchDesired, BatchListing, Job};
use weft_store::SelfFence;
use weft_store::{
    Conditional, DeleteBatch, DeleteJob, Freshness, ListBatches, ListJobs, ReleaseCommand,
    RequestBatch, Settled, SharedStore, StoreError, settle,
};

use crate::NodeSession;
use crate::job::NOTE_AGE;

/// The number of rows to check between two pauses.
const PAGE: usize = 200;
/// The number of chunks to remove between two pauses.
const CHUNKS: i64 = 16;
/// The age from which due hints are removed. No node reads hints that old.
const HINT_AGE: Duration = Duration::from_secs(30 * 86_400);
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
    let ages = Ages {
        jobs: Some(config.job_archiving_time),
        history: Some(config.job_archiving_time),
        batches: Some(config.batch_kept),
    };
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
            // 200 rows a second.
            pause: Duration::from_secs(1),
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
    /// Between two pages.
    pub(super) pause: Duration,
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
        }
        let before = self.clock.now().minus(HINT_AGE);
        while self.store.forget_hints(before).await? > 0 {
            self.rest().await?;
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
            self.rest().await?;
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

    async fn batches(&mut self, ended_before: Timestamp) -> Result<(), SweepError> {
        let mut list = ListBatches {
            from: Timestamp(0),
            to: ended_before,
            before: None,
            limit: PAGE,
        };
        loop {
            let page = self.store.batches(&list).await?;
            for listing in &page.listings {
                self.batch(listing, ended_before).await?;
            }
            let Some(last) = page.listings.last().filter(|_| page.more) else {
                return Ok(());
            };
            list.before = Some((last.creation_time, last.id));
            self.rest().await?;
        }
    }

    /// Removes one batch if it is old. The row decides, because the directory may be out of date.
    async fn batch(
        &mut self,
        listing: &BatchListing,
        ended_before: Timestamp,
    ) -> Result<(), SweepError> {
        let row = self.store.batch(listing.id, Freshness::Serial).await?;
        let Some(batch) = row else {
            // A pass removed the row and died: only the line in the directory is left.
            return self.delete(&orphan(listing)).await.map(drop);
        };
        let is_old =
            batch.status.is_final() && batch.end_time.is_some_and(|end| end < ended_before);
        if !is_old {
            return Ok(());
        }
        let Some(marked) = self.mark(batch).await? else {
            return Ok(());
        };
        // From the end, so that the chunks that are left after a crash still begin with number 0.
        let mut to = marked.chunks;
        while to > 0 {
            let from = (to - CHUNKS).max(0);
            self.store.forget_chunks(marked.id, from, to).await?;
            to = from;
            if to > 0 {
                self.rest().await?;
            }
        }
        if !marked.spec.allow_multiple {
            // Lost: another batch runs the same command now.
            self.settle(&ReleaseCommand {
                command_key: command_key(&marked),
                batch: marked.id,
            })
            .await?;
        }
        let gone = self
            .delete(&DeleteBatch {
                id: marked.id,
                creation_time: marked.creation_time,
                seen_status: marked.status,
                seen_fence: marked.fence,
                desired_seq: marked.desired_seq,
            })
            .await?;
        self.removed.batches += usize::from(gone);
        Ok(())
    }

    /// The row with the request to remove it. None if another request came in between.
    async fn mark(&mut self, batch: Batch) -> Result<Option<Batch>, SweepError> {
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

    async fn delete(&mut self, delete: &DeleteBatch) -> Result<bool, SweepError> {
        self.settle(delete).await
    }

    /// Settles an operation. Returns whether it was applied.
    async fn settle<C: Conditional>(&self, operation: &C) -> Result<bool, SweepError> {
        match settle(self.store.as_ref(), &self.ids, &self.self_fence, operation).await? {
            Settled::Applied => Ok(true),
            Settled::Lost(_) => Ok(false),
            Settled::StillUnknown => Err(SweepError::Stopped),
        }
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

fn orphan(listing: &BatchListing) -> DeleteBatch {
    DeleteBatch {
        id: listing.id,
        creation_time: listing.creation_time,
        seen_status: listing.status,
        seen_fence: 0,
        desired_seq: 0,
    }
}

/// The self-fence of a pass on request: it may act until it is stopped.
fn unbounded(clock: SharedClock) -> SelfFence {
    SelfFence::until(clock, Duration::MAX, CancellationToken::new())
}
