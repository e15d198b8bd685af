//! Notifies the jobs that wait for the end of another one.

use std::future::ready;
use std::time::Duration;

use futures::StreamExt;
use tracing::{debug, info, warn};
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_model::{JobEnd, TriggerState};
use weft_store::{ChangeJob, Decided, Decision, Freshness, JobSeen, StoreError, StoreResult};

use super::triggers::on_upstream_end;
use crate::NodeSession;

/// The most jobs that may wait for the jobs of one name.
const MOST_FOLLOWERS: usize = 10_000;
/// How many followers are notified at once.
const CONCURRENCY: usize = 16;
/// How long to wait before the next attempt after a failed one.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Notifies all jobs that wait for the ends of this one, then clears the pending notifications in its row. If it
/// fails, they stay in the row, and the due hint that was written before the end leads another node there. Returns whether
/// they are notified, or a further hint leads to the row.
pub async fn notify_followers(session: &NodeSession, key: &JobKey) -> bool {
    match notify_all(session, key).await {
        Ok(()) => true,
        Err(error) => {
            debug!(
                job.uid = key.uid,
                error = %error,
                "The jobs that wait for job {} {} are notified later: {error}",
                key.job_type,
                key.name
            );
            let hint = DueHint {
                due_at: session.context.clock.now().plus(RETRY_AFTER),
                key: key.clone(),
            };
            let written = session.context.store.put_due(&hint).await;
            if let Err(error) = &written {
                debug!(error = %error, "Could not write a due hint either: {error}");
            }
            written.is_ok()
        }
    }
}

async fn notify_all(session: &NodeSession, key: &JobKey) -> StoreResult<()> {
    let store = &session.context.store;
    let Some(row) = store.job(key, Freshness::Serial).await? else {
        return Ok(());
    };
    if row.triggers.pending_notifications.is_empty() {
        return Ok(());
    }
    let followers = store
        .followers(&key.job_type, &key.name, MOST_FOLLOWERS)
        .await?;
    let notifications = futures::stream::iter(followers).map(|follower| {
        let pending = &row.triggers.pending_notifications;
        async move {
            for ended in pending {
                notify_one(session, &follower, key, ended).await?;
            }
            Ok::<(), StoreError>(())
        }
    });
    // A failed notification does not hold up the others.
    let notified: Vec<StoreResult<()>> =
        notifications.buffer_unordered(CONCURRENCY).collect().await;
    notified.into_iter().collect::<StoreResult<()>>()?;
    clear_pending(session, row).await
}

async fn notify_one(
    session: &NodeSession,
    follower: &JobKey,
    key: &JobKey,
    ended: &JobEnd,
) -> StoreResult<()> {
    let context = &session.context;
    let read = context.store.job(follower, Freshness::Serial);
    let decide = |row: Option<Job>| {
        let now = context.clock.now();
        let operation = row.and_then(|row| match on_upstream_end(&row, key, ended, now) {
            Ok(step) => step.operation(&row, now, context.ids.token()),
            Err(illegal) => {
                warn!(
                    job.uid = follower.uid,
                    "Could not notify a job of an end: {illegal}"
                );
                None
            }
        });
        ready(StoreResult::Ok(
            operation.map_or(Decision::Stop(()), Decision::Settle),
        ))
    };
    match session.decide_and_settle(read, decide).await? {
        Decided::Stopped(()) => Ok(()),
        Decided::Applied { operation, .. } => {
            wake_follower(session, &operation, key);
            Ok(())
        }
        Decided::StillUnknown(_) | Decided::MovedTooFast(_) => {
            Err(StoreError::Unavailable(format!(
                "job {} {} could not be notified of an end",
                follower.job_type, follower.name
            )))
        }
    }
}

/// Wakes the parts of this node that continue a job whose row was changed by the end of `upstream`.
fn wake_follower(session: &NodeSession, change: &ChangeJob, upstream: &JobKey) {
    let wake = &session.context.wake;
    let write = match change {
        ChangeJob::Request(_) => return wake.requests(),
        ChangeJob::Write(write) => write,
    };
    if let Some(due) = &write.due {
        wake.due(due.clone());
    }
    if write.job.status == JobStatus::Waiting {
        let key = &write.job.key;
        info!(
            job.uid = key.uid,
            "'{}.{}.{}' is due by the end of '{}.{}.{}'",
            key.job_type,
            key.name,
            key.uid,
            upstream.job_type,
            upstream.name,
            upstream.uid
        );
    }
}

/// Clears the pending notifications. If another node has changed the row meanwhile, they stay in it and are sent again;
/// followers recognise a repeated end.
async fn clear_pending(session: &NodeSession, row: Job) -> StoreResult<()> {
    if row.holder().is_some() {
        return Ok(());
    }
    let seen = JobSeen::of(&row);
    let job = Job {
        fence: row.fence + 1,
        triggers: TriggerState {
            pending_notifications: Vec::new(),
            ..row.triggers.clone()
        },
        ..row
    };
    session.write_job(job, Some(seen)).await.map(drop)
}
