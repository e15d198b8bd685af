//! What texts of EXEC_INTERVAL mean, by literal times.

use chrono::DateTime;

use super::*;

fn moment(text: &str) -> Timestamp {
    Timestamp(
        DateTime::parse_from_rfc3339(text)
            .unwrap()
            .timestamp_millis(),
    )
}

/// The times of `text` after `from`, as the clocks of `zone` show them.
fn check_times(zone: Tz, text: &str, from: &str, expected: &[&str]) {
    let schedule = Schedule::parse(text, zone).unwrap();
    let mut last = moment(from);
    for expected in expected {
        let next = schedule.next_after(last).unwrap();
        let shown = next.to_utc().with_timezone(&zone).to_rfc3339();
        assert_eq!(&shown, expected, "{text} after {last}");
        last = next;
    }
}

fn check_error(text: &str, expected: &str) {
    let error = Schedule::parse(text, Tz::Europe__Berlin).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text}");
}

#[test]
fn each_form_is_known() {
    let check = |text: &str, expected: Timing| {
        let schedule = Schedule::parse(text, Tz::UTC).unwrap();
        assert_eq!(schedule.timing(), &expected, "{text}");
        assert_eq!(schedule.text(), text.trim());
    };
    for text in ["", "  ", "0", "00:00:00", "0.00:00:00"] {
        check(text, Timing::Once);
    }
    check("300", Timing::Every(Duration::from_secs(300)));
    check("00:05:00", Timing::Every(Duration::from_secs(300)));
    check("10.11:22:33", Timing::Every(Duration::from_secs(904_953)));
    check(
        "109.00:00:00",
        Timing::Every(Duration::from_secs(9_417_600)),
    );
    check(
        "2022-08-20 10:32:12",
        Timing::At(moment("2022-08-20T10:32:12Z")),
    );
    check(
        "TZ=Europe/Berlin 2022-08-20 10:32:12",
        Timing::At(moment("2022-08-20T08:32:12Z")),
    );
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    check_error(
        "soon",
        "`soon` is not a schedule: expected `yyyy-MM-dd HH:mm:ss`, `[D.]HH:MM:SS`, seconds, or a cron expression of five to seven fields",
    );
    for text in [
        "25:00:00",
        "00:60:00",
        "1.5",
        "-5",
        "* * * *",
        "1 2 3 4 5 6 7 8",
    ] {
        let error = Schedule::parse(text, Tz::UTC).unwrap_err();
        assert!(
            matches!(error, ScheduleError::Form { .. }),
            "{text}: {error}"
        );
    }
    check_error(
        "2026-02-30 10:00:00",
        "`2026-02-30 10:00:00` is not a date and time from 1970 to 9999",
    );
    for text in [
        "2026-13-01 10:00:00",
        "2026-01-01 24:00:00",
        "2026-12-31 23:59:60",
    ] {
        let error = Schedule::parse(text, Tz::UTC).unwrap_err();
        assert!(
            matches!(error, ScheduleError::Moment { .. }),
            "{text}: {error}"
        );
    }
    check_error(
        "99999999999999999999999",
        "the interval `99999999999999999999999` is longer than 36525 days",
    );
    check_error(
        "5 11 05 04-16/3 30",
        "`04-16/3` is not a valid month of a cron expression: 16 is not between 1 and 12",
    );
    check_error(
        "TZ=Berlin 0 12 * * *",
        "unknown time zone `Berlin`; did you mean `Europe/Berlin`?",
    );
}

#[test]
fn days_that_cannot_be_are_refused() {
    for (text, expected) in [
        (
            "0 0 12 ? * 0",
            "`0` is not a valid day of week of a cron expression: 0 is not between 1 and 7",
        ),
        (
            "0 0 12 ? * 8L",
            "`8L` is not a valid day of week of a cron expression: 8 is not between 1 and 7",
        ),
        (
            "0 0 12 ? * MON#6",
            "`MON#6` is not a valid day of week of a cron expression: expected 1 to 5 after `#`",
        ),
        (
            "0 0 12 L-31 * ?",
            "`L-31` is not a valid day of month of a cron expression: expected `L-` and a number to 30",
        ),
        (
            "0 0 12 W * ?",
            "`W` is not a valid day of month of a cron expression: expected 1 to 31",
        ),
        (
            "0 0 12 ? * ?",
            "`?` is not a valid day of week of a cron expression: only one of the two day fields can be left open by `?`",
        ),
        (
            "0 12 * * L",
            "`L` is not a valid day of week of a cron expression: expected 0 to 7 or SUN to SAT",
        ),
        (
            "0 12 1-5W * *",
            "`1-5W` is not a valid day of month of a cron expression: expected 1 to 31",
        ),
    ] {
        check_error(text, expected);
    }
}

