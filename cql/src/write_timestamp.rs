//! Timestamps of plain writes.

use std::sync::atomic::{AtomicI64, Ordering};

use scylla::policies::timestamp_generator::TimestampGenerator;
use weft_model::clock::{Clock, SystemClock};

/// Generates the timestamps of plain writes: microseconds since 1970 that increase even if the clock steps back.
#[derive(Debug, Default)]
pub(crate) struct WriteTimestamps(AtomicI64);

impl WriteTimestamps {
    /// Makes all later timestamps larger than `timestamp`.
    pub(crate) fn raise_to(&self, timestamp: i64) {
        self.0.fetch_max(timestamp, Ordering::AcqRel);
    }

    /// The next timestamp, larger than `least` as well.
    pub(crate) fn next_above(&self, least: i64) -> i64 {
        self.next_timestamp().max(least.saturating_add(1))
    }
}

impl TimestampGenerator for WriteTimestamps {
    fn next_timestamp(&self) -> i64 {
        let now = SystemClock.now().0.saturating_mul(1_000);
        let next = |last: i64| now.max(last.saturating_add(1));
        let mut last = self.0.load(Ordering::Acquire);
        loop {
            match self.0.compare_exchange_weak(
                last,
                next(last),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return next(last),
                Err(other) => last = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_increase() {
        let timestamps = WriteTimestamps::default();
        let first = timestamps.next_timestamp();
        assert!(timestamps.next_timestamp() > first);
        timestamps.raise_to(first + 1_000_000_000);
        assert_eq!(timestamps.next_timestamp(), first + 1_000_000_001);
    }
}
