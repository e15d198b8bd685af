//! When jobs run: EXEC_INTERVAL is parsed into a [`Schedule`], which gives the times of runs.
//!
//! All of it is pure functions of a text, a zone and a moment. [`Schedule`] gives the times, [`policy::JobPolicy`] the
//! rules for missed, failed and overlapping runs, and [`next`] decides by both.
//!
//! Cron expressions are parsed here and not by a crate. `croner` (4.0.3) was tried first. It has no `L-n`, reads
//! Quartz's `L` as no weekday at all, refuses ranges past the end (`FRI-MON`), accepts `30 2 30 2 *` as a schedule, and
//! names no field in an error. Above all, its rules for clock changes depend on the form of a field, so that
//! `15,45 2 * * *` runs four times in autumn and not at all in spring. Only its walk through the calendar would have
//! been left, which is the smallest part.

use std::time::Duration;

use chrono::{Datelike, NaiveDateTime, Timelike};
use chrono_tz::Tz;

use crate::clock::Timestamp;

mod cron;
mod field;
mod local;
pub mod next;
#[cfg(test)]
mod oracle;
pub mod policy;
pub mod policy_draft;
mod run;
mod several;
#[cfg(test)]
mod tests;
mod times;
mod trigger;
mod words;
mod zone;

pub use cron::Cron;
pub use next::{
    DueDecision, decide_due_run, first_run, following_run, is_still_planned, parallel_run,
};
pub use policy::JobPolicy;
pub use policy_draft::{PolicyDraft, PolicyOptionError};
pub use run::{FirstRun, ScheduledRun};
pub use several::ScheduleEntry;
pub use trigger::{Condition, RunOutcome, Trigger, TriggerError};
pub use zone::find_zone;

/// The longest interval, a century. A longer one is a mistake of units.
const MAX_INTERVAL_DAYS: u64 = 36_525;

/// A parsed EXEC_INTERVAL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    timing: Timing,
    zone: Tz,
}

/// The kind of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// One run, at once.
    Once,
    /// One run at this time.
    At(Timestamp),
    /// Runs with this pause between the end of one and the start of the next.
    Every(Duration),
    /// Runs at calendar times.
    Cron(Box<Cron>),
    /// Runs at the times of every enabled entry, and one pause after the end of the last run.
    Several(Vec<ScheduleEntry>),
}

/// Why a text is not a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The text has none of the forms.
    #[error(
        "`{text}` is not a schedule: expected `yyyy-MM-dd HH:mm:ss`, `[D.]HH:MM:SS`, seconds, or a cron expression of five to seven fields"
    )]
    Form {
        /// The text as the user wrote it.
        text: String,
    },
    /// The text has the form of a moment that does not exist.
    #[error("`{text}` is not a date and time from 1970 to 9999")]
    Moment {
        /// The moment as the user wrote it.
        text: String,
    },
    /// The interval is longer than a century.
    #[error("the interval `{text}` is longer than {MAX_INTERVAL_DAYS} days")]
    TooLong {
        /// The interval as the user wrote it.
        text: String,
    },
    /// A field of a cron expression is wrong.
    #[error("`{part}` is not a valid {field} of a cron expression: {why}")]
    Field {
        /// The wrong part of the field.
        part: String,
        /// The name of the field.
        field: &'static str,
        /// The reason, as a clause.
        why: String,
    },
    /// The cron expression is well-formed and has no time.
    #[error("`{text}` never fires: {why}")]
    NeverFires {
        /// The expression as the user wrote it.
        text: String,
        /// The reason, as a clause.
        why: String,
    },
    /// A schedule cannot be combined with others, or be disabled.
    #[error("{0}")]
    Several(String),
    /// There is no such time zone.
    #[error(
        "unknown time zone `{name}`{}",
        .nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
    )]
    Zone {
        /// The name as the user wrote it.
        name: String,
        /// The zone with the most similar name.
        nearest: Option<&'static str>,
    },
}

impl Schedule {
    /// Parses an EXEC_INTERVAL.
    ///
    /// * nothing, `0` or `00:00:00`: once, at once;
    /// * `yyyy-MM-dd HH:mm:ss`: once, at that time;
    /// * `[D.]HH:MM:SS` or seconds: repeatedly, this long after the end of the last run;
    /// * five fields of a crontab, or six or seven of Quartz (see [`Cron`]).
    ///
    /// A prefix `TZ=<zone> ` or `CRON_TZ=<zone> ` sets the zone of the times. `;` separates several schedules, and a
    /// final `OFF` disables one.
    pub fn parse(text: &str, default_zone: Tz) -> Result<Self, ScheduleError> {
        let text = text.trim();
        if let Some(parts) = several::parse(text, default_zone)? {
            return Ok(Self {
                text: text.to_owned(),
                timing: Timing::Several(parts),
                zone: default_zone,
            });
        }
        let (zone, rest) = split_zone(text, default_zone)?;
        Ok(Self {
            text: text.to_owned(),
            timing: timing(rest, zone)?,
            zone,
        })
    }

    /// The text as the user wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The kind of a schedule.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The zone of its times.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Whether it may have more than one run.
    pub fn is_recurring(&self) -> bool {
        match &self.timing {
            Timing::Once | Timing::At(_) => false,
            Timing::Every(_) | Timing::Cron(_) => true,
            Timing::Several(parts) => {
                parts.len() > 1 || parts.iter().any(ScheduleEntry::is_recurring)
            }
        }
    }

