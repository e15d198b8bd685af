//! A syntax check of EXEC_INTERVAL: forms and ranges, no calendar.
//!
//! The engine parses schedules completely. This check lets an error point into the statement.

/// The fields of a cron expression: five in crontab, six or seven in Quartz.
const MINUTE: Field = Field {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
const SECOND: Field = Field {
    name: "second",
    min: 0,
    max: 59,
    names: &[],
};
const HOUR: Field = Field {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
const DAY: Field = Field {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
};
const YEAR: Field = Field {
    name: "year",
    min: 1970,
    max: 2199,
    names: &[],
};
const MONTH: Field = Field {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
const WEEKDAY: Field = Field {
    name: "day of week",
    min: 0,
    max: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

/// Checks one schedule, or several with `;` between them. The error is a message.
pub(crate) fn check(text: &str) -> Result<(), String> {
    text.split(';').try_for_each(|part| {
        let part = part.trim();
        // OFF after a schedule switches it off. The engine refuses OFF without a schedule.
        let (rest, last) = part.rsplit_once(char::is_whitespace).unwrap_or(("", part));
        let is_off = last.eq_ignore_ascii_case("OFF");
        check_one(if is_off { rest.trim_end() } else { part })
    })
}

fn check_one(text: &str) -> Result<(), String> {
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if text.is_empty() || is_number || is_interval(text) || is_moment(text) {
        return Ok(());
    }
    // A time zone may precede a cron expression.
    let fields: Vec<_> = text
        .split_whitespace()
        .skip_while(|field| field.contains('='))
        .collect();
    match fields.as_slice() {
        [_, _, _, _, _] => check_fields(&fields, &[MINUTE, HOUR, DAY, MONTH, WEEKDAY]),
        [_, _, _, _, _, _] => check_fields(&fields, &[SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY]),
        [_, _, _, _, _, _, _] => {
            check_fields(&fields, &[SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR])
        }
        _ => Err(format!("`{text}` is not a schedule")),
    }
}

/// `[D.]HH:MM:SS`
fn is_interval(text: &str) -> bool {
    let (days, time) = text.split_once('.').unwrap_or(("0", text));
    let parts: Vec<_> = time.split(':').collect();
    let [hours, minutes, seconds] = parts.as_slice() else {
        return false;
    };
    number(days).is_some()
        && number(hours).is_some_and(|hours| hours <= 23)
        && [minutes, seconds]
            .into_iter()
            .all(|part| number(part).is_some_and(|part| part <= 59))
}

/// `yyyy-MM-dd HH:mm:ss`
fn is_moment(text: &str) -> bool {
    let Some((day, time)) = text.split_once(' ') else {
        return false;
    };
    let parts: Vec<_> = day.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    let in_range =
        |part: &str, min, max| number(part).is_some_and(|part| (min..=max).contains(&part));
    in_range(year, 1970, 9999)
        && in_range(month, 1, 12)
        && in_range(day, 1, 31)
        && !time.contains('.')
        && is_interval(time.trim())
}

fn check_fields(texts: &[&str], fields: &[Field]) -> Result<(), String> {
    for (text, field) in texts.iter().zip(fields) {
        for part in text.split(',') {
            if !field.fits(part) {
                return Err(format!(
                    "`{part}` is not a valid {} of a cron expression",
                    field.name
                ));
            }
        }
    }
    Ok(())
}

impl Field {
    /// `*`, `?`, `n` or `n-m`, optionally with `/step`; for days also `L`, `W` and `#`.
    fn fits(&self, part: &str) -> bool {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (part, None),
        };
        let step_fits = step.is_none_or(|step| number(step).is_some_and(|step| step > 0));
        step_fits && (matches!(range, "*" | "?") || self.fits_range(range))
    }

    fn fits_range(&self, range: &str) -> bool {
        let range = range.to_ascii_uppercase();
        if self.is_day() {
            if matches!(range.as_str(), "L" | "LW" | "W") {
                return true;
            }
            if let Some(before_last) = range.strip_prefix("L-") {
                return number(before_last).is_some_and(|days| days <= 30);
            }
            if let Some((day, week)) = range.split_once('#') {
                return self.fits_value(day)
                    && number(week).is_some_and(|week| (1..=5).contains(&week));
            }
            if let Some(day) = range.strip_suffix(['L', 'W'])
                && self.fits_value(day)
            {
                return true;
            }
        }
        match range.split_once('-') {
            Some((first, last)) => self.fits_value(first) && self.fits_value(last),
            None => self.fits_value(&range),
        }
    }

    fn is_day(&self) -> bool {
        self.name.starts_with("day")
    }

    fn fits_value(&self, value: &str) -> bool {
        self.names.contains(&value)
            || number(value).is_some_and(|value| (self.min..=self.max).contains(&value))
    }
}

fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_of_every_form_are_taken() {
        let taken = [
            "",
            "300",
            "00:00:00",
            "10.11:22:33",
            "109.00:00:00",
            "2022-08-20 10:32:12",
            "23 0-20/2 03 12 2",
            "30 04-16/3 05 11 5",
            "04-16/3 1/2 05 11 5",
            "30 0/2 8-18 5 3 ? 2021",
            "0 0 12 LW * ?",
            "0 0 12 ? * MON#2",
            "0 12 * JAN-MAR MON,WED",
            "0 0 12 ? * 6L",
            "TZ=Europe/Berlin 0 12 * * *",
            "0 6 * * 1-5; TZ=Asia/Tokyo 0 10 * * 6,7 OFF; 2026-12-24 12:00:00;",
        ];
        for text in taken {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn schedules_out_of_range_are_refused() {
        let refused = [
            (
                "5 11 05 04-16/3 30",
                "`04-16/3` is not a valid month of a cron expression",
            ),
            (
                "60 * * * *",
                "`60` is not a valid minute of a cron expression",
            ),
            (
                "0 0 12 * * 8",
                "`8` is not a valid day of week of a cron expression",
            ),
            (
                "0 0 */0 * *",
                "`*/0` is not a valid day of month of a cron expression",
            ),
            ("25:00:00", "`25:00:00` is not a schedule"),
            (
                "2022-13-20 10:32:12",
                "`2022-13-20 10:32:12` is not a schedule",
            ),
            ("soon", "`soon` is not a schedule"),
            (
                "0 6 * * *; 0 24 * * * OFF",
                "`24` is not a valid hour of a cron expression",
            ),
        ];
        for (text, expected) in refused {
            assert_eq!(check(text), Err(expected.to_owned()), "{text}");
        }
    }
}
