//! The policy of a job: how it is shown, and how it is changed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use weft_model::schedule::{JobPolicy, Trigger};
use weft_statement::{Patch, PolicyDraft};

use crate::moment::Moment;

/// How the schedule and the failures of a job are handled. It can be sent back as `policy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPolicyItem {
    /// No run before this.
    pub start_at: Option<Moment>,
    /// No run after this.
    pub end_at: Option<Moment>,
    /// The time zone of a schedule that names none; null = UTC.
    pub time_zone: Option<String>,
    /// How missed times are handled: `ONCE`, `SKIP`, `ALL` or e.g. `ALL:20`.
    pub misfire: String,
    /// How a time that falls into a run is handled: `SKIP`, `QUEUE` or `ALLOW`.
    pub overlap: String,
    /// The job ends after this many runs.
    pub max_runs: Option<i64>,
    /// The longest random delay of each run.
    pub jitter_ms: i64,
    /// The most attempts at a run; -1 = no limit.
    pub max_attempts: i32,
    /// The pause before the second attempt.
    pub retry_delay_ms: i64,
    /// The factor of each further pause.
    pub retry_factor: f64,
    /// The longest pause.
    pub retry_max_delay_ms: i64,
    /// A longer run is stopped.
    pub timeout_ms: Option<i64>,
    /// Other nodes may run it while no node of the affinity is alive.
    pub relocate: bool,
    /// The schedule is paused.
    pub paused: bool,
    /// The triggers that start it besides the schedule, as in the option AFTER; null = none.
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

/// Changes of a policy. An absent field stays as it is; null restores the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// No run before this: RFC 3339, or `yyyy-MM-dd HH:mm:ss` in the job's time zone.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub start_at: Patch<String>,
    /// No run after this.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub end_at: Patch<String>,
    /// The time zone of times and of the schedule, e.g. `Europe/Berlin`; UTC by default.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub time_zone: Patch<String>,
    /// `ONCE` (the default), `SKIP`, `ALL` or e.g. `ALL:20`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub misfire: Patch<String>,
    /// `SKIP` (the default), `QUEUE`, or `ALLOW`, which runs both.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub overlap: Patch<String>,
    /// From 1 up; no limit by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub max_runs: Patch<i64>,
    /// From 0 up; 0 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub jitter_ms: Patch<i64>,
    /// From 1 to 1000, or -1 for no limit; 10 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = -1, maximum = 1000)]
    pub max_attempts: Patch<i64>,
    /// From 0 up; 60000 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub retry_delay_ms: Patch<i64>,
    /// From 1 up; 1 by default.
    #[serde(default)]
    #[schema(value_type = Option<f64>, minimum = 1)]
    pub retry_factor: Patch<f64>,
    /// From 0 up; 3600000 by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 0)]
    pub retry_max_delay_ms: Patch<i64>,
    /// From 1 up; no limit by default.
    #[serde(default)]
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub timeout_ms: Patch<i64>,
    /// Other nodes may run it while no node of the affinity is alive; false by default.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub relocate: Patch<bool>,
    /// The schedule is paused; false by default.
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    pub paused: Patch<bool>,
    /// Runs it when other jobs end, e.g. `PROCESS load.sh SUCCEEDED +00:05:00`; several are separated by `;`.
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
