//! Several schedules of one job: `0 6 * * 1-5; TZ=Asia/Tokyo 0 10 * * 6,7; 04:00:00 OFF`.

use chrono_tz::Tz;

use super::{Schedule, ScheduleError, Timing};

/// The most schedules of a job.
const MANY: usize = 32;
const OFF: &str = "OFF";

/// One of several schedules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it says; never several again.
    pub schedule: Schedule,
    /// False: it is kept and starts nothing.
    pub enabled: bool,
}

impl Part {
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

/// Those that start runs.
pub(super) fn enabled(parts: &[Part]) -> impl Iterator<Item = &Schedule> {
    parts
        .iter()
        .filter(|part| part.enabled)
        .map(|part| &part.schedule)
}

/// The parts of a text with several schedules, or with one that is switched off; none where it is a plain one.
pub(super) fn parse(text: &str, default_zone: Tz) -> Result<Option<Vec<Part>>, ScheduleError> {
    let texts: Vec<&str> = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    let is_plain = !text.contains(';') && texts.iter().all(|text| switched_off(text).is_none());
    if is_plain || texts.is_empty() {
        return Ok(None);
    }
    if texts.len() > MANY {
        let message = format!("a job has at most {MANY} schedules");
        return Err(ScheduleError::Several(message));
    }
    let mut parts: Vec<Part> = Vec::new();
    for text in texts {
        let off = switched_off(text);
        let schedule = Schedule::parse(off.unwrap_or(text), default_zone)?;
        refuse(&schedule, &parts)?;
        parts.push(Part {
            schedule,
            enabled: off.is_none(),
        });
    }
    let second = enabled(&parts).filter(|part| part.pause().is_some()).nth(1);
    if let Some(second) = second {
        return Err(ScheduleError::Several(format!(
            "`{}` is a second interval: only one can count from the end of the last run",
            second.text()
        )));
    }
    Ok(Some(parts))
}

/// What stands in front of OFF.
fn switched_off(text: &str) -> Option<&str> {
    let start = text.len().checked_sub(OFF.len())?;
    let (rest, last) = text.split_at_checked(start)?;
    let is_word = rest.is_empty() || rest.ends_with(char::is_whitespace);
    (is_word && last.eq_ignore_ascii_case(OFF)).then_some(rest.trim_end())
}

fn refuse(schedule: &Schedule, parts: &[Part]) -> Result<(), ScheduleError> {
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
            if parts.iter().any(|part| part.schedule == *schedule) =>
        {
            format!("`{text}` is there twice")
        }
        Timing::Every(_) | Timing::At(_) | Timing::Cron(_) => return Ok(()),
    };
    Err(ScheduleError::Several(message))
}
