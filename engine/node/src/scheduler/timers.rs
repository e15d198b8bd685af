//! When to check which job again, in the order of time on the monotonic clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::JobKey;
use weft_model::clock::Clock;

/// Added to the monotonic clock, which may start with the machine: a hint can be older than that.
const BEFORE_THE_MACHINE: Duration = Duration::from_secs(366 * 86_400);

/// The monotonic clock of the timers. It has moments for hints from before the machine was started.
pub(super) fn uptime(clock: &dyn Clock) -> Duration {
    BEFORE_THE_MACHINE + clock.monotonic()
}

/// When to check a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    /// When to check.
    pub at: Duration,
    /// Since when this node has known the job to be due.
    pub since: Duration,
    /// The moment of the job's latest hint that this node has read or written; none if it knows of no hint.
    pub hinted: Option<Duration>,
}

/// At most one timer for each job.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Duration, JobKey)>,
    by_key: BTreeMap<JobKey, Timer>,
}

impl Timers {
    /// Sets the timer of a job and replaces an earlier one.
    pub fn set(&mut self, key: JobKey, timer: Timer) {
        self.remove(&key);
        self.by_time.insert((timer.at, key.clone()));
        self.by_key.insert(key, timer);
    }

    /// Sets the timer unless the job has one for an earlier time. The latest hint counts either way.
    pub fn set_if_earlier(&mut self, key: JobKey, timer: Timer) {
        let hinted = match self.by_key.get_mut(&key) {
            Some(found) => {
                found.hinted = found.hinted.max(timer.hinted);
                if found.at <= timer.at {
                    return;
                }
                found.hinted
            }
            None => timer.hinted,
        };
        self.set(key, Timer { hinted, ..timer });
    }

    /// Removes the timer of a job.
    pub fn remove(&mut self, key: &JobKey) -> Option<Timer> {
        let timer = self.by_key.remove(key)?;
        self.by_time.remove(&(timer.at, key.clone()));
        Some(timer)
    }

    /// Removes the timers that are due, the earliest first.
    pub fn take_due(&mut self, now: Duration) -> Vec<(JobKey, Timer)> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.by_time.first()
            && *at <= now
            && let Some((_, key)) = self.by_time.pop_first()
            && let Some(timer) = self.by_key.remove(&key)
        {
            due.push((key, timer));
        }
        due
    }

    /// The oldest among the latest hints of the jobs.
    pub fn oldest_hint(&self) -> Option<Duration> {
        let hints = self.by_key.values().filter_map(|timer| timer.hinted);
        hints.min()
    }

    /// When the next timer is due.
    pub fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job_key as key;

    fn timer(at: u64) -> Timer {
        Timer {
            at: Duration::from_secs(at),
            since: Duration::ZERO,
            hinted: None,
        }
    }

    fn uids(due: Vec<(JobKey, Timer)>) -> Vec<String> {
        due.into_iter().map(|(key, _)| key.uid).collect()
    }

    #[test]
    fn timers_come_once_and_in_the_order_of_time() {
        let mut timers = Timers::default();
        for (uid, at) in [("c", 3), ("a", 1), ("b", 2)] {
            timers.set(key(uid), timer(at));
        }
        assert_eq!(timers.next(), Some(Duration::from_secs(1)));
        assert_eq!(uids(timers.take_due(Duration::from_secs(2))), ["a", "b"]);
        assert_eq!(uids(timers.take_due(Duration::from_secs(2))), [""; 0]);
        assert_eq!(timers.next(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_job_has_one_timer() {
        let mut timers = Timers::default();
        timers.set(key("a"), timer(5));
        timers.set_if_earlier(key("a"), timer(7));
        assert_eq!(timers.next(), Some(Duration::from_secs(5)));
        timers.set_if_earlier(key("a"), timer(4));
        timers.set(key("a"), timer(6));
        assert_eq!(timers.next(), Some(Duration::from_secs(6)));
        assert_eq!(timers.remove(&key("a")), Some(timer(6)));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn the_latest_hint_of_each_job_counts() {
        let hinted = |at, hinted| Timer {
            hinted: Some(Duration::from_secs(hinted)),
            ..timer(at)
        };
        let mut timers = Timers::default();
        timers.set(key("a"), hinted(5, 1));
        timers.set_if_earlier(key("b"), hinted(5, 3));
        timers.set(key("c"), timer(5));
        assert_eq!(timers.oldest_hint(), Some(Duration::from_secs(1)));
        // A hint for later does not move the timer.
        timers.set_if_earlier(key("a"), hinted(7, 4));
        assert_eq!(timers.oldest_hint(), Some(Duration::from_secs(3)));
        assert_eq!(timers.next(), Some(Duration::from_secs(5)));
    }
}
