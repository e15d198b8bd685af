//! Which jobs are looked at again, and when: in the order of time, by this process's own clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::JobKey;

/// When to look at a job, and since when this node has known that it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// When to look.
    pub at: Duration,
    /// Since when it has been due here.
    pub since: Duration,
}

/// At most one look for each job.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Duration, JobKey)>,
    looks: BTreeMap<JobKey, Look>,
}

impl Timers {
    /// Sets the look at a job, whatever was set before.
    pub fn set(&mut self, key: JobKey, look: Look) {
        self.remove(&key);
        self.by_time.insert((look.at, key.clone()));
        self.looks.insert(key, look);
    }

    /// Sets the look unless an earlier one is set.
    pub fn set_if_earlier(&mut self, key: JobKey, look: Look) {
        if self.looks.get(&key).is_none_or(|found| found.at > look.at) {
            self.set(key, look);
        }
    }

    /// Takes the look at a job out.
    pub fn remove(&mut self, key: &JobKey) -> Option<Look> {
        let look = self.looks.remove(key)?;
        self.by_time.remove(&(look.at, key.clone()));
        Some(look)
    }

    /// Takes those out whose time has come, earliest first.
    pub fn take_due(&mut self, now: Duration) -> Vec<(JobKey, Look)> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.by_time.first()
            && *at <= now
            && let Some((_, key)) = self.by_time.pop_first()
            && let Some(look) = self.looks.remove(&key)
        {
            due.push((key, look));
        }
        due
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Duration> {
        self.by_time.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uid: &str) -> JobKey {
        JobKey {
            job_type: "PROCESS".to_owned(),
            name: "a.sh".to_owned(),
            uid: uid.to_owned(),
        }
    }

    fn look(at: u64) -> Look {
        Look {
            at: Duration::from_secs(at),
            since: Duration::ZERO,
        }
    }

    fn uids(due: Vec<(JobKey, Look)>) -> Vec<String> {
        due.into_iter().map(|(key, _)| key.uid).collect()
    }

    #[test]
    fn looks_come_in_the_order_of_time_and_once() {
        let mut timers = Timers::default();
        for (uid, at) in [("c", 3), ("a", 1), ("b", 2)] {
            timers.set(key(uid), look(at));
        }
        assert_eq!(timers.next(), Some(Duration::from_secs(1)));
        assert_eq!(uids(timers.take_due(Duration::from_secs(2))), ["a", "b"]);
        assert_eq!(uids(timers.take_due(Duration::from_secs(2))), [""; 0]);
        assert_eq!(timers.next(), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_job_has_one_look() {
        let mut timers = Timers::default();
        timers.set(key("a"), look(5));
        timers.set_if_earlier(key("a"), look(7));
        assert_eq!(timers.next(), Some(Duration::from_secs(5)));
        timers.set_if_earlier(key("a"), look(4));
        timers.set(key("a"), look(6));
        assert_eq!(timers.next(), Some(Duration::from_secs(6)));
        assert_eq!(timers.remove(&key("a")), Some(look(6)));
        assert_eq!(timers.next(), None);
    }
}
