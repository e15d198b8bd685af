//! What the row of a job becomes when one of its tries ends: a pure function.

use weft_model::clock::Timestamp;
use weft_model::schedule::{RunOutcome, ScheduledRun, following_run};
use weft_model::{
    DueHint, Fence, Holder, IllegalMove, Job, JobDesired, JobEvent, JobRun, JobStatus, Token,
    job_error,
};
use weft_model::{EndMark, JobEnd, TriggerState};
use weft_store::EndJob;

use super::next_run::{NextRun, can_start_later, triggered_run};
use super::schedule::{planned_for_later, schedule_of, seed_of};
use crate::kind::{OUTPUT_BYTES, Retry, RunEnd, RunFailure, RunOutput};

/// How a try ended.
#[derive(Clone, Debug, PartialEq)]
pub enum TryEnd {
    /// The run itself ended.
    Ended(RunEnd),
    /// The node leaves: another node starts the run over, and this does not count as a try.
    HandedBack,
    /// The node gives the job up, without precedence for itself (Fabric R96).
    GivenUp,
}

/// Decides what to write at the end of a try.
///
/// `job` is the row with the last request that was seen, and `holder` the node session that ran it. Other jobs wait for
/// its end if it `is_followed`.
///
/// # Errors
/// The stored status has no such move.
pub fn decide_end(
    job: &Job,
    holder: &Holder,
    end: &TryEnd,
    is_followed: bool,
    now: Timestamp,
    token: Token,
) -> Result<EndJob, IllegalMove> {
    let ended = EndedTry {
        job,
        holder,
        now,
        token,
    };
    // A kill after a stop only hastens the stop.
    let requested = match (job.desired, job.status) {
        (JobDesired::Kill, JobStatus::Stopping) => JobDesired::Stop,
        (desired, _) => desired,
    };
    Ok(match (requested, end) {
        (JobDesired::Stop, _) => ended.stopped(end)?,
        (JobDesired::Restart, _) => ended.restarted(end)?,
        (JobDesired::Run | JobDesired::Kill, TryEnd::HandedBack | TryEnd::GivenUp) => EndJob {
            // The kill was meant for this try only.
            desired: JobDesired::Run,
            due: Some(due(job, now)),
            error: job.error.clone(),
            forget_worker: *end == TryEnd::GivenUp,
            ..ended.moved_by(JobEvent::HandedBack, job.fence + 1)?
        },
        (_, TryEnd::Ended(RunEnd::Succeeded(output))) => {
            let end = ended.succeeded(output)?;
            match is_followed {
                true => notify_later(job, end, RunOutcome::Succeeded),
                false => end,
            }
        }
        (_, TryEnd::Ended(RunEnd::Failed(failure))) => {
            let end = ended.failed(failure)?;
            // The run has not ended if another try follows.
            match is_followed && end.runs > job.runs {
                true => notify_later(job, end, RunOutcome::Failed),
                false => end,
            }
        }
    })
}

/// Adds the end to the pending notifications of the row.
fn notify_later(job: &Job, mut end: EndJob, outcome: RunOutcome) -> EndJob {
    let mark = EndMark {
        uid: job.key.uid.clone(),
        created: job.creation_time,
        run: job.runs + 1,
    };
    end.triggers.add_pending(JobEnd { mark, outcome });
    end
}

/// A try that has ended, and when.
struct EndedTry<'a> {
    job: &'a Job,
    holder: &'a Holder,
    now: Timestamp,
    token: Token,
}

