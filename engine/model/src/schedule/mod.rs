//! When jobs run: the texts of EXEC_INTERVAL, read once, and the times that follow from them.
//!
//! Everything here is a pure function of a text, a zone and a moment. [`Schedule`] says which times there are,
//! [`policy::JobPolicy`] how they are to be kept, and [`next`] decides by both.
//!
//! The cron expressions are read and matched here and not by a crate. `croner` (4.0.3) was tried first and does much
//! of it well; but it has no `L-n`, reads Quartz's `L` as no weekday at all, refuses ranges past the end (`FRI-MON`),
//! takes `30 2 30 2 *` for a schedule, and names no field in an error. Above all it keeps its rules for the change of
//! clocks by the shape of a field, so that `15,45 2 * * *` runs four times in autumn and not at all in spring. What
//! would have been left of it is the walk through the calendar, the smallest part.

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
mod several;
#[cfg(test)]
mod tests;
mod times;
mod trigger;
mod words;
mod zone;

pub use cron::Cron;
pub use next::{Due, First, RunEnd, due, first, following, keeps};
pub use policy::JobPolicy;
pub use several::Part;
pub use trigger::{Condition, Outcome, Trigger, TriggerError};
pub use zone::zone;

/// No interval is longer than a century; what asks for more is a mistake of units.
const MAX_INTERVAL_DAYS: u64 = 36_525;

/// When a job runs, as its EXEC_INTERVAL says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    timing: Timing,
    zone: Tz,
}

/// What kind of schedule it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timing {
    /// One run, at once.
    Once,
    /// One run, then.
    At(Timestamp),
    /// Runs with this pause between the end of one and the start of the next.
    Every(Duration),
    /// Runs at the times of a calendar.
    Cron(Box<Cron>),
    /// Runs by each of these that is switched on: at the times of all, and one pause after the end of the last run.
    Several(Vec<Part>),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// None of the forms.
    #[error(
        "`{text}` is no schedule: expected `yyyy-MM-dd HH:mm:ss`, `[D.]HH:MM:SS`, seconds, or a cron expression of five to seven fields"
    )]
    Form {
        /// The text as written.
        text: String,
    },
    /// The form of a moment, but no calendar has it.
    #[error("`{text}` is no moment of the calendar from 1970 to 9999")]
    Moment {
        /// The moment as written.
        text: String,
    },
    /// An interval beyond every purpose.
    #[error("the interval `{text}` is longer than {MAX_INTERVAL_DAYS} days")]
    TooLong {
        /// The interval as written.
        text: String,
    },
    /// A field of a cron expression holds what it cannot.
    #[error("`{part}` is no {field} of a cron expression: {why}")]
    Field {
        /// The part of the field.
        part: String,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A cron expression that is well formed and means no time at all.
    #[error("`{text}` never fires: {why}")]
    NeverFires {
        /// The expression as written.
        text: String,
        /// What does not exist.
        why: String,
    },
    /// A schedule that cannot stand beside others, or be switched off.
    #[error("{0}")]
    Several(String),
    /// No such time zone.
    #[error(
        "unknown time zone `{name}`{}",
        .nearest.as_ref().map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
    )]
    Zone {
        /// The name as written.
        name: String,
        /// A zone with nearly that name.
        nearest: Option<&'static str>,
    },
}

impl Schedule {
    /// Reads an EXEC_INTERVAL.
    ///
    /// * nothing, `0` or `00:00:00`: once, at once;
    /// * `yyyy-MM-dd HH:mm:ss`: once, then;
    /// * `[D.]HH:MM:SS` or seconds: again and again, counted from the end of the last run;
    /// * five fields of a crontab, or six or seven of Quartz (see [`Cron`]).
    ///
    /// `TZ=<zone> ` or `CRON_TZ=<zone> ` in front says in which zone the times are meant. Several schedules are
    /// separated by `;`, and `OFF` behind one switches it off.
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

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What kind of schedule it is.
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// The zone its times are meant in.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// Whether there may be a second run.
    pub fn is_recurring(&self) -> bool {
        match &self.timing {
            Timing::Once | Timing::At(_) => false,
            Timing::Every(_) | Timing::Cron(_) => true,
            Timing::Several(parts) => parts.len() > 1 || parts.iter().any(Part::is_recurring),
        }
    }

    /// Whether all of it is switched off: it stands still until UPDATEJOB switches something on.
    pub fn is_off(&self) -> bool {
        matches!(&self.timing, Timing::Several(parts) if parts.iter().all(|part| !part.enabled))
    }

    /// The first time strictly after `moment`; `None` = never again.
    ///
    /// An interval has no times of its own: `moment` is read as the end of a run.
    pub fn next_after(&self, moment: Timestamp) -> Option<Timestamp> {
        let paused = self.pause().map(|pause| moment.plus(pause));
        [self.calendar_after(moment), paused]
            .into_iter()
            .flatten()
            .min()
    }

    /// The first time of a calendar, or the moment, strictly after this one.
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

    /// The pause behind the end of a run, where there is an interval.
    pub fn pause(&self) -> Option<Duration> {
        match &self.timing {
            Timing::Once | Timing::At(_) | Timing::Cron(_) => None,
            Timing::Every(pause) => Some(*pause),
            Timing::Several(parts) => several::enabled(parts).find_map(Self::pause),
        }
    }

    /// The schedule in words.
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
                let words: Vec<String> = parts.iter().map(Part::describe).collect();
                words.join("; ")
            }
        }
    }
}

/// Takes `TZ=<zone> ` off the front.
fn split_zone(text: &str, default_zone: Tz) -> Result<(Tz, &str), ScheduleError> {
    let Some(named) = text
        .strip_prefix("TZ=")
        .or_else(|| text.strip_prefix("CRON_TZ="))
    else {
        return Ok((default_zone, text));
    };
    let (name, rest) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
    Ok((zone(name)?, rest.trim()))
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
    if looks_like_a_moment(text) {
        let local = calendar_moment(text).ok_or_else(|| ScheduleError::Moment {
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

/// `[D.]HH:MM:SS` or a number; a number too large to count is the largest there is.
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

/// Two words, a date and a time: what is wrong then is a number, not the form.
fn looks_like_a_moment(text: &str) -> bool {
    let parts: Vec<_> = text.split_whitespace().collect();
    let are_numbers = |text: &str, between: char| {
        text.split(between).count() == 3 && text.split(between).all(|part| number(part).is_some())
    };
    matches!(parts.as_slice(), [date, time] if are_numbers(date, '-') && are_numbers(time, ':'))
}

fn calendar_moment(text: &str) -> Option<NaiveDateTime> {
    let moment = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    // Chrono reads second 60 as a leap second, which no clock here ever shows.
    let is_leap_second = moment.nanosecond() >= 1_000_000_000;
    ((1970..=9999).contains(&moment.year()) && !is_leap_second).then_some(moment)
}
