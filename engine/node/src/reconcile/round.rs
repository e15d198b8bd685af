//! The full round over jobs: writes the due hint of each job that a node must check and that has none.
//!
//! Nodes find jobs by hints only. A hint is written before its row, and a node passes it only when a later one exists, so none
//! is missing normally. The round is for what no rule foresees: a hint that the store lost, or a row that was changed by hand.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::warn;
use weft_model::clock::Timestamp;
use weft_model::{DueHint, Job, JobKey, JobStatus};
use weft_store::{Freshness, ListJobs, StoreResult};

use super::Reconciler;

/// Rows in a page; a round reads one page a second.
const PAGE: usize = 200;
/// Nodes read at least the hints of this time before now.
const READ_BACK: Duration = Duration::from_secs(60);
/// A job that no node can run now has a hint at most this far ahead.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(11 * 60);
/// The store keeps a hint for a later time at this distance.
const FARTHEST_HINT: Duration = Duration::from_secs(290 * 86_400);
/// Hints in a page.
const HINTS: usize = 1_000;
/// Pages of hints to read. If there are more, hints are written that may not be needed, which does no harm.
const HINT_PAGES: usize = 200;

/// What a full round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The rows read.
    pub examined: usize,
    /// The jobs that had no hint and have one now; the first [`Round::NAMED`] of them.
    pub jobs: Vec<JobKey>,
    /// The number of these jobs.
    pub job_count: usize,
    /// The number of batches that had no job to run them and have one now.
    pub batch_count: usize,
}

impl Round {
    /// The most jobs that a round names.
    pub const NAMED: usize = 1_000;

    /// Adds what a later part of the same round did.
    pub(super) fn add(&mut self, part: Self) {
        self.examined += part.examined;
        self.job_count += part.job_count;
        self.batch_count += part.batch_count;
        let room = Self::NAMED.saturating_sub(self.jobs.len());
        self.jobs.extend(part.jobs.into_iter().take(room));
    }
}

impl Reconciler<'_> {
    /// Examines all jobs, with a pause between two pages. Answers none if the node fenced itself.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn jobs(&self, pause: Duration) -> StoreResult<Option<Round>> {
        let part = self.jobs_after(None, pause, usize::MAX).await?;
        Ok(part.map(|(round, _)| round))
    }

    /// Examines at most `pages` pages of jobs after this one. Answers also the last job examined, unless it is the last of
    /// all.
    ///
    /// # Errors
    /// The error of the store.
    pub(super) async fn jobs_after(
        &self,
        after: Option<JobKey>,
        pause: Duration,
        pages: usize,
    ) -> StoreResult<Option<(Round, Option<JobKey>)>> {
        let mut round = Round::default();
        let mut list = ListJobs {
            limit: PAGE,
            after,
            ..ListJobs::default()
        };
        for _ in 0..pages {
            let page = self.store.jobs(&list).await?;
            round.examined += page.jobs.len();
            self.repair(&page.jobs, &mut round).await?;
            list.after = page.next;
            if list.after.is_none() {
                break;
            }
            if !self.self_fence.wait(pause).await {
                return Ok(None);
            }
        }
        Ok(Some((round, list.after)))
    }

    /// Writes the missing hints of these jobs.
    async fn repair(&self, jobs: &[Job], round: &mut Round) -> StoreResult<()> {
        let now = self.clock.now();
        let mut near = Vec::new();
        for job in jobs {
            let Some(time) = check_time(job, now) else {
                continue;
            };
            if time <= now.plus(LONGEST_DEFERRAL) {
                near.push(&job.key);
            } else if !self.has_hint_at(&job.key, time, now).await? {
                self.put_hint(&job.key, time, round).await?;
            }
        }
        if near.is_empty() {
            return Ok(());
        }
        let hinted = self.hinted_soon().await?;
        // A job may have moved on since its page was read. Its hint comes before its row, so hints are read after rows.
        let mut without_hint = Vec::new();
        for key in near.into_iter().filter(|key| !hinted.contains(*key)) {
            let row = self.store.job(key, Freshness::Serial).await?;
            let now = self.clock.now();
            let time = row.and_then(|job| check_time(&job, now));
            without_hint.extend(time.map(|time| (key, time.max(now))));
        }
        if without_hint.is_empty() {
            return Ok(());
        }
        let hinted = self.hinted_soon().await?;
        for (key, time) in without_hint
            .into_iter()
            .filter(|(key, _)| !hinted.contains(*key))
        {
            self.put_hint(key, time, round).await?;
        }
        Ok(())
    }

    async fn put_hint(&self, key: &JobKey, time: Timestamp, round: &mut Round) -> StoreResult<()> {
        let hint = DueHint {
            due_at: time,
            key: key.clone(),
        };
        self.store.put_due(&hint).await?;
        metrics::counter!("reconciled_total", "kind" => "job_without_hint").increment(1);
        warn!(
            job.uid = key.uid,
            "No node would have checked job {} {}: it had no due hint", key.job_type, key.name
        );
        round.job_count += 1;
        if round.jobs.len() < Round::NAMED {
            round.jobs.push(key.clone());
        }
        Ok(())
    }

    /// The jobs with hints that nodes read within the next minutes.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn hinted_soon(&self) -> StoreResult<BTreeSet<JobKey>> {
        let now = self.clock.now();
        let to = now.plus(LONGEST_DEFERRAL.max(self.dead_after));
        let mut after = DueHint::first_at(now.minus(READ_BACK));
        let mut keys = BTreeSet::new();
        for _ in 0..HINT_PAGES {
            let hints = self.store.due(&after, to, HINTS).await?;
            let is_last = hints.len() < HINTS;
            after = hints.last().cloned().unwrap_or(after);
            keys.extend(hints.into_iter().map(|hint| hint.key));
            if is_last {
                break;
            }
        }
        Ok(keys)
    }

    /// Whether the job has a hint at this time.
    async fn has_hint_at(
        &self,
        key: &JobKey,
        time: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        if time > now.plus(FARTHEST_HINT) {
            // Its hint lies earlier, and the node that reads it writes the next one.
            return Ok(true);
        }
        let hint = DueHint {
            due_at: time,
            key: key.clone(),
        };
        // Hints are in the order of time and key, and this is a cursor shortly before the hint.
        let mut uid = key.uid.clone();
        uid.pop();
        let mut after = DueHint::first_at(time);
        after.key = JobKey { uid, ..key.clone() };
        loop {
            let hints = self.store.due(&after, time, HINTS).await?;
            if hints.iter().any(|found| *found >= hint) || hints.len() < HINTS {
                return Ok(hints.contains(&hint));
            }
            after = hints.last().cloned().unwrap_or(after);
        }
    }
}

/// When a node must check the job; none if only the change of another job, or a command, can make it due.
pub fn check_time(job: &Job, now: Timestamp) -> Option<Timestamp> {
    if !job.triggers.pending_notifications.is_empty() {
        return Some(now);
    }
    if job.archived || job.status.is_ended() {
        return None;
    }
    match job.status {
        JobStatus::Waiting => Some(job.next_run.unwrap_or(now)),
        JobStatus::Scheduled if job.policy.paused => None,
        JobStatus::Scheduled => job.next_run,
        JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart => Some(now),
        JobStatus::Processed | JobStatus::Terminated | JobStatus::Failed => None,
    }
}
