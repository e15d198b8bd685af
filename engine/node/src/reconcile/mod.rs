//! Repairs what spans two partitions: batches whose job is missing or has ended, and jobs without a due hint.
//!
//! A crash between two writes can leave an unfinished batch without a job that runs it; a periodic pass opens the job again.
//! The round over all jobs (`round`) comes once a day, on one of the nodes.

mod round;
mod stuck;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};
use weft_model::batch_job;
use weft_model::batch_job_key;
use weft_model::clock::{SharedClock, Timestamp};
use weft_model::ids::Ids;
use weft_model::{Batch, BatchStatus, DueHint, Job, JobEvent, JobKey};
use weft_store::{
    Freshness, JobSeen, PutSetting, SelfFence, Settled, Store, StoreResult, WriteJob, settle,
};

pub use crate::active_batches::Search;

pub use self::round::{Round, check_time};
pub use self::stuck::{Surroundings, why_batch_is_stuck, why_job_is_stuck};

use crate::NodeSession;
use crate::active_batches::mark_active_batches;
use crate::cluster_value;

/// Younger batches are left alone, because their submission may not be complete.
const MIN_AGE: Duration = Duration::from_secs(120);
/// The setting of the cluster that says when the last round over all jobs began.
pub const LAST_ROUND: &str = "jobs_reconciled";
/// The pause between two pages of a round in the background.
const ROUND_PAUSE: Duration = Duration::from_secs(1);
/// So many pages are examined between two records of how far a round is.
const PAGES_PER_RECORD: usize = 60;

/// Reconciles until the node fences itself.
pub async fn run(session: NodeSession) {
    loop {
        // Jitter keeps the nodes apart: the second node finds nothing to do.
        let interval = session.context.config.reconcile_interval;
        if !session
            .self_fence
            .wait(interval + session.context.ids.jitter(interval / 2))
            .await
        {
            return;
        }
        let reconciler = Reconciler::of(&session);
        match reconciler.batches(Search::SinceMark).await {
            Ok(0) => (),
            Ok(_) => session.context.wake.jobs(),
            Err(error) => debug!(error = %error, "The reconciliation pass stopped: {error}"),
        }
        if let Err(error) = reconciler.daily_round(&session).await {
            debug!(error = %error, "The round over all jobs stopped: {error}");
        }
    }
}

/// What a repair needs.
#[derive(Debug)]
pub struct Reconciler<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The clock that hints are written by.
    pub clock: &'a SharedClock,
    /// Makes tokens.
    pub ids: &'a Ids,
    /// How long it may act.
    pub self_fence: &'a SelfFence,
    /// `T_dead`: the hint of a running job is at most this far ahead.
    pub dead_after: Duration,
}

/// The value of [`LAST_ROUND`].
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LastRound {
    started: Timestamp,
    #[serde(default)]
    node: String,
    /// All jobs were examined. A row of an older version does not say so, and counts as finished.
    #[serde(default = "yes")]
    finished: bool,
    /// The last job that was examined, saved once a minute.
    #[serde(default)]
    after: Option<JobKey>,
}

fn yes() -> bool {
    true
}

impl<'a> Reconciler<'a> {
    fn of(session: &'a NodeSession) -> Self {
        let context = &session.context;
        Self {
            store: context.store.as_ref(),
            clock: &context.clock,
            ids: &context.ids,
            self_fence: &session.self_fence,
            dead_after: context.config.dead_after(),
        }
    }

    /// Examines all jobs if no node has begun to for a day. Continues a round whose node died or fenced itself.
    async fn daily_round(&self, session: &NodeSession) -> StoreResult<()> {
        let found = cluster_value::read::<LastRound>(self.store, LAST_ROUND).await?;
        let (last, mut seq) = found;
        let now = self.clock.now();
        let interval = session.context.config.job_round_interval;
        let last = last.filter(|last| last.started <= now && now < last.started.plus(interval));
        let me = session.me.node.0.clone();
        let mut round = match last {
            Some(last) if last.finished => return Ok(()),
            // This session does one thing after the other, so its own round is not under way either.
            Some(last) if last.node != me && is_alive(session, &last.node) => return Ok(()),
            Some(last) => LastRound { node: me, ..last },
            None => LastRound {
                started: now,
                node: me,
                finished: false,
                after: None,
            },
        };
        let mut examined = Round::default();
        // If a record is lost, another node examines the jobs.
        while self.record(&mut seq, &round).await? && !round.finished {
            let after = round.after.take();
            let part = self.jobs_after(after, ROUND_PAUSE, PAGES_PER_RECORD);
            let Some((part, next)) = part.await? else {
                return Ok(());
            };
            examined.add(part);
            if next.is_none() {
                self.batches(Search::Everything).await?;
                round.finished = true;
            }
            round.after = next;
        }
        if round.finished {
            info!(
                examined = examined.examined,
                repaired = examined.job_count,
                "Examined {} jobs; {} had no due hint",
                examined.examined,
                examined.job_count
            );
        }
        Ok(())
    }

