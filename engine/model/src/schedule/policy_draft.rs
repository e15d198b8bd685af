//! The options of a job's policy: what a request says about them, how each is read into a [`JobPolicy`], and how it is
//! shown. Names, types and ranges come from the table of the language.

use std::collections::BTreeMap;
use std::str::FromStr;

use chrono::DateTime;
use weft_lang::{JobOptions, OptionSpec, OptionValue};

use super::policy::{JobPolicy, Misfire, Overlap};
use super::{Schedule, Timing, Trigger};
use crate::clock::Timestamp;

/// What a request says about a job's policy: a value or the default for each option that it names. The others keep
/// their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyDraft(BTreeMap<&'static str, Option<OptionValue>>);

/// An impossible value of an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[expect(missing_docs, reason = "what the names say")]
pub struct PolicyOptionError {
    pub option: &'static str,
    pub message: String,
    pub hint: Option<&'static str>,
}

/// One option of a policy: its name, and what it does with its field of [`JobPolicy`].
struct PolicyOption {
    name: &'static str,
    read: fn(&OptionValue, &mut JobPolicy) -> Result<(), PolicyOptionError>,
    reset: fn(&mut JobPolicy, JobPolicy),
    show: fn(&JobPolicy) -> Option<OptionValue>,
}

macro_rules! policy_options {
    ($($option:literal: $field:ident, $read:expr;)*) => {
        const OPTIONS: &[PolicyOption] = &[$(
            PolicyOption {
                name: $option,
                read: |value, policy| {
                    policy.$field = $read(value, Place { option: $option, policy })?;
                    Ok(())
                },
                reset: |policy, defaults| policy.$field = defaults.$field,
                show: |policy| policy.$field.show(),
            },
        )*];
    };
}

policy_options! {
    // Before the bounds, which are moments of this zone.
    "TIME_ZONE": time_zone, read_zone;
    "START_AT": start_at, read_bound;
    "END_AT": end_at, read_bound;
    "MISFIRE": misfire, read_word;
    "OVERLAP": overlap, read_word;
    "MAX_RUNS": max_runs, read_limit;
    "JITTER_MS": jitter_ms, read_number;
    "MAX_ATTEMPTS": max_attempts, read_attempts;
    "RETRY_DELAY_MS": retry_delay_ms, read_number;
    "RETRY_FACTOR": retry_factor, read_factor;
    "RETRY_MAX_DELAY_MS": retry_max_delay_ms, read_number;
    "TIMEOUT_MS": timeout_ms, read_limit;
    "RELOCATE": relocate, read_boolean;
    "PAUSED": paused, read_boolean;
    "AFTER": after, read_triggers;
}

/// The options of a policy as the language has them, in the order of its table.
pub fn policy_options() -> impl Iterator<Item = &'static OptionSpec> {
    JobOptions::TABLE
        .iter()
        .filter(|spec| OPTIONS.iter().any(|option| option.name == spec.name))
}

/// The options of a policy with their values, in the order of the table of the language; none = no limit, or empty.
/// Moments are RFC 3339.
pub fn policy_values(
    policy: &JobPolicy,
) -> impl Iterator<Item = (&'static OptionSpec, Option<OptionValue>)> {
    policy_options().map(|spec| {
        let option = OPTIONS.iter().find(|option| option.name == spec.name);
        (spec, option.and_then(|option| (option.show)(policy)))
    })
}

impl PolicyDraft {
    /// The options of a statement.
    pub fn from_typed(options: &JobOptions) -> Self {
        let given = options
            .given()
            .map(|(spec, given)| (spec.name, Some(given.value)));
        let is_policy = |name| OPTIONS.iter().any(|option| option.name == name);
        Self(given.filter(|(name, _)| is_policy(*name)).collect())
    }

    /// The draft with this value of an option of [`policy_options`]; none = its default.
    #[must_use]
    pub fn with(mut self, option: &'static str, value: Option<OptionValue>) -> Self {
        debug_assert!(policy_options().any(|spec| spec.name == option), "{option}");
        self.0.insert(option, value);
        self
    }

    /// Applies the draft to a policy.
    ///
    /// # Errors
    /// A value is impossible, or does not go with another one. The error names the option.
    pub fn apply(&self, policy: JobPolicy) -> Result<JobPolicy, PolicyOptionError> {
        let mut policy = policy;
        let errors = self.apply_each(&mut policy);
        errors.into_iter().next().map_or(Ok(policy), Err)
    }

