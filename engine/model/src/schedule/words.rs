//! Describes schedules in words, for users who do not read cron.

use std::time::Duration;

use super::cron::{ChosenWeekday, Cron, DaysOfMonth, DaysOfWeek, MovingDay};
use super::field::{FIRST_YEAR, LAST_YEAR, Numbers};

const MONTHS: &[&str] = &[
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: &[&str] = &[
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// The most times of the day that are listed one by one. More are described by a rule.
const MOST_CLOCK_TIMES: usize = 4;
/// The fewest numbers with equal distances that are described as a step. Fewer are listed one by one.
const LEAST_EVERY: usize = 4;

/// The pattern of the numbers of a field.
enum Shape {
    All,
    One(u32),
    /// Consecutive numbers.
    Run(u32, u32),
    /// Every `step`th number; without `last`, to the end.
    Every {
        first: u32,
        step: u32,
        last: Option<u32>,
    },
    List,
}

/// `2 minutes 30 seconds`, or `hour` for one hour.
pub(super) fn pause(pause: Duration) -> String {
    let seconds = pause.as_secs();
    let parts: Vec<_> = [
        (seconds / 86_400, "day"),
        (seconds / 3_600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .collect();
    if let [(1, unit)] = parts.as_slice() {
        return (*unit).to_owned();
    }
    let parts: Vec<_> = parts
        .into_iter()
        .map(|(count, unit)| match count {
            1 => format!("1 {unit}"),
            _ => format!("{count} {unit}s"),
        })
        .collect();
    parts.join(" ")
}

/// `at 12:00, Monday to Friday`
pub(super) fn cron(cron: &Cron) -> String {
    let days = days(cron);
    let is_daily = days.is_none() && is_all(&cron.months, 1, 12);
    let time = match clock_times(cron) {
        Some(times) if is_daily => format!("at {times} every day"),
        Some(times) => format!("at {times}"),
        None => rule(cron),
    };
    let parts = [
        Some(time),
        days,
        months(&cron.months).map(|months| format!("in {months}")),
        years(&cron.years).map(|years| format!("in {years}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// The day that a cron expression without any time asks for: `day 30 in February`.
pub(super) fn missing_day(cron: &Cron) -> String {
    let days = days(cron).unwrap_or_else(|| "day".to_owned());
    let days = days.strip_prefix("on ").unwrap_or(&days);
    let days = days.strip_prefix("the ").unwrap_or(days).to_owned();
    let months = months(&cron.months).map(|months| format!("in {months}"));
    let years = years(&cron.years).map(|years| format!("of {years}"));
    let parts: Vec<_> = [Some(days), months, years].into_iter().flatten().collect();
    parts.join(" ")
}

/// `08:00 and 12:00`
fn clock_times(cron: &Cron) -> Option<String> {
    let &[second] = cron.seconds.as_slice() else {
        return None;
    };
    let (hours, minutes) = (cron.hours.as_slice(), cron.minutes.as_slice());
    if hours.len() * minutes.len() > MOST_CLOCK_TIMES {
        return None;
    }
    let times = hours.iter().flat_map(|hour| {
        minutes.iter().map(move |minute| match second {
            0 => format!("{hour:02}:{minute:02}"),
            _ => format!("{hour:02}:{minute:02}:{second:02}"),
        })
    });
    Some(join(times))
}

/// `every 5 minutes, from 08:00 to 18:59`
fn rule(cron: &Cron) -> String {
    let is_on_the_hour = cron.seconds.as_slice() == [0] && cron.minutes.as_slice() == [0];
    if is_on_the_hour {
        return match shape(&cron.hours, 0, 23) {
            Shape::All => "every hour".to_owned(),
            Shape::Every { first, step, last } if 24 % step == 0 => {
                format!("every {step} hours{}", bounds("hour", first, last))
            }
            Shape::Run(first, last) => format!("every hour from {first:02}:00 to {last:02}:00"),
            Shape::One(_) | Shape::Every { .. } | Shape::List => {
                format!("on the hour at {}", listed(&cron.hours))
            }
        };
    }
    let seconds = (cron.seconds.as_slice() != [0]).then(|| unit(&cron.seconds, "second"));
    let minutes = unit(&cron.minutes, "minute");
    let time = match (seconds, shape(&cron.minutes, 0, 59)) {
        (None, _) => minutes,
        (Some(seconds), Shape::All) if seconds.starts_with("every") => seconds,
        (Some(seconds), Shape::All) => format!("{seconds} of every minute"),
        (Some(seconds), _) => format!("{seconds}, {minutes}"),
    };
    match shape(&cron.hours, 0, 23) {
        Shape::All if time.starts_with("every") || time.ends_with("every minute") => time,
        Shape::All => format!("{time} of every hour"),
        Shape::One(hour) => format!("{time}, from {hour:02}:00 to {hour:02}:59"),
        Shape::Run(first, last) => format!("{time}, from {first:02}:00 to {last:02}:59"),
        Shape::Every { first, step, last } => format!(
            "{time} of every {} hour{}",
            ordinal(step),
            bounds("hour", first, last)
        ),
        Shape::List => format!("{time} of the hours {}", listed(&cron.hours)),
    }
}

/// Seconds or minutes: `every 5 minutes`, `at minute 23`.
fn unit(numbers: &Numbers, name: &str) -> String {
    match shape(numbers, 0, 59) {
        Shape::All => format!("every {name}"),
        Shape::Every { first, step, last } if 60 % step == 0 => {
            format!("every {step} {name}s{}", bounds(name, first, last))
        }
        Shape::One(number) => format!("at {name} {number}"),
        Shape::Run(first, last) => format!("at {name}s {first} to {last}"),
        Shape::Every { .. } | Shape::List => format!("at {name}s {}", listed(numbers)),
    }
}

/// ` from hour 4 to 16`, or nothing when it is all of them.
fn bounds(name: &str, first: u32, last: Option<u32>) -> String {
    match (first, last) {
        (0, None) => String::new(),
        (_, None) => format!(" from {name} {first}"),
        (_, Some(last)) => format!(" from {name} {first} to {last}"),
    }
}

fn days(cron: &Cron) -> Option<String> {
    let by_month = days_of_month(&cron.days);
    let by_week = days_of_week(&cron.weekdays);
    match (by_month, by_week) {
        (Some(by_month), Some(by_week)) if cron.days.is_open || cron.weekdays.is_open => {
            Some(format!("{by_week}, but only on {by_month}"))
        }
        (Some(by_month), Some(by_week)) => Some(format!("on {by_month} or on {by_week}")),
        (Some(by_month), None) => Some(format!("on {by_month}")),
        (None, by_week) => by_week,
    }
}

fn days_of_month(days: &DaysOfMonth) -> Option<String> {
    let moving = days.moving.iter().map(|day| match *day {
        MovingDay::Last { before: 0 } => "the last day of the month".to_owned(),
        MovingDay::Last { before: 1 } => "the last day but one of the month".to_owned(),
        MovingDay::Last { before } => format!("the last day but {before} of the month"),
        MovingDay::LastWorking { before: 0 } => "the last working day of the month".to_owned(),
        MovingDay::LastWorking { before } => {
            format!("the working day nearest to the last day but {before} of the month")
        }
        MovingDay::NearestWorking { day } => format!("the working day nearest to day {day}"),
    });
    let plain = match shape(&days.days, 1, 31) {
        Shape::All => return None,
        Shape::One(day) => Some(format!("day {day}")),
        Shape::Run(first, last) => Some(format!("days {first} to {last}")),
        Shape::List if days.days.as_slice().is_empty() => None,
        Shape::Every {
            first,
            step,
            last: None,
        } => Some(format!("every {} day from day {first}", ordinal(step))),
        Shape::Every { .. } | Shape::List => Some(format!("days {}", listed(&days.days))),
    };
    Some(join(plain.into_iter().chain(moving)))
}

fn days_of_week(weekdays: &DaysOfWeek) -> Option<String> {
    let chosen = weekdays.chosen.iter().map(|chosen| match *chosen {
        ChosenWeekday::Nth { weekday, nth } => {
            format!(
                "the {} {} of the month",
                ordinal(nth),
                weekday_name(weekday)
            )
        }
        ChosenWeekday::Last { weekday } => {
            format!("the last {} of the month", weekday_name(weekday))
        }
    });
    // A week is read from Monday to Sunday.
    let from_monday = Numbers::of(weekdays.days.as_slice().iter().map(|day| (day + 6) % 7));
    let name = |day: u32| weekday_name((day + 1) % 7);
    let plain = match shape(&from_monday, 0, 6) {
        Shape::All => return None,
        Shape::Run(first, last) => vec![format!("{} to {}", name(first), name(last))],
        Shape::One(_) | Shape::Every { .. } | Shape::List => from_monday
            .as_slice()
            .iter()
            .map(|day| name(*day).to_owned())
            .collect(),
    };
    Some(join(plain.into_iter().chain(chosen)))
}

fn months(months: &Numbers) -> Option<String> {
    let name = |month: u32| named(MONTHS, month.saturating_sub(1));
    match shape(months, 1, 12) {
        Shape::All => None,
        Shape::Run(first, last) => Some(format!("{} to {}", name(first), name(last))),
        Shape::One(_) | Shape::Every { .. } | Shape::List => Some(join(
            months
                .as_slice()
                .iter()
                .map(|month| name(*month).to_owned()),
        )),
    }
}

fn years(years: &Numbers) -> Option<String> {
    match shape(years, FIRST_YEAR, LAST_YEAR) {
        Shape::All => None,
        Shape::Run(first, LAST_YEAR) => Some(format!("{first} and later")),
        Shape::Run(first, last) => Some(format!("{first} to {last}")),
        Shape::Every {
            first,
            step,
            last: None,
        } => Some(format!("every {} year from {first}", ordinal(step))),
        Shape::Every { .. } | Shape::One(_) | Shape::List => Some(listed(years)),
    }
}

fn is_all(numbers: &Numbers, least: u32, most: u32) -> bool {
    matches!(shape(numbers, least, most), Shape::All)
}

fn shape(numbers: &Numbers, least: u32, most: u32) -> Shape {
    let numbers = numbers.as_slice();
    let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
        return Shape::List;
    };
    match numbers {
        [one] => return Shape::One(*one),
        [_, _] => return Shape::List,
        _ => (),
    }
    let mut steps = numbers.windows(2).map(|pair| pair[1] - pair[0]);
    let step = steps.next().unwrap_or(1);
    let is_even = steps.all(|other| other == step);
    match step {
        1 if is_even && (first, last) == (least, most) => Shape::All,
        1 if is_even => Shape::Run(first, last),
        _ if !is_even => Shape::List,
        _ if last + step > most => Shape::Every {
            first,
            step,
            last: None,
        },
        _ if numbers.len() >= LEAST_EVERY => Shape::Every {
            first,
            step,
            last: Some(last),
        },
        _ => Shape::List,
    }
}

fn listed(numbers: &Numbers) -> String {
    join(numbers.as_slice().iter().map(u32::to_string))
}

/// `a`, `a and b`, `a, b and c`
fn join(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<_> = parts.into_iter().collect();
    match parts.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, tens) if tens != 11 => "st",
        (2, tens) if tens != 12 => "nd",
        (3, tens) if tens != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

fn weekday_name(weekday: u32) -> &'static str {
    named(WEEKDAYS, weekday)
}

fn named(names: &[&'static str], index: u32) -> &'static str {
    usize::try_from(index)
        .ok()
        .and_then(|index| names.get(index).copied())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use crate::schedule::Schedule;

    #[test]
    fn schedules_are_described_in_words() {
        let check = |text: &str, expected: &str| {
            let schedule = Schedule::parse(text, Tz::Europe__Berlin).unwrap();
            assert_eq!(schedule.describe(), expected, "{text}");
        };
        check("", "once, at once");
        check("30", "every 30 seconds after the end of the last run");
        check("00:01:00", "every minute after the end of the last run");
        check(
            "10.01:22:00",
            "every 10 days 1 hour 22 minutes after the end of the last run",
        );
        check(
            "2026-06-01 12:00:00",
            "once, at 2026-06-01 12:00:00 (Europe/Berlin)",
        );
        let check =
            |text: &str, expected: &str| check(text, &format!("{expected} (Europe/Berlin)"));
        check("0 12 * * MON-FRI", "at 12:00, Monday to Friday");
        check("0 12 * * *", "at 12:00 every day");
        check("0 8,12 1 * *", "at 08:00 and 12:00, on day 1");
        check("15 30 6 ? * SAT,SUN", "at 06:30:15, Saturday and Sunday");
        check("* * * * *", "every minute");
        check("*/5 * * * *", "every 5 minutes");
        check("*/5 8-18 * * *", "every 5 minutes, from 08:00 to 18:59");
        check("0 * * * *", "every hour");
        check("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day");
        check("0 */2 * * *", "every 2 hours");
        check("0 4-16/2 * * *", "every 2 hours from hour 4 to 16");
        check("0 1,2,5,9,13 * * *", "on the hour at 1, 2, 5, 9 and 13");
        check(
            "5,10 1,2,5,9,13 * * *",
            "at minutes 5 and 10 of the hours 1, 2, 5, 9 and 13",
        );
        check("0 0 1-7 * *", "at 00:00, on days 1 to 7");
        check(
            "0 0 1,15,L * *",
            "at 00:00, on days 1 and 15 and the last day of the month",
        );
        check("* 7 * * *", "every minute, from 07:00 to 07:59");
        check("0 8-18 * * *", "every hour from 08:00 to 18:00");
        check("23 * * * *", "at minute 23 of every hour");
        check("* * * * * ?", "every second");
        check("*/10 * * * * ?", "every 10 seconds");
        check("30 * * * * ?", "at second 30 of every minute");
        check("3/5 * * * *", "every 5 minutes from minute 3");
        check(
            "23 0-20/2 03 12 2",
            "at minute 23 of every 2nd hour from hour 0 to 20, on day 3 or on Tuesday, in December",
        );
        check(
            "30 0/2 8-18 5 3 ? 2021",
            "at second 30, every 2 minutes, from 08:00 to 18:59, on day 5, in March, in 2021",
        );
        check(
            "0 0 12 LW * ?",
            "at 12:00, on the last working day of the month",
        );
        check(
            "0 0 12 L-3 * ?",
            "at 12:00, on the last day but 3 of the month",
        );
        check(
            "0 0 12 15W * ?",
            "at 12:00, on the working day nearest to day 15",
        );
        check("0 0 12 ? * 6L", "at 12:00, the last Friday of the month");
        check(
            "0 0 12 ? JAN-MAR MON#2 2027-2030",
            "at 12:00, the 2nd Monday of the month, in January to March, in 2027 to 2030",
        );
        check(
            "0 0 */2 * MON",
            "at 00:00, Monday, but only on every 2nd day from day 1",
        );
    }
}
