//! A cron expression as a calendar of local times. [`super::local`] converts local times to moments.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

use super::ScheduleError;
use super::field::{Dialect, FIRST_YEAR, Field, Numbers, number};

/// A cron expression.
///
/// Five fields follow crontab: minute, hour, day of month, month, day of week, with Sunday as 0 and 7. Six or seven
/// fields follow Quartz: seconds first, an optional year last, with Sunday as 1 and Saturday as 7. Both support
/// `L`, `L-n`, `LW`, `nW`, `nL` and `n#m`.
///
/// If both day fields are restricted, a day has to match one of them. As in every crontab, a day field that begins with
/// `*` does not count as restricted: `*/2` together with `MON` means the Mondays with an odd date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    pub(super) seconds: Numbers,
    pub(super) minutes: Numbers,
    pub(super) hours: Numbers,
    pub(super) days: DaysOfMonth,
    pub(super) months: Numbers,
    pub(super) weekdays: DaysOfWeek,
    pub(super) years: Numbers,
    /// Whether minutes or hours are counted (`*`, `0/5`) and not named.
    is_interval_like: bool,
}

/// The field `day of month`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DaysOfMonth {
    /// `*`, `*/n` or `?`: days of the week are not matched as an alternative.
    pub(super) is_open: bool,
    /// From 1.
    pub(super) days: Numbers,
    /// Days whose date depends on the month.
    pub(super) moving: Vec<MovingDay>,
}

/// A day whose date depends on the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MovingDay {
    /// `L`, `L-n`: the last day, or the nth day before it.
    Last { before: u32 },
    /// `LW`, `L-nW`: the same, moved to the nearest working day of the month.
    LastWorking { before: u32 },
    /// `nW`: the working day of the month nearest to the nth.
    NearestWorking { day: u32 },
}

/// The field `day of week`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DaysOfWeek {
    /// `*`, `*/n` or `?`: days of the month are not matched as an alternative.
    pub(super) is_open: bool,
    /// From 0, Sunday.
    pub(super) days: Numbers,
    /// Weekdays of one week of the month.
    pub(super) chosen: Vec<ChosenWeekday>,
}

/// A weekday of one week of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChosenWeekday {
    /// `n#m`: the mth such weekday.
    Nth { weekday: u32, nth: u32 },
    /// `nL`: the last such weekday.
    Last { weekday: u32 },
}

impl Cron {
    /// Parses five, six or seven fields.
    pub(super) fn parse(fields: &[&str]) -> Result<Self, ScheduleError> {
        match fields {
            [minute, hour, day, month, weekday] => Self::from_fields(
                Dialect::Crontab,
                ["0", minute, hour, day, month, weekday, "*"],
            ),
            [second, minute, hour, day, month, weekday] => Self::from_fields(
                Dialect::Quartz,
                [second, minute, hour, day, month, weekday, "*"],
            ),
            [second, minute, hour, day, month, weekday, year] => Self::from_fields(
                Dialect::Quartz,
                [second, minute, hour, day, month, weekday, year],
            ),
            _ => Err(ScheduleError::Form {
                text: fields.join(" "),
            }),
        }
    }

    fn from_fields(dialect: Dialect, fields: [&str; 7]) -> Result<Self, ScheduleError> {
        let [second, minute, hour, day, month, weekday, year] = fields;
        if day == "?" && weekday == "?" {
            let why = "only one of the two day fields can be left open by `?`".to_owned();
            return Err(Field::day_of_week(dialect).error(weekday, why));
        }
        Ok(Self {
            seconds: Field::second(dialect).numbers(second)?,
            minutes: Field::minute(dialect).numbers(minute)?,
            hours: Field::hour(dialect).numbers(hour)?,
            days: DaysOfMonth::parse(dialect, day)?,
            months: Field::month(dialect).numbers(month)?,
            weekdays: DaysOfWeek::parse(dialect, weekday)?,
            years: Field::year().numbers(year)?,
            is_interval_like: [minute, hour]
                .iter()
                .any(|field| field.contains(['*', '/'])),
        })
    }

