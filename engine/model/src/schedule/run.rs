//! The first run of a job, and a run that has ended.

use crate::clock::Timestamp;

/// When a new or resumed job runs first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstRun {
    /// At once.
    Now,
    /// At this time.
    At(Timestamp),
    /// Not until a schedule is enabled.
    Off,
    /// Never, with the reason as a clause: `2020-01-01 00:00:00 has passed`.
    Never(String),
}

/// A run that has ended: it succeeded, or failed with no retry left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScheduledRun {
    /// The scheduled time of the run; none for a run that started at once or on request.
    pub planned: Option<Timestamp>,
    /// Start of the run.
    pub started: Timestamp,
    /// End of the run.
    pub ended: Timestamp,
    /// The number of runs so far, including this one.
    pub runs: i64,
}