    /// All that is wrong with the draft by itself.
    pub fn errors(&self) -> Vec<PolicyOptionError> {
        self.apply_each(&mut JobPolicy::default())
    }

    /// Applies one option after the other, and checks the result.
    fn apply_each(&self, policy: &mut JobPolicy) -> Vec<PolicyOptionError> {
        let mut errors = Vec::new();
        for option in OPTIONS {
            match self.0.get(option.name) {
                None => {}
                Some(None) => (option.reset)(policy, JobPolicy::default()),
                Some(Some(value)) => errors.extend((option.read)(value, policy).err()),
            }
        }
        errors.extend(self.check_bounds(policy).err());
        errors
    }

    fn check_bounds(&self, policy: &JobPolicy) -> Result<(), PolicyOptionError> {
        let Some(option) = ["END_AT", "START_AT"]
            .into_iter()
            .find(|option| self.0.contains_key(option))
        else {
            return Ok(());
        };
        match (policy.start_at, policy.end_at) {
            (Some(start), Some(end)) if end <= start => Err(PolicyOptionError {
                option,
                message: "END_AT is not after START_AT".to_owned(),
                hint: None,
            }),
            _ => Ok(()),
        }
    }
}

/// Where a value is read: for which option, and what the policy says so far.
struct Place<'a> {
    option: &'static str,
    policy: &'a JobPolicy,
}

impl Place<'_> {
    fn error(&self, message: String) -> PolicyOptionError {
        PolicyOptionError {
            option: self.option,
            message,
            hint: None,
        }
    }

    fn spec(&self) -> &'static OptionSpec {
        JobOptions::spec(self.option).expect("the language has every option of a policy")
    }

    /// The error of a value of another type or out of range.
    fn refused(&self) -> PolicyOptionError {
        let takes = self.spec().value_type.description();
        self.error(format!("{} takes {takes}", self.option))
    }

    fn text<'v>(&self, value: &'v OptionValue) -> Result<&'v str, PolicyOptionError> {
        match value {
            OptionValue::Text(text) => Ok(text.trim()),
            OptionValue::Boolean(_) | OptionValue::Integer(_) => Err(self.refused()),
        }
    }
}

fn read_zone(value: &OptionValue, place: Place<'_>) -> Result<Option<String>, PolicyOptionError> {
    let zone = place.text(value)?;
    let zoned = JobPolicy {
        time_zone: (!zone.is_empty()).then(|| zone.to_owned()),
        ..place.policy.clone()
    };
    match zoned.zone() {
        Ok(_) => Ok(zoned.time_zone),
        Err(error) => Err(place.error(error.to_string())),
    }
}

fn read_bound(
    value: &OptionValue,
    place: Place<'_>,
) -> Result<Option<Timestamp>, PolicyOptionError> {
    let text = place.text(value)?;
    if text.is_empty() {
        return Ok(None);
    }
    let refused = || PolicyOptionError {
        hint: Some("write '2027-08-12 12:20:07', or '2027-08-12T12:20:07Z'"),
        ..place.error(format!("`{text}` is not a moment"))
    };
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        let moment = Timestamp(moment.timestamp_millis());
        return (moment.0 >= 0).then_some(Some(moment)).ok_or_else(refused);
    }
    let zone = place.policy.zone().map_err(|_| refused())?;
    let schedule = Schedule::parse(text, zone).map_err(|_| refused())?;
    match schedule.timing() {
        Timing::At(moment) => Ok(Some(*moment)),
        Timing::Once | Timing::Every(_) | Timing::Cron(_) | Timing::Several(_) => Err(refused()),
    }
}

fn read_word<T: FromStr<Err: ToString>>(
    value: &OptionValue,
    place: Place<'_>,
) -> Result<T, PolicyOptionError> {
    let word = place.text(value)?;
    word.parse()
        .map_err(|error: T::Err| place.error(error.to_string()))
}

fn read_boolean(value: &OptionValue, place: Place<'_>) -> Result<bool, PolicyOptionError> {
    match value {
        OptionValue::Boolean(value) => Ok(*value),
        OptionValue::Integer(_) | OptionValue::Text(_) => Err(place.refused()),
    }
}