    /// Whether it counts elapsed time (`*/5`) instead of naming times of the day (`30 2`).
    pub(super) fn is_interval_like(&self) -> bool {
        self.is_interval_like
    }

    /// Whether it matches any date.
    pub(super) fn has_a_day(&self) -> bool {
        NaiveDate::from_ymd_opt(to_year(FIRST_YEAR), 1, 1)
            .and_then(|first| self.date_from(first))
            .is_some()
    }

    /// The first matching local time from `start` on.
    pub(super) fn local_from(&self, start: NaiveDateTime) -> Option<NaiveDateTime> {
        let today = start.date();
        if self.has_date(today)
            && let Some(time) = self.time_from(start.time())
        {
            return Some(today.and_time(time));
        }
        let date = self.date_from(today.succ_opt()?)?;
        Some(date.and_time(self.time_from(NaiveTime::MIN)?))
    }

    fn time_from(&self, start: NaiveTime) -> Option<NaiveTime> {
        let (first_minute, first_second) = (self.minutes.first()?, self.seconds.first()?);
        for &hour in self.hours.from(start.hour()) {
            if hour > start.hour() {
                return NaiveTime::from_hms_opt(hour, first_minute, first_second);
            }
            for &minute in self.minutes.from(start.minute()) {
                if minute > start.minute() {
                    return NaiveTime::from_hms_opt(hour, minute, first_second);
                }
                if let Some(&second) = self.seconds.from(start.second()).first() {
                    return NaiveTime::from_hms_opt(hour, minute, second);
                }
            }
        }
        None
    }

