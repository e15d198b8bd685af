//! Counts of the calls to a store, by verb: the basis of statements about cost.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Compare-and-sets sent, by verb. A verb with two of them counts two.
    pub compare_and_sets: BTreeMap<&'static str, u64>,
    /// Plain calls, by verb.
    pub calls: BTreeMap<&'static str, u64>,
}

impl StoreStatistics {
    /// Compare-and-sets of all verbs.
    pub fn compare_and_set_total(&self) -> u64 {
        self.compare_and_sets.values().sum()
    }

    /// Plain calls of all verbs.
    pub fn call_total(&self) -> u64 {
        self.calls.values().sum()
    }
}

/// The counters of a store. The metrics `store_lwt_total{op}` and `store_calls_total{op}` move with it.
#[derive(Debug, Default)]
pub struct Counters(Mutex<StoreStatistics>);

impl Counters {
    /// Counts one compare-and-set.
    pub fn compare_and_set(&self, verb: &'static str) {
        metrics::counter!("store_lwt_total", "op" => verb).increment(1);
        *self.lock().compare_and_sets.entry(verb).or_default() += 1;
    }

    /// Counts one plain call.
    pub fn call(&self, verb: &'static str) {
        metrics::counter!("store_calls_total", "op" => verb).increment(1);
        *self.lock().calls.entry(verb).or_default() += 1;
    }

    /// The counts so far.
    pub fn snapshot(&self) -> StoreStatistics {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, StoreStatistics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
