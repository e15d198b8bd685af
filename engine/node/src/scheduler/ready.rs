//! Due jobs that wait for a slot of this node, the longest waiting first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::JobKey;

/// A job that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// When it became due, which is also the age of its hint.
    pub since: Duration,
    /// Its affinity, if its row has been read.
    pub affinity: Option<Vec<String>>,
}

/// Kept in memory only: each job gets a new hint before its old one is too old for a node that starts.
#[derive(Debug, Default)]
pub(super) struct Ready {
    order: BTreeSet<(Duration, JobKey)>,
    waiting: BTreeMap<JobKey, Waiting>,
}

impl Ready {
    /// Adds a job, or updates what is known about it. The time since which it is due stays.
    pub fn put(&mut self, key: JobKey, waiting: Waiting) {
        let before = self.remove(&key);
        let since = before.map_or(waiting.since, |before| before.since);
        self.order.insert((since, key.clone()));
        let waiting = Waiting { since, ..waiting };
        self.waiting.insert(key, waiting);
    }

    /// Removes a job.
    pub fn remove(&mut self, key: &JobKey) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.order.remove(&(waiting.since, key.clone()));
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

    /// At most `count` jobs whose hint is older than this.
    pub fn stale(&self, hinted_before: Duration, count: usize) -> Vec<JobKey> {
        self.order
            .iter()
            .take_while(|(since, _)| *since < hinted_before)
            .map(|(_, key)| key.clone())
            .take(count)
            .collect()
    }

    /// Since when the job that has waited for longest has been due.
    pub fn oldest_hint(&self) -> Option<Duration> {
        self.order.first().map(|(since, _)| *since)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
