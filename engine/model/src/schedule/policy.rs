//! The policy of a job: rules for missed times, failed runs, overlapping runs and bounds.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{ScheduleError, Trigger, find_zone};
use crate::clock::Timestamp;

/// The most missed times that `ALL` may make up, each by a run of its own.
pub const MAX_CAP: i64 = 1_000;
/// The missed times that `ALL` without a number makes up.
const DEFAULT_CAP: i64 = 100;

/// The options of a job besides its schedule. Stored as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobPolicy {
    /// The most tries of a run, including the first; -1 = no limit.
    pub max_attempts: i32,
    /// The pause before the first retry, in milliseconds.
    pub retry_delay_ms: i64,
    /// The factor from each pause to the next one.
    pub retry_factor: f64,
    /// The longest pause, in milliseconds.
    pub retry_max_delay_ms: i64,
    /// The time limit of a run, in milliseconds; none = no limit.
    pub timeout_ms: Option<i64>,
    /// The rule for times at which no node could run the job.
    pub misfire: Misfire,
    /// The rule for a time that comes while the previous run is active.
    pub overlap: Overlap,
    /// Times before this one are ignored.
    pub start_at: Option<Timestamp>,
    /// Times after this one are ignored.
    pub end_at: Option<Timestamp>,
    /// The job ends after this many runs; none = no limit.
    pub max_runs: Option<i64>,
    /// The largest random delay of each time of an interval or a calendar, in milliseconds.
    pub jitter_ms: i64,
    /// Whether another node may run the job when all nodes of its affinity are dead.
    pub relocate: bool,
    /// Whether no run starts until the job is resumed.
    pub paused: bool,
    /// The zone of a schedule without a zone of its own; none = UTC.
    pub time_zone: Option<String>,
    /// The triggers, which start runs at the ends of other jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Trigger>,
}

/// The rule for times at which no node could run the job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Misfire {
    /// `ONCE`: one run makes up for all missed times.
    #[default]
    Once,
    /// `SKIP`: missed times have no run.
    Skip,
    /// `ALL` or `ALL:20`: each of the last `cap` missed times has a run.
    All {
        /// From 1 to [`MAX_CAP`].
        cap: i64,
    },
}

/// The rule for a time that comes while the previous run is active.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Overlap {
    /// `SKIP`: the time has no run.
    #[default]
    Skip,
    /// `QUEUE`: one run starts as soon as the active run ends.
    Queue,
    /// `ALLOW`: a run starts in parallel, as a separate job.
    Allow,
}

/// An unknown word for a rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not {what}: expected {expected}")]
pub struct PolicyError {
    found: String,
    what: &'static str,
    expected: String,
}

impl Default for JobPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            retry_delay_ms: 60_000,
            retry_factor: 1.0,
            retry_max_delay_ms: 3_600_000,
            timeout_ms: None,
            misfire: Misfire::default(),
            overlap: Overlap::default(),
            start_at: None,
            end_at: None,
            max_runs: None,
            jitter_ms: 0,
            relocate: false,
            paused: false,
            time_zone: None,
            after: Vec::new(),
        }
    }
}

impl JobPolicy {
    /// The pause after `failed_tries` tries.
    pub fn retry_delay(&self, failed_tries: i32) -> Duration {
        let first = self.retry_delay_ms.max(0);
        let most = self.retry_max_delay_ms.max(0);
        let grown = first as f64
            * self
                .retry_factor
                .powi(failed_tries.saturating_sub(1).max(0));
        let delay_ms = if grown.is_nan() {
            first.min(most)
        } else {
            // The cast saturates, so that an overflow becomes the longest pause.
            (grown.round() as i64).clamp(0, most)
        };
        Duration::from_millis(delay_ms.unsigned_abs())
    }

    /// Whether a run may be retried after `failed_tries` tries.
    pub fn may_try_again(&self, failed_tries: i32) -> bool {
        self.max_attempts < 0 || failed_tries < self.max_attempts
    }

    /// The zone of a schedule without a zone of its own.
    pub fn zone(&self) -> Result<Tz, ScheduleError> {
        self.time_zone.as_deref().map_or(Ok(Tz::UTC), find_zone)
    }
}

impl FromStr for Misfire {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || PolicyError {
            found: text.to_owned(),
            what: "a misfire rule",
            expected: format!("ONCE, SKIP, ALL or ALL: and a number from 1 to {MAX_CAP}"),
        };
        let upper = text.trim().to_ascii_uppercase();
        match upper.split_once(':') {
            None if upper == "ONCE" => Ok(Self::Once),
            None if upper == "SKIP" => Ok(Self::Skip),
            None if upper == "ALL" => Ok(Self::All { cap: DEFAULT_CAP }),
            Some(("ALL", cap)) => cap
                .parse()
                .ok()
                .filter(|cap| (1..=MAX_CAP).contains(cap))
                .map(|cap| Self::All { cap })
                .ok_or_else(error),
            None | Some(_) => Err(error()),
        }
    }
}

