//! Decides when a job runs next, as pure functions of its schedule, its policy and its past runs.

use std::time::Duration;

use super::policy::{JobPolicy, Misfire};
use super::run::{FirstRun, ScheduledRun};
use super::times::Times;
use super::{Schedule, Timing, local};
use crate::clock::Timestamp;

/// With `SKIP`, a time is missed when it is later than this. A busy node may be a little late.
pub const MISFIRE_GRACE: Duration = Duration::from_secs(60);

/// What to do with a time that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueDecision {
    /// Run the job.
    Run,
    /// Pass over the time, which was missed; the next time, if any.
    PassTo(Option<Timestamp>),
}

/// When a new or resumed job runs first. The caller has to check whether the job is paused.
///
/// `seed` determines the jitter. It is specific to the job and the same on every node.
pub fn first_run(schedule: &Schedule, policy: &JobPolicy, now: Timestamp, seed: u64) -> FirstRun {
    if policy.max_runs.is_some_and(|most| most <= 0) {
        return FirstRun::Never("the number of its runs is limited to none".to_owned());
    }
    if let Some(end) = policy.end_at.filter(|end| *end < now) {
        return FirstRun::Never(format!("its end at {end} has passed"));
    }
    let times = Times::new(schedule, policy, seed);
    let start = policy.start_at.filter(|start| *start > now);
    let by_calendar = || {
        times.after(now).map_or_else(
            || FirstRun::Never(format!("`{}` has no time left", schedule.text())),
            FirstRun::At,
        )
    };
    match schedule.timing() {
        Timing::Once => times.first_run(start, Duration::ZERO),
        Timing::Every(_) => times.first_run(start, times.max_jitter()),
        Timing::At(at) if *at < now => {
            let at = local::to_seconds_text(*at, schedule.zone());
            FirstRun::Never(format!("{at} ({}) has passed", schedule.zone()))
        }
        Timing::At(at) if times.is_within(*at) => FirstRun::At(*at),
        Timing::At(_) => FirstRun::Never("its time lies outside of its start and end".to_owned()),
        Timing::Cron(_) => by_calendar(),
        Timing::Several(_) if schedule.is_off() => FirstRun::Off,
        Timing::Several(_) if schedule.pause().is_some() => {
            times.first_run(start, times.max_jitter())
        }
        Timing::Several(_) => by_calendar(),
    }
}

/// The time of the run that follows `run`; none = no further run.
///
/// * An interval: the pause after the end of the run.
/// * Several schedules: the earliest of their times.
/// * A calendar: the next time after the end. The run itself makes up for times that were missed before it started.
///   With misfire `ALL` each missed time has a run of its own instead, also the times that passed during the run.
/// * With overlap `ALLOW`, the times that passed during the run had parallel runs.
/// * With overlap `QUEUE`, one run right after the end makes up for the times that passed during the run.
pub fn following_run(
    schedule: &Schedule,
    policy: &JobPolicy,
    run: &ScheduledRun,
    seed: u64,
) -> Option<Timestamp> {
    if policy.max_runs.is_some_and(|most| run.runs >= most) {
        return None;
    }
    let times = Times::new(schedule, policy, seed);
    match schedule.timing() {
        Timing::Once | Timing::At(_) => None,
        Timing::Every(pause) => times.after_pause(run.ended, *pause),
        Timing::Cron(_) => times.after_run(run),
        Timing::Several(_) => {
            let paused = schedule
                .pause()
                .and_then(|pause| times.after_pause(run.ended, pause));
            earliest([times.after_run(run), paused])
        }
    }
}

/// With overlap `ALLOW`: the first time after `covered` that gets a parallel run, which is the next one unless times were
/// missed because no node could start their runs. For those the misfire rule holds: one run makes up for all of them, each of
/// the last few has one, or none has.
pub fn parallel_run(
    schedule: &Schedule,
    policy: &JobPolicy,
    covered: Timestamp,
    now: Timestamp,
    seed: u64,
) -> Option<Timestamp> {
    let times = Times::new(schedule, policy, seed);
    let grace_ms = i64::try_from(MISFIRE_GRACE.as_millis()).unwrap_or(i64::MAX);
    let missed_until = Timestamp(now.0.saturating_sub(grace_ms)).max(covered);
    match policy.misfire {
        Misfire::Once => times.oldest_missed(covered, missed_until, 1),
        Misfire::All { cap } => times.oldest_missed(covered, missed_until, cap),
        Misfire::Skip => times.after(missed_until),
    }
}

/// Whether the planned time of a future run is still a time of the schedule, which may have changed since.
pub fn is_still_planned(
    schedule: &Schedule,
    policy: &JobPolicy,
    planned: Timestamp,
    now: Timestamp,
    seed: u64,
) -> bool {
    let times = Times::new(schedule, policy, seed);
    let is_of_calendar = || times.after(Timestamp(planned.0 - 1)) == Some(planned);
    let is_of_interval = || {
        let begin = policy.start_at.map_or(now, |start| start.max(now));
        let within = |pause| planned <= begin.plus(pause).plus(times.max_jitter());
        schedule.pause().is_some_and(within)
    };
    times.is_within(planned)
        && match schedule.timing() {
            // A recurring job that becomes a one-time job keeps its planned time, as in Fabric.
            Timing::Once => true,
            Timing::At(at) => *at == planned,
            Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => {
                is_of_calendar() || is_of_interval()
            }
        }
}

/// Decides what to do with the time `planned`, which has come: the job runs, unless the policy skips missed times.
pub fn decide_due_run(
    schedule: &Schedule,
    policy: &JobPolicy,
    planned: Timestamp,
    now: Timestamp,
    seed: u64,
) -> DueDecision {
    let is_missed = match policy.misfire {
        Misfire::Once | Misfire::All { .. } => false,
        Misfire::Skip => planned.plus(MISFIRE_GRACE) < now,
    };
    if !is_missed {
        return DueDecision::Run;
    }
    match schedule.timing() {
        // A run at once has no time that could be missed.
        Timing::Once => DueDecision::Run,
        Timing::At(_) => DueDecision::PassTo(None),
        Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => {
            let next_in_phase = schedule
                .pause()
                .map(|pause| next_in_phase(planned, pause, now))
                .filter(|next| policy.end_at.is_none_or(|end| *next <= end));
            let by_calendar = Times::new(schedule, policy, seed).after(now);
            DueDecision::PassTo(earliest([by_calendar, next_in_phase]))
        }
    }
}

fn earliest(times: [Option<Timestamp>; 2]) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}

/// The first of `planned`, `planned + pause`, … after `now`, so that an interval keeps its phase.
fn next_in_phase(planned: Timestamp, pause: Duration, now: Timestamp) -> Timestamp {
    let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX).max(1);
    let steps = now.millis_since(planned).div_euclid(pause_ms) + 1;
    Timestamp(planned.0.saturating_add(steps.saturating_mul(pause_ms)))
}

#[cfg(test)]
mod tests;
