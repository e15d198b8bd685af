//! The options of a job's policy: one list for the typed options, the drafts and the rules of each.

use std::str::FromStr;

use chrono::DateTime;
use weft_lang::JobOptions;
use weft_model::clock::Timestamp;
use weft_model::schedule::{JobPolicy, Schedule, Timing, Trigger};

use super::Patch;
use crate::refusal::Refusal;

/// Each option once: its field in the draft, in the syntax tree and in [`JobPolicy`]; its type; its name; the function that
/// reads a value of it.
macro_rules! policy_options {
    ($($(#[$doc:meta])* $field:ident: $value:ty, $option:literal, $read:expr;)*) => {
        /// What a request says about a job's policy; each field is the option of its name.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct PolicyDraft {
            $($(#[$doc])* pub $field: Patch<$value>,)*
        }

        impl PolicyDraft {
            /// The options of a statement.
            pub(super) fn from_typed(options: &JobOptions) -> Self {
                Self {
                    $($field: options.$field.as_ref().map(|typed| Typed::read(&typed.value)).into(),)*
                }
            }

            fn apply_options(&self, policy: &mut JobPolicy) -> Result<(), Refusal> {
                let defaults = JobPolicy::default();
                $(
                    let before = policy.clone();
                    self.$field
                        .apply(&mut policy.$field, defaults.$field, |value| $read(value, Place { option: $option, policy: &before }))
                        .map_err(|refusal| refusal.about($option))?;
                )*
                Ok(())
            }
        }
    };
}

policy_options! {
    // Before the bounds, which are moments of this zone.
    /// The zone of moments and of the schedule; empty is UTC.
    time_zone: String, "TIME_ZONE", read_zone;
    /// A moment in the job's time zone, or one of RFC 3339; empty removes the bound.
    start_at: String, "START_AT", read_bound;
    /// A moment in the job's time zone, or one of RFC 3339; empty removes the bound.
    end_at: String, "END_AT", read_bound;
    /// `ONCE`, `SKIP`, `ALL` or `ALL:` and a number.
    misfire: String, "MISFIRE", read_word;
    /// `SKIP`, `QUEUE` or `ALLOW`.
    overlap: String, "OVERLAP", read_word;
    /// From 1 up.
    max_runs: i64, "MAX_RUNS", read_limit;
    /// From 0 up.
    jitter_ms: i64, "JITTER_MS", read_number;
    /// From 1 up, or -1.
    max_attempts: i64, "MAX_ATTEMPTS", read_attempts;
    /// From 0 up.
    retry_delay_ms: i64, "RETRY_DELAY_MS", read_number;
    /// From 1 up.
    retry_factor: f64, "RETRY_FACTOR", read_factor;
    /// From 0 up.
    retry_max_delay_ms: i64, "RETRY_MAX_DELAY_MS", read_number;
    /// From 1 up.
    timeout_ms: i64, "TIMEOUT_MS", read_limit;
    /// Whether other nodes may run the job while no node of its affinity is alive.
    relocate: bool, "RELOCATE", read_boolean;
    /// Whether the schedule is paused.
    paused: bool, "PAUSED", read_boolean;
    /// Triggers, separated by `;`; empty removes them.
    after: String, "AFTER", read_triggers;
}

impl PolicyDraft {
    /// Applies the draft to a policy.
    ///
    /// # Errors
    /// A value is impossible, or does not go with another one. The refusal names the option.
    pub fn apply(&self, policy: JobPolicy) -> Result<JobPolicy, Refusal> {
        let mut policy = policy;
        self.apply_options(&mut policy)?;
        self.check_bounds(&policy)?;
        Ok(policy)
    }

    fn check_bounds(&self, policy: &JobPolicy) -> Result<(), Refusal> {
        let option = match (&self.start_at, &self.end_at) {
            (Patch::Keep, Patch::Keep) => return Ok(()),
            (_, Patch::Keep) => "START_AT",
            (_, Patch::Reset | Patch::Set(_)) => "END_AT",
        };
        match (policy.start_at, policy.end_at) {
            (Some(start), Some(end)) if end <= start => {
                Err(Refusal::usage("END_AT is not after START_AT").about(option))
            }
            _ => Ok(()),
        }
    }
}

/// Where a value is read: for which option, and what the policy says so far.
struct Place<'a> {
    option: &'static str,
    policy: &'a JobPolicy,
}

/// The value of an option as the syntax tree has it, read into that of a draft.
trait Typed<T> {
    fn read(typed: &T) -> Self;
}

impl Typed<String> for String {
    fn read(typed: &String) -> Self {
        typed.clone()
    }
}

impl Typed<u64> for i64 {
    fn read(typed: &u64) -> Self {
        Self::try_from(*typed).unwrap_or(Self::MAX)
    }
}

impl Typed<i64> for i64 {
    fn read(typed: &i64) -> Self {
        *typed
    }
}

impl Typed<String> for f64 {
    /// A text that is not a number becomes NAN, which is refused like any number out of range.
    fn read(typed: &String) -> Self {
        typed.parse().unwrap_or(Self::NAN)
    }
}

impl Typed<bool> for bool {
    fn read(typed: &bool) -> Self {
        *typed
    }
}

fn read_zone(zone: &str, place: Place<'_>) -> Result<Option<String>, Refusal> {
    let zone = zone.trim();
    let zoned = JobPolicy {
        time_zone: (!zone.is_empty()).then(|| zone.to_owned()),
        ..place.policy.clone()
    };
    match zoned.zone() {
        Ok(_) => Ok(zoned.time_zone),
        Err(error) => Err(Refusal::usage(error.to_string())),
    }
}

fn read_bound(text: &str, place: Place<'_>) -> Result<Option<Timestamp>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let refused = || {
        Refusal::usage(format!("`{text}` is not a moment"))
            .hint("write '2027-08-12 12:20:07', or '2027-08-12T12:20:07Z'")
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

fn read_word<T: FromStr<Err: ToString>>(word: &str, _: Place<'_>) -> Result<T, Refusal> {
    word.parse()
        .map_err(|error: T::Err| Refusal::usage(error.to_string()))
}

fn read_boolean(value: &bool, _: Place<'_>) -> Result<bool, Refusal> {
    Ok(*value)
}

/// A number in the range that the table of the language gives to the option.
fn read_number(number: &i64, place: Place<'_>) -> Result<i64, Refusal> {
    let option = place.option;
    let spec = JobOptions::spec(option).expect("the language has every option of a policy");
    if spec.value_type.admits(*number) {
        return Ok(*number);
    }
    let takes = spec.value_type.description();
    Err(Refusal::usage(format!("{option} takes {takes}")))
}

fn read_limit(number: &i64, place: Place<'_>) -> Result<Option<i64>, Refusal> {
    read_number(number, place).map(Some)
}

fn read_attempts(number: &i64, place: Place<'_>) -> Result<i32, Refusal> {
    Ok(i32::try_from(read_number(number, place)?).unwrap_or(i32::MAX))
}

fn read_factor(factor: &f64, place: Place<'_>) -> Result<f64, Refusal> {
    let is_factor = factor.is_finite() && *factor >= 1.0;
    is_factor
        .then_some(*factor)
        .ok_or_else(|| Refusal::usage(format!("{} is a number of at least 1", place.option)))
}

fn read_triggers(text: &str, _: Place<'_>) -> Result<Vec<Trigger>, Refusal> {
    Trigger::parse_all(text).map_err(|error| {
        Refusal::usage(error.to_string()).hint(
            "AFTER is `<type> <name> [<uid>] SUCCEEDED|FAILED|ENDED [AND …] [+HH:MM:SS] [OFF]`, more than one separated by `;`",
        )
    })
}

#[cfg(test)]
mod tests {
    use weft_lang::{Span, Spanned};

    use super::*;

    fn refused(policy: PolicyDraft) -> (Option<&'static str>, String) {
        let refusal = policy.apply(JobPolicy::default()).expect_err("refused");
        (refusal.option(), refusal.message().to_owned())
    }

    #[test]
    fn a_kept_option_keeps_its_value_and_a_reset_one_gets_its_default() {
        let before = JobPolicy {
            max_runs: Some(3),
            jitter_ms: 7,
            time_zone: Some("Europe/Berlin".to_owned()),
            ..JobPolicy::default()
        };
        let draft = PolicyDraft {
            max_runs: Patch::Reset,
            time_zone: Patch::Reset,
            max_attempts: Patch::Set(-1),
            ..PolicyDraft::default()
        };
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
        let check = |policy: PolicyDraft, option: &'static str, what: &str| {
            let expected = (Some(option), format!("{option} takes {what}"));
            assert_eq!(refused(policy), expected);
        };
        let draft = PolicyDraft::default;
        let max_runs = Patch::Set(0);
        let policy = PolicyDraft {
            max_runs,
            ..draft()
        };
        check(policy, "MAX_RUNS", "a whole number from 1 up");
        let policy = PolicyDraft {
            jitter_ms: Patch::Set(-1),
            ..draft()
        };
        check(policy, "JITTER_MS", "a whole number from 0 up");
        let policy = PolicyDraft {
            max_attempts: Patch::Set(0),
            ..draft()
        };
        check(
            policy,
            "MAX_ATTEMPTS",
            "-1 or a whole number from 1 to 1000",
        );
        let policy = PolicyDraft {
            timeout_ms: Patch::Set(0),
            ..draft()
        };
        check(policy, "TIMEOUT_MS", "a whole number from 1 up");
        for factor in [0.9, f64::NAN, f64::INFINITY] {
            let policy = PolicyDraft {
                retry_factor: Patch::Set(factor),
                ..draft()
            };
            assert_eq!(refused(policy).0, Some("RETRY_FACTOR"));
        }
    }

    #[test]
    fn bounds_are_moments_of_the_zone_or_of_rfc_3339_and_in_order() {
        let draft = |start: &str, end: &str| PolicyDraft {
            start_at: Patch::Set(start.to_owned()),
            end_at: Patch::Set(end.to_owned()),
            time_zone: Patch::Set("Europe/Berlin".to_owned()),
            ..PolicyDraft::default()
        };
        let policy = draft("2027-08-12 12:20:07", "2027-08-12T10:20:08.000Z");
        let policy = policy.apply(JobPolicy::default()).unwrap();
        let (start, end) = (policy.start_at.unwrap(), policy.end_at.unwrap());
        assert_eq!(end.millis_since(start), 1_000);
        let (option, message) = refused(draft("2027-08-12 12:20:07", "2027-08-12 12:20:07"));
        assert_eq!(
            (option, message.as_str()),
            (Some("END_AT"), "END_AT is not after START_AT")
        );
        assert_eq!(refused(draft("tomorrow", "")).0, Some("START_AT"));
        assert_eq!(refused(draft("", "1907-01-01T00:00:00Z")).0, Some("END_AT"));
        let policy = draft("", " ").apply(policy).unwrap();
        assert_eq!((policy.start_at, policy.end_at), (None, None));
    }

    #[test]
    fn every_typed_option_reaches_the_draft() {
        let text = |text: &str| Some(Spanned::new(text.to_owned(), Span::new(1, 2)));
        let options = JobOptions {
            misfire: text("SKIP"),
            max_runs: Some(Spanned::new(u64::MAX, Span::new(3, 4))),
            retry_factor: text("much"),
            ..JobOptions::default()
        };
        let draft = PolicyDraft::from_typed(&options);
        assert_eq!(draft.misfire, Patch::Set("SKIP".to_owned()));
        assert_eq!(draft.max_runs, Patch::Set(i64::MAX));
        assert!(matches!(draft.retry_factor, Patch::Set(factor) if factor.is_nan()));
        assert_eq!(draft.after, Patch::Keep);
        assert_eq!(options.span("MAX_RUNS"), Some(Span::new(3, 4)));
        assert_eq!(options.span("AFTER"), None);
    }
}
