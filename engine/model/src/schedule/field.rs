//! One field of a cron expression, and the numbers that it matches.

use super::ScheduleError;

/// The first year a cron expression can name.
pub(super) const FIRST_YEAR: u32 = 1970;
/// The last year a cron expression can name, and the last in which one fires.
pub(super) const LAST_YEAR: u32 = 2199;

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The dialect of a cron expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Five fields, Sunday is 0 and 7.
    Crontab,
    /// Six or seven fields, seconds first, Sunday is 1; ranges may run past the end: `FRI-MON`, `22-2`.
    Quartz,
}

/// The rules of a field.
pub(super) struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// The last number of `*`. A crontab week has two numbers for Sunday, and `*` uses one.
    star_most: u32,
    /// Names of the numbers from `least` on.
    names: &'static [&'static str],
    /// The number of values after which a range wraps around; none = a range may not wrap.
    round: Option<u32>,
}

/// The numbers that a field matches, ascending and unique; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbers(Vec<u32>);

impl Field {
    fn plain(dialect: Dialect, name: &'static str, least: u32, most: u32) -> Self {
        Self {
            name,
            least,
            most,
            star_most: most,
            names: &[],
            round: (dialect == Dialect::Quartz).then_some(most - least + 1),
        }
    }

    pub(super) fn second(dialect: Dialect) -> Self {
        Self::plain(dialect, "second", 0, 59)
    }

    pub(super) fn minute(dialect: Dialect) -> Self {
        Self::plain(dialect, "minute", 0, 59)
    }

    pub(super) fn hour(dialect: Dialect) -> Self {
        Self::plain(dialect, "hour", 0, 23)
    }

    pub(super) fn day_of_month(dialect: Dialect) -> Self {
        Self::plain(dialect, "day of month", 1, 31)
    }

    pub(super) fn month(dialect: Dialect) -> Self {
        Self {
            names: MONTHS,
            ..Self::plain(dialect, "month", 1, 12)
        }
    }

    pub(super) fn day_of_week(dialect: Dialect) -> Self {
        let (least, most, star_most) = match dialect {
            Dialect::Crontab => (0, 7, 6),
            Dialect::Quartz => (1, 7, 7),
        };
        Self {
            star_most,
            names: WEEKDAYS,
            // `FRI-SUN` is common in crontabs, too.
            round: Some(7),
            ..Self::plain(dialect, "day of week", least, most)
        }
    }

    pub(super) fn year() -> Self {
        // Years do not wrap: `2030-2020` is a mistake in either dialect.
        Self::plain(Dialect::Crontab, "year", FIRST_YEAR, LAST_YEAR)
    }

    /// A list of numbers and ranges.
    pub(super) fn numbers(&self, text: &str) -> Result<Numbers, ScheduleError> {
        let parts: Result<Vec<_>, _> = text.split(',').map(|part| self.part(part)).collect();
        Ok(Numbers::of(parts?.into_iter().flatten()))
    }

    /// `*`, `n` or `n-m`, each also with `/step`; `n/step` runs from `n` to the end.
    pub(super) fn part(&self, part: &str) -> Result<Vec<u32>, ScheduleError> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.step(part, step)?)),
            None => (part, None),
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (self.least, self.star_most),
            (_, Some((first, last))) => (self.value(part, first)?, self.value(part, last)?),
            (_, None) => {
                let first = self.value(part, range)?;
                (first, if step.is_some() { self.most } else { first })
            }
        };
        let numbers = self.round_to(part, first, last)?;
        Ok(numbers
            .step_by(step.unwrap_or(1))
            .map(|number| match self.round {
                Some(round) if number > self.most => number - round,
                Some(_) | None => number,
            })
            .collect())
    }

    /// One number or name.
    pub(super) fn value(&self, part: &str, text: &str) -> Result<u32, ScheduleError> {
        let named = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
            .and_then(|index| u32::try_from(index).ok());
        if let Some(index) = named {
            return Ok(self.least + index);
        }
        let Some(value) = number(text) else {
            return Err(self.error(part, self.expected()));
        };
        if (self.least..=self.most).contains(&value) {
            return Ok(value);
        }
        let (least, most) = (self.least, self.most);
        Err(self.error(part, format!("{value} is not between {least} and {most}")))
    }

    pub(super) fn error(&self, part: &str, why: String) -> ScheduleError {
        ScheduleError::Field {
            part: part.to_owned(),
            field: self.name,
            why,
        }
    }

    /// The expected values, for errors.
    pub(super) fn expected(&self) -> String {
        let (least, most) = (self.least, self.most);
        match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => {
                format!("expected {least} to {most} or {first} to {last}")
            }
            _ => format!("expected {least} to {most}"),
        }
    }

    fn round_to(
        &self,
        part: &str,
        first: u32,
        last: u32,
    ) -> Result<std::ops::RangeInclusive<u32>, ScheduleError> {
        match self.round {
            _ if first <= last => Ok(first..=last),
            Some(round) => Ok(first..=last + round),
            None => Err(self.error(part, format!("{first} is greater than {last}"))),
        }
    }

    fn step(&self, part: &str, text: &str) -> Result<usize, ScheduleError> {
        // A larger step would silently match the first number only: `*/90` is not every 90 minutes.
        let most = self.star_most - self.least + 1;
        number(text)
            .filter(|step| (1..=most).contains(step))
            .and_then(|step| usize::try_from(step).ok())
            .ok_or_else(|| self.error(part, format!("a step is a number from 1 to {most}")))
    }
}

