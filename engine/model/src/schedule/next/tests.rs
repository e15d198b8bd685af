use chrono_tz::Tz;

use super::*;
use crate::schedule::policy::Overlap;

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
fn run(planned: &str, started: &str, ended: &str) -> ScheduledRun {
    ScheduledRun {
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

fn check_first(text: &str, policy: &JobPolicy, expected: FirstRun) {
    let now = at("06-01 12:00:00");
    assert_eq!(
        first_run(&schedule(text), policy, now, SEED),
        expected,
        "{text}"
    );
}

fn check_following(text: &str, policy: &JobPolicy, run: &ScheduledRun, expected: Option<&str>) {
    let next = following_run(&schedule(text), policy, run, SEED);
    assert_eq!(next, expected.map(at), "{text}: {next:?}");
}

#[test]
fn a_job_begins_as_its_schedule_says() {
    let policy = JobPolicy::default();
    check_first("", &policy, FirstRun::Now);
    check_first("00:10:00", &policy, FirstRun::Now);
    check_first("30 12 * * *", &policy, FirstRun::At(at("06-01 12:30:00")));
    check_first("0 12 * * *", &policy, FirstRun::At(at("06-02 12:00:00")));
    check_first(
        "2026-06-02 00:00:00",
        &policy,
        FirstRun::At(at("06-02 00:00:00")),
    );
    check_first(
        "2026-06-01 12:00:00",
        &policy,
        FirstRun::At(at("06-01 12:00:00")),
    );
    check_first(
        "2020-01-01 00:00:00",
        &policy,
        FirstRun::Never("2020-01-01 00:00:00 (UTC) has passed".to_owned()),
    );
    check_first(
        "0 0 0 1 1 ? 2020",
        &policy,
        FirstRun::Never("`0 0 0 1 1 ? 2020` has no time left".to_owned()),
    );
}

#[test]
fn several_schedules_begin_with_the_first_that_comes() {
    let policy = JobPolicy::default();
    let several = "30 14 * * *; 2026-06-01 13:00:00; 0 13 * * * OFF";
    check_first(several, &policy, FirstRun::At(at("06-01 13:00:00")));
    check_first("30 14 * * *; 00:10:00", &policy, FirstRun::Now);
    check_first(
        "30 14 * * *; 00:10:00 OFF",
        &policy,
        FirstRun::At(at("06-01 14:30:00")),
    );
    check_first("30 14 * * * OFF; 00:10:00 OFF", &policy, FirstRun::Off);
    check_first(
        "2020-01-01 00:00:00; 0 0 0 1 1 ? 2020",
        &policy,
        FirstRun::Never("`2020-01-01 00:00:00; 0 0 0 1 1 ? 2020` has no time left".to_owned()),
    );
}

#[test]
fn several_schedules_continue_with_the_first_that_comes() {
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
        decide_due_run(
            &schedule("0 12 * * *; 00:50:00"),
            &skip,
            at("06-01 12:00:00"),
            at("06-01 13:00:00"),
            SEED
        ),
        DueDecision::PassTo(Some(at("06-01 13:40:00")))
    );
}

#[test]
fn a_planned_time_is_kept_while_the_schedule_has_it() {
    let jittered = with(|policy| policy.jitter_ms = MINUTE_MS);
    let bounded = with(|policy| policy.end_at = Some(at("06-01 20:00:00")));
    let usual = JobPolicy::default();
    let check = |text: &str, policy: &JobPolicy, planned: Timestamp, expected: bool| {
        let now = at("06-01 12:00:00");
        let kept = is_still_planned(&schedule(text), policy, planned, now, SEED);
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
    let FirstRun::At(planned) = first_run(
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
        check_first(text, &policy, FirstRun::At(at("06-10 09:00:00")));
    }
    // A time that falls on the start counts.
    check_first("0 9 * * *", &policy, FirstRun::At(at("06-10 09:00:00")));
    check_first("0 8 * * *", &policy, FirstRun::At(at("06-11 08:00:00")));
    check_first(
        "2026-06-02 00:00:00",
        &policy,
        FirstRun::Never("its time lies outside of its start and end".to_owned()),
    );
    let passed = with(|policy| policy.start_at = Some(at("01-01 00:00:00")));
    check_first("", &passed, FirstRun::Now);
}

#[test]
fn nothing_begins_after_its_end() {
    let passed = with(|policy| policy.end_at = Some(at("06-01 11:00:00")));
    check_first(
        "",
        &passed,
        FirstRun::Never("its end at 2026-06-01T11:00:00.000Z has passed".to_owned()),
    );
    let policy = with(|policy| policy.end_at = Some(at("06-01 12:30:00")));
    check_first("30 12 * * *", &policy, FirstRun::At(at("06-01 12:30:00")));
    check_first(
        "31 12 * * *",
        &policy,
        FirstRun::Never("`31 12 * * *` has no time left".to_owned()),
    );
    let none = with(|policy| policy.max_runs = Some(0));
    check_first(
        "* * * * *",
        &none,
        FirstRun::Never("the number of its runs is limited to none".to_owned()),
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
    // Missed: 12:00, for which this run makes up, 13:00, 14:00 and 15:00.
    let late = run("06-01 12:00:00", "06-01 15:20:00", "06-01 15:21:00");
    let check = |cap, expected| {
        let policy = with(|policy| policy.misfire = Misfire::All { cap });
        check_following("0 * * * *", &policy, &late, Some(expected));
    };
    check(1, "06-01 16:00:00");
    check(2, "06-01 15:00:00");
    check(3, "06-01 14:00:00");
    check(4, "06-01 13:00:00");
    check(5, "06-01 13:00:00");
    // A run that began in time makes up for nothing: the times that passed during it are missed.
    let long = run("06-01 12:00:00", "06-01 12:00:01", "06-01 15:21:00");
    let policy = with(|policy| policy.misfire = Misfire::All { cap: 2 });
    check_following("0 * * * *", &policy, &long, Some("06-01 14:00:00"));
    // A time that comes as the run ends is one of them.
    let exact = run("06-01 12:00:00", "06-01 14:00:00", "06-01 15:00:00");
    let policy = with(|policy| policy.misfire = Misfire::All { cap: 2 });
    check_following("0 * * * *", &policy, &exact, Some("06-01 15:00:00"));
}

#[test]
fn with_all_a_year_of_seconds_is_counted_from_its_end() {
    let policy = with(|policy| policy.misfire = Misfire::All { cap: 20 });
    let late = run("01-01 00:00:00", "06-01 12:00:00", "06-01 12:00:30");
    check_following("* * * * * ?", &policy, &late, Some("06-01 12:00:12"));
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
    let by_hand = ScheduledRun {
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
        let check = |policy: JobPolicy, expected| check_following(text, &policy, &run, expected);
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
    let check = |text: &str, misfire, late_ms: i64, expected: DueDecision| {
        let policy = with(|policy| policy.misfire = misfire);
        let planned = at("06-01 12:00:00");
        let now = Timestamp(planned.0 + late_ms);
        let due = decide_due_run(&schedule(text), &policy, planned, now, SEED);
        assert_eq!(due, expected, "{text} {misfire} {late_ms}");
    };
    let pass_to = |text| DueDecision::PassTo(Some(at(text)));
    for misfire in [Misfire::Once, Misfire::All { cap: 1 }] {
        check("0 * * * *", misfire, 9 * HOUR_MS, DueDecision::Run);
    }
    check("0 * * * *", Misfire::Skip, MINUTE_MS, DueDecision::Run);
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
        DueDecision::PassTo(None),
    );
    check("", Misfire::Skip, HOUR_MS, DueDecision::Run);
}

#[test]
fn what_is_skipped_beyond_the_end_is_over() {
    let policy = with(|policy| {
        policy.misfire = Misfire::Skip;
        policy.end_at = Some(at("06-01 12:30:00"));
    });
    for text in ["0 * * * *", "01:00:00"] {
        let due = decide_due_run(
            &schedule(text),
            &policy,
            at("06-01 12:00:00"),
            at("06-01 12:10:00"),
            SEED,
        );
        assert_eq!(due, DueDecision::PassTo(None), "{text}");
    }
}

#[test]
fn jitter_is_stable_and_never_early() {
    let policy = with(|policy| policy.jitter_ms = 10 * MINUTE_MS);
    let hourly = schedule("0 * * * *");
    let mut seen = std::collections::HashSet::new();
    for seed in 0..50 {
        let time = match first_run(&hourly, &policy, at("06-01 12:30:00"), seed) {
            FirstRun::At(time) => time,
            other => panic!("{other:?}"),
        };
        let late_ms = time.millis_since(at("06-01 13:00:00"));
        assert!((0..=10 * MINUTE_MS).contains(&late_ms), "{late_ms}");
        seen.insert(late_ms);
        assert_eq!(
            first_run(&hourly, &policy, at("06-01 12:30:00"), seed),
            FirstRun::At(time)
        );
    }
    assert!(seen.len() > 40, "{}", seen.len());
}

#[test]
fn a_time_still_put_off_when_the_run_before_ends_is_kept() {
    let policy = with(|policy| policy.jitter_ms = 30 * MINUTE_MS);
    let hourly = schedule("0 * * * *");
    let times = Times::new(&hourly, &policy, SEED);
    let one = times.after(at("06-01 13:00:00")).unwrap();
    assert!(one > at("06-01 13:00:00"));
    let run = ScheduledRun {
        planned: None,
        started: at("06-01 12:50:00"),
        ended: at("06-01 13:00:00"),
        runs: 1,
    };
    assert_eq!(following_run(&hourly, &policy, &run, SEED), Some(one));
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
