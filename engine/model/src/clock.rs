//! The engine's clocks: a wall clock for due times and for everything that users read, and a
//! monotonic clock for waiting, failure detection and self-fencing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// A moment in UTC, in milliseconds since 1970-01-01.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Converts to chrono's type. A moment outside of chrono's range becomes the epoch.
    pub fn to_utc(self) -> DateTime<Utc> {
        Utc.timestamp_millis_opt(self.0)
            .single()
            .unwrap_or_default()
    }

    /// `yyyy-MM-dd HH:mm:ss`, the form of `BATCH_LIST` and `Next Run`.
    pub fn to_seconds_text(self) -> String {
        self.to_utc().format("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// `yyyy-MM-dd HH:mm:ss.SSS`.
    pub fn to_millis_text(self) -> String {
        self.to_utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }

    /// RFC 3339 with milliseconds, the form of the HTTP API.
    pub fn to_rfc3339(self) -> String {
        self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    /// The moment `duration` later; saturates.
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The moment `duration` earlier; saturates.
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// The engine's source of time.
///
/// Waiting itself goes through `tokio::time`, which a simulation pauses.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock. It is never compared with the clock of another node.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary start, on a clock that never steps back and continues during suspend.
    fn monotonic(&self) -> Duration;
}

/// A clock that all parts of a node share.
pub type SharedClock = Arc<dyn Clock>;

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp(Utc::now().timestamp_millis())
    }

    fn monotonic(&self) -> Duration {
        // CLOCK_BOOTTIME continues during suspend, so that a suspended node fences itself when it wakes up.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(
            now.tv_sec.unsigned_abs(),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        )
    }
}