#[test]
fn a_schedule_that_never_fires_is_refused() {
    let check = |text: &str, why: &str| {
        check_error(text, &format!("`{text}` never fires: {why}"));
    };
    check("0 0 30 2 *", "there is no day 30 in February");
    check("0 0 31 4,6 *", "there is no day 31 in April and June");
    check(
        "0 0 0 29 2 ? 2023",
        "there is no day 29 in February of 2023",
    );
    check(
        "0 0 0 L-30 2 ?",
        "there is no last day but 30 of the month in February",
    );
    check(
        "0 30 2/24 29 3 ? 2026",
        "the clocks of Europe/Berlin skip its times",
    );
}

#[test]
fn what_is_past_is_a_schedule_without_a_next_time() {
    let now = moment("2026-06-01T12:00:00Z");
    for text in ["2020-01-01 00:00:00", "30 0/2 8-18 5 3 ? 2021", ""] {
        let schedule = Schedule::parse(text, Tz::UTC).unwrap();
        assert_eq!(schedule.next_after(now), None, "{text}");
    }
    let last = Schedule::parse("* * * * *", Tz::UTC).unwrap();
    assert_eq!(last.next_after(moment("2199-12-31T23:59:00Z")), None);
    assert_eq!(last.next_after(Timestamp(i64::MAX)), None);
    assert_eq!(last.next_after(Timestamp(i64::MIN)), Some(Timestamp(0)));
}

#[test]
fn the_examples_of_the_documentation_fire_as_it_says() {
    let check = |text, expected: &[&str]| {
        check_times(Tz::UTC, text, "2020-12-01T22:00:00Z", expected);
    };
    // The first of December 2020 is a Tuesday.
    check(
        "23 0-20/2 03 12 2",
        &["2020-12-03T00:23:00+00:00", "2020-12-03T02:23:00+00:00"],
    );
    check(
        "30 04-16/3 05 11 5",
        &["2021-11-05T04:30:00+00:00", "2021-11-05T07:30:00+00:00"],
    );
    check(
        "04-16/3 1/2 05 11 5",
        &["2021-11-05T01:04:00+00:00", "2021-11-05T01:07:00+00:00"],
    );
    check(
        "30 0/2 8-18 5 3 ? 2021",
        &["2021-03-05T08:00:30+00:00", "2021-03-05T08:02:30+00:00"],
    );
}

#[test]
fn either_of_two_restricted_days_will_do() {
    let days = &[
        "2026-06-01T00:00:00+00:00",
        "2026-06-08T00:00:00+00:00",
        "2026-06-13T00:00:00+00:00",
    ];
    for text in ["0 0 13 * MON", "0 0 13 * 1", "0 0 0 13 * 2"] {
        check_times(Tz::UTC, text, "2026-05-31T00:00:00Z", days);
    }
}

#[test]
fn a_day_that_begins_with_a_star_is_not_restricted() {
    check_times(
        Tz::UTC,
        "0 0 */2 * MON",
        "2026-05-31T00:00:00Z",
        &["2026-06-01T00:00:00+00:00", "2026-06-15T00:00:00+00:00"],
    );
}

#[test]
fn weekdays_are_counted_as_the_dialect_counts() {
    // The fifth of June 2026 is a Friday.
    let friday = &["2026-06-05T12:00:00+00:00"];
    let saturday = &["2026-06-06T12:00:00+00:00"];
    let sunday = &["2026-06-07T12:00:00+00:00"];
    let check = |text, expected: &[&str; 1]| {
        check_times(Tz::UTC, text, "2026-06-04T23:00:00Z", expected);
    };
    check("0 12 * * 5", friday);
    check("0 12 * * FRI", friday);
    check("0 0 12 ? * 6", friday);
    check("0 0 12 ? * FRI", friday);
    check("0 0 12 ? * 7", saturday);
    check("0 0 12 ? * L", saturday);
    check("0 12 * * 0", sunday);
    check("0 12 * * 7", sunday);
    check("0 0 12 ? * 1", sunday);
    check("0 0 12 * * SUN", sunday);
}

