//! Tells the jobs that wait for the end of another one.

use std::time::Duration;

use futures::StreamExt;
use tracing::{debug, info, warn};
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_model::{JobEnd, TriggerState};
use weft_store::{Freshness, JobSeen, RequestJob, Settled, StoreError, StoreResult};

use super::change::Step;
use super::triggered::told;
use crate::Life;

/// Jobs that may wait for the ends of those of one name.
const FOLLOWERS: usize = 10_000;
/// Rows written at once.
const AT_ONCE: usize = 16;
/// How often a row may move while we write.
const ATTEMPTS: usize = 20;
/// What could not be told is told again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Tells everybody who waits for the ends of this job, and notes in its row that they know. Where that fails half way, the
/// row still owes it, and a hint that was written before its end leads somebody there.
pub async fn tell(life: &Life, key: &JobKey) {
    match tell_all(life, key).await {
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
                due_at: life.context.clock.now().plus(AGAIN_AFTER),
                key: key.clone(),
            };
            if let Err(error) = life.context.store.put_due(&hint).await {
                debug!(error = %error, "Nor could a hint be left: {error}");
            }
        }
    }
}

async fn tell_all(life: &Life, key: &JobKey) -> StoreResult<()> {
    let store = &life.context.store;
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
                tell_one(life, &follower, key, ended).await?;
            }
            Ok::<(), StoreError>(())
        }
    });
    // One that cannot be told holds up no other.
    let told: Vec<StoreResult<()>> = telling.buffer_unordered(AT_ONCE).collect().await;
    told.into_iter().collect::<StoreResult<()>>()?;
    known(life, row).await
}

async fn tell_one(life: &Life, follower: &JobKey, key: &JobKey, ended: &JobEnd) -> StoreResult<()> {
    let context = &life.context;
    for _ in 0..ATTEMPTS {
        let Some(row) = context.store.job(follower, Freshness::Serial).await? else {
            return Ok(());
        };
        let now = context.clock.now();
        let step = told(&row, key, ended, now).unwrap_or_else(|illegal| {
            warn!(job.uid = follower.uid, "Left a job alone: {illegal}");
            Step::Leave(illegal.to_string())
        });
        let settled = match step {
            Step::Leave(_) | Step::Refuse(_) => return Ok(()),
            Step::Write(job) => {
                let is_due = job.status == JobStatus::Waiting;
                let settled = life.write_job(*job, Some(JobSeen::of(&row))).await?;
                if is_due && settled == Settled::Applied {
                    info!(
                        job.uid = follower.uid,
                        "'{}.{}.{}' is due by the end of '{}.{}.{}'",
                        follower.job_type,
                        follower.name,
                        follower.uid,
                        key.job_type,
                        key.name,
                        key.uid
                    );
                }
                settled
            }
            Step::Wish {
                desired,
                status,
                definition,
            } => {
                let request = RequestJob {
                    definition: definition.map(|definition| *definition),
                    ..RequestJob::of(&row, desired, status, context.ids.token())
                };
                let settled = life.settle(&request).await?;
                context.wake.wishes();
                settled
            }
        };
        match settled {
            Settled::Applied => return Ok(()),
            Settled::Lost(_) => (),
            Settled::StillUnknown => break,
        }
    }
    Err(StoreError::Unavailable(format!(
        "job {} {} could not be told of an end",
        follower.job_type, follower.name
    )))
}

/// They know. Where the row has moved on, whoever moved it owes it still and tells them again; they recognise it.
async fn known(life: &Life, row: Job) -> StoreResult<()> {
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
    life.write_job(job, Some(seen)).await.map(drop)
}
