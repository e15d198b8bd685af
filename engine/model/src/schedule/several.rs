//! Several schedules of one job: `0 6 * * 1-5; TZ=Asia/Tokyo 0 10 * * 6,7; 04:00:00 OFF`.

use chrono_tz::Tz;

use super::{Schedule, ScheduleError, Timing};

const MAX_SCHEDULES: usize = 32;
const OFF: &str = "OFF";

/// An entry of a list of schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEntry {
    /// The schedule of the entry, which is not a list itself.
    pub schedule: Schedule,
    /// Whether it starts runs. A disabled entry is kept.
    pub enabled: bool,
}

impl ScheduleEntry {
    pub(super) fn is_recurring(&self) -> bool {
        self.schedule.is_recurring()
    }

    pub(super) fn describe(&self) -> String {
        let words = self.schedule.describe();
        match self.enabled {
            true => words,
            false => format!("{words} (switched off)"),
        }
    }
}

/// The enabled schedules.
pub(super) fn enabled(entries: &[ScheduleEntry]) -> impl Iterator<Item = &Schedule> {
    entries
        .iter()
        .filter(|entry| entry.enabled)
        .map(|entry| &entry.schedule)
}

/// Parses a list of schedules; none where the text is one enabled schedule.
pub(super) fn parse(
    text: &str,
    default_zone: Tz,
) -> Result<Option<Vec<ScheduleEntry>>, ScheduleError> {
    let texts: Vec<&str> = text
        .split(';')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .collect();
    let is_plain = !text.contains(';') && texts.iter().all(|text| strip_off(text).is_none());
    if is_plain || texts.is_empty() {
        return Ok(None);
    }
    if texts.len() > MAX_SCHEDULES {
        let message = format!("a job has at most {MAX_SCHEDULES} schedules");
        return Err(ScheduleError::Several(message));
    }
    let mut entries: Vec<ScheduleEntry> = Vec::new();
    for text in texts {
        let off = strip_off(text);
        let schedule = Schedule::parse(off.unwrap_or(text), default_zone)?;
        refuse(&schedule, &entries)?;
        entries.push(ScheduleEntry {
            schedule,
            enabled: off.is_none(),
        });
    }
    let second = enabled(&entries)
        .filter(|entry| entry.pause().is_some())
        .nth(1);
    if let Some(second) = second {
        return Err(ScheduleError::Several(format!(
            "`{}` is a second interval: only one can count from the end of the last run",
            second.text()
        )));
    }
    Ok(Some(entries))
}

/// The text before a final OFF.
fn strip_off(text: &str) -> Option<&str> {
    let start = text.len().checked_sub(OFF.len())?;
    let (rest, last) = text.split_at_checked(start)?;
    let is_word = rest.is_empty() || rest.ends_with(char::is_whitespace);
    (is_word && last.eq_ignore_ascii_case(OFF)).then_some(rest.trim_end())
}

/// Refuses an entry that cannot be combined with the ones before it.
fn refuse(schedule: &Schedule, entries: &[ScheduleEntry]) -> Result<(), ScheduleError> {
    let text = schedule.text();
    let message = match schedule.timing() {
        Timing::Once if text.is_empty() => {
            "in front of OFF stands the schedule that it switches off".to_owned()
        }
        Timing::Once => {
            format!("`{text}` means once, at once: it cannot be one of several, or be switched off")
        }
        Timing::Several(_) => format!("`{text}` is switched off twice"),
        Timing::Every(_) | Timing::At(_) | Timing::Cron(_)
            if entries.iter().any(|entry| entry.schedule == *schedule) =>
        {
            format!("`{text}` is listed twice")
        }
        Timing::Every(_) | Timing::At(_) | Timing::Cron(_) => return Ok(()),
    };
    Err(ScheduleError::Several(message))
}