/// A number in the range that the table of the language gives to the option.
fn read_number(value: &OptionValue, place: Place<'_>) -> Result<i64, PolicyOptionError> {
    match value {
        OptionValue::Integer(number) if place.spec().value_type.admits(*number) => Ok(*number),
        OptionValue::Boolean(_) | OptionValue::Integer(_) | OptionValue::Text(_) => {
            Err(place.refused())
        }
    }
}

fn read_limit(value: &OptionValue, place: Place<'_>) -> Result<Option<i64>, PolicyOptionError> {
    read_number(value, place).map(Some)
}

fn read_attempts(value: &OptionValue, place: Place<'_>) -> Result<i32, PolicyOptionError> {
    Ok(i32::try_from(read_number(value, place)?).unwrap_or(i32::MAX))
}

fn read_factor(value: &OptionValue, place: Place<'_>) -> Result<f64, PolicyOptionError> {
    let factor: Option<f64> = place.text(value)?.parse().ok();
    factor
        .filter(|factor| factor.is_finite() && *factor >= 1.0)
        .ok_or_else(|| place.error(format!("{} is a number of at least 1", place.option)))
}

fn read_triggers(value: &OptionValue, place: Place<'_>) -> Result<Vec<Trigger>, PolicyOptionError> {
    Trigger::parse_all(place.text(value)?).map_err(|error| PolicyOptionError {
        hint: Some(
            "AFTER is `<type> <name> [<uid>] SUCCEEDED|FAILED|ENDED [AND …] [+HH:MM:SS] [OFF]`, more than one separated by `;`",
        ),
        ..place.error(error.to_string())
    })
}

/// A field of [`JobPolicy`] as the value of its option.
trait Show {
    fn show(&self) -> Option<OptionValue>;
}

impl Show for bool {
    fn show(&self) -> Option<OptionValue> {
        Some(OptionValue::Boolean(*self))
    }
}

impl Show for i64 {
    fn show(&self) -> Option<OptionValue> {
        Some(OptionValue::Integer(*self))
    }
}

impl Show for i32 {
    fn show(&self) -> Option<OptionValue> {
        i64::from(*self).show()
    }
}

impl Show for f64 {
    fn show(&self) -> Option<OptionValue> {
        Some(OptionValue::Text(self.to_string()))
    }
}

impl Show for String {
    fn show(&self) -> Option<OptionValue> {
        Some(OptionValue::Text(self.clone()))
    }
}

impl Show for Misfire {
    fn show(&self) -> Option<OptionValue> {
        self.to_string().show()
    }
}

impl Show for Overlap {
    fn show(&self) -> Option<OptionValue> {
        self.to_string().show()
    }
}

impl Show for Timestamp {
    fn show(&self) -> Option<OptionValue> {
        self.to_rfc3339().show()
    }
}

impl Show for Vec<Trigger> {
    fn show(&self) -> Option<OptionValue> {
        let written = (!self.is_empty()).then(|| Trigger::write_all(self));
        written.show()
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> Option<OptionValue> {
        self.as_ref().and_then(Show::show)
    }
}

#[cfg(test)]
mod tests {
    use weft_lang::{Span, Spanned};

    use super::*;

    fn text(text: &str) -> Option<OptionValue> {
        Some(OptionValue::Text(text.to_owned()))
    }

    fn draft(option: &'static str, value: Option<OptionValue>) -> PolicyDraft {
        PolicyDraft::default().with(option, value)
    }

    fn refused(policy: PolicyDraft) -> (&'static str, String) {
        let error = policy.apply(JobPolicy::default()).expect_err("refused");
        (error.option, error.message)
    }

    #[test]
    fn a_kept_option_keeps_its_value_and_a_reset_one_gets_its_default() {
        let before = JobPolicy {
            max_runs: Some(3),
            jitter_ms: 7,
            time_zone: Some("Europe/Berlin".to_owned()),
            ..JobPolicy::default()
        };
        let draft = draft("MAX_RUNS", None)
            .with("TIME_ZONE", None)
            .with("MAX_ATTEMPTS", Some(OptionValue::Integer(-1)));
        let after = draft.apply(before).unwrap();
        let expected = JobPolicy {
            jitter_ms: 7,
            max_attempts: -1,
            ..JobPolicy::default()
        };
        assert_eq!(after, expected);
    }

