//! What becomes of a job's row when one of its tries ends: a pure function.

use weft_model::clock::Timestamp;
use weft_model::hash;
use weft_model::schedule::{RunOutcome, Schedule, ScheduledRun, following_run, is_still_planned};
use weft_model::{
    DueHint, Fence, Holder, IllegalMove, Job, JobDesired, JobEvent, JobRun, JobStatus, Token,
    job_error,
};
use weft_model::{EndMark, JobEnd, TriggerState};
use weft_store::EndJob;

use super::triggered::{NextRun, lives_on, triggered_run};
use crate::kind::{OUTPUT_BYTES, Retry, RunEnd, RunFailure, RunOutput};

/// How a try ended, as the node sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum TryEnd {
    /// The kind said so.
    Ended(RunEnd),
    /// The node leaves: somebody else begins it anew, and it does not count as a try.
    HandedBack,
    /// The node gives the job up to others, without precedence for itself (Fabric R96).
    GivenUp,
}

/// What is written at the end of a try.
///
/// `job` is the row with the wishes that were seen last; `holder` is who ran it; others may wait for its end, where it
/// `is_followed`.
///
/// # Errors
/// The stored status has no such move.
pub fn after(
    job: &Job,
    holder: &Holder,
    end: &TryEnd,
    is_followed: bool,
    now: Timestamp,
    token: Token,
) -> Result<EndJob, IllegalMove> {
    let plain = |event, to_fence| {
        let to = job.status.next(event)?;
        Ok(EndJob {
            to_fence,
            planned_run: job.planned_run,
            ..EndJob::of(job, holder.clone(), to, now, token)
        })
    };
    // A kill of what was stopped only hurries the stop.
    let wished = match (job.desired, job.status) {
        (JobDesired::Kill, JobStatus::Stopping) => JobDesired::Stop,
        (desired, _) => desired,
    };
    Ok(match (wished, end) {
        (JobDesired::Stop, _) => {
            let (output, error) = traces(end, now, holder);
            EndJob {
                output: output.text.clone(),
                error: None,
                tries: 0,
                runs: job.runs + 1,
                triggers: job.triggers.for_restart(),
                run: Some(record(
                    job,
                    holder,
                    JobStatus::Terminated,
                    &output,
                    error,
                    now,
                )),
                ..plain(JobEvent::Stopped, job.fence)?
            }
        }
        (JobDesired::Restart, _) => {
            let (output, error) = traces(end, now, holder);
            EndJob {
                desired: JobDesired::Run,
                forget_worker: true,
                tries: 0,
                // What begins anew is another run, with an idempotency key of its own.
                runs: job.runs + 1,
                due: Some(due(job, now)),
                run: Some(record(job, holder, JobStatus::Restart, &output, error, now)),
                ..plain(JobEvent::RestartReady, job.fence + 1)?
            }
        }
        (JobDesired::Run | JobDesired::Kill, TryEnd::HandedBack | TryEnd::GivenUp) => EndJob {
            // A kill was about this try; the next one is another.
            desired: JobDesired::Run,
            due: Some(due(job, now)),
            error: job.error.clone(),
            forget_worker: *end == TryEnd::GivenUp,
            ..plain(JobEvent::HandedBack, job.fence + 1)?
        },
        (_, TryEnd::Ended(RunEnd::Succeeded(output))) => {
            let end = succeeded(job, holder, output, now, plain)?;
            owing(job, end, RunOutcome::Succeeded, is_followed)
        }
        (_, TryEnd::Ended(RunEnd::Failed(failure))) => {
            let end = failed(job, holder, failure, now, plain)?;
            // A try that is followed by another is no end.
            let is_end = end.runs > job.runs;
            owing(job, end, RunOutcome::Failed, is_followed && is_end)
        }
    })
}

/// The end with what those who wait for it are to be told.
fn owing(job: &Job, mut end: EndJob, outcome: RunOutcome, is_owed: bool) -> EndJob {
    if is_owed {
        let mark = EndMark {
            uid: job.key.uid.clone(),
            created: job.creation_time,
            run: job.runs + 1,
        };
        end.triggers.add_pending(JobEnd { mark, outcome });
    }
    end
}

fn succeeded(
    job: &Job,
    holder: &Holder,
    output: &RunOutput,
    now: Timestamp,
    plain: impl Fn(JobEvent, Fence) -> Result<EndJob, IllegalMove>,
) -> Result<EndJob, IllegalMove> {
    let end = EndJob {
        desired: JobDesired::Run,
        output: output.text.as_deref().map(head),
        tries: 0,
        runs: job.runs + 1,
        run: Some(record(job, holder, JobStatus::Processed, output, None, now)),
        ..plain(JobEvent::Succeeded, job.fence)?
    };
    gone_on(job, end)
}

