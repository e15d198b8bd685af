//! JOBSTATUS: the jobs.

use std::ops::ControlFlow;

use serde::Serialize;
use serde_json::Value;
use weft_model::clock::Timestamp;
use weft_model::schedule::Trigger;
use weft_model::{Job, JobKey, JobStatus, job_type};
use weft_node::Member;
use weft_node::job::schedule::schedule_of;
use weft_node::job::triggers::describe_awaited;
use weft_store::{Freshness, ListJobs, each_job};

use super::{InspectError, InspectResult, Inspector, waiting};
use crate::permission::Permit;

/// How many rows one query reads at most. Archived rows are passed over before the limit of the query counts.
const SCANNED: usize = 100_000;
/// A job that has been due and unclaimed for this time waits for a slot.
const SLOT_MS: i64 = 3_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// Which jobs to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobQuery {
    /// Selects by identity or age.
    pub selection: JobSelection,
    /// Only jobs with this status.
    pub status: Option<JobStatus>,
    /// Only archived jobs, or only others.
    pub archived: Option<bool>,
    /// Only jobs strictly after this one in the order of the store: `next` of the page before.
    pub after: Option<JobKey>,
    /// How many at most.
    pub limit: usize,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfoQuery(pub JobKey);

/// Which jobs a query counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSelection {
    /// Jobs that are not archived.
    Active,
    /// All jobs.
    All,
    /// Jobs that were created, started or ended within this number of days, archived or not.
    Days(u32),
    /// Jobs of a type, of a type and name, or the one of a type, name and uid.
    Of {
        /// The type.
        job_type: String,
        /// The name.
        name: Option<String>,
        /// The uid.
        uid: Option<String>,
    },
}

/// When a job runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum NextRun {
    /// At this moment.
    At(Timestamp),
    /// As soon as a node has a free slot.
    Ready,
    /// It is running.
    Running,
    /// When another job ends.
    Awaiting,
    /// Once its schedule or a trigger is switched on.
    Off,
    /// Never.
    Never,
}

/// One job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobItem {
    /// The row.
    pub job: Job,
    /// When it runs next.
    pub next_run: NextRun,
    /// How many live nodes match its affinity.
    pub candidates: usize,
    /// The message of its last failure.
    pub error: Option<String>,
    /// Why it does not run yet.
    pub note: Option<String>,
    /// Its schedule in words; none for a job that runs once and at once.
    pub schedule: Option<String>,
}

/// A page of jobs, in the order of the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<JobItem>,
    /// The start of the next page, where there may be one.
    pub next: Option<JobKey>,
    /// The counts over all pages and statuses.
    pub counts: JobCounts,
}

/// How many jobs of a selection have which status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobCounts {
    /// Every status, in the order in which a job goes through them.
    pub of: Vec<JobCount>,
    /// Not all jobs were counted.
    pub is_lower_bound: bool,
}

/// How many jobs have one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JobCount {
    /// The status.
    pub status: JobStatus,
    /// The number of jobs.
    pub jobs: usize,
}

impl JobCounts {
    fn none() -> Self {
        let count = |status: &JobStatus| JobCount {
            status: *status,
            jobs: 0,
        };
        Self {
            of: JobStatus::ALL.iter().map(count).collect(),
            is_lower_bound: false,
        }
    }

    fn add(&mut self, status: JobStatus) {
        if let Some(count) = self.of.iter_mut().find(|count| count.status == status) {
            count.jobs += 1;
        }
    }
}

impl NextRun {
    fn of(job: &Job, now: Timestamp) -> Self {
        match job.status {
            JobStatus::Scheduled => match job.next_run {
                Some(next) => Self::At(next),
                None if describe_awaited(job).is_some() => Self::Awaiting,
                None => Self::Off,
            },
            // After a failure the job waits for its next try.
            JobStatus::Waiting => match job.next_run.filter(|next| *next > now) {
                Some(next) => Self::At(next),
                None => Self::Ready,
            },
            JobStatus::Restart => Self::Ready,
            JobStatus::InProcess => Self::Running,
            JobStatus::Stopping
            | JobStatus::Processed
            | JobStatus::Terminated
            | JobStatus::Failed => Self::Never,
        }
    }

