//! The policy of a job: how it is shown, and how it is changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_model::schedule::{JobPolicy, Trigger};
use weft_statement::{Patch, PolicyDraft};

use crate::moment::Moment;

/// How the schedule and the failures of a job are handled. A client may send it back as `policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPolicyItem {
    /// No run starts before this time.
    pub start_at: Option<Moment>,
    /// No run starts after this time.
    pub end_at: Option<Moment>,
    /// The time zone of a schedule without a zone of its own; null = UTC.
    pub time_zone: Option<String>,
    /// What happens to missed runs: `ONCE`, `SKIP`, `ALL` or e.g. `ALL:20`.
    pub misfire: String,
    /// What happens to a run that is due while the previous one is active: `SKIP`, `QUEUE` or `ALLOW`.
    pub overlap: String,
    /// The number of runs after which the job ends; null = no limit.
    pub max_runs: Option<i64>,
    /// The maximum random delay of a run, in milliseconds.
    pub jitter_ms: i64,
    /// The maximum number of attempts at a run; -1 = no limit.
    pub max_attempts: i32,
    /// The pause before the second attempt, in milliseconds.
    pub retry_delay_ms: i64,
    /// The factor by which the pause grows after each failed attempt.
    pub retry_factor: f64,
    /// The maximum pause between two attempts, in milliseconds.
    pub retry_max_delay_ms: i64,
    /// The time after which a run is stopped, in milliseconds; null = no limit.
    pub timeout_ms: Option<i64>,
    /// Whether other nodes may run the job while no node of its affinity is alive.
    pub relocate: bool,
    /// Whether the schedule is paused.
    pub paused: bool,
    /// The triggers that start the job when other jobs end, as in the option AFTER; null = none.
    pub after: Option<String>,
}

impl From<&JobPolicy> for JobPolicyItem {
    fn from(policy: &JobPolicy) -> Self {
        Self {
            start_at: policy.start_at.map(Into::into),
            end_at: policy.end_at.map(Into::into),
            time_zone: policy.time_zone.clone(),
            misfire: policy.misfire.to_string(),
            overlap: policy.overlap.to_string(),
            max_runs: policy.max_runs,
            jitter_ms: policy.jitter_ms,
            max_attempts: policy.max_attempts,
            retry_delay_ms: policy.retry_delay_ms,
            retry_factor: policy.retry_factor,
            retry_max_delay_ms: policy.retry_max_delay_ms,
            timeout_ms: policy.timeout_ms,
            relocate: policy.relocate,
            paused: policy.paused,
            after: (!policy.after.is_empty()).then(|| Trigger::write_all(&policy.after)),
        }
    }
}

/// Changes to a policy. An absent field keeps its value; null restores the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// No run starts before this time: RFC 3339, or `yyyy-MM-dd HH:mm:ss` in the job's time zone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub start_at: Patch<String>,
    /// No run starts after this time; the same formats as `start_at`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub end_at: Patch<String>,
    /// The time zone of times and of the schedule, e.g. `Europe/Berlin`; UTC by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub time_zone: Patch<String>,
    /// What happens to missed runs: `ONCE` (the default), `SKIP`, `ALL` or e.g. `ALL:20`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub misfire: Patch<String>,
    /// What happens to a run that is due while the previous one is active: `SKIP` (the default), `QUEUE` or `ALLOW`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub overlap: Patch<String>,
    /// The number of runs after which the job ends, at least 1; no limit by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub max_runs: Patch<i64>,
    /// The maximum random delay of a run in milliseconds; 0 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub jitter_ms: Patch<i64>,
    /// The maximum number of attempts at a run, from 1 to 1000, or -1 for no limit; 10 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = -1, maximum = 1000)]
    pub max_attempts: Patch<i64>,
    /// The pause before the second attempt in milliseconds; 60000 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub retry_delay_ms: Patch<i64>,
    /// The factor by which the pause grows after each failed attempt, at least 1; 1 by default.
    #[serde(default)]
    #[schema(value_type = Option<f64>, minimum = 1)]
    pub retry_factor: Patch<f64>,
    /// The maximum pause between two attempts in milliseconds; 3600000 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub retry_max_delay_ms: Patch<i64>,
    /// The time after which a run is stopped, in milliseconds; no limit by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub timeout_ms: Patch<i64>,
    /// Whether other nodes may run the job while no node of its affinity is alive; false by default.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub relocate: Patch<bool>,
    /// Whether the schedule is paused; false by default.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub paused: Patch<bool>,
    /// Triggers that start the job when other jobs end, e.g. `PROCESS load.sh SUCCEEDED +00:05:00`; separated by `;`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub after: Patch<String>,
}

impl From<PolicyChange> for PolicyDraft {
    fn from(policy: PolicyChange) -> Self {
        Self {
            start_at: policy.start_at,
            end_at: policy.end_at,
            time_zone: policy.time_zone,
            misfire: policy.misfire,
            overlap: policy.overlap,
            max_runs: policy.max_runs,
            jitter_ms: policy.jitter_ms,
            max_attempts: policy.max_attempts,
            retry_delay_ms: policy.retry_delay_ms,
            retry_factor: policy.retry_factor,
            retry_max_delay_ms: policy.retry_max_delay_ms,
            timeout_ms: policy.timeout_ms,
            relocate: policy.relocate,
            paused: policy.paused,
            after: policy.after,
        }
    }
}