fn failed(
    job: &Job,
    holder: &Holder,
    failure: &RunFailure,
    now: Timestamp,
    plain: impl Fn(JobEvent, Fence) -> Result<EndJob, IllegalMove>,
) -> Result<EndJob, IllegalMove> {
    let tries = job.tries.saturating_add(1);
    let error = error_of(failure, now, holder);
    let is_tried_again = match failure.retry {
        Retry::AsPolicy => job.policy.may_try_again(tries),
        Retry::Never => false,
        Retry::Always => true,
    };
    let end = EndJob {
        desired: JobDesired::Run,
        output: failure.output.text.as_deref().map(head),
        error: Some(error.clone()),
        tries,
        run: Some(record(
            job,
            holder,
            JobStatus::Failed,
            &failure.output,
            Some(error),
            now,
        )),
        ..plain(JobEvent::FailedFinally, job.fence)?
    };
    if is_tried_again {
        let next_run = now.plus(job.policy.retry_delay(tries));
        return Ok(EndJob {
            to: job.status.next(JobEvent::FailedRetry)?,
            to_fence: job.fence + 1,
            next_run: Some(next_run),
            due: Some(due(job, next_run)),
            notes: Some(format!("try {tries} failed: {}", failure.message)),
            ..end
        });
    }
    let end = EndJob {
        runs: job.runs + 1,
        notes: Some(failure.message.clone()),
        ..end
    };
    // A recurring job goes on with its next time; the error stays until a run succeeds.
    gone_on(job, end)
}

/// The end of a run of a job that may have another: one that was triggered meanwhile, one by its schedule, or one that
/// waits for a trigger.
fn gone_on(job: &Job, end: EndJob) -> Result<EndJob, IllegalMove> {
    let (now, runs) = (end.now, end.runs);
    let next = NextRun::of(next_run(job, now), triggered_run(job, runs));
    if next.next_run.is_none() && !lives_on(job, runs, now) {
        return Ok(end);
    }
    Ok(EndJob {
        to: job.status.next(next.event_after_run())?,
        to_fence: job.fence + 1,
        tries: 0,
        next_run: next.next_run,
        planned_run: next.planned_run,
        // A time that was missed and is made up for is due now: nobody looks into the past.
        due: next.next_run.map(|at| due(job, at.max(now))),
        triggers: TriggerState {
            fired_for: next.fired_for,
            ..end.triggers
        },
        ..end
    })
}

/// The time of the run after this one.
fn next_run(job: &Job, now: Timestamp) -> Option<Timestamp> {
    if job.policy.max_runs.is_some_and(|most| job.runs + 1 >= most) {
        return None;
    }
    // A run that was started by hand leaves the scheduled one where it is, unless it went on until then (Fabric R75).
    if let Some(planned) = planned_for_later(job, now) {
        return Some(planned);
    }
    let schedule = schedule_of(job)?;
    let end = ScheduledRun {
        planned: job.planned_run,
        started: job.start_time.unwrap_or(now),
        ended: now,
        runs: job.runs + 1,
    };
    following_run(&schedule, &job.policy, &end, seed_of(job))
}

/// The scheduled time that is still to come while the job runs for another reason, where its schedule still has it.
pub fn planned_for_later(job: &Job, now: Timestamp) -> Option<Timestamp> {
    let planned = job.planned_run.filter(|planned| *planned > now)?;
    let stands = schedule_of(job).is_none_or(|schedule| {
        is_still_planned(&schedule, &job.policy, planned, now, seed_of(job))
    });
    stands.then_some(planned)
}

/// The schedule that the row was started with. One that cannot be read (a newer version wrote it) has no next run.
pub fn schedule_of(job: &Job) -> Option<Schedule> {
    let text = job.execution_interval.as_deref().unwrap_or_default();
    Schedule::parse(text, job.policy.zone().ok()?).ok()
}

/// Spreads the jitter of different jobs; the same on every node.
pub fn seed_of(job: &Job) -> u64 {
    hash::stable(&[&job.key.job_type, &job.key.name, &job.key.uid])
}

fn due(job: &Job, due_at: Timestamp) -> DueHint {
    DueHint {
        due_at,
        key: job.key.clone(),
    }
}

/// What a try that nobody wants any more left behind.
fn traces(end: &TryEnd, now: Timestamp, holder: &Holder) -> (RunOutput, Option<String>) {
    match end {
        TryEnd::HandedBack | TryEnd::GivenUp => (RunOutput::default(), None),
        TryEnd::Ended(RunEnd::Succeeded(output)) => (output.clone(), None),
        TryEnd::Ended(RunEnd::Failed(failure)) => {
            (failure.output.clone(), Some(error_of(failure, now, holder)))
        }
    }
}

fn error_of(failure: &RunFailure, now: Timestamp, holder: &Holder) -> String {
    job_error(
        failure.exception_type(),
        &failure.message,
        now,
        &holder.node,
    )
}

fn record(
    job: &Job,
    holder: &Holder,
    status: JobStatus,
    output: &RunOutput,
    error: Option<String>,
    now: Timestamp,
) -> JobRun {
    JobRun {
        key: job.key.clone(),
        started: job.start_time.unwrap_or(now),
        ended: now,
        fence: job.fence,
        node: holder.node.clone(),
        status,
        attempt: job.tries + 1,
        // A run by hand leaves a time that is still to come to its own run.
        planned: job.planned_run.filter(|planned| *planned <= now),
        exit_code: output.exit_code,
        error,
        output: output.text.as_deref().map(head),
    }
}

/// The head of a text, cut between characters and marked where there was more.
fn head(text: &str) -> String {
    if text.len() <= OUTPUT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(OUTPUT_BYTES);
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}