impl EndedTry<'_> {
    /// The end with this move alone.
    fn moved_by(&self, event: JobEvent, to_fence: Fence) -> Result<EndJob, IllegalMove> {
        let to = self.job.status.next(event)?;
        Ok(EndJob {
            to_fence,
            planned_run: self.job.planned_run,
            ..EndJob::of(self.job, self.holder.clone(), to, self.now, self.token)
        })
    }

    fn stopped(&self, end: &TryEnd) -> Result<EndJob, IllegalMove> {
        let job = self.job;
        let (output, error) = output_of(end, self.now, self.holder);
        let status = JobStatus::Terminated;
        Ok(EndJob {
            output: output.text.clone(),
            error: None,
            tries: 0,
            runs: job.runs + 1,
            triggers: job.triggers.for_restart(),
            run: Some(record(job, self.holder, status, &output, error, self.now)),
            ..self.moved_by(JobEvent::Stopped, job.fence)?
        })
    }

    fn restarted(&self, end: &TryEnd) -> Result<EndJob, IllegalMove> {
        let job = self.job;
        let (output, error) = output_of(end, self.now, self.holder);
        let status = JobStatus::Restart;
        Ok(EndJob {
            desired: JobDesired::Run,
            forget_worker: true,
            tries: 0,
            // The job starts over as another run, with its own idempotency key.
            runs: job.runs + 1,
            due: Some(due(job, self.now)),
            run: Some(record(job, self.holder, status, &output, error, self.now)),
            ..self.moved_by(JobEvent::RestartReady, job.fence + 1)?
        })
    }

    fn succeeded(&self, output: &RunOutput) -> Result<EndJob, IllegalMove> {
        let job = self.job;
        let end = EndJob {
            desired: JobDesired::Run,
            output: output.text.as_deref().map(cut),
            tries: 0,
            runs: job.runs + 1,
            run: Some(record(
                job,
                self.holder,
                JobStatus::Processed,
                output,
                None,
                self.now,
            )),
            ..self.moved_by(JobEvent::Succeeded, job.fence)?
        };
        continue_job(job, end)
    }

    fn failed(&self, failure: &RunFailure) -> Result<EndJob, IllegalMove> {
        let job = self.job;
        let tries = job.tries.saturating_add(1);
        let error = error_of(failure, self.now, self.holder);
        let has_next_try = match failure.retry {
            Retry::AsPolicy => job.policy.may_try_again(tries),
            Retry::Never | Retry::JobEnds => false,
            Retry::Always => true,
        };
        let end = EndJob {
            desired: JobDesired::Run,
            output: failure.output.text.as_deref().map(cut),
            error: Some(error.clone()),
            tries,
            run: Some(record(
                job,
                self.holder,
                JobStatus::Failed,
                &failure.output,
                Some(error),
                self.now,
            )),
            ..self.moved_by(JobEvent::FailedFinally, job.fence)?
        };
        if has_next_try {
            let next_run = self.now.plus(job.policy.retry_delay(tries));
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
        if failure.retry == Retry::JobEnds {
            return Ok(end);
        }
        // A recurring job continues with its next time; the error stays until a run succeeds.
        continue_job(job, end)
    }
}

/// Plans the next run of the job, if it has one: triggered during this run, scheduled, or waiting for a trigger.
fn continue_job(job: &Job, end: EndJob) -> Result<EndJob, IllegalMove> {
    let (now, runs) = (end.now, end.runs);
    let next = NextRun::earliest(next_run(job, now), triggered_run(job, runs));
    if next.next_run.is_none() && !can_start_later(job, runs, now) {
        return Ok(end);
    }
    Ok(EndJob {
        to: job.status.next(next.event_after_run())?,
        to_fence: job.fence + 1,
        tries: 0,
        next_run: next.next_run,
        planned_run: next.planned_run,
        // A missed time that is made up for is due now: no node reads due hints of the past.
        due: next.next_run.map(|at| due(job, at.max(now))),
        triggers: TriggerState {
            fired_for: next.fired_for,
            ..end.triggers
        },
        ..end
    })
}

/// The scheduled time of the run after this one.
fn next_run(job: &Job, now: Timestamp) -> Option<Timestamp> {
    if job.policy.max_runs.is_some_and(|most| job.runs + 1 >= most) {
        return None;
    }
    // A manual run leaves the scheduled time unchanged, unless it lasted until then (Fabric R75).
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

fn due(job: &Job, due_at: Timestamp) -> DueHint {
    DueHint {
        due_at,
        key: job.key.clone(),
    }
}

/// The output and the error of a try that was stopped.
fn output_of(end: &TryEnd, now: Timestamp, holder: &Holder) -> (RunOutput, Option<String>) {
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

/// The row of a try in the history of its job.
pub(super) fn record(
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
        attempt: job.tries.saturating_add(1),
        // A manual run does not use up a scheduled time in the future.
        planned: job.planned_run.filter(|planned| *planned <= now),
        exit_code: output.exit_code,
        error,
        output: output.text.as_deref().map(cut),
    }
}

/// Cuts a long text between two characters and notes its full length.
fn cut(text: &str) -> String {
    if text.len() <= OUTPUT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(OUTPUT_BYTES);
    format!("{}… ({} bytes in all)", &text[..end], text.len())
}
