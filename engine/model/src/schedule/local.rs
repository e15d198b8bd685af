//! Converts local times of a cron expression to moments, also on days when the clocks change.
//!
//! An expression that names times of the day runs once for each of them. A time that the clocks skip runs right after
//! the gap, and a time that they show twice runs the first time. An expression that counts elapsed time (`*/5 * * * *`)
//! runs whenever the clocks show one of its times: not in a skipped hour, and twice in a repeated one.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::{GapInfo, Tz};

use super::cron::Cron;
use super::field::{FIRST_YEAR, LAST_YEAR};
use crate::clock::Timestamp;

const SECOND: TimeDelta = TimeDelta::seconds(1);
/// The largest clock change that any zone has had.
const DAY: TimeDelta = TimeDelta::days(1);

/// The first time of `cron` strictly after `moment`.
pub(super) fn next_after(cron: &Cron, zone: Tz, moment: Timestamp) -> Option<Timestamp> {
    let moment = zone.from_utc_datetime(&within_calendar(moment)?);
    let found = if cron.is_interval_like() {
        next_elapsed(cron, zone, moment)
    } else {
        next_named(cron, zone, moment)
    };
    Some(Timestamp(found?.timestamp_millis()))
}

/// The first moment at which the clocks of `zone` show `local` or, if they skip it, a later time.
pub(super) fn first_shown(zone: Tz, local: NaiveDateTime) -> Timestamp {
    Timestamp(first_shown_in(zone, local).timestamp_millis())
}

/// `yyyy-MM-dd HH:mm:ss` as the clocks of `zone` show it.
pub(super) fn to_seconds_text(moment: Timestamp, zone: Tz) -> String {
    let local = moment.to_utc().with_timezone(&zone);
    local.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The moment without fractions of a second, limited to just outside of the years of cron expressions. A moment beyond
/// has the same next time, and chrono's calendar is finite.
fn within_calendar(moment: Timestamp) -> Option<NaiveDateTime> {
    let edge = |year: u32, month, day| {
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp())
    };
    let seconds = moment
        .0
        .div_euclid(1_000)
        .clamp(edge(FIRST_YEAR - 1, 12, 29)?, edge(LAST_YEAR + 1, 1, 3)?);
    Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())
}

/// Later local times are first shown at later moments, so the first match is the answer.
fn next_named(cron: &Cron, zone: Tz, moment: DateTime<Tz>) -> Option<DateTime<Tz>> {
    let mut local = cron.local_from(moment.naive_local() + SECOND)?;
    loop {
        let shown = first_shown_in(zone, local);
        if shown > moment {
            return Some(shown);
        }
        // `moment` is in a repeated hour: the clocks showed this time before.
        local = cron.local_from(local + SECOND)?;
    }
}

/// The next time is later than what the clocks show at `moment`, or it is a time that they show again because they are
/// set back before.
fn next_elapsed(cron: &Cron, zone: Tz, moment: DateTime<Tz>) -> Option<DateTime<Tz>> {
    let later = next_shown(cron, zone, moment.naive_local() + SECOND, moment);
    let again = set_back_within_a_day(zone, moment)
        .and_then(|turn| next_shown(cron, zone, turn.naive_local(), turn - SECOND));
    [later, again].into_iter().flatten().min()
}

/// The first matching local time from `start` on that the clocks show after `moment`.
fn next_shown(
    cron: &Cron,
    zone: Tz,
    start: NaiveDateTime,
    moment: DateTime<Tz>,
) -> Option<DateTime<Tz>> {
    let mut local = cron.local_from(start)?;
    loop {
        let shown = zone.from_local_datetime(&local);
        let found = [shown.earliest(), shown.latest()]
            .into_iter()
            .flatten()
            .find(|shown| *shown > moment);
        if found.is_some() {
            return found;
        }
        let skipped_until = gap_end(zone, local).map(|end| end.naive_local());
        local = cron.local_from(skipped_until.unwrap_or(local + SECOND))?;
    }
}

fn first_shown_in(zone: Tz, local: NaiveDateTime) -> DateTime<Tz> {
    zone.from_local_datetime(&local)
        .earliest()
        .or_else(|| gap_end(zone, local))
        // Every local time is shown or skipped. UTC is only a fallback for the type.
        .unwrap_or_else(|| zone.from_utc_datetime(&local))
}

/// The end of the gap that contains `local`.
fn gap_end(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Tz>> {
    GapInfo::new(&local, &zone)?.end
}

/// The next moment at which the clocks are set back, if it is within a day of `moment`.
fn set_back_within_a_day(zone: Tz, moment: DateTime<Tz>) -> Option<DateTime<Tz>> {
    let offset = |at: &DateTime<Tz>| at.offset().fix().local_minus_utc();
    let (mut before, mut after) = (moment, moment + DAY);
    if offset(&after) >= offset(&before) {
        return None;
    }
    while after - before > SECOND {
        let half = before + TimeDelta::seconds((after - before).num_seconds() / 2);
        if offset(&half) == offset(&moment) {
            before = half;
        } else {
            after = half;
        }
    }
    Some(after.with_timezone(&zone))
}