#[test]
fn days_that_move_are_found() {
    let check = |text, expected: &[&str]| {
        let expected: Vec<_> = expected
            .iter()
            .map(|day| format!("2026-{day}T12:00:00+00:00"))
            .collect();
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        check_times(Tz::UTC, text, "2026-01-01T12:00:00Z", &expected);
    };
    check("0 0 12 L * ?", &["01-31", "02-28", "03-31", "04-30"]);
    check("0 12 L * *", &["01-31", "02-28", "03-31", "04-30"]);
    check("0 0 12 L-3 * ?", &["01-28", "02-25", "03-28"]);
    check(
        "0 0 12 LW * ?",
        &["01-30", "02-27", "03-31", "04-30", "05-29"],
    );
    check("0 0 12 L-3W * ?", &["01-28", "02-25", "03-27"]);
    // The fifteenth of February is a Sunday, of August a Saturday.
    check("0 0 12 15W 2,8 ?", &["02-16", "08-14"]);
    // The first of August is a Saturday, the thirty-first of May a Sunday: neither leaves its month.
    check("0 0 12 1W 8 ?", &["08-03"]);
    check("0 0 12 31W 4,5 ?", &["05-29"]);
    check("0 0 12 ? * 6L", &["01-30", "02-27", "03-27"]);
    check("0 12 * * 5L", &["01-30", "02-27", "03-27"]);
    check("0 12 * * 7L", &["01-25", "02-22", "03-29"]);
    check("0 0 12 ? * MON#2", &["01-12", "02-09", "03-09"]);
    check("0 0 12 ? * 2#5", &["03-30", "06-29", "08-31"]);
}

#[test]
fn a_leap_day_comes_every_four_years() {
    check_times(
        Tz::UTC,
        "0 0 29 2 *",
        "2092-03-01T00:00:00Z",
        &["2096-02-29T00:00:00+00:00", "2104-02-29T00:00:00+00:00"],
    );
}

#[test]
fn the_zone_in_front_is_the_one_that_counts() {
    for prefix in ["TZ", "CRON_TZ"] {
        let text = format!("{prefix}=America/New_York 0 12 * * *");
        let schedule = Schedule::parse(&text, Tz::Europe__Berlin).unwrap();
        assert_eq!(schedule.zone(), Tz::America__New_York);
        assert_eq!(
            schedule.next_after(moment("2026-06-01T00:00:00Z")),
            Some(moment("2026-06-01T16:00:00Z"))
        );
    }
}

#[test]
fn a_named_time_that_is_skipped_runs_after_the_gap_once() {
    let berlin = |text, expected: &[&str]| {
        check_times(
            Tz::Europe__Berlin,
            text,
            "2026-03-29T00:30:00+01:00",
            expected,
        );
    };
    berlin(
        "30 2 * * *",
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"],
    );
    berlin(
        "15,45 2 * * *",
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:15:00+02:00"],
    );
    berlin(
        "0 2,3 * * *",
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"],
    );
    berlin(
        "30 1,2,3 * * *",
        &[
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
        ],
    );
    check_times(
        Tz::Australia__Lord_Howe,
        "15 2 * * *",
        "2026-10-03T15:00:00Z",
        &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
    );
    // Midnight itself was skipped in São Paulo.
    check_times(
        Tz::America__Sao_Paulo,
        "0 0 * * *",
        "2018-11-03T12:00:00Z",
        &["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"],
    );
}

#[test]
fn a_named_time_that_is_repeated_runs_at_the_first() {
    let berlin = |text, expected: &[&str]| {
        check_times(
            Tz::Europe__Berlin,
            text,
            "2026-10-25T00:30:00+02:00",
            expected,
        );
    };
    berlin(
        "30 2 * * *",
        &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
    );
    berlin(
        "15,45 2 * * *",
        &[
            "2026-10-25T02:15:00+02:00",
            "2026-10-25T02:45:00+02:00",
            "2026-10-26T02:15:00+01:00",
        ],
    );
    // Seen from the second of the two hours, both are over.
    check_times(
        Tz::Europe__Berlin,
        "15,45 2 * * *",
        "2026-10-25T02:20:00+01:00",
        &["2026-10-26T02:15:00+01:00"],
    );
    check_times(
        Tz::Australia__Lord_Howe,
        "45 1 * * *",
        "2026-04-04T14:20:00Z",
        &["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"],
    );
}

#[test]
fn time_that_is_counted_off_runs_on_through_a_change_of_clocks() {
    check_times(
        Tz::Europe__Berlin,
        "*/30 * * * *",
        "2026-03-29T01:20:00+01:00",
        &[
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:00:00+02:00",
            "2026-03-29T03:30:00+02:00",
        ],
    );
    let twice = &[
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T02:30:00+01:00",
    ];
    for text in [
        "*/30 * * * *",
        "0 0/30 * * * ?",
        "0,30 * * * *",
        "*/30 2 * * *",
    ] {
        check_times(Tz::Europe__Berlin, text, "2026-10-25T01:50:00+02:00", twice);
    }
    check_times(
        Tz::Australia__Lord_Howe,
        "*/15 * * * *",
        "2026-04-04T14:40:00Z",
        &[
            "2026-04-05T01:45:00+11:00",
            "2026-04-05T01:30:00+10:30",
            "2026-04-05T01:45:00+10:30",
            "2026-04-05T02:00:00+10:30",
        ],
    );
}

