//! A second, slow implementation of cron times that shares nothing with the first one but the rules, and a comparison.
//!
//! It checks every number against its field, every date against the day fields, and every minute of the clock. It has
//! no optimisation that could be wrong.

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Weekday,
};
use chrono_tz::Tz;

use super::{Schedule, ScheduleError};
use crate::clock::Timestamp;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The days to compare closely: clock changes, or leap days for zones without clock changes.
const SPECIAL_DAYS: [(Tz, &[&str]); 6] = [
    (
        Tz::Europe__Berlin,
        &[
            "2024-03-31",
            "2024-10-27",
            "2026-03-29",
            "2026-10-25",
            "2032-03-28",
            "2032-10-31",
        ],
    ),
    (
        Tz::America__New_York,
        &[
            "2024-03-10",
            "2024-11-03",
            "2027-03-14",
            "2027-11-07",
            "2031-03-09",
            "2031-11-02",
        ],
    ),
    (
        Tz::Australia__Lord_Howe,
        &["2024-04-07", "2024-10-06", "2029-04-01", "2029-10-07"],
    ),
    (
        Tz::America__Sao_Paulo,
        &[
            "2016-10-16",
            "2017-02-19",
            "2017-10-15",
            "2018-02-18",
            "2018-11-04",
            "2019-02-17",
        ],
    ),
    // A whole day was skipped.
    (Tz::Pacific__Apia, &["2011-12-30", "2012-04-01"]),
    (Tz::UTC, &["2024-02-29", "2028-02-29", "2032-02-29"]),
];

/// An expression split into seconds, minute, hour, day of month, month, day of week and year.
struct Slow<'a> {
    fields: [&'a str; 7],
    is_quartz: bool,
    zone: Tz,
}

impl<'a> Slow<'a> {
    fn of(text: &'a str, zone: Tz) -> Self {
        let parts: Vec<&str> = text.split(' ').collect();
        let mut fields = ["0", "", "", "", "", "", "*"];
        let start = usize::from(parts.len() == 5);
        fields[start..start + parts.len()].copy_from_slice(&parts);
        Self {
            fields,
            is_quartz: parts.len() > 5,
            zone,
        }
    }

    /// The times after `moment`: at most `count`, within `days` days.
    fn times(&self, moment: DateTime<Tz>, days: u64, count: usize) -> Vec<DateTime<Tz>> {
        let mut times = Vec::new();
        let yesterday = moment.date_naive() - Days::new(1);
        for day in 0..days {
            if times.len() >= count {
                break;
            }
            let date = yesterday + Days::new(day);
            if self.has_date(date) {
                let mut today = self.times_of(date);
                today.retain(|time| *time > moment && times.last().is_none_or(|last| time > last));
                times.extend(today);
            }
        }
        times.truncate(count);
        times
    }

    fn times_of(&self, date: NaiveDate) -> Vec<DateTime<Tz>> {
        let shown = self.shown_around(date);
        let [_, minute, hour, ..] = self.fields;
        let mut times: Vec<_> = if [minute, hour]
            .iter()
            .any(|field| field.contains(['*', '/']))
        {
            shown
                .iter()
                .filter(|(_, local)| local.date() == date && self.has_minute(*local))
                .flat_map(|(at, _)| {
                    self.seconds()
                        .map(|second| *at + TimeDelta::seconds(second))
                })
                .collect()
        } else {
            let minutes =
                (0..1440).filter_map(|minute| date.and_hms_opt(minute / 60, minute % 60, 0));
            minutes
                .filter(|local| self.has_minute(*local))
                .flat_map(|wanted| {
                    let (at, local) = shown.iter().find(|(_, local)| *local >= wanted).unwrap();
                    let is_skipped = *local > wanted;
                    self.seconds().map(move |second| {
                        *at + TimeDelta::seconds(if is_skipped { 0 } else { second })
                    })
                })
                .collect()
        };
        times.sort();
        times.dedup();
        times
    }

    /// Every minute from before the start of the date to after its end, with what the clock shows then.
    fn shown_around(&self, date: NaiveDate) -> Vec<(DateTime<Tz>, NaiveDateTime)> {
        let midnight = self
            .zone
            .from_utc_datetime(&date.and_hms_opt(0, 0, 0).unwrap());
        let ahead = midnight.naive_local() - midnight.naive_utc();
        // The clock shows no minute of a skipped day.
        let (before, after) = if self.zone == Tz::Pacific__Apia {
            (26, 52)
        } else {
            (2, 27)
        };
        let start = midnight - ahead - TimeDelta::hours(before);
        (0..60 * (before + after))
            .map(|minute| start + TimeDelta::minutes(minute))
            .map(|at| (at, at.naive_local()))
            .collect()
    }

