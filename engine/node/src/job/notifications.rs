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

/// How many followers are read at once.
const PAGE: usize = 500;
/// The note of a follower that does not wait is removed if it is older. A command writes the note anew before the row that
/// waits, and is done long before.
pub(crate) const NOTE_AGE: Duration = Duration::from_secs(86_400);
/// How many followers are notified at once.
const CONCURRENCY: usize = 16;
/// How long to wait before the next attempt after a failed one.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// Notifies all jobs that wait for the ends of this one, then clears the pending notifications in its row. If it
/// fails, they stay in the row, and the due hint that was written before the end leads another node there. Returns whether
/// they are notified, or a further hint leads to the row.
pub async fn notify_followers(session: &NodeSession, key: &JobKey) -> bool {
    match notify_all(session, key, PAGE).await {
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

async fn notify_all(session: &NodeSession, key: &JobKey, page_size: usize) -> StoreResult<()> {
    let store = &session.context.store;
    let Some(row) = store.job(key, Freshness::Serial).await? else {
        return Ok(());
    };
    if row.triggers.pending_notifications.is_empty() {
        return Ok(());
    }
    let (mut after, mut first_failure) = (None, Ok(()));
    loop {
        let page = store
            .followers(&key.job_type, &key.name, after.as_ref(), page_size)
            .await?;
        after = page.last().filter(|_| page.len() == page_size).cloned();
        let pending = &row.triggers.pending_notifications;
        let notifications = futures::stream::iter(page)
            .map(|follower| async move { notify_follower(session, &follower, key, pending).await });
        // A failed notification does not hold up the others.
        let notified: Vec<StoreResult<()>> =
            notifications.buffer_unordered(CONCURRENCY).collect().await;
        let failed = notified.into_iter().find(Result::is_err);
        first_failure = first_failure.and(failed.unwrap_or(Ok(())));
        if after.is_none() {
            break;
        }
    }
    first_failure?;
    clear_pending(session, row).await
}

async fn notify_follower(
    session: &NodeSession,
    follower: &JobKey,
    key: &JobKey,
    pending: &[JobEnd],
) -> StoreResult<()> {
    let context = &session.context;
    let row = context.store.job(follower, Freshness::Serial).await?;
    if row.is_none_or(|row| !waits_for(&row, key)) {
        let before = context.clock.now().minus(NOTE_AGE);
        return context
            .store
            .forget_follower(&key.job_type, &key.name, follower, before)
            .await;
    }
    for ended in pending {
        notify_one(session, follower, key, ended).await?;
    }
    Ok(())
}

/// Whether a trigger of the job names the type and name of another one, also one that is switched off.
fn waits_for(job: &Job, key: &JobKey) -> bool {
    let conditions = job.policy.after.iter().flat_map(|after| &after.conditions);
    conditions
        .into_iter()
        .any(|condition| condition.job_type == key.job_type && condition.name == key.name)
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

#[cfg(test)]
mod tests {
    use weft_model::EndMark;
    use weft_model::schedule::{JobPolicy, RunOutcome, Trigger};
    use weft_store::Store;

    use super::*;
    use crate::testing::{Bench, job_key};

    async fn write(bench: &Bench, job: Job) {
        let written = bench.session.write_job(job, None).await;
        assert!(written.is_ok());
    }

    #[tokio::test]
    async fn followers_beyond_a_page_are_notified_too() {
        let bench = Bench::new();
        let now = bench.session.context.clock.now();
        let ended = JobKey {
            name: "first.sh".to_owned(),
            ..job_key("u")
        };
        let mut upstream = Job {
            status: JobStatus::Scheduled,
            ..Job::waiting(ended.clone(), now)
        };
        upstream.triggers.add_pending(JobEnd {
            mark: EndMark {
                uid: "u".to_owned(),
                created: now,
                run: 1,
            },
            outcome: RunOutcome::Succeeded,
        });
        write(&bench, upstream).await;
        let follower = |number: u32| job_key(&number.to_string());
        for number in 0..5 {
            let key = follower(number);
            let noted = bench.store.put_follower("PROCESS", "first.sh", &key);
            noted.await.unwrap();
            let job = Job {
                status: JobStatus::Scheduled,
                policy: JobPolicy {
                    after: Trigger::parse_all("PROCESS first.sh ENDED").unwrap(),
                    ..JobPolicy::default()
                },
                ..Job::waiting(key, now)
            };
            write(&bench, job).await;
        }
        notify_all(&bench.session, &ended, 2).await.unwrap();
        for number in 0..5 {
            let row = bench
                .store
                .job(&follower(number), Freshness::Serial)
                .await
                .unwrap();
            assert_eq!(row.unwrap().status, JobStatus::Waiting, "{number}");
        }
        let row = bench.store.job(&ended, Freshness::Serial).await.unwrap();
        assert!(row.unwrap().triggers.pending_notifications.is_empty());
        bench.end().await;
    }
}