#[test]
fn a_moment_that_is_skipped_or_repeated_is_the_first_there_is() {
    let check = |text: &str, expected: &str| {
        let schedule = Schedule::parse(text, Tz::Europe__Berlin).unwrap();
        assert_eq!(schedule.timing(), &Timing::At(moment(expected)), "{text}");
    };
    check("2026-03-29 02:30:00", "2026-03-29T03:00:00+02:00");
    check("2026-10-25 02:30:00", "2026-10-25T02:30:00+02:00");
}

#[test]
fn the_next_time_is_after_the_moment_to_the_millisecond() {
    let schedule = Schedule::parse("0 12 * * *", Tz::UTC).unwrap();
    let noon = moment("2026-06-01T12:00:00Z");
    assert_eq!(schedule.next_after(Timestamp(noon.0 - 1)), Some(noon));
    let tomorrow = Some(moment("2026-06-02T12:00:00Z"));
    assert_eq!(schedule.next_after(noon), tomorrow);
    assert_eq!(schedule.next_after(Timestamp(noon.0 + 999)), tomorrow);
}

#[test]
fn an_interval_counts_from_the_moment() {
    let schedule = Schedule::parse("00:05:00", Tz::UTC).unwrap();
    assert_eq!(schedule.next_after(Timestamp(7)), Some(Timestamp(300_007)));
}

#[test]
fn what_may_run_again_is_recurring() {
    let check = |text: &str, expected: bool| {
        let schedule = Schedule::parse(text, Tz::UTC).unwrap();
        assert_eq!(schedule.is_recurring(), expected, "{text}");
    };
    check("", false);
    check("2026-06-01 12:00:00", false);
    check("30", true);
    check("* * * * *", true);
}

#[test]
fn of_several_schedules_the_first_time_counts() {
    check_times(
        Tz::UTC,
        "0 6 * * 1-5; TZ=Asia/Tokyo 0 10 * * 6,7; 2026-06-06 03:00:00; 0 6 * * 5; 0 0 * * * off",
        "2026-06-04T12:00:00Z",
        &[
            "2026-06-05T06:00:00+00:00",
            "2026-06-06T01:00:00+00:00",
            "2026-06-06T03:00:00+00:00",
            "2026-06-07T01:00:00+00:00",
            "2026-06-08T06:00:00+00:00",
        ],
    );
}

#[test]
fn several_schedules_are_described_in_words() {
    let text = "0 6 * * *; 00:30:00 OFF; 2026-12-24 12:00:00;";
    let schedule = Schedule::parse(text, Tz::UTC).unwrap();
    assert_eq!(
        schedule.describe(),
        "at 06:00 every day (UTC); every 30 minutes after the end of the last run (switched off); \
         once, at 2026-12-24 12:00:00 (UTC)"
    );
    assert_eq!(schedule.pause(), None);
    assert!(schedule.is_recurring() && !schedule.is_off());
    let off = Schedule::parse("0 6 * * * OFF", Tz::UTC).unwrap();
    assert!(off.is_off());
    assert_eq!(off.next_after(Timestamp(0)), None);
}

#[test]
fn schedules_that_do_not_go_together_are_refused() {
    check_error("0 6 * * *; 0 6 * * * OFF", "`0 6 * * *` is listed twice");
    check_error(
        "60; 0 6 * * *; 00:05:00",
        "`00:05:00` is a second interval: only one can count from the end of the last run",
    );
    check_error(
        "0; 0 6 * * *",
        "`0` means once, at once: it cannot be one of several, or be switched off",
    );
    check_error(
        "OFF",
        "in front of OFF stands the schedule that it switches off",
    );
    check_error("60 OFF OFF", "`60 OFF` is switched off twice");
    check_error(
        "0 6 * * *; soon",
        "`soon` is not a schedule: expected `yyyy-MM-dd HH:mm:ss`, `[D.]HH:MM:SS`, seconds, or a cron expression of five to seven fields",
    );
    check_error(&"0 6 * * *;".repeat(33), "a job has at most 32 schedules");
    let switched = Schedule::parse("60 OFF; 00:05:00", Tz::UTC).unwrap();
    assert_eq!(switched.pause(), Some(Duration::from_secs(300)));
}
