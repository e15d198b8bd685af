//! OVERLAP=ALLOW: a scheduled time that comes during a run gets a parallel run, which is a job of its own.
//!
//! Only one run owns the row of a job, so the parallel run has its own row: the same type and name, and the uid of the job
//! followed by the time. The node that runs the job writes that row. A node that takes over the run writes it again and
//! finds it there.

use weft_model::clock::Timestamp;
use weft_model::schedule::policy::Overlap;
use weft_model::schedule::{JobPolicy, ScheduledRun, Timing, following_run, parallel_run};
use weft_model::{Job, JobKey, JobStatus};

use super::schedule::{planned_for_later, schedule_of, seed_of};

/// Why this job cannot have OVERLAP=ALLOW; `None` if it can, or does not ask for it.
pub fn refusal(job: &Job) -> Option<&'static str> {
    if job.policy.overlap != Overlap::Allow {
        return None;
    }
    let schedule = schedule_of(job)?;
    if job.policy.max_runs.is_some() {
        // Parallel runs are separate jobs, so no counter covers them all.
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

/// The time up to which the runs of a job that is about to be claimed cover its schedule. A run that continues a broken or
/// failed one covers the times since that one began.
pub fn covered_until(job: &Job, now: Timestamp) -> Timestamp {
    let continues = job.status == JobStatus::InProcess || job.tries > 0;
    let began = job.start_time.filter(|_| continues).unwrap_or(now);
    match job.planned_run {
        Some(planned) if planned <= now => planned.max(began),
        _ => began,
    }
}

/// The first scheduled time after `covered` that comes during the run of this row.
pub fn first_parallel(job: &Job, covered: Timestamp) -> Option<Timestamp> {
    match planned_for_later(job, covered) {
        // A manual run leaves the scheduled time in place.
        Some(planned) if job.policy.overlap == Overlap::Allow => Some(planned),
        Some(_) => None,
        None => next_parallel(job, covered),
    }
}

/// The scheduled time after that one.
pub fn next_parallel(job: &Job, covered: Timestamp) -> Option<Timestamp> {
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

/// The time that gets the next parallel run now that `planned` has come. Times that were missed because no node could start
/// their runs follow the misfire rule of the job, so an outage of days does not leave a row for each of them.
pub fn due_parallel(job: &Job, planned: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let covered = Timestamp(planned.0.saturating_sub(1));
    let schedule = schedule_of(job)?;
    parallel_run(&schedule, &job.policy, covered, now, seed_of(job))
}

/// The job that runs in parallel to this one for the scheduled time `planned`.
pub fn parallel_job(job: &Job, planned: Timestamp, now: Timestamp) -> Job {
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
    fn each_scheduled_time_gets_a_job_of_its_own() {
        let job = hourly(Overlap::Allow);
        assert_eq!(refusal(&job), None);
        let first = first_parallel(&job, Timestamp(HOUR_MS + 5)).unwrap();
        assert_eq!(first, Timestamp(2 * HOUR_MS));
        assert_eq!(next_parallel(&job, first), Some(Timestamp(3 * HOUR_MS)));
        let other = parallel_job(&job, first, Timestamp(2 * HOUR_MS + 1));
        assert_eq!(other.key.uid, "u@1970-01-01T02:00:00.000Z");
        assert_eq!((other.status, other.next_run), (JobStatus::Waiting, None));
        assert_eq!(other.arguments, job.arguments);
        assert_eq!(other.policy.max_attempts, 3);
        assert_eq!(other.execution_interval, None);
    }

    #[test]
    fn other_policies_never_overlap() {
        for overlap in [Overlap::Skip, Overlap::Queue] {
            let job = hourly(overlap);
            assert_eq!(
                (refusal(&job), first_parallel(&job, Timestamp(HOUR_MS))),
                (None, None)
            );
        }
        let manual = Job {
            planned_run: Some(Timestamp(9 * HOUR_MS)),
            ..hourly(Overlap::Allow)
        };
        assert_eq!(
            first_parallel(&manual, Timestamp(HOUR_MS + 5)),
            Some(Timestamp(9 * HOUR_MS))
        );
    }

    #[test]
    fn a_taken_over_run_covers_the_times_since_it_began() {
        let late = Timestamp(3 * HOUR_MS + 7);
        let mut job = hourly(Overlap::Allow);
        let from = covered_until(&job, late);
        assert_eq!(first_parallel(&job, from), Some(Timestamp(2 * HOUR_MS)));
        job.status = JobStatus::Scheduled;
        let from = covered_until(&job, late);
        assert_eq!(
            first_parallel(&job, from),
            Some(Timestamp(4 * HOUR_MS)),
            "one run makes up for what was missed"
        );
        job.status = JobStatus::Waiting;
        job.tries = 1;
        let from = covered_until(&job, late);
        assert_eq!(first_parallel(&job, from), Some(Timestamp(2 * HOUR_MS)));
    }

    #[test]
    fn missed_times_follow_the_misfire_rule() {
        use weft_model::schedule::policy::Misfire;
        let mut job = hourly(Overlap::Allow);
        let planned = Timestamp(2 * HOUR_MS);
        let days_later = Timestamp(100 * HOUR_MS + 30 * 60_000);
        let parallels = |job: &Job| {
            let mut planned = Some(planned);
            let mut all = Vec::new();
            while let Some(due) = planned.and_then(|it| due_parallel(job, it, days_later)) {
                if due > days_later {
                    break;
                }
                all.push(due.0 / HOUR_MS);
                planned = next_parallel(job, due);
            }
            all
        };
        assert_eq!(parallels(&job), [100], "one run makes up for all");
        job.policy.misfire = Misfire::All { cap: 3 };
        assert_eq!(parallels(&job), [98, 99, 100]);
        job.policy.misfire = Misfire::Skip;
        assert_eq!(parallels(&job), [0_i64; 0]);
        // A time that is hardly late has its run, whatever the rule.
        let just_now = Timestamp(planned.0 + 59_000);
        assert_eq!(due_parallel(&job, planned, just_now), Some(planned));
        assert_eq!(due_parallel(&job, planned, planned), Some(planned));
    }

    #[test]
    fn schedules_that_cannot_overlap_are_refused() {
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
