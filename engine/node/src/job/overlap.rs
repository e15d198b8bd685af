//! OVERLAP=ALLOW: a time that comes while a run goes on gets a run beside it, which is a job of its own.
//!
//! The row of a job is owned by one run at a time, so the other run has a row too: the same type and name, and the uid of
//! the job with the time behind it. Whoever runs the job writes that row; a node that takes a run over writes it again, and
//! finds it there.

use weft_model::clock::Timestamp;
use weft_model::schedule::policy::Overlap;
use weft_model::schedule::{JobPolicy, ScheduledRun, Timing, following_run};
use weft_model::{Job, JobKey, JobStatus};

use crate::job::after::{planned_for_later, schedule_of, seed_of};

/// What is wrong with a job that shall overlap itself, if something is.
pub fn refusal(job: &Job) -> Option<&'static str> {
    if job.policy.overlap != Overlap::Allow {
        return None;
    }
    let schedule = schedule_of(job)?;
    if job.policy.max_runs.is_some() {
        // Runs beside others are jobs of their own, and nobody counts them all.
        return Some("OVERLAP=ALLOW does not go with MAX_RUNS");
    }
    match schedule.timing() {
        Timing::Cron(_) => None,
        Timing::Several(_) if schedule.pause().is_none() => None,
        Timing::Several(_) => Some(
            "OVERLAP=ALLOW does not go with an interval, which counts from the end of the last run",
        ),
        Timing::Once | Timing::At(_) | Timing::Every(_) => {
            Some("OVERLAP=ALLOW needs a cron expression: other schedules never overlap")
        }
    }
}

/// Up to when the times of a job that is about to be claimed are covered by its runs. A run that goes on where another
/// broke off, or failed, covers what came since that one began.
pub fn covered(job: &Job, now: Timestamp) -> Timestamp {
    let goes_on = job.status == JobStatus::InProcess || job.tries > 0;
    let began = job.start_time.filter(|_| goes_on).unwrap_or(now);
    match job.planned_run {
        Some(planned) if planned <= now => planned.max(began),
        _ => began,
    }
}

/// The first time behind those that comes while the run of this row goes on.
pub fn first_beside(job: &Job, covered: Timestamp) -> Option<Timestamp> {
    match planned_for_later(job, covered) {
        // A run by hand leaves the scheduled time to come.
        Some(planned) if job.policy.overlap == Overlap::Allow => Some(planned),
        Some(_) => None,
        None => next_beside(job, covered),
    }
}

/// The one behind it.
pub fn next_beside(job: &Job, covered: Timestamp) -> Option<Timestamp> {
    if job.policy.overlap != Overlap::Allow {
        return None;
    }
    let end = ScheduledRun {
        planned: Some(covered),
        started: covered,
        ended: covered,
        runs: job.runs,
    };
    following_run(&schedule_of(job)?, &job.policy, &end, seed_of(job))
}

/// The job that runs beside this one for a time that has come.
pub fn beside(job: &Job, planned: Timestamp, now: Timestamp) -> Job {
    let key = JobKey {
        uid: format!("{}@{}", job.key.uid, planned.to_rfc3339()),
        ..job.key.clone()
    };
    Job {
        affinity: job.affinity.clone(),
        arguments: job.arguments.clone(),
        planned_run: Some(planned),
        policy: JobPolicy {
            overlap: Overlap::default(),
            after: Vec::new(),
            start_at: None,
            end_at: None,
            ..job.policy.clone()
        },
        created_by: job.created_by.clone(),
        ..Job::waiting(key, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn hourly(overlap: Overlap) -> Job {
        let key = JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: "u".to_owned(),
        };
        Job {
            status: JobStatus::InProcess,
            execution_interval: Some("0 * * * *".to_owned()),
            planned_run: Some(Timestamp(HOUR_MS)),
            start_time: Some(Timestamp(HOUR_MS + 5)),
            arguments: r#"{"0":"x"}"#.to_owned(),
            policy: JobPolicy {
                overlap,
                max_attempts: 3,
                ..JobPolicy::default()
            },
            ..Job::waiting(key, Timestamp(0))
        }
    }

    #[test]
    fn each_time_that_comes_gets_a_job_of_its_own() {
        let job = hourly(Overlap::Allow);
        assert_eq!(refusal(&job), None);
        let first = first_beside(&job, Timestamp(HOUR_MS + 5)).unwrap();
        assert_eq!(first, Timestamp(2 * HOUR_MS));
        assert_eq!(next_beside(&job, first), Some(Timestamp(3 * HOUR_MS)));
        let other = beside(&job, first, Timestamp(2 * HOUR_MS + 1));
        assert_eq!(other.key.uid, "u@1970-01-01T02:00:00.000Z");
        assert_eq!((other.status, other.next_run), (JobStatus::Waiting, None));
        assert_eq!(other.arguments, job.arguments);
        assert_eq!(other.policy.max_attempts, 3);
        assert_eq!(other.execution_interval, None);
    }

    #[test]
    fn others_never_overlap() {
        for overlap in [Overlap::Skip, Overlap::Queue] {
            let job = hourly(overlap);
            assert_eq!(
                (refusal(&job), first_beside(&job, Timestamp(HOUR_MS))),
                (None, None)
            );
        }
        let by_hand = Job {
            planned_run: Some(Timestamp(9 * HOUR_MS)),
            ..hourly(Overlap::Allow)
        };
        assert_eq!(
            first_beside(&by_hand, Timestamp(HOUR_MS + 5)),
            Some(Timestamp(9 * HOUR_MS))
        );
    }

    #[test]
    fn who_takes_a_run_over_covers_what_came_since_it_began() {
        let late = Timestamp(3 * HOUR_MS + 7);
        let mut job = hourly(Overlap::Allow);
        let from = covered(&job, late);
        assert_eq!(first_beside(&job, from), Some(Timestamp(2 * HOUR_MS)));
        job.status = JobStatus::Scheduled;
        let from = covered(&job, late);
        assert_eq!(
            first_beside(&job, from),
            Some(Timestamp(4 * HOUR_MS)),
            "one run makes up for what was missed"
        );
        job.status = JobStatus::Waiting;
        job.tries = 1;
        let from = covered(&job, late);
        assert_eq!(first_beside(&job, from), Some(Timestamp(2 * HOUR_MS)));
    }

    #[test]
    fn what_cannot_overlap_is_refused() {
        let mut job = hourly(Overlap::Allow);
        job.policy.max_runs = Some(3);
        assert!(refusal(&job).is_some());
        let interval = Job {
            execution_interval: Some("00:10:00".to_owned()),
            ..hourly(Overlap::Allow)
        };
        assert!(refusal(&interval).is_some());
    }
}
