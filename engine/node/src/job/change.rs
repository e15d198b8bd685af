//! What a command makes of a job's row: pure functions. A row that nobody holds is written anew as a whole; where a node
//! holds it, the command leaves a wish that the node carries out.

use std::collections::BTreeSet;

use serde_json::Value;
use weft_model::TriggerState;
use weft_model::clock::Timestamp;
use weft_model::schedule::{FirstRun, JobPolicy, Schedule, ScheduledRun, first_run, following_run};
use weft_model::{IllegalMove, Job, JobDesired, JobEvent, JobStatus, Token};
use weft_store::{ChangeJob, JobDefinition, JobSeen, RequestJob, WriteJob};

use crate::job::after::{schedule_of, seed_of};
use crate::job::triggered::{NextRun, lives_on};

/// What to do with one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write it so.
    Write(Box<Job>),
    /// Leave a wish with the node that holds it; it shows this status from now on.
    Wish {
        /// The wish.
        desired: JobDesired,
        /// The status.
        status: JobStatus,
        /// What the job is from its next run on.
        definition: Option<Box<JobDefinition>>,
    },
    /// Leave it, for this reason.
    Leave(String),
    /// The command cannot be carried out, for this reason.
    Refuse(String),
}

impl Step {
    /// The operation that carries the step out on `row`; none where the row stays as it is.
    pub fn operation(self, row: &Job, now: Timestamp, token: Token) -> Option<ChangeJob> {
        match self {
            Self::Write(job) => {
                let write = WriteJob::of(*job, Some(JobSeen::of(row)), now, token);
                Some(ChangeJob::Write(Box::new(write)))
            }
            Self::Wish {
                desired,
                status,
                definition,
            } => Some(ChangeJob::Request(Box::new(RequestJob {
                definition: definition.map(|definition| *definition),
                ..RequestJob::of(row, desired, status, token)
            }))),
            Self::Leave(_) | Self::Refuse(_) => None,
        }
    }
}

fn write(job: Job) -> Step {
    Step::Write(Box::new(Job {
        fence: job.fence + 1,
        desired: JobDesired::Run,
        ..job
    }))
}

/// A row of this identity is there and STARTJOB wants to start it with `wanted`.
///
/// # Errors
/// The stored status has no such move.
pub fn started_again(found: &Job, wanted: &Job, is_by_hand: bool) -> Result<Step, IllegalMove> {
    if found.status.is_ended() {
        // The row of the finished job is used again (Fabric R12).
        return Ok(write(Job {
            status: found.status.next(resumption(wanted))?,
            fence: found.fence,
            desired_seq: found.desired_seq,
            triggers: found.triggers.for_restart(),
            ..wanted.clone()
        }));
    }
    if found.status == JobStatus::Scheduled && is_by_hand {
        // A start by hand leaves the scheduled run where it is (Fabric R75).
        return Ok(write(Job {
            status: found.status.next(JobEvent::Due)?,
            next_run: None,
            creation_time: wanted.creation_time,
            ..found.clone()
        }));
    }
    // Clients look for these words (Fabric R11).
    Ok(Step::Refuse(format!(
        "Job is running: '{}.{}.{}' is {}",
        found.key.job_type, found.key.name, found.key.uid, found.status
    )))
}

/// How an ended row goes on as `begun`.
fn resumption(begun: &Job) -> JobEvent {
    match begun.status {
        JobStatus::Scheduled => JobEvent::ResumedScheduled,
        _ => JobEvent::Resumed,
    }
}

