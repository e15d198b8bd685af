//! When a job runs next: a schedule, a policy and what has happened, weighed as plain values.

use std::time::Duration;

use super::policy::{JobPolicy, Misfire};
use super::times::Times;
use super::{Schedule, Timing, local};
use crate::clock::Timestamp;

/// With `SKIP`, a time is missed when it is this late: a busy node is not a missing one.
pub const GRACE: Duration = Duration::from_secs(60);

/// What a new or resumed job begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// A run at once.
    Now,
    /// A run then.
    At(Timestamp),
    /// No run until something is switched on.
    Off,
    /// No run, and why: `2020-01-01 00:00:00 has passed`.
    Never(String),
}

/// A run that has ended for good: done, or failed with no try left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// The time it was for; `None` = by hand or at once.
    pub planned: Option<Timestamp>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// Runs so far, this one included.
    pub runs: i64,
}

/// What becomes of a time that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its run.
    Run,
    /// It was missed and nothing makes up for it; the next time, if there is one.
    PassTo(Option<Timestamp>),
}

/// What a new or resumed job begins with. Whether it is paused is not asked here.
///
/// `seed` is the job's own and the same on every node: the jitter follows from it.
pub fn first(schedule: &Schedule, policy: &JobPolicy, now: Timestamp, seed: u64) -> First {
    if policy.max_runs.is_some_and(|most| most <= 0) {
        return First::Never("the number of its runs is limited to none".to_owned());
    }
    if let Some(end) = policy.end_at.filter(|end| *end < now) {
        return First::Never(format!("its end at {end} has passed"));
    }
    let times = Times::of(schedule, policy, seed);
    let start = policy.start_at.filter(|start| *start > now);
    let by_calendar = || {
        times.after(now).map_or_else(
            || First::Never(format!("`{}` has no time left", schedule.text())),
            First::At,
        )
    };
    match schedule.timing() {
        Timing::Once => times.begin(start, Duration::ZERO),
        Timing::Every(_) => times.begin(start, times.most_jitter()),
        Timing::At(at) if *at < now => {
            let at = local::to_seconds_text(*at, schedule.zone());
            First::Never(format!("{at} ({}) has passed", schedule.zone()))
        }
        Timing::At(at) if times.is_within(*at) => First::At(*at),
        Timing::At(_) => First::Never("its time lies outside of its start and end".to_owned()),
        Timing::Cron(_) => by_calendar(),
        Timing::Several(_) if schedule.is_off() => First::Off,
        Timing::Several(_) if schedule.pause().is_some() => times.begin(start, times.most_jitter()),
        Timing::Several(_) => by_calendar(),
    }
}

