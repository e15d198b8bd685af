//! What a command does to the row of a job: pure functions. A row that no node runs is replaced as a whole. If a node runs
//! the job, the command leaves a request that this node carries out.

use std::collections::BTreeSet;

use serde_json::Value;
use weft_model::TriggerState;
use weft_model::clock::Timestamp;
use weft_model::schedule::{FirstRun, JobPolicy, Schedule, ScheduledRun, first_run, following_run};
use weft_model::{IllegalMove, Job, JobDesired, JobEvent, JobStatus};
use weft_store::JobDefinition;

use super::next_run::{NextRun, can_start_later};
use super::schedule::{schedule_of, seed_of};
use super::step::Step;

/// STARTJOB with the definition `wanted`, for a job that has a row already.
///
/// # Errors
/// The stored status has no such move.
pub fn start_again(found: &Job, wanted: &Job, is_by_hand: bool) -> Result<Step, IllegalMove> {
    if found.status.is_ended() {
        // The row of a finished job is reused (Fabric R12).
        return Ok(Step::write(Job {
            status: found.status.next(resume_event(wanted))?,
            fence: found.fence,
            desired_seq: found.desired_seq,
            triggers: found.triggers.for_restart(),
            ..wanted.clone()
        }));
    }
    if found.status == JobStatus::Scheduled && is_by_hand {
        // A manual start leaves the scheduled run unchanged (Fabric R75).
        return Ok(Step::write(Job {
            status: found.status.next(JobEvent::Due)?,
            next_run: None,
            creation_time: wanted.creation_time,
            ..found.clone()
        }));
    }
    // Clients match on these words (Fabric R11).
    Ok(Step::Refuse(format!(
        "Job is running: '{}.{}.{}' is {}",
        found.key.job_type, found.key.name, found.key.uid, found.status
    )))
}

/// The event that turns an ended row into `new`.
fn resume_event(new: &Job) -> JobEvent {
    match new.status {
        JobStatus::Scheduled => JobEvent::ResumedScheduled,
        _ => JobEvent::Resumed,
    }
}

/// Whether both have the same definition, whatever their progress: an earlier attempt of the same call may have written
/// `found`.
pub fn is_defined_as(found: &Job, wanted: &Job) -> bool {
    // The order of JSON keys and of nodes has no meaning.
    let nodes = |job: &Job| job.affinity.iter().cloned().collect::<BTreeSet<String>>();
    let arguments = |job: &Job| serde_json::from_str::<Value>(&job.arguments).ok();
    found.key == wanted.key
        && found.created_by == wanted.created_by
        && nodes(found) == nodes(wanted)
        && arguments(found) == arguments(wanted)
        && found.execution_interval == wanted.execution_interval
        && found.policy == wanted.policy
}

/// STOPJOB.
///
/// # Errors
/// The stored status has no such move.
pub fn stop(job: &Job, now: Timestamp) -> Result<Step, IllegalMove> {
    if job.status.is_ended() {
        return Ok(Step::Leave(format!("it is {} already", job.status)));
    }
    if job.holder().is_some() && job.status == JobStatus::Stopping {
        return Ok(Step::Leave("it is being stopped already".to_owned()));
    }
    let status = job.status.next(JobEvent::StopRequested)?;
    Ok(match job.holder() {
        Some(_) => Step::request(JobDesired::Stop, status),
        None => Step::write(Job {
            status,
            archived: true,
            end_time: job.end_time.or(Some(now)),
            next_run: None,
            planned_run: None,
            notes: None,
            triggers: job.triggers.for_restart(),
            ..job.clone()
        }),
    })
}