impl Numbers {
    /// These numbers, in order.
    pub(super) fn of(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut numbers: Vec<_> = numbers.into_iter().collect();
        numbers.sort_unstable();
        numbers.dedup();
        Self(numbers)
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.0
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.0.binary_search(&number).is_ok()
    }

    pub(super) fn first(&self) -> Option<u32> {
        self.0.first().copied()
    }

    /// The numbers from `least` on.
    pub(super) fn from(&self, least: u32) -> &[u32] {
        let start = self.0.partition_point(|number| *number < least);
        self.0.get(start..).unwrap_or_default()
    }
}

pub(super) fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &Field, text: &str, expected: &[u32]) {
        assert_eq!(field.numbers(text).unwrap().as_slice(), expected, "{text}");
    }

    fn refuse(field: &Field, text: &str, expected: &str) {
        assert_eq!(
            field.numbers(text).unwrap_err().to_string(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn lists_ranges_and_steps_mean_their_numbers() {
        let hour = Field::hour(Dialect::Crontab);
        check(&hour, "04-16/3", &[4, 7, 10, 13, 16]);
        check(&hour, "20/2", &[20, 22]);
        check(&hour, "*/8", &[0, 8, 16]);
        check(&hour, "5,3,3-4", &[3, 4, 5]);
        check(&hour, "*/24", &[0]);
    }

    #[test]
    fn names_are_numbers() {
        check(
            &Field::month(Dialect::Crontab),
            "jan,MAR-May",
            &[1, 3, 4, 5],
        );
        check(&Field::day_of_week(Dialect::Crontab), "MON", &[1]);
        check(&Field::day_of_week(Dialect::Quartz), "MON", &[2]);
    }

    #[test]
    fn quartz_ranges_run_past_the_end() {
        check(&Field::hour(Dialect::Quartz), "22-2", &[0, 1, 2, 22, 23]);
        check(&Field::month(Dialect::Quartz), "NOV-FEB", &[1, 2, 11, 12]);
        check(
            &Field::day_of_week(Dialect::Quartz),
            "FRI-MON",
            &[1, 2, 6, 7],
        );
        refuse(
            &Field::hour(Dialect::Crontab),
            "22-2",
            "`22-2` is not a valid hour of a cron expression: 22 is greater than 2",
        );
    }

    #[test]
    fn a_crontab_week_has_two_sundays() {
        let week = Field::day_of_week(Dialect::Crontab);
        check(&week, "FRI-SUN", &[5, 6, 7]);
        check(&week, "0-7", &[0, 1, 2, 3, 4, 5, 6, 7]);
        check(&week, "*", &[0, 1, 2, 3, 4, 5, 6]);
        check(&week, "1/2", &[1, 3, 5, 7]);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        let month = Field::month(Dialect::Crontab);
        refuse(
            &month,
            "04-16/3",
            "`04-16/3` is not a valid month of a cron expression: 16 is not between 1 and 12",
        );
        refuse(
            &month,
            "soon",
            "`soon` is not a valid month of a cron expression: expected 1 to 12 or JAN to DEC",
        );
        let minute = Field::minute(Dialect::Crontab);
        refuse(
            &minute,
            "*/90",
            "`*/90` is not a valid minute of a cron expression: a step is a number from 1 to 60",
        );
        refuse(
            &minute,
            "*/0",
            "`*/0` is not a valid minute of a cron expression: a step is a number from 1 to 60",
        );
        refuse(
            &minute,
            "5,,6",
            "`` is not a valid minute of a cron expression: expected 0 to 59",
        );
        refuse(
            &minute,
            "?",
            "`?` is not a valid minute of a cron expression: expected 0 to 59",
        );
        refuse(
            &Field::year(),
            "2030-2020",
            "`2030-2020` is not a valid year of a cron expression: 2030 is greater than 2020",
        );
    }
}