    /// Whether every entry is disabled. Such a job waits until UPDATEJOB enables one.
    pub fn is_off(&self) -> bool {
        matches!(&self.timing, Timing::Several(parts) if parts.iter().all(|part| !part.enabled))
    }

    /// The first time strictly after `moment`; `None` = never.
    ///
    /// For an interval, `moment` is taken as the end of a run.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let paused = self.pause().map(|pause| moment.plus(pause));
        [self.calendar_after(moment), paused]
            .into_iter()
            .flatten()
            .min()
    }

    /// The first calendar time strictly after `moment`.
    fn calendar_after(&self, moment: Timestamp) -> Option<Timestamp> {
        match &self.timing {
            Timing::Once | Timing::Every(_) => None,
            Timing::At(at) => Some(*at).filter(|at| *at > moment),
            Timing::Cron(cron) => local::next_after(cron, self.zone, moment),
            Timing::Several(parts) => several::enabled(parts)
                .filter_map(|part| part.calendar_after(moment))
                .min(),
        }
    }

    /// The pause after the end of a run, if it has an interval.
    pub fn pause(&self) -> Option<Duration> {
        match &self.timing {
            Timing::Once | Timing::At(_) | Timing::Cron(_) => None,
            Timing::Every(pause) => Some(*pause),
            Timing::Several(parts) => several::enabled(parts).find_map(Self::pause),
        }
    }

    /// Describes the schedule for users.
    pub fn describe(&self) -> String {
        match &self.timing {
            Timing::Once => "once, at once".to_owned(),
            Timing::At(at) => format!(
                "once, at {} ({})",
                local::to_seconds_text(*at, self.zone),
                self.zone
            ),
            Timing::Every(pause) => {
                format!(
                    "every {} after the end of the last run",
                    words::pause(*pause)
                )
            }
            Timing::Cron(cron) => format!("{} ({})", words::cron(cron), self.zone),
            Timing::Several(parts) => {
                let words: Vec<String> = parts.iter().map(ScheduleEntry::describe).collect();
                words.join("; ")
            }
        }
    }
}

/// Splits off a prefix `TZ=<zone> `.
fn split_zone(text: &str, default_zone: Tz) -> Result<(Tz, &str), ScheduleError> {
    let Some(named) = text
        .strip_prefix("TZ=")
        .or_else(|| text.strip_prefix("CRON_TZ="))
    else {
        return Ok((default_zone, text));
    };
    let (name, rest) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
    Ok((find_zone(name)?, rest.trim()))
}

fn timing(text: &str, zone: Tz) -> Result<Timing, ScheduleError> {
    if text.is_empty() {
        return Ok(Timing::Once);
    }
    if let Some(seconds) = interval_seconds(text) {
        return match seconds {
            0 => Ok(Timing::Once),
            1.. if seconds <= MAX_INTERVAL_DAYS * 86_400 => {
                Ok(Timing::Every(Duration::from_secs(seconds)))
            }
            1.. => Err(ScheduleError::TooLong {
                text: text.to_owned(),
            }),
        };
    }
    if has_form_of_moment(text) {
        let local = parse_moment(text).ok_or_else(|| ScheduleError::Moment {
            text: text.to_owned(),
        })?;
        return Ok(Timing::At(local::first_shown(zone, local)));
    }
    let fields: Vec<_> = text.split_whitespace().collect();
    if !(5..=7).contains(&fields.len()) {
        return Err(ScheduleError::Form {
            text: text.to_owned(),
        });
    }
    let cron = Cron::parse(&fields)?;
    refuse_never(text, &cron, zone)?;
    Ok(Timing::Cron(Box::new(cron)))
}

/// Refuses a cron expression that has no time.
fn refuse_never(text: &str, cron: &Cron, zone: Tz) -> Result<(), ScheduleError> {
    if local::next_after(cron, zone, Timestamp(i64::MIN)).is_some() {
        return Ok(());
    }
    let why = if cron.has_a_day() {
        format!("the clocks of {zone} skip its times")
    } else {
        format!("there is no {}", words::missing_day(cron))
    };
    Err(ScheduleError::NeverFires {
        text: text.to_owned(),
        why,
    })
}

/// Parses `[D.]HH:MM:SS` or a number. A number that is too large becomes the largest one.
fn interval_seconds(text: &str) -> Option<u64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let (days, time) = text.split_once('.').unwrap_or(("0", text));
    let parts: Vec<_> = time.split(':').collect();
    let [hours, minutes, seconds] = parts.as_slice() else {
        return None;
    };
    let within = |part: &str, most| number(part).filter(|part| *part <= most);
    let (hours, minutes, seconds) = (
        within(hours, 23)?,
        within(minutes, 59)?,
        within(seconds, 59)?,
    );
    let days = number(days)?.saturating_mul(86_400);
    Some(days.saturating_add(hours * 3_600 + minutes * 60 + seconds))
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Whether the text has the form of a date and a time, even if its numbers are out of range.
fn has_form_of_moment(text: &str) -> bool {
    let parts: Vec<_> = text.split_whitespace().collect();
    let are_numbers = |text: &str, between: char| {
        text.split(between).count() == 3 && text.split(between).all(|part| number(part).is_some())
    };
    matches!(parts.as_slice(), [date, time] if are_numbers(date, '-') && are_numbers(time, ':'))
}

fn parse_moment(text: &str) -> Option<NaiveDateTime> {
    let moment = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    // Chrono accepts second 60 as a leap second, which POSIX time does not have.
    let is_leap_second = moment.nanosecond() >= 1_000_000_000;
    ((1970..=9999).contains(&moment.year()) && !is_leap_second).then_some(moment)
}