/// Whether the same call that wants `wanted` may have made `found`: the definition is the same, wherever it stands.
pub fn is_defined_as(found: &Job, wanted: &Job) -> bool {
    // The order of keys in a JSON object says nothing, nor does that of nodes.
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
pub fn stopped(job: &Job, now: Timestamp) -> Result<Step, IllegalMove> {
    if job.status.is_ended() {
        return Ok(Step::Leave(format!("it is {} already", job.status)));
    }
    if job.holder().is_some() && job.status == JobStatus::Stopping {
        return Ok(Step::Leave("it is being stopped already".to_owned()));
    }
    let status = job.status.next(JobEvent::StopRequested)?;
    Ok(match job.holder() {
        Some(_) => Step::Wish {
            desired: JobDesired::Stop,
            status,
            definition: None,
        },
        None => write(Job {
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
pub fn restarted(job: &Job) -> Result<Step, IllegalMove> {
    if job.status.is_ended() {
        return Ok(Step::Refuse(format!(
            "it is {} and cannot be restarted; RESUMEJOB takes it up again",
            job.status
        )));
    }
    if job.holder().is_none() {
        return Ok(write(Job {
            status: job.status.next(JobEvent::RestartReady)?,
            next_run: None,
            // What was tried already begins anew as another run, with an idempotency key of its own.
            runs: job.runs + i64::from(job.tries > 0),
            tries: 0,
            worker: None,
            owner_incarnation: None,
            notes: None,
            ..job.clone()
        }));
    }
    if job.desired > JobDesired::Restart {
        // A weaker wish never replaces a stronger one.
        return Ok(Step::Refuse(
            "it is being stopped; start it again when it has ended".to_owned(),
        ));
    }
    Ok(Step::Wish {
        desired: JobDesired::Restart,
        status: job.status.next(JobEvent::RestartRequested)?,
        definition: None,
    })
}

/// RESUMEJOB.
///
/// # Errors
/// The stored status has no such move.
pub fn resumed(job: &Job, now: Timestamp) -> Result<Step, IllegalMove> {
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
    Ok(match begun(again, now) {
        Ok(begun) => write(Job {
            status: job.status.next(resumption(&begun))?,
            ..begun
        }),
        Err(why) => Step::Refuse(why),
    })
}

/// KILL of the task that runs it.
pub fn killed(job: &Job) -> Step {
    match (job.holder(), job.status) {
        // What was stopped and does not listen ends as it was to: the row stays STOPPING.
        (Some(_), status @ (JobStatus::InProcess | JobStatus::Stopping)) => Step::Wish {
            desired: JobDesired::Kill,
            status,
            definition: None,
        },
        (Some(_), _) => Step::Leave(format!("it is {} and ends by itself", job.status)),
        (None, status) => Step::Refuse(format!("it does not run, it is {status}")),
    }
}

/// What UPDATEJOB makes of a row, once the new definition is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The new definition.
    pub definition: JobDefinition,
    /// EXEC_INTERVAL or a bound of it was given.
    pub reschedules: bool,
    /// RESET_END_TIME=true: the next run is now.
    pub runs_now: bool,
}

/// UPDATEJOB.
///
/// # Errors
/// The stored status has no such move.
pub fn updated(job: &Job, update: Update, now: Timestamp) -> Result<Step, IllegalMove> {
    if job.status.is_ended() {
        return Ok(Step::Refuse(format!(
            "it is {} and cannot be changed",
            job.status
        )));
    }
    let was_paused = job.policy.paused;
    let changed = update.definition.applied_to(job);
    if job.holder().is_some() {
        // Once the run has ended nobody is there to be told.
        let impossible = update.reschedules.then(|| beginning(&changed, now).err());
        if let Some(why) = impossible.flatten() {
            return Ok(Step::Refuse(why));
        }
        return Ok(Step::Wish {
            desired: job.desired,
            status: job.status,
            definition: Some(Box::new(update.definition)),
        });
    }
    if update.runs_now && schedule_of(job).is_some_and(|schedule| schedule.is_recurring()) {
        return Ok(write(Job {
            status: changed.status.next(JobEvent::Due)?,
            next_run: None,
            planned_run: None,
            ..changed
        }));
    }
    let stands = changed.execution_interval.is_none() && job.execution_interval.is_some();
    let has_lost_its_start = changed.next_run.is_none()
        && changed.status == JobStatus::Scheduled
        && changed.policy.after.is_empty();
    if has_lost_its_start && changed.execution_interval.is_none() {
        return Ok(Step::Refuse(
            "nothing would start it any more; STOPJOB ends it, STARTJOB starts it once".to_owned(),
        ));
    }
    // What was triggered, or waits for another try, waits on behind its pause.
    let waits_on = was_paused && job.status == JobStatus::Waiting && !update.reschedules;
    // A recurring job that becomes a one-time job keeps its time (Fabric R37).
    if stands || waits_on || !(update.reschedules || was_paused) {
        return Ok(write(changed));
    }
    match beginning(&changed, now) {
        Ok(beginning) => rescheduled(changed, beginning, now).map(write),
        // Its times have passed, and others start it.
        Err(_) if !update.reschedules && lives_on(&changed, changed.runs, now) => {
            rescheduled(changed, Beginning::Scheduled(None), now).map(write)
        }
        Err(why) => Ok(Step::Refuse(why)),
    }
}

/// A job with another schedule, as it begins by that: runs that are due for other reasons are not lost.
fn rescheduled(changed: Job, beginning: Beginning, now: Timestamp) -> Result<Job, IllegalMove> {
    let begun = beginning.apply(changed.clone())?;
    let scheduled = match beginning {
        // An interval counts from the end of the last run, where there was one.
        Beginning::AtOnce => match after_last_run(&begun, now) {
            None => return Ok(Job { tries: 0, ..begun }),
            counted => counted,
        },
        Beginning::Scheduled(moment) => moment,
    };
    // Nothing else would make up for a run that waits for its slot, its next try or its trigger's delay.
    if scheduled.is_none() && changed.status == JobStatus::Waiting {
        return Ok(Job {
            planned_run: None,
            ..changed
        });
    }
    let next = NextRun::of(scheduled, changed.triggers.fired_for);
    Ok(Job {
        status: changed.status.next(next.event())?,
        next_run: next.next_run,
        planned_run: next.planned_run,
        tries: 0,
        triggers: TriggerState {
            fired_for: next.fired_for,
            ..begun.triggers.clone()
        },
        ..begun
    })
}

fn after_last_run(job: &Job, now: Timestamp) -> Option<Timestamp> {
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

/// How a job begins by its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// WAITING: as soon as a node has room.
    AtOnce,
    /// SCHEDULED for this time; none = for what starts it, or until its schedule is switched on.
    Scheduled(Option<Timestamp>),
}

impl Beginning {
    fn apply(self, job: Job) -> Result<Job, IllegalMove> {
        let (event, next_run) = match self {
            Self::AtOnce => (JobEvent::Due, None),
            Self::Scheduled(moment) => (JobEvent::Rescheduled, moment),
        };
        Ok(Job {
            status: job.status.next(event)?,
            next_run,
            planned_run: next_run,
            ..job
        })
    }
}

/// A job that begins: WAITING at once, or SCHEDULED for its first time.
///
/// # Errors
/// Its schedule has no time that is still to come, or the job is held or has ended.
pub fn begun(job: Job, now: Timestamp) -> Result<Job, String> {
    let beginning = beginning(&job, now)?;
    beginning.apply(job).map_err(|illegal| illegal.to_string())
}

fn beginning(job: &Job, now: Timestamp) -> Result<Beginning, String> {
    let schedule = read(job)?;
    // What waits for others only does not run at once.
    if job.execution_interval.is_none() && !job.policy.after.is_empty() {
        return Ok(Beginning::Scheduled(None));
    }
    match first_run(&schedule, &job.policy, now, seed_of(job)) {
        // What stands still begins with the end of its pause.
        FirstRun::Now if job.policy.paused => Ok(Beginning::Scheduled(Some(now))),
        FirstRun::Now => Ok(Beginning::AtOnce),
        FirstRun::At(moment) => Ok(Beginning::Scheduled(Some(moment))),
        FirstRun::Off => Ok(Beginning::Scheduled(None)),
        FirstRun::Never(why) => Err(format!("no more execution scheduled: {why}")),
    }
}

fn read(job: &Job) -> Result<Schedule, String> {
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
    fn a_kill_ends_what_runs_even_after_a_stop() {
        for status in [JobStatus::InProcess, JobStatus::Stopping] {
            let wish = Step::Wish {
                desired: JobDesired::Kill,
                status,
                definition: None,
            };
            assert_eq!(killed(&job(status)), wish);
        }
        assert!(matches!(killed(&job(JobStatus::Restart)), Step::Leave(_)));
        assert!(is_refused(&killed(&job(JobStatus::Waiting))));
    }

    #[test]
    fn a_stop_ends_what_nobody_runs_and_asks_who_runs_it() {
        for status in [JobStatus::Scheduled, JobStatus::Waiting] {
            let ended = written(stopped(&job(status), NOW).unwrap());
            assert_eq!(
                (ended.status, ended.archived, ended.fence),
                (JobStatus::Terminated, true, 4)
            );
        }
        let wish = stopped(&job(JobStatus::InProcess), NOW).unwrap();
        assert_eq!(
            wish,
            Step::Wish {
                desired: JobDesired::Stop,
                status: JobStatus::Stopping,
                definition: None
            }
        );
        let again = stopped(&job(JobStatus::Stopping), NOW).unwrap();
        assert!(matches!(again, Step::Leave(_)));
        let over = stopped(&job(JobStatus::Processed), NOW).unwrap();
        assert!(matches!(over, Step::Leave(_)));
    }

    #[test]
    fn a_job_is_recognised_by_its_definition_wherever_it_stands() {
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
    fn a_restart_begins_anew_and_never_overtakes_a_stop() {
        let again = written(
            restarted(&Job {
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
        let wish = restarted(&job(JobStatus::InProcess)).unwrap();
        assert!(matches!(
            wish,
            Step::Wish {
                desired: JobDesired::Restart,
                ..
            }
        ));
        let stopping = Job {
            desired: JobDesired::Stop,
            ..job(JobStatus::Stopping)
        };
        assert!(is_refused(&restarted(&stopping).unwrap()));
        assert!(is_refused(&restarted(&job(JobStatus::Failed)).unwrap()));
    }

    #[test]
    fn only_what_is_archived_is_resumed_and_its_schedule_says_how() {
        assert!(is_refused(&resumed(&job(JobStatus::Waiting), NOW).unwrap()));
        let once = written(resumed(&job(JobStatus::Terminated), NOW).unwrap());
        assert_eq!(
            (once.status, once.archived, once.creation_time),
            (JobStatus::Waiting, false, NOW)
        );
        let daily = Job {
            execution_interval: Some("0 12 * * *".to_owned()),
            ..job(JobStatus::Failed)
        };
        let daily = written(resumed(&daily, NOW).unwrap());
        assert_eq!(daily.status, JobStatus::Scheduled);
        assert!(daily.next_run > Some(NOW));
        let past = Job {
            execution_interval: Some("2020-01-01 00:00:00".to_owned()),
            ..job(JobStatus::Processed)
        };
        assert!(is_refused(&resumed(&past, NOW).unwrap()));
    }

    #[test]
    fn the_row_of_a_finished_job_is_used_again_and_a_live_one_is_refused_in_the_known_words() {
        let wanted = Job::waiting(job(JobStatus::Waiting).key, NOW);
        let again = written(started_again(&job(JobStatus::Processed), &wanted, true).unwrap());
        assert_eq!((again.status, again.fence), (JobStatus::Waiting, 4));
        let Step::Refuse(words) = started_again(&job(JobStatus::InProcess), &wanted, true).unwrap()
        else {
            panic!("it runs");
        };
        assert!(words.contains("Job is running"), "{words}");
    }

    #[test]
    fn a_start_by_hand_leaves_the_scheduled_run_where_it_is() {
        let scheduled = Job {
            execution_interval: Some("0 12 * * *".to_owned()),
            next_run: Some(Timestamp(NOW.0 + 1)),
            planned_run: Some(Timestamp(NOW.0 + 1)),
            ..job(JobStatus::Scheduled)
        };
        let wanted = Job::waiting(scheduled.key.clone(), NOW);
        let run = written(started_again(&scheduled, &wanted, true).unwrap());
        assert_eq!((run.status, run.next_run), (JobStatus::Waiting, None));
        assert_eq!(run.planned_run, scheduled.planned_run);
        assert_eq!(run.execution_interval, scheduled.execution_interval);
        assert!(is_refused(
            &started_again(&scheduled, &wanted, false).unwrap()
        ));
    }

    fn update(interval: Option<&str>) -> Update {
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
        let hourly = written(updated(&daily, update(Some("0 * * * *")), NOW).unwrap());
        assert_eq!(hourly.status, JobStatus::Scheduled);
        assert!(hourly.next_run > daily.next_run);
        let once = written(updated(&daily, update(None), NOW).unwrap());
        assert_eq!(
            (once.execution_interval, once.next_run),
            (None, daily.next_run)
        );
        let now = Update {
            runs_now: true,
            ..update(Some("0 * * * *"))
        };
        let now = written(updated(&daily, now, NOW).unwrap());
        assert_eq!((now.status, now.next_run), (JobStatus::Waiting, None));
        let kept = Update {
            reschedules: false,
            ..update(Some("0 12 * * *"))
        };
        let kept = written(updated(&daily, kept, NOW).unwrap());
        assert_eq!(kept.next_run, daily.next_run);
        assert_eq!(kept.affinity, ["DC1"]);
    }

    #[test]
    fn another_interval_counts_from_the_end_of_the_last_run() {
        let mut ran = job(JobStatus::Scheduled);
        ran.execution_interval = Some("00:30:00; 0 2 1 1 *".to_owned());
        ran.runs = 1;
        ran.start_time = Some(Timestamp(NOW.0 - 2_000));
        ran.end_time = Some(Timestamp(NOW.0 - 1_000));
        ran.next_run = Some(Timestamp(NOW.0 - 1_000).plus(Duration::from_secs(1_800)));
        ran.planned_run = ran.next_run;
        let off = written(updated(&ran, update(Some("00:30:00; 0 2 1 1 * OFF")), NOW).unwrap());
        assert_eq!((off.status, off.next_run), (ran.status, ran.next_run));
        // A trigger that has fired for an earlier time does not wait for it.
        let fired = NOW.plus(Duration::from_secs(60));
        let mut told = update(Some("01:00:00"));
        told.definition.triggers.fired_for = Some(fired);
        let told = written(updated(&ran, told, NOW).unwrap());
        assert_eq!(
            (told.status, told.next_run),
            (JobStatus::Waiting, Some(fired))
        );
        let passed = written(updated(&ran, update(Some("00:00:01")), NOW).unwrap());
        assert_eq!((passed.status, passed.next_run), (JobStatus::Waiting, None));
    }

    #[test]
    fn another_schedule_loses_no_run_that_is_due_for_another_reason() {
        let mut told = job(JobStatus::Scheduled);
        told.execution_interval = Some("0 12 * * *".to_owned());
        told.next_run = Some(NOW.plus(Duration::from_secs(60)));
        told.planned_run = told.next_run;
        let fired = NOW.plus(Duration::from_secs(90));
        told.triggers.fired_for = Some(fired);
        let mut switched_off = update(Some("0 12 * * * OFF"));
        switched_off.definition.triggers = told.triggers.clone();
        let off = written(updated(&told, switched_off, NOW).unwrap());
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
        let off = written(updated(&tried, update(Some("0 12 * * * OFF")), NOW).unwrap());
        assert_eq!(
            (off.status, off.next_run),
            (JobStatus::Waiting, Some(fired))
        );
        assert_eq!((off.planned_run, off.tries), (None, 2));
        let other = written(updated(&tried, update(Some("0 13 * * *")), NOW).unwrap());
        assert_eq!((other.status, other.tries), (JobStatus::Scheduled, 0));
    }

    #[test]
    fn a_paused_interval_begins_with_the_end_of_its_pause() {
        let mut paused = job(JobStatus::Waiting);
        paused.execution_interval = Some("00:00:30".to_owned());
        paused.policy.paused = true;
        let paused = begun(paused, NOW).unwrap();
        assert_eq!(paused.status, JobStatus::Scheduled);
        let on = written(updated(&paused, update(Some("00:00:30")), NOW).unwrap());
        assert_eq!((on.status, on.next_run), (JobStatus::Waiting, None));
        let mut once = job(JobStatus::Waiting);
        once.policy.paused = true;
        let once = begun(once, NOW).unwrap();
        assert_eq!(once.status, JobStatus::Scheduled);
        let on = written(updated(&once, update(None), NOW).unwrap());
        assert_eq!((on.status, on.next_run), (JobStatus::Waiting, None));
    }

    #[test]
    fn an_update_of_a_running_job_is_a_wish() {
        let step = updated(&job(JobStatus::InProcess), update(None), NOW).unwrap();
        assert!(matches!(
            step,
            Step::Wish {
                desired: JobDesired::Run,
                status: JobStatus::InProcess,
                definition: Some(_)
            }
        ));
        assert!(is_refused(
            &updated(&job(JobStatus::Failed), update(None), NOW).unwrap()
        ));
    }
}