    /// Records how far a round is. False if another node has recorded its own.
    async fn record(&self, seq: &mut i64, round: &LastRound) -> StoreResult<bool> {
        let now = self.clock.now();
        let setting = cluster_value::setting(LAST_ROUND, *seq, round, now, &round.node);
        *seq = setting.seq;
        let token = self.ids.token();
        let put = PutSetting { setting, token };
        Ok(matches!(self.settle(&put).await?, Settled::Applied))
    }

    /// Opens the jobs of all batches that have not ended and that no job runs; answers how many it opened.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn batches(&self, search: Search) -> StoreResult<usize> {
        let until = self.clock.now().min(self.store.store_time().await?);
        let (batches, mark) = mark_active_batches(self.store, search, until).await?;
        let youngest = self.clock.now().minus(MIN_AGE);
        let mut opened = 0;
        for batch in batches {
            if batch.creation_time < youngest && self.open_job(&batch).await? {
                opened += 1;
            }
        }
        if let Some(setting) = mark {
            // Lost: another node has moved the mark.
            let token = self.ids.token();
            self.settle(&PutSetting { setting, token }).await?;
        }
        Ok(opened)
    }

    async fn settle<C: weft_store::Conditional>(
        &self,
        operation: &C,
    ) -> StoreResult<Settled<C::Found>> {
        settle(self.store, self.ids, self.self_fence, operation).await
    }

    /// Opens the job of a batch if none runs it; answers whether it did.
    async fn open_job(&self, batch: &Batch) -> StoreResult<bool> {
        if batch.status.is_final() || batch.status == BatchStatus::Paused {
            return Ok(false);
        }
        let key = batch_job_key(batch);
        let found = self.store.job(&key, Freshness::Serial).await?;
        let Some((job, seen)) = opened_job(batch, found, self.clock.now()) else {
            return Ok(false);
        };
        let write = WriteJob {
            due: Some(DueHint {
                due_at: self.clock.now(),
                key,
            }),
            job,
            seen,
            token: self.ids.token(),
        };
        if !matches!(self.settle(&write).await?, Settled::Applied) {
            return Ok(false);
        }
        metrics::counter!("reconciled_total", "kind" => "batch_without_job").increment(1);
        info!(batch.id = %batch.id, "Opened the job of batch {} again", batch.id);
        Ok(true)
    }
}

fn is_alive(session: &NodeSession, node: &str) -> bool {
    let live = session.live_nodes();
    live.iter().any(|row| row.guid.0 == node)
}

/// The job that is to run the batch, and the row that it replaces; none if a job runs the batch.
fn opened_job(batch: &Batch, found: Option<Job>, now: Timestamp) -> Option<(Job, Option<JobSeen>)> {
    match found {
        Some(job) if !job.status.is_ended() => None,
        Some(job) => {
            let seen = JobSeen::of(&job);
            let fence = job.fence.max(batch.fence) + 1;
            let status = match job.status.next(JobEvent::Resumed) {
                Ok(status) => status,
                Err(illegal) => {
                    warn!(batch.id = %batch.id, "Left the job of a batch alone: {illegal}");
                    return None;
                }
            };
            let job = Job {
                status,
                archived: false,
                fence,
                next_run: None,
                worker: None,
                owner_incarnation: None,
                ..job
            };
            Some((job, Some(seen)))
        }
        None => Some((
            Job {
                creation_time: now,
                fence: batch.fence + 1,
                ..batch_job(batch)
            },
            None,
        )),
    }
}