impl fmt::Display for Misfire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Once => f.write_str("ONCE"),
            Self::Skip => f.write_str("SKIP"),
            Self::All { cap: DEFAULT_CAP } => f.write_str("ALL"),
            Self::All { cap } => write!(f, "ALL:{cap}"),
        }
    }
}

impl FromStr for Overlap {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim().to_ascii_uppercase().as_str() {
            "SKIP" => Ok(Self::Skip),
            "QUEUE" => Ok(Self::Queue),
            "ALLOW" => Ok(Self::Allow),
            _ => Err(PolicyError {
                found: text.to_owned(),
                what: "an overlap rule",
                expected: "SKIP, QUEUE or ALLOW".to_owned(),
            }),
        }
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "SKIP",
            Self::Queue => "QUEUE",
            Self::Allow => "ALLOW",
        })
    }
}

/// A rule is stored as the word that users write.
macro_rules! stored_as_word {
    ($($rule:ty),*) => {$(
        impl TryFrom<String> for $rule {
            type Error = PolicyError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$rule> for String {
            fn from(rule: $rule) -> Self {
                rule.to_string()
            }
        }
    )*};
}

stored_as_word!(Misfire, Overlap);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_policy_is_the_default() {
        let policy: JobPolicy = serde_json::from_str("{}").unwrap();
        assert_eq!(policy, JobPolicy::default());
        assert_eq!(policy.zone(), Ok(Tz::UTC));
    }

    #[test]
    fn keys_of_a_newer_version_are_ignored() {
        let policy: JobPolicy = serde_json::from_str(r#"{"colour":"red","max_runs":3}"#).unwrap();
        assert_eq!(policy.max_runs, Some(3));
    }

    #[test]
    fn a_policy_comes_back_from_the_store_as_it_was() {
        let policy = JobPolicy {
            max_attempts: -1,
            misfire: Misfire::All { cap: 20 },
            overlap: Overlap::Queue,
            start_at: Some(Timestamp(1)),
            time_zone: Some("Europe/Berlin".to_owned()),
            ..JobPolicy::default()
        };
        let text = serde_json::to_string(&policy).unwrap();
        assert!(
            text.contains(r#""misfire":"ALL:20","overlap":"QUEUE""#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<JobPolicy>(&text).unwrap(), policy);
        assert_eq!(policy.zone(), Ok(Tz::Europe__Berlin));
    }

    #[test]
    fn misfire_rules_are_words() {
        let check = |text: &str, rule: Misfire, written: &str| {
            assert_eq!(text.parse(), Ok(rule), "{text}");
            assert_eq!(rule.to_string(), written);
        };
        check("once", Misfire::Once, "ONCE");
        check("SKIP", Misfire::Skip, "SKIP");
        check("ALL", Misfire::All { cap: 100 }, "ALL");
        check("all:20", Misfire::All { cap: 20 }, "ALL:20");
        for text in ["", "ALL:", "ALL:0", "ALL:-1", "ALL:1001", "SKIP:3", "NEVER"] {
            assert!(text.parse::<Misfire>().is_err(), "{text}");
        }
        assert_eq!(
            "NEVER".parse::<Overlap>().unwrap_err().to_string(),
            "`NEVER` is not an overlap rule: expected SKIP, QUEUE or ALLOW"
        );
    }

    #[test]
    fn pauses_between_tries_grow_to_their_limit() {
        let check = |factor: f64, failed_tries: i32, expected_ms: u64| {
            let policy = JobPolicy {
                retry_delay_ms: 1_000,
                retry_factor: factor,
                retry_max_delay_ms: 10_000,
                ..JobPolicy::default()
            };
            assert_eq!(
                policy.retry_delay(failed_tries),
                Duration::from_millis(expected_ms),
                "{factor} after {failed_tries}"
            );
        };
        check(1.0, 1, 1_000);
        check(1.0, 9, 1_000);
        check(2.0, 0, 1_000);
        check(2.0, 1, 1_000);
        check(2.0, 4, 8_000);
        check(2.0, 5, 10_000);
        check(2.0, i32::MAX, 10_000);
        check(0.5, 2, 500);
        check(-1.0, 2, 0);
        check(f64::NAN, 2, 1_000);
        check(f64::INFINITY, 2, 10_000);
    }

    #[test]
    fn tries_are_counted_with_the_first() {
        let check = |max_attempts: i32, failed_tries: i32, expected: bool| {
            let policy = JobPolicy {
                max_attempts,
                ..JobPolicy::default()
            };
            assert_eq!(policy.may_try_again(failed_tries), expected);
        };
        check(10, 9, true);
        check(10, 10, false);
        check(1, 1, false);
        check(0, 1, false);
        check(-1, i32::MAX, true);
    }
}