    fn seconds(&self) -> impl Iterator<Item = i64> {
        let field = self.fields[0].to_owned();
        (0..60)
            .filter(move |second| allows(&field, *second, 0, 59, &[]))
            .map(i64::from)
    }

    fn has_minute(&self, local: NaiveDateTime) -> bool {
        allows(self.fields[1], local.minute(), 0, 59, &[])
            && allows(self.fields[2], local.hour(), 0, 23, &[])
    }

    fn has_date(&self, date: NaiveDate) -> bool {
        let [_, _, _, day, month, weekday, year] = self.fields;
        let is_open = |field: &str| field.starts_with('*') || field == "?";
        let by_month = day.split(',').any(|part| has_day_of_month(part, date));
        let by_week = weekday.split(',').any(|part| self.has_weekday(part, date));
        let has_day = match is_open(day) || is_open(weekday) {
            true => by_month && by_week,
            false => by_month || by_week,
        };
        has_day
            && allows(month, date.month(), 1, 12, &MONTHS)
            && allows(year, date.year_ce().1, 1970, 2199, &[])
    }

    fn has_weekday(&self, part: &str, date: NaiveDate) -> bool {
        let sunday_is = u32::from(self.is_quartz);
        let weekday = date.weekday().num_days_from_sunday() + sunday_is;
        let is = |text: &str| {
            allows(text, weekday, sunday_is, 7, &WEEKDAYS)
                || (!self.is_quartz && weekday == 0 && allows(text, 7, 0, 7, &WEEKDAYS))
        };
        if part == "?" || part == "*" {
            return true;
        }
        if part == "L" {
            return date.weekday() == Weekday::Sat;
        }
        if let Some((weekday, nth)) = part.split_once('#') {
            let weeks: u64 = nth.parse().unwrap();
            let before = |weeks: u64| (date - Days::new(7 * weeks)).month() == date.month();
            return is(weekday) && before(weeks - 1) && !before(weeks);
        }
        if let Some(weekday) = part.strip_suffix('L') {
            return is(weekday) && (date + Days::new(7)).month() != date.month();
        }
        // `*/n` of a week does not reach the second Sunday.
        match part.strip_prefix("*/") {
            Some(step) if !self.is_quartz => is(&format!("0-6/{step}")),
            _ => is(part),
        }
    }
}

fn has_day_of_month(part: &str, date: NaiveDate) -> bool {
    let days_of_month: Vec<NaiveDate> = (1..=31).filter_map(|day| date.with_day(day)).collect();
    let last = days_of_month.len();
    let before_last = |text: &str| match text.strip_prefix("L-") {
        Some(days) => last.checked_sub(days.parse().unwrap()),
        None => (text == "L").then_some(last),
    };
    if part == "?" {
        return true;
    }
    if let Some(day) = part.strip_suffix('W') {
        let wanted = before_last(day).or_else(|| day.parse().ok()).unwrap_or(0);
        let Some(wanted) = wanted
            .checked_sub(1)
            .and_then(|index| days_of_month.get(index))
        else {
            return false;
        };
        let nearest = days_of_month
            .iter()
            .filter(|day| day.weekday().number_from_monday() <= 5)
            .min_by_key(|day| (**day - *wanted).num_days().abs());
        return nearest == Some(&date);
    }
    if part.starts_with('L') {
        return before_last(part) == usize::try_from(date.day()).ok();
    }
    allows(part, date.day(), 1, 31, &[])
}

/// Whether a list of ranges has the number, by walking each range.
fn allows(field: &str, number: u32, least: u32, most: u32, names: &[&str]) -> bool {
    let value = |text: &str| match names.iter().position(|name| *name == text) {
        Some(index) => least + u32::try_from(index).unwrap(),
        None => text.parse().unwrap(),
    };
    field.split(',').any(|part| {
        let (range, step) = part.split_once('/').unwrap_or((part, "0"));
        let step: u32 = step.parse().unwrap();
        let (mut first, last) = match range.split_once('-') {
            Some((first, last)) => (value(first), value(last)),
            None if range == "*" => (least, most),
            None if step > 0 => (value(range), most),
            None => (value(range), value(range)),
        };
        let has_two_sundays = least == 0 && most == 7;
        let mut end = most;
        if first > last && has_two_sundays {
            (first, end) = (first % 7, 6);
        }
        let mut index = 0;
        loop {
            if first == number && index % step.max(1) == 0 {
                return true;
            }
            if first == last {
                return false;
            }
            first = if first == end { least } else { first + 1 };
            index += 1;
        }
    })
}