    /// The text in JOBSTATUS.
    pub fn text(self) -> String {
        match self {
            Self::At(time) => time.to_seconds_text(),
            Self::Ready => "Ready to be executed".to_owned(),
            Self::Running => "Already running".to_owned(),
            Self::Awaiting => "waits for other jobs".to_owned(),
            Self::Off => "switched off".to_owned(),
            Self::Never => "no more execution scheduled".to_owned(),
        }
    }
}

impl JobQuery {
    fn list(&self) -> ListJobs {
        let mut list = ListJobs {
            active_only: self.selection == JobSelection::Active,
            limit: SCANNED,
            ..ListJobs::default()
        };
        if let JobSelection::Of {
            job_type,
            name,
            uid,
        } = &self.selection
        {
            list.job_type = Some(job_type.clone());
            list.name.clone_from(name);
            list.uid.clone_from(uid);
        }
        list
    }

    /// Whether the query counts this job.
    fn selects(&self, job: &Job, now: Timestamp) -> bool {
        let selected = match &self.selection {
            JobSelection::Active => !job.archived,
            JobSelection::All | JobSelection::Of { .. } => true,
            JobSelection::Days(days) => {
                let since = now.0.saturating_sub(i64::from(*days) * DAY_MS);
                let times = [Some(job.creation_time), job.start_time, job.end_time];
                times.into_iter().flatten().any(|time| time.0 >= since)
            }
        };
        selected
            && self
                .archived
                .is_none_or(|archived| job.archived == archived)
    }

    /// Whether the query shows a counted job.
    fn shows(&self, job: &Job) -> bool {
        self.status.is_none_or(|status| job.status == status)
    }
}

/// The rows of a page while they are collected.
#[derive(Debug, Default)]
struct Collected {
    jobs: Vec<Job>,
    /// There are more jobs after the last.
    more: bool,
}

impl Collected {
    fn add(&mut self, job: Job, limit: usize) {
        match self.jobs.len() < limit {
            true => self.jobs.push(job),
            false => self.more = true,
        }
    }
}

