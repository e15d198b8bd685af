//! Stub.
use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
/// Stub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobPolicy {
    /// a
    pub max_attempts: i32,
    /// a
    pub retry_delay_ms: i64,
    /// a
    pub retry_factor: f64,
    /// a
    pub retry_max_delay_ms: i64,
    /// a
    pub timeout_ms: Option<i64>,
    /// a
    pub relocate: bool,
    /// a
    pub paused: bool,
    /// a
    pub time_zone: Option<String>,
}
impl Default for JobPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 10,
            retry_delay_ms: 60_000,
            retry_factor: 1.0,
            retry_max_delay_ms: 3_600_000,
            timeout_ms: None,
            relocate: false,
            paused: false,
            time_zone: None,
        }
    }
}
impl JobPolicy {
    /// a
    pub fn retry_delay(&self, _failed_tries: i32) -> Duration {
        Duration::from_millis(self.retry_delay_ms as u64)
    }
    /// a
    pub fn may_try_again(&self, failed_tries: i32) -> bool {
        self.max_attempts < 0 || failed_tries < self.max_attempts
    }
}
/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule;
/// Stub.
#[derive(Clone, Debug)]
pub struct RunEnd {
    /// a
    pub planned: Option<Timestamp>,
    /// a
    pub ended: Timestamp,
    /// a
    pub runs: i64,
}
/// Stub.
pub fn following(_s: &Schedule, _p: &JobPolicy, _e: &RunEnd, _seed: u64) -> Option<Timestamp> {
    None
}
/// Stub.
#[derive(Clone, Debug, PartialEq)]
pub enum Due {
    /// a
    Run,
    /// a
    PassTo(Option<Timestamp>),
}
/// Stub.
pub fn due(_s: &Schedule, _p: &JobPolicy, _planned: Timestamp, _now: Timestamp, _seed: u64) -> Due {
    Due::Run
}
impl Schedule {
    /// a
    pub fn parse(_t: &str, _z: ()) -> Result<Self, String> {
        Ok(Self)
    }
    /// a
    pub fn is_recurring(&self) -> bool {
        false
    }
}
impl JobPolicy {
    /// a
    pub fn zone(&self) {}
}