/// RESTARTJOB.
///
/// # Errors
/// The stored status has no such move.
pub fn restart(job: &Job) -> Result<Step, IllegalMove> {
    if job.status.is_ended() {
        return Ok(Step::Refuse(format!(
            "it is {} and cannot be restarted; RESUMEJOB resumes it",
            job.status
        )));
    }
    if job.holder().is_none() {
        return Ok(Step::write(Job {
            status: job.status.next(JobEvent::RestartReady)?,
            next_run: None,
            // A run that was tried starts over as another run, with its own idempotency key.
            runs: job.runs + i64::from(job.tries > 0),
            tries: 0,
            worker: None,
            owner_incarnation: None,
            notes: None,
            ..job.clone()
        }));
    }
    if job.desired > JobDesired::Restart {
        // A weaker request never replaces a stronger one.
        return Ok(Step::Refuse(
            "it is being stopped; start it again when it has ended".to_owned(),
        ));
    }
    Ok(Step::request(
        JobDesired::Restart,
        job.status.next(JobEvent::RestartRequested)?,
    ))
}

/// RESUMEJOB.
///
/// # Errors
/// The stored status has no such move.
pub fn resume(job: &Job, now: Timestamp) -> Result<Step, IllegalMove> {
    if !job.status.is_ended() {
        return Ok(Step::Refuse(format!(
            "it is {} and not archived, so there is nothing to resume",
            job.status
        )));
    }
    let again = Job {
        status: job.status.next(JobEvent::Resumed)?,
        archived: false,
        creation_time: now,
        tries: 0,
        runs: 0,
        worker: None,
        owner_incarnation: None,
        notes: None,
        triggers: job.triggers.for_restart(),
        ..job.clone()
    };
    Ok(match begin(again, now) {
        Ok(new) => Step::write(Job {
            status: job.status.next(resume_event(&new))?,
            ..new
        }),
        Err(why) => Step::Refuse(why),
    })
}

/// KILL of the task that runs the job.
pub fn kill(job: &Job) -> Step {
    match (job.holder(), job.status) {
        // A stopped run that does not react still ends as stopped: the row stays STOPPING.
        (Some(_), status @ (JobStatus::InProcess | JobStatus::Stopping)) => {
            Step::request(JobDesired::Kill, status)
        }
        (Some(_), _) => Step::Leave(format!("it is {} and ends by itself", job.status)),
        (None, status) => Step::Refuse(format!("it does not run, it is {status}")),
    }
}

/// The changes that UPDATEJOB asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The new definition.
    pub definition: JobDefinition,
    /// EXEC_INTERVAL or one of its bounds was given.
    pub reschedules: bool,
    /// RESET_END_TIME=true: the next run is now.
    pub runs_now: bool,
}

/// UPDATEJOB.
///
/// # Errors
/// The stored status has no such move.
pub fn update(job: &Job, update: Update, now: Timestamp) -> Result<Step, IllegalMove> {
    if job.status.is_ended() {
        return Ok(Step::Refuse(format!(
            "it is {} and cannot be changed",
            job.status
        )));
    }
    let was_paused = job.policy.paused;
    let changed = update.definition.applied_to(job);
    if job.holder().is_some() {
        // Checked now: no caller is there to see the error once the run has ended.
        let impossible = update.reschedules.then(|| find_start(&changed, now).err());
        if let Some(why) = impossible.flatten() {
            return Ok(Step::Refuse(why));
        }
        return Ok(Step::redefine(job, update.definition));
    }
    if update.runs_now && schedule_of(job).is_some_and(|schedule| schedule.is_recurring()) {
        return Ok(Step::write(Job {
            status: changed.status.next(JobEvent::Due)?,
            next_run: None,
            planned_run: None,
            ..changed
        }));
    }
    let keeps_time = changed.execution_interval.is_none() && job.execution_interval.is_some();
    let has_no_start = changed.next_run.is_none()
        && changed.status == JobStatus::Scheduled
        && changed.policy.after.is_empty();
    if has_no_start && changed.execution_interval.is_none() {
        return Ok(Step::Refuse(
            "nothing would start it; STOPJOB ends it, STARTJOB starts it once".to_owned(),
        ));
    }
    // A triggered run, or one that waits for its next try, keeps waiting after the pause.
    let keeps_waiting = was_paused && job.status == JobStatus::Waiting && !update.reschedules;
    // A recurring job that becomes a one-time job keeps its time (Fabric R37).
    if keeps_time || keeps_waiting || !(update.reschedules || was_paused) {
        return Ok(Step::write(changed));
    }
    match find_start(&changed, now) {
        Ok(start) => reschedule(changed, start, now).map(Step::write),
        // Its scheduled times have passed; a trigger can still start it.
        Err(_) if !update.reschedules && can_start_later(&changed, changed.runs, now) => {
            reschedule(changed, Start::Scheduled(None), now).map(Step::write)
        }
        Err(why) => Ok(Step::Refuse(why)),
    }
}