    fn date_from(&self, start: NaiveDate) -> Option<NaiveDate> {
        let start_year = u32::try_from(start.year()).unwrap_or(0);
        for &year in self.years.from(start_year) {
            let first_month = if year == start_year { start.month() } else { 1 };
            for &month in self.months.from(first_month) {
                let first = NaiveDate::from_ymd_opt(to_year(year), month, 1)?;
                let found = first
                    .max(start)
                    .iter_days()
                    .take_while(|date| date.month() == month)
                    .find(|date| self.has_day(*date));
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    fn has_date(&self, date: NaiveDate) -> bool {
        let year = u32::try_from(date.year()).unwrap_or(0);
        self.years.contains(year) && self.months.contains(date.month()) && self.has_day(date)
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        let (by_month, by_week) = (self.days.has(date), self.weekdays.has(date));
        if self.days.is_open || self.weekdays.is_open {
            by_month && by_week
        } else {
            by_month || by_week
        }
    }
}

impl DaysOfMonth {
    fn parse(dialect: Dialect, text: &str) -> Result<Self, ScheduleError> {
        let field = Field::day_of_month(dialect);
        let (mut days, mut moving) = (Vec::new(), Vec::new());
        for part in open(text).split(',') {
            match MovingDay::parse(&field, part)? {
                Some(day) => moving.push(day),
                None => days.extend(field.part(part)?),
            }
        }
        Ok(Self {
            is_open: is_open(text),
            days: Numbers::of(days),
            moving,
        })
    }

    fn has(&self, date: NaiveDate) -> bool {
        self.days.contains(date.day()) || self.moving.iter().any(|day| day.is(date))
    }
}

impl MovingDay {
    fn parse(field: &Field, part: &str) -> Result<Option<Self>, ScheduleError> {
        let text = part.to_ascii_uppercase();
        let (day, is_working) = match text.strip_suffix('W') {
            Some(day) => (day, true),
            None => (text.as_str(), false),
        };
        let before = match day.strip_prefix('L') {
            Some("") => Some(0),
            Some(before) => Some(
                before
                    .strip_prefix('-')
                    .and_then(number)
                    .filter(|before| *before <= 30)
                    .ok_or_else(|| {
                        field.error(part, "expected `L-` and a number to 30".to_owned())
                    })?,
            ),
            None => None,
        };
        Ok(match (before, is_working) {
            (Some(before), false) => Some(Self::Last { before }),
            (Some(before), true) => Some(Self::LastWorking { before }),
            (None, true) => Some(Self::NearestWorking {
                day: field.value(part, day)?,
            }),
            (None, false) => None,
        })
    }

    fn is(self, date: NaiveDate) -> bool {
        let last = u32::from(date.num_days_in_month());
        match self {
            Self::Last { before } => date.day() + before == last,
            Self::LastWorking { before } => {
                last.checked_sub(before)
                    .and_then(|day| nearest_working(date, day))
                    == Some(date.day())
            }
            Self::NearestWorking { day } => nearest_working(date, day) == Some(date.day()),
        }
    }
}

impl DaysOfWeek {
    fn parse(dialect: Dialect, text: &str) -> Result<Self, ScheduleError> {
        let field = Field::day_of_week(dialect);
        let (mut days, mut chosen) = (Vec::new(), Vec::new());
        for part in open(text).split(',') {
            match ChosenWeekday::parse(dialect, &field, part)? {
                Some(weekday) => chosen.push(weekday),
                None if dialect == Dialect::Quartz && part.eq_ignore_ascii_case("L") => {
                    days.push(from_sunday(dialect, 7));
                }
                None => days.extend(
                    field
                        .part(part)?
                        .into_iter()
                        .map(|weekday| from_sunday(dialect, weekday)),
                ),
            }
        }
        Ok(Self {
            is_open: is_open(text),
            days: Numbers::of(days),
            chosen,
        })
    }

    fn has(&self, date: NaiveDate) -> bool {
        self.days.contains(date.weekday().num_days_from_sunday())
            || self.chosen.iter().any(|weekday| weekday.is(date))
    }
}

impl ChosenWeekday {
    fn parse(dialect: Dialect, field: &Field, part: &str) -> Result<Option<Self>, ScheduleError> {
        if let Some((weekday, nth)) = part.split_once('#') {
            let weekday = from_sunday(dialect, field.value(part, weekday)?);
            let nth = number(nth)
                .filter(|nth| (1..=5).contains(nth))
                .ok_or_else(|| field.error(part, "expected 1 to 5 after `#`".to_owned()))?;
            return Ok(Some(Self::Nth { weekday, nth }));
        }
        match part.strip_suffix(['L', 'l']) {
            None | Some("") => Ok(None),
            Some(weekday) => Ok(Some(Self::Last {
                weekday: from_sunday(dialect, field.value(part, weekday)?),
            })),
        }
    }

    fn is(self, date: NaiveDate) -> bool {
        let is_weekday = |weekday| date.weekday().num_days_from_sunday() == weekday;
        match self {
            Self::Nth { weekday, nth } => is_weekday(weekday) && (date.day() - 1) / 7 + 1 == nth,
            Self::Last { weekday } => {
                is_weekday(weekday) && date.day() + 7 > u32::from(date.num_days_in_month())
            }
        }
    }
}

/// `?` means the same as `*` and is allowed in day fields only.
fn open(text: &str) -> &str {
    if text == "?" { "*" } else { text }
}

fn is_open(text: &str) -> bool {
    text.starts_with(['*', '?'])
}

/// Days of the week counted from Sunday as 0, in either dialect.
fn from_sunday(dialect: Dialect, weekday: u32) -> u32 {
    match dialect {
        Dialect::Crontab => weekday % 7,
        Dialect::Quartz => weekday - 1,
    }
}

/// The working day nearest to a day of `month`, within the month; none if the month has no such day.
fn nearest_working(month: NaiveDate, day: u32) -> Option<u32> {
    let date = month.with_day(day)?;
    let is_last = day == u32::from(date.num_days_in_month());
    Some(match date.weekday() {
        chrono::Weekday::Sat if day == 1 => 3,
        chrono::Weekday::Sat => day - 1,
        chrono::Weekday::Sun if is_last => day - 2,
        chrono::Weekday::Sun => day + 1,
        _ => day,
    })
}

fn to_year(year: u32) -> i32 {
    i32::try_from(year).unwrap_or(i32::MAX)
}