/// Generates expressions (splitmix64). The same seed gives the same expressions.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(limit)).unwrap()
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most - least + 1)
    }

    fn field(&mut self, least: u32, most: u32, wraps: bool) -> String {
        let span = most - least + 1;
        let mut ends = || {
            let (one, other) = (self.between(least, most), self.between(least, most));
            if wraps {
                (one, other)
            } else {
                (one.min(other), one.max(other))
            }
        };
        let (first, last) = ends();
        let step = self.between(1, span.min(20));
        match self.below(8) {
            0 => "*".to_owned(),
            1 => format!("*/{step}"),
            2 => format!("{first}/{step}"),
            3 => format!("{first}-{last}"),
            4 => format!("{first}-{last}/{step}"),
            5 => format!("{first},{last}"),
            _ => first.to_string(),
        }
    }

    fn day_of_month(&mut self, is_quartz: bool) -> String {
        let day = self.between(1, 31);
        match self.below(12) {
            0 => "L".to_owned(),
            1 => "LW".to_owned(),
            2 => format!("L-{}", self.below(31)),
            3 => format!("L-{}W", self.below(31)),
            4 => format!("{day}W"),
            5 => format!("{day},LW"),
            6 => "*".to_owned(),
            _ => self.field(1, 31, is_quartz),
        }
    }

    fn day_of_week(&mut self, is_quartz: bool) -> String {
        let least = u32::from(is_quartz);
        let day = self.between(least, 7);
        let name = |chance: &mut Self| WEEKDAYS[usize::try_from(chance.below(7)).unwrap()];
        match self.below(10) {
            0 => format!("{day}L"),
            1 => format!("{day}#{}", self.between(1, 5)),
            2 => format!("{}#{}", name(self), self.between(1, 5)),
            3 => format!("{}-{}", name(self), name(self)),
            4 => format!("{}L,{day}", name(self)),
            5 => name(self).to_owned(),
            6 if is_quartz => "L".to_owned(),
            7 => {
                // A step beyond the week is refused.
                let step = self.between(1, 7);
                format!("{day}/{step}")
            }
            _ => {
                let (first, last) = (self.between(least, 7), self.between(least, 7));
                format!("{first}-{last}")
            }
        }
    }

    /// The day fields, month and day of week.
    fn days(&mut self, is_quartz: bool) -> [String; 3] {
        let month = match self.below(4) {
            0 => self.field(1, 12, is_quartz),
            1 => MONTHS[usize::try_from(self.below(12)).unwrap()].to_owned(),
            _ => "*".to_owned(),
        };
        let open = |chance: &mut Self| {
            if is_quartz || chance.one_in(4) {
                "?"
            } else {
                "*"
            }
            .to_owned()
        };
        match self.below(4) {
            0 => [self.day_of_month(is_quartz), month, open(self)],
            1 => [open(self), month, self.day_of_week(is_quartz)],
            2 => [
                self.day_of_month(is_quartz),
                month,
                self.day_of_week(is_quartz),
            ],
            _ => ["*".to_owned(), month, "*".to_owned()],
        }
    }

    /// An expression. For special days mostly one that matches every day, so that the time matters.
    fn expression(&mut self, is_every_day: bool) -> String {
        let is_quartz = self.one_in(2);
        let days = match is_every_day {
            true => ["*".to_owned(), "*".to_owned(), "*".to_owned()],
            false => self.days(is_quartz),
        };
        let hour = match is_every_day {
            true => self.field(0, 4, false),
            false => self.field(0, 23, is_quartz),
        };
        let mut fields = vec![self.field(0, 59, is_quartz), hour];
        fields.extend(days);
        if is_quartz {
            let second = if self.one_in(3) {
                self.field(0, 59, true)
            } else {
                "0".to_owned()
            };
            fields.insert(0, second);
            match self.below(4) {
                0 => fields.push(self.field(2024, 2032, false)),
                1 => fields.push("2024/2".to_owned()),
                _ => (),
            }
        }
        fields.join(" ")
    }
}