/// Starts a job by its new schedule, and keeps the runs that are due for other reasons.
fn reschedule(changed: Job, start: Start, now: Timestamp) -> Result<Job, IllegalMove> {
    let started = start.apply(changed.clone())?;
    let scheduled = match start {
        // An interval counts from the end of the last run, if there was one.
        Start::AtOnce => match interval_after_last_run(&started, now) {
            None => {
                return Ok(Job {
                    tries: 0,
                    ..started
                });
            }
            counted => counted,
        },
        Start::Scheduled(time) => time,
    };
    // A run that waits for its slot, its next try or its trigger's delay would be lost otherwise.
    if scheduled.is_none() && changed.status == JobStatus::Waiting {
        return Ok(Job {
            planned_run: None,
            ..changed
        });
    }
    let next = NextRun::earliest(scheduled, changed.triggers.fired_for);
    Ok(Job {
        status: changed.status.next(next.event())?,
        next_run: next.next_run,
        planned_run: next.planned_run,
        tries: 0,
        triggers: TriggerState {
            fired_for: next.fired_for,
            ..started.triggers.clone()
        },
        ..started
    })
}

fn interval_after_last_run(job: &Job, now: Timestamp) -> Option<Timestamp> {
    let (started, ended) = (job.start_time?, job.end_time?);
    let schedule = schedule_of(job).filter(|schedule| schedule.pause().is_some())?;
    let end = ScheduledRun {
        planned: None,
        started,
        ended,
        runs: job.runs,
    };
    let next = following_run(&schedule, &job.policy, &end, seed_of(job))?;
    (next > now).then_some(next)
}

/// How a job starts by its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// WAITING: as soon as a node has a free slot.
    AtOnce,
    /// SCHEDULED for this time; `None` until a trigger starts it or its schedule is switched on.
    Scheduled(Option<Timestamp>),
}

impl Start {
    fn apply(self, job: Job) -> Result<Job, IllegalMove> {
        let (event, next_run) = match self {
            Self::AtOnce => (JobEvent::Due, None),
            Self::Scheduled(time) => (JobEvent::Rescheduled, time),
        };
        Ok(Job {
            status: job.status.next(event)?,
            next_run,
            planned_run: next_run,
            ..job
        })
    }
}

/// Starts a new job: WAITING at once, or SCHEDULED for its first time.
///
/// # Errors
/// The schedule has no time in the future, or a node runs the job, or it has ended.
pub fn begin(job: Job, now: Timestamp) -> Result<Job, String> {
    let start = find_start(&job, now)?;
    start.apply(job).map_err(|illegal| illegal.to_string())
}

fn find_start(job: &Job, now: Timestamp) -> Result<Start, String> {
    let schedule = read_schedule(job)?;
    // A job that only waits for other jobs does not run at once.
    if job.execution_interval.is_none() && !job.policy.after.is_empty() {
        return Ok(Start::Scheduled(None));
    }
    match first_run(&schedule, &job.policy, now, seed_of(job)) {
        // A paused job starts when its pause ends.
        FirstRun::Now if job.policy.paused => Ok(Start::Scheduled(Some(now))),
        FirstRun::Now => Ok(Start::AtOnce),
        FirstRun::At(time) => Ok(Start::Scheduled(Some(time))),
        FirstRun::Off => Ok(Start::Scheduled(None)),
        FirstRun::Never(why) => Err(format!("no more execution scheduled: {why}")),
    }
}

