//! When a job that no node runs starts next: by its schedule, or by a trigger that has fired.

use weft_model::clock::Timestamp;
use weft_model::schedule::JobPolicy;
use weft_model::{Job, JobEvent};

use super::schedule::schedule_of;

/// The next run of a job that no node runs: the earlier of its scheduled and its triggered time. The later time is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRun {
    /// A trigger starts it, not the schedule.
    pub is_triggered: bool,
    /// When it is due; `None` if no time is known.
    pub next_run: Option<Timestamp>,
    /// The next scheduled time. A triggered run leaves it unchanged, like a manual start (Fabric R75).
    pub planned_run: Option<Timestamp>,
    /// The time of the trigger, if it is later than the schedule.
    pub fired_for: Option<Timestamp>,
}

impl NextRun {
    /// The earlier of the two times; the schedule wins a tie.
    pub fn earliest(scheduled: Option<Timestamp>, fired_for: Option<Timestamp>) -> Self {
        match (scheduled, fired_for) {
            (Some(planned), fired) if fired.is_none_or(|fired| planned <= fired) => Self {
                is_triggered: false,
                next_run: scheduled,
                planned_run: scheduled,
                fired_for,
            },
            (planned_run, Some(fired)) => Self {
                is_triggered: true,
                next_run: Some(fired),
                planned_run,
                fired_for: None,
            },
            (_, None) => Self {
                is_triggered: false,
                next_run: None,
                planned_run: None,
                fired_for: None,
            },
        }
    }

    /// The event for a row that no node runs.
    pub fn event(&self) -> JobEvent {
        match self.is_triggered {
            true => JobEvent::Due,
            false => JobEvent::Rescheduled,
        }
    }

    /// The event for a row whose run has just ended.
    pub fn event_after_run(&self) -> JobEvent {
        match self.is_triggered {
            true => JobEvent::NextTriggered,
            false => JobEvent::NextScheduled,
        }
    }
}

/// Whether a job with `runs` finished runs has reached MAX_RUNS, or END_AT lies before `at`.
pub(super) fn is_over(policy: &JobPolicy, runs: i64, at: Timestamp) -> bool {
    let has_all_runs = policy.max_runs.is_some_and(|most| runs >= most);
    has_all_runs || policy.end_at.is_some_and(|end| at > end)
}

/// When a run is due that was triggered during the last run. `runs` counts that last run.
pub fn triggered_run(job: &Job, runs: i64) -> Option<Timestamp> {
    let fired_for = job.triggers.fired_for?;
    (!is_over(&job.policy, runs, fired_for)).then_some(fired_for)
}

/// Whether a job without a time to run can still start later: by a trigger, or when its schedule is switched on again.
pub fn can_start_later(job: &Job, runs: i64, now: Timestamp) -> bool {
    let waits = !job.policy.after.is_empty() || schedule_of(job).is_some_and(|it| it.is_off());
    waits && !is_over(&job.policy, runs, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_time_counts_and_the_later_one_is_kept() {
        let minute = |minutes: i64| Some(Timestamp(minutes * 60_000));
        let check = |scheduled, fired, is_triggered, next_run, fired_for| {
            let next = NextRun::earliest(scheduled, fired);
            assert_eq!(
                (next.is_triggered, next.next_run, next.fired_for),
                (is_triggered, next_run, fired_for)
            );
            assert_eq!(next.planned_run, scheduled);
        };
        check(minute(4), minute(5), false, minute(4), minute(5));
        check(minute(6), minute(5), true, minute(5), None);
        check(None, minute(5), true, minute(5), None);
        check(minute(6), None, false, minute(6), None);
        check(None, None, false, None, None);
    }
}
