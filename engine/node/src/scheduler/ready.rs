//! Jobs that are due and wait for a slot of this node, longest first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_model::JobKey;

/// One that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Since when it has been due; its hint is as old as that.
    pub since: Duration,
    /// Its affinity, once its row was read.
    pub affinity: Option<Vec<String>>,
}

/// They are in memory only: each is hinted anew before a look back would miss it.
#[derive(Debug, Default)]
pub(super) struct Ready {
    order: BTreeSet<(Duration, JobKey)>,
    waiting: BTreeMap<JobKey, Waiting>,
}

impl Ready {
    /// Adds one, or learns more of it.
    pub fn put(&mut self, key: JobKey, waiting: Waiting) {
        let before = self.remove(&key);
        let since = before.map_or(waiting.since, |before| before.since);
        self.order.insert((since, key.clone()));
        let waiting = Waiting { since, ..waiting };
        self.waiting.insert(key, waiting);
    }

    /// Takes one out.
    pub fn remove(&mut self, key: &JobKey) -> Option<Waiting> {
        let waiting = self.waiting.remove(key)?;
        self.order.remove(&(waiting.since, key.clone()));
        Some(waiting)
    }

    /// Takes at most `count` out for which there may be room, of the first `scanned`.
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

    /// Those whose hint is older than this, at most `count`.
    pub fn stale(&self, hinted_before: Duration, count: usize) -> Vec<JobKey> {
        self.order
            .iter()
            .take_while(|(since, _)| *since < hinted_before)
            .map(|(_, key)| key.clone())
            .take(count)
            .collect()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