/// When the job runs again after a run; `None` = never.
///
/// * An interval counts from the end of the run.
/// * Of several schedules, whichever comes first.
/// * Of a calendar, the next time after the end. What was missed before the run began is made up for by the run
///   itself; with misfire `ALL` each missed time gets its own run instead, those that passed during the run too.
/// * With overlap `ALLOW`, the times that passed during the run had runs of their own beside it.
/// * With overlap `QUEUE`, a time that passed during the run is made up for right after it, once.
pub fn following(
    schedule: &Schedule,
    policy: &JobPolicy,
    run: &RunEnd,
    seed: u64,
) -> Option<Timestamp> {
    if policy.max_runs.is_some_and(|most| run.runs >= most) {
        return None;
    }
    let times = Times::of(schedule, policy, seed);
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

/// Whether a run that is planned for later is still one of this schedule, which may have been changed since.
pub fn keeps(
    schedule: &Schedule,
    policy: &JobPolicy,
    planned: Timestamp,
    now: Timestamp,
    seed: u64,
) -> bool {
    let times = Times::of(schedule, policy, seed);
    let is_of_calendar = || times.after(Timestamp(planned.0 - 1)) == Some(planned);
    let is_of_interval = || {
        let begin = policy.start_at.map_or(now, |start| start.max(now));
        let within = |pause| planned <= begin.plus(pause).plus(times.most_jitter());
        schedule.pause().is_some_and(within)
    };
    times.is_within(planned)
        && match schedule.timing() {
            // A recurring job that has become a one-time job keeps its time (Fabric R37).
            Timing::Once => true,
            Timing::At(at) => *at == planned,
            Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => {
                is_of_calendar() || is_of_interval()
            }
        }
}

/// What becomes of the time `planned` that has come: it is run, unless the policy gives up what is missed.
pub fn due(
    schedule: &Schedule,
    policy: &JobPolicy,
    planned: Timestamp,
    now: Timestamp,
    seed: u64,
) -> Due {
    let gives_up = match policy.misfire {
        Misfire::Once | Misfire::All { .. } => false,
        Misfire::Skip => planned.plus(GRACE) < now,
    };
    if !gives_up {
        return Due::Run;
    }
    match schedule.timing() {
        // What is asked for at once has no time that could be missed.
        Timing::Once => Due::Run,
        Timing::At(_) => Due::PassTo(None),
        Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => {
            let in_step = schedule
                .pause()
                .map(|pause| in_step(planned, pause, now))
                .filter(|next| policy.end_at.is_none_or(|end| *next <= end));
            let by_calendar = Times::of(schedule, policy, seed).after(now);
            Due::PassTo(earliest([by_calendar, in_step]))
        }
    }
}

fn earliest(times: [Option<Timestamp>; 2]) -> Option<Timestamp> {
    times.into_iter().flatten().min()
}

/// The first of `planned`, `planned + pause`, … after `now`, so that an interval keeps its rhythm.
fn in_step(planned: Timestamp, pause: Duration, now: Timestamp) -> Timestamp {
    let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX).max(1);
    let steps = now.millis_since(planned).div_euclid(pause_ms) + 1;
    Timestamp(planned.0.saturating_add(steps.saturating_mul(pause_ms)))
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::super::policy::Overlap;
    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const HOUR_MS: i64 = 60 * MINUTE_MS;
    const SEED: u64 = 7;

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text, Tz::UTC).unwrap()
    }

    /// `06-01 12:00:00` or the like, of 2026.
    fn at(text: &str) -> Timestamp {
        match schedule(&format!("2026-{text}")).timing() {
            Timing::At(at) => *at,
            other => panic!("{text} is {other:?}"),
        }
    }

    /// A run for `planned` from `started` to `ended`.
    fn run(planned: &str, started: &str, ended: &str) -> RunEnd {
        RunEnd {
            planned: Some(at(planned)),
            started: at(started),
            ended: at(ended),
            runs: 1,
        }
    }

    fn with(change: impl FnOnce(&mut JobPolicy)) -> JobPolicy {
        let mut policy = JobPolicy::default();
        change(&mut policy);
        policy
    }

    fn check_first(text: &str, policy: &JobPolicy, expected: First) {
        let now = at("06-01 12:00:00");
        assert_eq!(
            first(&schedule(text), policy, now, SEED),
            expected,
            "{text}"
        );
    }

    fn check_following(text: &str, policy: &JobPolicy, run: &RunEnd, expected: Option<&str>) {
        let next = following(&schedule(text), policy, run, SEED);
        assert_eq!(next, expected.map(at), "{text}: {next:?}");
    }

    #[test]
    fn a_job_begins_as_its_schedule_says() {
        let policy = JobPolicy::default();
        check_first("", &policy, First::Now);
        check_first("00:10:00", &policy, First::Now);
        check_first("30 12 * * *", &policy, First::At(at("06-01 12:30:00")));
        check_first("0 12 * * *", &policy, First::At(at("06-02 12:00:00")));
        check_first(
            "2026-06-02 00:00:00",
            &policy,
            First::At(at("06-02 00:00:00")),
        );
        check_first(
            "2026-06-01 12:00:00",
            &policy,
            First::At(at("06-01 12:00:00")),
        );
        check_first(
            "2020-01-01 00:00:00",
            &policy,
            First::Never("2020-01-01 00:00:00 (UTC) has passed".to_owned()),
        );
        check_first(
            "0 0 0 1 1 ? 2020",
            &policy,
            First::Never("`0 0 0 1 1 ? 2020` has no time left".to_owned()),
        );
    }

    #[test]
    fn several_schedules_begin_with_the_first_that_comes() {
        let policy = JobPolicy::default();
        let several = "30 14 * * *; 2026-06-01 13:00:00; 0 13 * * * OFF";
        check_first(several, &policy, First::At(at("06-01 13:00:00")));
        check_first("30 14 * * *; 00:10:00", &policy, First::Now);
        check_first(
            "30 14 * * *; 00:10:00 OFF",
            &policy,
            First::At(at("06-01 14:30:00")),
        );
        check_first("30 14 * * * OFF; 00:10:00 OFF", &policy, First::Off);
        check_first(
            "2020-01-01 00:00:00; 0 0 0 1 1 ? 2020",
            &policy,
            First::Never("`2020-01-01 00:00:00; 0 0 0 1 1 ? 2020` has no time left".to_owned()),
        );
    }

    #[test]
    fn several_schedules_go_on_with_the_first_that_comes() {
        let policy = JobPolicy::default();
        let run = run("06-01 12:00:00", "06-01 12:00:01", "06-01 12:07:00");
        check_following("0 * * * *; 00:10:00", &policy, &run, Some("06-01 12:17:00"));
        check_following(
            "15 * * * *; 00:10:00",
            &policy,
            &run,
            Some("06-01 12:15:00"),
        );
        check_following(
            "15 * * * * OFF; 0 12 2 * *",
            &policy,
            &run,
            Some("06-02 12:00:00"),
        );
        check_following("15 * * * * OFF; 00:10:00 OFF", &policy, &run, None);
        // A moment passed while the job ran.
        let queue = with(|policy| policy.overlap = Overlap::Queue);
        let passed = "2026-06-01 12:05:00; 0 12 2 * *";
        check_following(passed, &queue, &run, Some("06-01 12:07:00"));
        check_following(passed, &policy, &run, Some("06-02 12:00:00"));
        let skip = with(|policy| policy.misfire = Misfire::Skip);
        assert_eq!(
            due(
                &schedule("0 12 * * *; 00:50:00"),
                &skip,
                at("06-01 12:00:00"),
                at("06-01 13:00:00"),
                SEED
            ),
            Due::PassTo(Some(at("06-01 13:40:00")))
        );
    }

    #[test]
    fn a_planned_time_is_kept_while_the_schedule_has_it() {
        let jittered = with(|policy| policy.jitter_ms = MINUTE_MS);
        let bounded = with(|policy| policy.end_at = Some(at("06-01 20:00:00")));
        let usual = JobPolicy::default();
        let check = |text: &str, policy: &JobPolicy, planned: Timestamp, expected: bool| {
            let now = at("06-01 12:00:00");
            let kept = keeps(&schedule(text), policy, planned, now, SEED);
            assert_eq!(kept, expected, "{text} {planned}");
        };
        let six = at("06-02 06:00:00");
        check("0 6 * * *", &usual, six, true);
        check("0 6 * * *", &bounded, six, false);
        check("0 7 * * *", &usual, six, false);
        check("0 6 * * * OFF", &usual, six, false);
        check("0 7 * * *; 0 6 * * 2", &usual, six, true);
        check("", &usual, six, true);
        check("2026-06-02 06:00:00", &usual, six, true);
        check("2026-06-02 06:00:01", &usual, six, false);
        check("01:00:00", &usual, six, false);
        check("01:00:00", &usual, at("06-01 12:59:00"), true);
        let First::At(planned) = first(
            &schedule("0 6 * * *"),
            &jittered,
            at("06-01 12:00:00"),
            SEED,
        ) else {
            panic!("it has a time");
        };
        check("0 6 * * *", &jittered, planned, true);
        let late = with(|policy| policy.start_at = Some(six));
        check("00:10:00", &late, six, true);
    }

    #[test]
    fn a_start_delays_the_first_run() {
        let policy = with(|policy| policy.start_at = Some(at("06-10 09:00:00")));
        for text in ["", "00:10:00"] {
            check_first(text, &policy, First::At(at("06-10 09:00:00")));
        }
        // A time that falls on the start counts.
        check_first("0 9 * * *", &policy, First::At(at("06-10 09:00:00")));
        check_first("0 8 * * *", &policy, First::At(at("06-11 08:00:00")));
        check_first(
            "2026-06-02 00:00:00",
            &policy,
            First::Never("its time lies outside of its start and end".to_owned()),
        );
        let passed = with(|policy| policy.start_at = Some(at("01-01 00:00:00")));
        check_first("", &passed, First::Now);
    }

    #[test]
    fn nothing_begins_after_its_end() {
        let passed = with(|policy| policy.end_at = Some(at("06-01 11:00:00")));
        check_first(
            "",
            &passed,
            First::Never("its end at 2026-06-01T11:00:00.000Z has passed".to_owned()),
        );
        let policy = with(|policy| policy.end_at = Some(at("06-01 12:30:00")));
        check_first("30 12 * * *", &policy, First::At(at("06-01 12:30:00")));
        check_first(
            "31 12 * * *",
            &policy,
            First::Never("`31 12 * * *` has no time left".to_owned()),
        );
        let none = with(|policy| policy.max_runs = Some(0));
        check_first(
            "* * * * *",
            &none,
            First::Never("the number of its runs is limited to none".to_owned()),
        );
    }

    #[test]
    fn an_interval_counts_from_the_end_of_the_run() {
        let run = run("06-01 12:00:00", "06-01 12:00:01", "06-01 12:07:00");
        check_following(
            "00:10:00",
            &JobPolicy::default(),
            &run,
            Some("06-01 12:17:00"),
        );
        check_following("600", &JobPolicy::default(), &run, Some("06-01 12:17:00"));
    }

    #[test]
    fn what_runs_once_has_nothing_following() {
        let run = run("06-01 12:00:00", "06-01 12:00:00", "06-01 12:07:00");
        check_following("", &JobPolicy::default(), &run, None);
        check_following("2026-06-01 12:00:00", &JobPolicy::default(), &run, None);
        check_following("2026-07-01 12:00:00", &JobPolicy::default(), &run, None);
    }

    #[test]
    fn missed_times_are_one_run() {
        let run = run("06-01 12:00:00", "06-01 15:20:00", "06-01 15:21:00");
        check_following(
            "0 * * * *",
            &JobPolicy::default(),
            &run,
            Some("06-01 16:00:00"),
        );
    }

    #[test]
    fn with_all_each_missed_time_is_a_run() {
        let all = with(|policy| policy.misfire = Misfire::All { cap: 100 });
        let late = run("06-01 12:00:00", "06-01 15:20:00", "06-01 15:21:00");
        check_following("0 * * * *", &all, &late, Some("06-01 13:00:00"));
        let last = run("06-01 15:00:00", "06-01 15:23:00", "06-01 15:24:00");
        check_following("0 * * * *", &all, &last, Some("06-01 16:00:00"));
    }

    #[test]
    fn with_all_the_oldest_beyond_the_cap_are_given_up() {
        // Missed: 13:00, 14:00 and 15:00.
        let late = run("06-01 12:00:00", "06-01 15:20:00", "06-01 15:21:00");
        let check = |cap, expected| {
            let policy = with(|policy| policy.misfire = Misfire::All { cap });
            check_following("0 * * * *", &policy, &late, Some(expected));
        };
        check(1, "06-01 15:00:00");
        check(2, "06-01 14:00:00");
        check(3, "06-01 13:00:00");
        check(4, "06-01 13:00:00");
        // A time that comes as the run ends is one of them.
        let exact = run("06-01 12:00:00", "06-01 14:00:00", "06-01 15:00:00");
        let policy = with(|policy| policy.misfire = Misfire::All { cap: 1 });
        check_following("0 * * * *", &policy, &exact, Some("06-01 15:00:00"));
    }

    #[test]
    fn with_all_a_year_of_seconds_is_counted_from_its_end() {
        let policy = with(|policy| policy.misfire = Misfire::All { cap: 20 });
        let late = run("01-01 00:00:00", "06-01 12:00:00", "06-01 12:00:30");
        check_following("* * * * * ?", &policy, &late, Some("06-01 12:00:11"));
    }

    #[test]
    fn a_time_that_passes_during_the_run_is_skipped_or_queued() {
        let long = run("06-01 12:00:00", "06-01 12:00:01", "06-01 13:05:00");
        check_following(
            "0 * * * *",
            &JobPolicy::default(),
            &long,
            Some("06-01 14:00:00"),
        );
        let queue = with(|policy| policy.overlap = Overlap::Queue);
        check_following("0 * * * *", &queue, &long, Some("06-01 13:05:00"));
        // Several that passed are one run, after which all is as usual.
        let longer = run("06-01 12:00:00", "06-01 12:00:01", "06-01 15:05:00");
        check_following("0 * * * *", &queue, &longer, Some("06-01 15:05:00"));
        let queued = run("06-01 15:05:00", "06-01 15:05:01", "06-01 15:09:00");
        check_following("0 * * * *", &queue, &queued, Some("06-01 16:00:00"));
    }

    #[test]
    fn a_time_missed_before_the_run_is_not_queued() {
        let queue = with(|policy| policy.overlap = Overlap::Queue);
        let late = run("06-01 12:00:00", "06-01 15:20:00", "06-01 15:21:00");
        check_following("0 * * * *", &queue, &late, Some("06-01 16:00:00"));
    }

    #[test]
    fn a_run_by_hand_does_not_shift_the_next() {
        let by_hand = RunEnd {
            planned: None,
            ..run("06-01 12:00:00", "06-01 12:10:00", "06-01 12:20:00")
        };
        for misfire in [Misfire::Once, Misfire::Skip, Misfire::All { cap: 5 }] {
            let policy = with(|policy| policy.misfire = misfire);
            check_following("0 * * * *", &policy, &by_hand, Some("06-01 13:00:00"));
        }
    }

    #[test]
    fn a_clock_that_is_behind_runs_no_time_twice() {
        let early = run("06-01 12:00:00", "06-01 11:59:58", "06-01 11:59:59");
        for overlap in [Overlap::Skip, Overlap::Queue] {
            let policy = with(|policy| policy.overlap = overlap);
            check_following("0 * * * *", &policy, &early, Some("06-01 13:00:00"));
        }
    }

    #[test]
    fn runs_end_with_their_number_and_their_end() {
        let run = run("06-01 12:00:00", "06-01 12:00:00", "06-01 12:07:00");
        for text in ["0 * * * *", "00:53:00"] {
            let check =
                |policy: JobPolicy, expected| check_following(text, &policy, &run, expected);
            check(with(|policy| policy.max_runs = Some(1)), None);
            check(
                with(|policy| policy.max_runs = Some(2)),
                Some("06-01 13:00:00"),
            );
            check(
                with(|policy| policy.end_at = Some(at("06-01 12:59:59"))),
                None,
            );
            check(
                with(|policy| policy.end_at = Some(at("06-01 13:00:00"))),
                Some("06-01 13:00:00"),
            );
        }
    }

    #[test]
    fn only_skip_passes_over_what_is_late() {
        let check = |text: &str, misfire, late_ms: i64, expected: Due| {
            let policy = with(|policy| policy.misfire = misfire);
            let planned = at("06-01 12:00:00");
            let now = Timestamp(planned.0 + late_ms);
            let due = due(&schedule(text), &policy, planned, now, SEED);
            assert_eq!(due, expected, "{text} {misfire} {late_ms}");
        };
        let pass_to = |text| Due::PassTo(Some(at(text)));
        for misfire in [Misfire::Once, Misfire::All { cap: 1 }] {
            check("0 * * * *", misfire, 9 * HOUR_MS, Due::Run);
        }
        check("0 * * * *", Misfire::Skip, MINUTE_MS, Due::Run);
        check(
            "0 * * * *",
            Misfire::Skip,
            MINUTE_MS + 1,
            pass_to("06-01 13:00:00"),
        );
        check(
            "0 * * * *",
            Misfire::Skip,
            3 * HOUR_MS,
            pass_to("06-01 16:00:00"),
        );
        check(
            "00:40:00",
            Misfire::Skip,
            HOUR_MS,
            pass_to("06-01 13:20:00"),
        );
        check(
            "2026-06-01 12:00:00",
            Misfire::Skip,
            HOUR_MS,
            Due::PassTo(None),
        );
        check("", Misfire::Skip, HOUR_MS, Due::Run);
    }

    #[test]
    fn what_is_skipped_beyond_the_end_is_over() {
        let policy = with(|policy| {
            policy.misfire = Misfire::Skip;
            policy.end_at = Some(at("06-01 12:30:00"));
        });
        for text in ["0 * * * *", "01:00:00"] {
            let due = due(
                &schedule(text),
                &policy,
                at("06-01 12:00:00"),
                at("06-01 12:10:00"),
                SEED,
            );
            assert_eq!(due, Due::PassTo(None), "{text}");
        }
    }

    #[test]
    fn jitter_is_stable_and_never_early() {
        let policy = with(|policy| policy.jitter_ms = 10 * MINUTE_MS);
        let hourly = schedule("0 * * * *");
        let mut seen = std::collections::HashSet::new();
        for seed in 0..50 {
            let time = match first(&hourly, &policy, at("06-01 12:30:00"), seed) {
                First::At(time) => time,
                other => panic!("{other:?}"),
            };
            let late_ms = time.millis_since(at("06-01 13:00:00"));
            assert!((0..=10 * MINUTE_MS).contains(&late_ms), "{late_ms}");
            seen.insert(late_ms);
            assert_eq!(
                first(&hourly, &policy, at("06-01 12:30:00"), seed),
                First::At(time)
            );
        }
        assert!(seen.len() > 40, "{}", seen.len());
    }

    #[test]
    fn a_time_still_put_off_when_the_run_before_ends_is_kept() {
        let policy = with(|policy| policy.jitter_ms = 30 * MINUTE_MS);
        let hourly = schedule("0 * * * *");
        let times = Times::of(&hourly, &policy, SEED);
        let one = times.after(at("06-01 13:00:00")).unwrap();
        assert!(one > at("06-01 13:00:00"));
        let run = RunEnd {
            planned: None,
            started: at("06-01 12:50:00"),
            ended: at("06-01 13:00:00"),
            runs: 1,
        };
        assert_eq!(following(&hourly, &policy, &run, SEED), Some(one));
    }

    #[test]
    fn jitter_stays_within_the_end() {
        let policy = with(|policy| {
            policy.jitter_ms = HOUR_MS;
            policy.end_at = Some(at("06-01 13:00:00"));
        });
        let run = run("06-01 12:00:00", "06-01 12:00:00", "06-01 12:07:00");
        check_following("0 13 * * *", &policy, &run, Some("06-01 13:00:00"));
        check_following("00:53:00", &policy, &run, Some("06-01 13:00:00"));
    }
}