fn read_schedule(job: &Job) -> Result<Schedule, String> {
    let text = job.execution_interval.as_deref().unwrap_or_default();
    let zone = JobPolicy::zone(&job.policy).map_err(|error| error.to_string())?;
    Schedule::parse(text, zone).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use uuid::Uuid;
    use weft_model::{Incarnation, JobKey, NodeId};

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn job(status: JobStatus) -> Job {
        let key = JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: "1".to_owned(),
        };
        let is_held = matches!(
            status,
            JobStatus::InProcess | JobStatus::Stopping | JobStatus::Restart
        );
        Job {
            status,
            fence: 3,
            archived: status.is_ended(),
            worker: is_held.then(|| NodeId("n1".to_owned())),
            owner_incarnation: is_held.then(|| Incarnation(Uuid::from_u128(1))),
            ..Job::waiting(key, Timestamp(0))
        }
    }

    fn written(step: Step) -> Job {
        match step {
            Step::Write(job) => *job,
            other => panic!("not written: {other:?}"),
        }
    }

    fn is_refused(step: &Step) -> bool {
        matches!(step, Step::Refuse(_))
    }

    #[test]
    fn a_kill_ends_a_run_even_after_a_stop() {
        for status in [JobStatus::InProcess, JobStatus::Stopping] {
            let request = Step::request(JobDesired::Kill, status);
            assert_eq!(kill(&job(status)), request);
        }
        assert!(matches!(kill(&job(JobStatus::Restart)), Step::Leave(_)));
        assert!(is_refused(&kill(&job(JobStatus::Waiting))));
    }

    #[test]
    fn a_stop_ends_an_idle_job_and_is_requested_of_a_running_one() {
        for status in [JobStatus::Scheduled, JobStatus::Waiting] {
            let ended = written(stop(&job(status), NOW).unwrap());
            assert_eq!(
                (ended.status, ended.archived, ended.fence),
                (JobStatus::Terminated, true, 4)
            );
        }
        let request = stop(&job(JobStatus::InProcess), NOW).unwrap();
        assert_eq!(
            request,
            Step::request(JobDesired::Stop, JobStatus::Stopping)
        );
        let again = stop(&job(JobStatus::Stopping), NOW).unwrap();
        assert!(matches!(again, Step::Leave(_)));
        let over = stop(&job(JobStatus::Processed), NOW).unwrap();
        assert!(matches!(over, Step::Leave(_)));
    }

    #[test]
    fn a_job_is_recognised_by_its_definition_whatever_its_progress() {
        let wanted = Job {
            arguments: r#"{"a":1,"b":[2]}"#.to_owned(),
            ..job(JobStatus::Waiting)
        };
        let found = Job {
            arguments: r#"{"b":[2],"a":1}"#.to_owned(),
            runs: 3,
            ..job(JobStatus::Processed)
        };
        assert!(is_defined_as(&found, &wanted));
        let others = [
            Job {
                arguments: "{}".to_owned(),
                ..found.clone()
            },
            Job {
                execution_interval: Some("00:10:00".to_owned()),
                ..found.clone()
            },
            Job {
                created_by: "eve".to_owned(),
                ..found.clone()
            },
            Job {
                affinity: vec!["DC1".to_owned()],
                ..found.clone()
            },
            Job {
                policy: JobPolicy {
                    max_runs: Some(1),
                    ..JobPolicy::default()
                },
                ..found
            },
        ];
        for other in others {
            assert!(!is_defined_as(&other, &wanted), "{other:?}");
        }
    }

    #[test]
    fn a_restart_starts_over_and_never_replaces_a_stop() {
        let again = written(
            restart(&Job {
                tries: 4,
                next_run: Some(NOW),
                ..job(JobStatus::Waiting)
            })
            .unwrap(),
        );
        assert_eq!(
            (again.status, again.tries, again.next_run),
            (JobStatus::Waiting, 0, None)
        );
        let request = restart(&job(JobStatus::InProcess)).unwrap();
        assert!(matches!(
            request,
            Step::Request {
                desired: JobDesired::Restart,
                ..
            }
        ));
        let stopping = Job {
            desired: JobDesired::Stop,
            ..job(JobStatus::Stopping)
        };
        assert!(is_refused(&restart(&stopping).unwrap()));
        assert!(is_refused(&restart(&job(JobStatus::Failed)).unwrap()));
    }

    #[test]
    fn only_archived_jobs_are_resumed_as_their_schedule_says() {
        assert!(is_refused(&resume(&job(JobStatus::Waiting), NOW).unwrap()));
        let once = written(resume(&job(JobStatus::Terminated), NOW).unwrap());
        assert_eq!(
            (once.status, once.archived, once.creation_time),
            (JobStatus::Waiting, false, NOW)
        );
        let daily = Job {
            execution_interval: Some("0 12 * * *".to_owned()),
            ..job(JobStatus::Failed)
        };
        let daily = written(resume(&daily, NOW).unwrap());
        assert_eq!(daily.status, JobStatus::Scheduled);
        assert!(daily.next_run > Some(NOW));
        let past = Job {
            execution_interval: Some("2020-01-01 00:00:00".to_owned()),
            ..job(JobStatus::Processed)
        };
        assert!(is_refused(&resume(&past, NOW).unwrap()));
    }

    #[test]
    fn the_row_of_a_finished_job_is_reused_and_a_live_one_is_refused() {
        let wanted = Job::waiting(job(JobStatus::Waiting).key, NOW);
        let again = written(start_again(&job(JobStatus::Processed), &wanted, true).unwrap());
        assert_eq!((again.status, again.fence), (JobStatus::Waiting, 4));
        let Step::Refuse(words) = start_again(&job(JobStatus::InProcess), &wanted, true).unwrap()
        else {
            panic!("it runs");
        };
        assert!(words.contains("Job is running"), "{words}");
    }

    #[test]
    fn a_manual_start_leaves_the_scheduled_run_unchanged() {
        let scheduled = Job {
            execution_interval: Some("0 12 * * *".to_owned()),
            next_run: Some(Timestamp(NOW.0 + 1)),
            planned_run: Some(Timestamp(NOW.0 + 1)),
            ..job(JobStatus::Scheduled)
        };
        let wanted = Job::waiting(scheduled.key.clone(), NOW);
        let run = written(start_again(&scheduled, &wanted, true).unwrap());
        assert_eq!((run.status, run.next_run), (JobStatus::Waiting, None));
        assert_eq!(run.planned_run, scheduled.planned_run);
        assert_eq!(run.execution_interval, scheduled.execution_interval);
        assert!(is_refused(
            &start_again(&scheduled, &wanted, false).unwrap()
        ));
    }

    fn with_interval(interval: Option<&str>) -> Update {
        Update {
            definition: JobDefinition {
                triggers: TriggerState::default(),
                affinity: vec!["DC1".to_owned()],
                arguments: "{}".to_owned(),
                execution_interval: interval.map(str::to_owned),
                policy: JobPolicy::default(),
            },
            reschedules: true,
            runs_now: false,
        }
    }

    #[test]
    fn an_update_of_a_schedule_moves_the_next_run() {
        let daily = Job {
            execution_interval: Some("0 12 * * *".to_owned()),
            next_run: Some(Timestamp(NOW.0 + 1)),
            planned_run: Some(Timestamp(NOW.0 + 1)),
            ..job(JobStatus::Scheduled)
        };
        let hourly = written(update(&daily, with_interval(Some("0 * * * *")), NOW).unwrap());
        assert_eq!(hourly.status, JobStatus::Scheduled);
        assert!(hourly.next_run > daily.next_run);
        let once = written(update(&daily, with_interval(None), NOW).unwrap());
        assert_eq!(
            (once.execution_interval, once.next_run),
            (None, daily.next_run)
        );
        let now = Update {
            runs_now: true,
            ..with_interval(Some("0 * * * *"))
        };
        let now = written(update(&daily, now, NOW).unwrap());
        assert_eq!((now.status, now.next_run), (JobStatus::Waiting, None));
        let kept = Update {
            reschedules: false,
            ..with_interval(Some("0 12 * * *"))
        };
        let kept = written(update(&daily, kept, NOW).unwrap());
        assert_eq!(kept.next_run, daily.next_run);
        assert_eq!(kept.affinity, ["DC1"]);
    }

    #[test]
    fn a_changed_interval_counts_from_the_end_of_the_last_run() {
        let mut ran = job(JobStatus::Scheduled);
        ran.execution_interval = Some("00:30:00; 0 2 1 1 *".to_owned());
        ran.runs = 1;
        ran.start_time = Some(Timestamp(NOW.0 - 2_000));
        ran.end_time = Some(Timestamp(NOW.0 - 1_000));
        ran.next_run = Some(Timestamp(NOW.0 - 1_000).plus(Duration::from_secs(1_800)));
        ran.planned_run = ran.next_run;
        let off =
            written(update(&ran, with_interval(Some("00:30:00; 0 2 1 1 * OFF")), NOW).unwrap());
        assert_eq!((off.status, off.next_run), (ran.status, ran.next_run));
        // A trigger that fired for an earlier time does not wait for the schedule.
        let fired = NOW.plus(Duration::from_secs(60));
        let mut triggered = with_interval(Some("01:00:00"));
        triggered.definition.triggers.fired_for = Some(fired);
        let triggered = written(update(&ran, triggered, NOW).unwrap());
        assert_eq!(
            (triggered.status, triggered.next_run),
            (JobStatus::Waiting, Some(fired))
        );
        let passed = written(update(&ran, with_interval(Some("00:00:01")), NOW).unwrap());
        assert_eq!((passed.status, passed.next_run), (JobStatus::Waiting, None));
    }

    #[test]
    fn a_changed_schedule_keeps_runs_that_are_due_for_other_reasons() {
        let mut triggered = job(JobStatus::Scheduled);
        triggered.execution_interval = Some("0 12 * * *".to_owned());
        triggered.next_run = Some(NOW.plus(Duration::from_secs(60)));
        triggered.planned_run = triggered.next_run;
        let fired = NOW.plus(Duration::from_secs(90));
        triggered.triggers.fired_for = Some(fired);
        let mut switched_off = with_interval(Some("0 12 * * * OFF"));
        switched_off.definition.triggers = triggered.triggers.clone();
        let off = written(update(&triggered, switched_off, NOW).unwrap());
        assert_eq!(
            (off.status, off.next_run),
            (JobStatus::Waiting, Some(fired))
        );
        assert_eq!((off.planned_run, off.triggers.fired_for), (None, None));
        let mut tried = job(JobStatus::Waiting);
        tried.execution_interval = Some("0 12 * * *".to_owned());
        tried.tries = 2;
        tried.next_run = Some(fired);
        tried.planned_run = Some(Timestamp(NOW.0 - 5));
        let off = written(update(&tried, with_interval(Some("0 12 * * * OFF")), NOW).unwrap());
        assert_eq!(
            (off.status, off.next_run),
            (JobStatus::Waiting, Some(fired))
        );
        assert_eq!((off.planned_run, off.tries), (None, 2));
        let other = written(update(&tried, with_interval(Some("0 13 * * *")), NOW).unwrap());
        assert_eq!((other.status, other.tries), (JobStatus::Scheduled, 0));
    }

    #[test]
    fn a_paused_job_starts_when_its_pause_ends() {
        let mut paused = job(JobStatus::Waiting);
        paused.execution_interval = Some("00:00:30".to_owned());
        paused.policy.paused = true;
        let paused = begin(paused, NOW).unwrap();
        assert_eq!(paused.status, JobStatus::Scheduled);
        let on = written(update(&paused, with_interval(Some("00:00:30")), NOW).unwrap());
        assert_eq!((on.status, on.next_run), (JobStatus::Waiting, None));
        let mut once = job(JobStatus::Waiting);
        once.policy.paused = true;
        let once = begin(once, NOW).unwrap();
        assert_eq!(once.status, JobStatus::Scheduled);
        let on = written(update(&once, with_interval(None), NOW).unwrap());
        assert_eq!((on.status, on.next_run), (JobStatus::Waiting, None));
    }

    #[test]
    fn an_update_of_a_running_job_is_a_request() {
        let step = update(&job(JobStatus::InProcess), with_interval(None), NOW).unwrap();
        assert!(matches!(
            step,
            Step::Request {
                desired: JobDesired::Run,
                status: JobStatus::InProcess,
                definition: Some(_)
            }
        ));
        assert!(is_refused(
            &update(&job(JobStatus::Failed), with_interval(None), NOW).unwrap()
        ));
    }
}
