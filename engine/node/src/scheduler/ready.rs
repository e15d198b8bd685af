//! Due jobs that wait for a slot of this node, the longest waiting first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::JobKey;

/// A job that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// When it became due.
    pub since: Duration,
    /// When its last hint is due, or was.
    pub hinted_at: Duration,
    /// Its affinity, if its row has been read.
    pub affinity: Option<Vec<String>>,
}

/// Kept in memory only: each job gets a new hint before its old one is too old for a node that starts.
#[derive(Debug, Default)]
pub(super) struct Ready {
    order: BTreeSet<(Duration, JobKey)>,
    hints: BTreeSet<(Duration, JobKey)>,
    waiting: BTreeMap<JobKey, Waiting>,
}

impl Ready {
    /// Adds a job, or updates what is known about it. The time since which it is due stays, and so does its last hint.
    pub fn put(&mut self, key: JobKey, waiting: Waiting) {
        let before = self.remove(&key);
        let since = before.as_ref().map_or(waiting.since, |it| it.since);
        let hinted_at = before.map_or(waiting.hinted_at, |it| it.hinted_at);
        self.order.insert((since, key.clone()));
        self.hints.insert((hinted_at, key.clone()));
        let waiting = Waiting {
            since,
            hinted_at,
            ..waiting
        };
        self.waiting.insert(key, waiting);
    }

    /// Removes a job.
    pub fn remove(&mut self, key: &JobKey) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.order.remove(&(waiting.since, key.clone()));
        self.hints.remove(&(waiting.hinted_at, key.clone()));
        Some(waiting)
    }

    /// Removes at most `count` jobs for which `may_run` holds, of the first `scanned`.
    pub fn take(
        &mut self,
        count: usize,
        scanned: usize,
        may_run: impl Fn(&Waiting) -> bool,
    ) -> Vec<(JobKey, Waiting)> {
        let keys: Vec<JobKey> = self
            .order
            .iter()
            .take(scanned)
            .map(|(_, key)| key)
            .filter(|key| self.waiting.get(key).is_some_and(&may_run))
            .take(count)
            .cloned()
            .collect();
        keys.into_iter()
            .filter_map(|key| self.remove(&key).map(|waiting| (key, waiting)))
            .collect()
    }

    /// At most `count` jobs whose last hint is older than this, the oldest first.
    pub fn stale(&self, hinted_before: Duration, count: usize) -> Vec<JobKey> {
        self.hints
            .iter()
            .take_while(|(hinted_at, _)| *hinted_at < hinted_before)
            .map(|(_, key)| key.clone())
            .take(count)
            .collect()
    }

    /// The oldest among the last hints of the jobs.
    pub fn oldest_hint(&self) -> Option<Duration> {
        self.hints.first().map(|(hinted_at, _)| *hinted_at)
    }

    /// A job got a new hint.
    pub fn set_hinted_at(&mut self, key: &JobKey, now: Duration) {
        if let Some(waiting) = self.waiting.get_mut(key) {
            self.hints.remove(&(waiting.hinted_at, key.clone()));
            waiting.hinted_at = now;
            self.hints.insert((now, key.clone()));
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::job_key as key;

    fn put(ready: &mut Ready, uid: &str, seconds: u64) {
        let at = Duration::from_secs(seconds);
        let waiting = Waiting {
            since: at,
            hinted_at: at,
            affinity: None,
        };
        ready.put(key(uid), waiting);
    }

    #[test]
    fn a_new_hint_leaves_a_job_its_place() {
        let mut ready = Ready::default();
        put(&mut ready, "a", 1);
        put(&mut ready, "b", 2);
        let late = Duration::from_secs(9);
        assert_eq!(ready.stale(late, 1), [key("a")]);
        ready.set_hinted_at(&key("a"), late);
        assert_eq!(ready.stale(late, 9), [key("b")]);
        // Its own hint leads to it again.
        put(&mut ready, "a", 10);
        assert_eq!(ready.stale(late, 9), [key("b")]);
        let taken = ready.take(1, 10, |_| true);
        assert_eq!(taken[0].0, key("a"));
        assert_eq!((ready.len(), ready.is_empty()), (1, false));
    }
}