impl Inspector {
    /// A page of jobs.
    ///
    /// # Errors
    /// The store failed.
    pub async fn jobs(&self, permit: &Permit<JobQuery>) -> InspectResult<JobPage> {
        let query = permit.request();
        let members = self.nodes.members().await?;
        let now = self.clock.now();
        let list = query.list();
        let mut collected = Collected::default();
        let mut counts = JobCounts::none();
        // The counts are over all pages, so they begin with the first job wherever this page begins.
        let mut last_read = None;
        counts.is_lower_bound = each_job(self.store.as_ref(), &list, |job| {
            if collected.jobs.len() < query.limit {
                last_read = Some(job.key.clone());
            }
            if query.selects(&job, now) {
                counts.add(job.status);
                if query.after.is_none() && query.shows(&job) {
                    collected.add(job, query.limit);
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        collected.more |= counts.is_lower_bound && query.after.is_none();
        if let Some(after) = &query.after {
            last_read = None;
            let behind = ListJobs {
                after: Some(after.clone()),
                ..list
            };
            collected.more |= each_job(self.store.as_ref(), &behind, |job| {
                last_read = Some(job.key.clone());
                if query.selects(&job, now) && query.shows(&job) {
                    collected.add(job, query.limit);
                }
                match collected.more {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })
            .await?;
        }
        let Collected { jobs, more } = collected;
        // After a full page the next one begins behind its last row, otherwise behind the last row that was read.
        let last = jobs.last().map(|job| job.key.clone());
        let next = match jobs.len() < query.limit {
            true => last_read.or(last),
            false => last,
        };
        let next = next.filter(|_| more);
        let items = jobs.into_iter().map(|job| JobItem::of(job, now, &members));
        Ok(JobPage {
            items: items.collect(),
            next,
            counts,
        })
    }

    /// One job.
    ///
    /// # Errors
    /// There is no such job, or the store failed.
    pub async fn job(&self, permit: &Permit<JobInfoQuery>) -> InspectResult<JobItem> {
        let JobInfoQuery(key) = permit.request();
        let job = self.store.job(key, Freshness::Committed).await?;
        let job = job.ok_or_else(|| InspectError::NoSuchJob(key.clone()))?;
        let members = self.nodes.members().await?;
        Ok(JobItem::of(job, self.clock.now(), &members))
    }
}

impl JobItem {
    /// A job as it is shown while these nodes are alive.
    pub fn of(job: Job, now: Timestamp, members: &[Member]) -> Self {
        Self {
            next_run: NextRun::of(&job, now),
            candidates: waiting::candidates(&job.affinity, members),
            error: job.error.as_deref().map(message_of),
            note: job_note(&job, now, members),
            schedule: in_words(&job),
            job,
        }
    }

    /// The note, if it says why the job does not run yet.
    pub fn why_waiting(&self) -> Option<&str> {
        let is_waiting = !self.job.status.is_ended() && self.job.holder().is_none();
        self.note.as_deref().filter(|_| is_waiting)
    }
}

fn in_words(job: &Job) -> Option<String> {
    let schedule = job.execution_interval.as_ref();
    let schedule = schedule.and_then(|_| Some(schedule_of(job)?.describe()));
    let triggers = job.policy.after.iter().map(Trigger::in_words);
    let words: Vec<String> = schedule.into_iter().chain(triggers).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// Why a job does not run yet, if something is in its way.
pub fn job_note(job: &Job, now: Timestamp, members: &[Member]) -> Option<String> {
    let may_wait = match job.status {
        JobStatus::Scheduled | JobStatus::Waiting | JobStatus::Restart => true,
        JobStatus::InProcess
        | JobStatus::Stopping
        | JobStatus::Processed
        | JobStatus::Terminated
        | JobStatus::Failed => false,
    };
    let option = match job.key.job_type.as_str() {
        job_type::BATCH_PROCESS => "JOB_AFFINITY",
        _ => "AFFINITY",
    };
    if !may_wait {
        return job.notes.clone();
    }
    let unmatched = || match job.policy.relocate {
        true => None,
        false => waiting::unmatched(option, &job.affinity, members),
    };
    let paused = || {
        let is_paused = job.policy.paused && job.status == JobStatus::Scheduled;
        is_paused.then(|| "its schedule is paused; UPDATEJOB … PAUSED=false resumes it".to_owned())
    };
    let retry = || {
        let at = job.next_run.filter(|at| *at > now && job.tries > 0)?;
        let why = job.notes.as_deref().unwrap_or("the last try failed");
        Some(format!(
            "{why}; the next try is at {}",
            at.to_seconds_text()
        ))
    };
    let for_a_slot = || {
        let ready_since = job.next_run.unwrap_or(job.creation_time);
        let is_ready = job.status == JobStatus::Waiting && now.millis_since(ready_since) > SLOT_MS;
        is_ready.then(|| {
            "waits for a free slot of a node (K2JOBS_POOL_SIZE, or its affinity's)".to_owned()
        })
    };
    let for_others = || {
        let has_no_time = job.status == JobStatus::Scheduled && job.next_run.is_none();
        let off = || {
            "all that would start it is switched off; UPDATEJOB with its EXEC_INTERVAL or AFTER without OFF switches it on"
                .to_owned()
        };
        has_no_time.then(|| describe_awaited(job).unwrap_or_else(off))
    };
    paused()
        .or_else(for_others)
        .or_else(unmatched)
        .or_else(retry)
        .or_else(|| job.notes.clone())
        .or_else(for_a_slot)
}

/// The sentence in `error_msg`, which is JSON (as in Fabric); anything else is shown as it is.
pub fn message_of(error: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(error).ok();
    let message = parsed.as_ref().and_then(|parsed| {
        let keys = ["message", "trace_element", "exception_type"];
        keys.iter().find_map(|key| parsed.get(key)?.as_str())
    });
    message.unwrap_or(error).to_owned()
}
