//! Repairs batches whose job is missing or has ended, in a periodic pass.
//!
//! A batch and its job are in two partitions, so a crash between the two writes can leave an unfinished batch without a job
//! that runs it. This pass opens the job again.

use std::time::Duration;

use tracing::{debug, info, warn};
use weft_model::batch_job;
use weft_model::batch_job_key;
use weft_model::clock::Timestamp;
use weft_model::{Batch, BatchStatus, DueHint, Job, JobEvent};
use weft_store::{Freshness, JobSeen, ListBatches, StoreResult, WriteJob};

use crate::NodeSession;

/// How far back to check batches, which is how long they are kept.
const HORIZON: Duration = Duration::from_secs(8 * 24 * 3600);
/// Younger batches are left alone, because their submission may not be complete.
const MIN_AGE: Duration = Duration::from_secs(120);
const PAGE: usize = 200;

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
        if let Err(error) = pass(&session).await {
            debug!(error = %error, "The reconciliation pass stopped: {error}");
        }
    }
}

/// One pass over all batches that have not ended.
///
/// # Errors
/// The error of the store.
pub async fn pass(session: &NodeSession) -> StoreResult<()> {
    let now = session.context.clock.now();
    let back = |duration: Duration| {
        Timestamp(
            now.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    };
    let mut list = ListBatches {
        from: back(HORIZON),
        to: back(MIN_AGE),
        before: None,
        limit: PAGE,
    };
    loop {
        let page = session.context.store.batches(&list).await?;
        for listing in &page.listings {
            if !listing.status.is_final() {
                let row = session
                    .context
                    .store
                    .batch(listing.id, Freshness::Committed)
                    .await?;
                if let Some(row) = row {
                    reconcile(session, &row).await?;
                }
            }
        }
        let Some(last) = page.listings.last().filter(|_| page.more) else {
            return Ok(());
        };
        list.before = Some((last.creation_time, last.id));
    }
}

async fn reconcile(session: &NodeSession, batch: &Batch) -> StoreResult<()> {
    if batch.status.is_final() || batch.status == BatchStatus::Paused {
        return Ok(());
    }
    let key = batch_job_key(batch);
    let now = session.context.clock.now();
    let found = session.context.store.job(&key, Freshness::Serial).await?;
    let (job, seen) = match found {
        Some(job) if !job.status.is_ended() => return Ok(()),
        Some(job) => {
            let seen = JobSeen::of(&job);
            let fence = job.fence.max(batch.fence) + 1;
            let status = match job.status.next(JobEvent::Resumed) {
                Ok(status) => status,
                Err(illegal) => {
                    warn!(batch.id = %batch.id, "Left the job of a batch alone: {illegal}");
                    return Ok(());
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
            (job, Some(seen))
        }
        None => (
            Job {
                creation_time: now,
                fence: batch.fence + 1,
                ..batch_job(batch)
            },
            None,
        ),
    };
    let write = WriteJob {
        job,
        seen,
        due: Some(DueHint { due_at: now, key }),
        token: session.context.ids.token(),
    };
    session.settle(&write).await?;
    metrics::counter!("reconciled_total", "kind" => "batch_without_job").increment(1);
    info!(batch.id = %batch.id, "Opened the job of batch {} again", batch.id);
    session.context.wake.jobs();
    Ok(())
}
