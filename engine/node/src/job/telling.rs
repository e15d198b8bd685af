//! Tells the jobs that wait for the end of another one.

use std::future::ready;
use std::time::Duration;

use futures::StreamExt;
use tracing::{debug, info, warn};
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_model::{JobEnd, TriggerState};
use weft_store::{ChangeJob, Decided, Decision, Freshness, JobSeen, StoreError, StoreResult};

use super::triggered::told;
use crate::NodeSession;

/// Jobs that may wait for the ends of those of one name.
const FOLLOWERS: usize = 10_000;
/// Rows written at once.
const AT_ONCE: usize = 16;
/// What could not be told is told again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Tells everybody who waits for the ends of this job, and notes in its row that they know. Where that fails half way, the
/// row still owes it, and a hint that was written before its end leads somebody there.
pub async fn tell(session: &NodeSession, key: &JobKey) {
    match tell_all(session, key).await {
        Ok(()) => (),
        Err(error) => {
            debug!(
                job.uid = key.uid,
                error = %error,
                "Those that wait for job {} {} are told later: {error}",
                key.job_type,
                key.name
            );
            let hint = DueHint {
                due_at: session.context.clock.now().plus(AGAIN_AFTER),
                key: key.clone(),
            };
            if let Err(error) = session.context.store.put_due(&hint).await {
                debug!(error = %error, "Nor could a hint be left: {error}");
            }
        }
    }
}

async fn tell_all(session: &NodeSession, key: &JobKey) -> StoreResult<()> {
    let store = &session.context.store;
    let Some(row) = store.job(key, Freshness::Serial).await? else {
        return Ok(());
    };
    if row.triggers.pending_notifications.is_empty() {
        return Ok(());
    }
    let followers = store.followers(&key.job_type, &key.name, FOLLOWERS).await?;
    let telling = futures::stream::iter(followers).map(|follower| {
        let untold = &row.triggers.pending_notifications;
        async move {
            for ended in untold {
                tell_one(session, &follower, key, ended).await?;
            }
            Ok::<(), StoreError>(())
        }
    });
    // One that cannot be told holds up no other.
    let told: Vec<StoreResult<()>> = telling.buffer_unordered(AT_ONCE).collect().await;
    told.into_iter().collect::<StoreResult<()>>()?;
    known(session, row).await
}

async fn tell_one(
    session: &NodeSession,
    follower: &JobKey,
    key: &JobKey,
    ended: &JobEnd,
) -> StoreResult<()> {
    let context = &session.context;
    let read = context.store.job(follower, Freshness::Serial);
    let decide = |row: Option<Job>| {
        let now = context.clock.now();
        let operation = row.and_then(|row| match told(&row, key, ended, now) {
            Ok(step) => step.operation(&row, now, context.ids.token()),
            Err(illegal) => {
                warn!(job.uid = follower.uid, "Left a job alone: {illegal}");
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
            carried_on(session, &operation, key);
            Ok(())
        }
        Decided::StillUnknown(_) | Decided::MovedTooFast(_) => {
            Err(StoreError::Unavailable(format!(
                "job {} {} could not be told of an end",
                follower.job_type, follower.name
            )))
        }
    }
}

/// Wakes what goes on with a job whose row was changed by the end of `upstream`.
fn carried_on(session: &NodeSession, change: &ChangeJob, upstream: &JobKey) {
    let wake = &session.context.wake;
    let write = match change {
        ChangeJob::Request(_) => return wake.wishes(),
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

/// They know. Where the row has moved on, whoever moved it owes it still and tells them again; they recognise it.
async fn known(session: &NodeSession, row: Job) -> StoreResult<()> {
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