/// Compares the next few times of both implementations, and returns their number.
fn compare(text: &str, zone: Tz, moment: DateTime<Tz>, days: u64) -> usize {
    let expected = Slow::of(text, zone).times(moment, days, 4);
    let schedule = match Schedule::parse(text, zone) {
        Ok(schedule) => schedule,
        Err(ScheduleError::NeverFires { .. }) => {
            assert!(expected.is_empty(), "`{text}` in {zone}: {expected:?}");
            return 0;
        }
        Err(error) => panic!("`{text}`: {error}"),
    };
    let next_after = |moment: DateTime<Tz>| {
        let next = schedule.next_after(Timestamp(moment.timestamp_millis()))?;
        Some(next.to_utc().with_timezone(&zone))
    };
    let mut last = moment;
    for time in &expected {
        assert_eq!(
            next_after(last),
            Some(*time),
            "`{text}` in {zone} after {last}"
        );
        last = *time;
    }
    if expected.len() < 4 {
        let horizon = moment + Days::new(days - 3);
        let next = next_after(last);
        assert!(
            next.is_none_or(|next| next > horizon),
            "`{text}` in {zone} after {last}: {next:?}"
        );
    }
    expected.len()
}

/// The minute at which the clocks change near that day, or the start of the day.
fn change_of(zone: Tz, day: &str) -> DateTime<Tz> {
    let date: NaiveDate = day.parse().unwrap();
    let start = zone.from_utc_datetime(&date.and_hms_opt(0, 0, 0).unwrap()) - TimeDelta::hours(30);
    let ahead = |at: DateTime<Tz>| at.naive_local() - at.naive_utc();
    (0..60 * 60)
        .map(|minute| start + TimeDelta::minutes(minute))
        .find(|at| ahead(*at) != ahead(start))
        .unwrap_or(start + TimeDelta::hours(30))
}

#[test]
fn any_expression_fires_when_the_slow_calculator_says() {
    let mut chance = Chance(2026);
    let mut compared = 0;
    for _ in 0..500 {
        let index = usize::try_from(chance.below(6)).unwrap();
        let (zone, _) = SPECIAL_DAYS[index];
        let first_year = if zone == Tz::America__Sao_Paulo {
            2016
        } else {
            2024
        };
        let start = zone.with_ymd_and_hms(first_year, 1, 1, 12, 0, 0).unwrap();
        let moment = start + TimeDelta::milliseconds(i64::from(chance.below(3_000)) * 86_412_345);
        let text = chance.expression(false);
        compared += compare(&text, zone, moment, 400);
    }
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn when_clocks_change_the_slow_calculator_agrees() {
    let mut chance = Chance(1979);
    for (zone, days) in SPECIAL_DAYS {
        for day in days {
            let change = change_of(zone, day);
            for _ in 0..16 {
                let moment = change
                    + TimeDelta::milliseconds(i64::from(chance.below(20_000)) * 1_234)
                    - TimeDelta::hours(5);
                let text = chance.expression(true);
                compare(&text, zone, moment, 5);
            }
        }
    }
}

#[test]
fn rare_days_are_found_by_both() {
    for text in [
        "0 0 29 2 *",
        "0 0 0 29 2 ? 2025-2032",
        "0 0 0 ? 2 SUN#5",
        "0 12 29W 2 *",
        "0 12 L-28 2 *",
        "0 0 0 31W 11,12 ?",
        "0 0 0 1W 2-8/6 ?",
        "0 0 L-27W * *",
        "59 23 31 12 *",
    ] {
        let moment = Tz::UTC.with_ymd_and_hms(2024, 3, 1, 0, 0, 0).unwrap();
        assert!(compare(text, Tz::UTC, moment, 3_000) > 0, "{text}");
    }
}

#[test]
fn several_expressions_fire_when_the_slow_calculator_says_of_each() {
    let mut chance = Chance(2027);
    let mut compared = 0;
    for _ in 0..150 {
        let index = usize::try_from(chance.below(6)).unwrap();
        let (zone, _) = SPECIAL_DAYS[index];
        let moment = zone.with_ymd_and_hms(2024, 1, 1, 12, 0, 0).unwrap()
            + TimeDelta::milliseconds(i64::from(chance.below(1_000)) * 86_412_345);
        let fires = |text: &String| Schedule::parse(text, zone).is_ok();
        let texts: Vec<String> = (0..3).map(|_| chance.expression(false)).collect();
        let texts: Vec<String> = texts.into_iter().filter(fires).collect();
        // The last one is switched off.
        let on = &texts[..texts.len().saturating_sub(1)];
        let Ok(schedule) = Schedule::parse(&format!("{} OFF", texts.join("; ")), zone) else {
            continue;
        };
        let slow = |text: &String| Slow::of(text, zone).times(moment, 400, 4);
        let mut expected: Vec<_> = on.iter().flat_map(slow).collect();
        expected.sort();
        expected.dedup();
        expected.truncate(4);
        let mut last = Timestamp(moment.timestamp_millis());
        for time in expected {
            let next = schedule.next_after(last).unwrap();
            assert_eq!(
                next.0,
                time.timestamp_millis(),
                "{texts:?} in {zone} after {last}"
            );
            last = next;
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}