    #[test]
    fn numbers_have_the_ranges_of_the_language() {
        let check = |option: &'static str, number: i64, takes: &str| {
            let policy = draft(option, Some(OptionValue::Integer(number)));
            let expected = (option, format!("{option} takes {takes}"));
            assert_eq!(refused(policy), expected);
        };
        check("MAX_RUNS", 0, "a whole number from 1 up");
        check("JITTER_MS", -1, "a whole number from 0 up");
        check("MAX_ATTEMPTS", 0, "-1 or a whole number from 1 to 1000");
        check("TIMEOUT_MS", 0, "a whole number from 1 up");
        for factor in ["0.9", "NaN", "inf", "much"] {
            let policy = draft("RETRY_FACTOR", text(factor));
            assert_eq!(refused(policy).0, "RETRY_FACTOR", "{factor}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        for spec in policy_options() {
            let wrong = match spec.value_type {
                weft_lang::ValueType::Boolean => OptionValue::Integer(1),
                _ => OptionValue::Boolean(true),
            };
            assert_eq!(refused(draft(spec.name, Some(wrong))).0, spec.name);
        }
    }

    #[test]
    fn bounds_are_moments_of_the_zone_or_of_rfc_3339_and_in_order() {
        let draft = |start: &str, end: &str| {
            draft("START_AT", text(start))
                .with("END_AT", text(end))
                .with("TIME_ZONE", text("Europe/Berlin"))
        };
        let policy = draft("2027-08-12 12:20:07", "2027-08-12T10:20:08.000Z");
        let policy = policy.apply(JobPolicy::default()).unwrap();
        let (start, end) = (policy.start_at.unwrap(), policy.end_at.unwrap());
        assert_eq!(end.millis_since(start), 1_000);
        let (option, message) = refused(draft("2027-08-12 12:20:07", "2027-08-12 12:20:07"));
        assert_eq!(
            (option, message.as_str()),
            ("END_AT", "END_AT is not after START_AT")
        );
        assert_eq!(refused(draft("tomorrow", "")).0, "START_AT");
        assert_eq!(refused(draft("", "1907-01-01T00:00:00Z")).0, "END_AT");
        let policy = draft("", " ").apply(policy).unwrap();
        assert_eq!((policy.start_at, policy.end_at), (None, None));
    }

    #[test]
    fn every_typed_option_reaches_the_draft() {
        let text = |text: &str| Some(Spanned::new(text.to_owned(), Span::new(1, 2)));
        let options = JobOptions {
            name: text("not a part of the policy"),
            misfire: text("SKIP"),
            max_runs: Some(Spanned::new(u64::MAX, Span::new(3, 4))),
            ..JobOptions::default()
        };
        let expected = draft("MISFIRE", self::text("SKIP"))
            .with("MAX_RUNS", Some(OptionValue::Integer(i64::MAX)));
        assert_eq!(PolicyDraft::from_typed(&options), expected);
    }

    /// The language documents the defaults that the model has.
    #[test]
    fn the_defaults_of_the_language_are_those_of_the_model() {
        assert_eq!(policy_options().count(), OPTIONS.len());
        for (spec, value) in policy_values(&JobPolicy::default()) {
            let shown = value.map(|value| match value {
                OptionValue::Boolean(value) => value.to_string(),
                OptionValue::Integer(number) => number.to_string(),
                OptionValue::Text(text) => text,
            });
            let default = spec.default.unwrap_or("none");
            let is_absence = ["no limit", "no end", "now", "UTC", "none"].contains(&default);
            match shown {
                Some(shown) => assert_eq!(shown, default, "{}", spec.name),
                None => assert!(is_absence, "{} is {default}", spec.name),
            }
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let policy = JobPolicy {
            time_zone: Some("Europe/Berlin".to_owned()),
            start_at: Some(Timestamp(1_818_152_407_000)),
            misfire: Misfire::All { cap: 7 },
            overlap: Overlap::Queue,
            max_runs: Some(3),
            retry_factor: 1.5,
            timeout_ms: Some(8),
            paused: true,
            after: Trigger::parse_all("PROCESS a SUCCEEDED; PROCESS b FAILED").unwrap(),
            ..JobPolicy::default()
        };
        let shown = policy_values(&policy).fold(PolicyDraft::default(), |draft, (spec, value)| {
            draft.with(spec.name, value)
        });
        assert_eq!(shown.apply(JobPolicy::default()).unwrap(), policy);
    }
}
