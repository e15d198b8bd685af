//! The statistics of a node about a batch that it works on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::lock::lock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use weft_model::clock::Timestamp;
use weft_model::{
    BatchId, EntityRow, EntityStatus, InProcess, NodeId, NodeShare, NodeStats, SlowEntity,
};

const LONGEST_US: u64 = 24 * 3600 * 1_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;

/// A histogram of entity times in microseconds, 1 µs to 24 h, two significant digits.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, SIGNIFICANT_DIGITS)
        .expect("the bounds are constants that hdrhistogram accepts")
}

/// The percentiles that BATCH_INFO shows, in microseconds.
pub fn percentiles_us(histogram: &Histogram<u64>) -> BTreeMap<String, i64> {
    if histogram.is_empty() {
        return BTreeMap::new();
    }
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let mut percentiles: BTreeMap<String, i64> =
        [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)]
            .into_iter()
            .map(|(name, at)| (name.to_owned(), whole(histogram.value_at_percentile(at))))
            .collect();
    percentiles.insert("max".to_owned(), whole(histogram.max()));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a mean of at most 24 h in microseconds fits"
    )]
    percentiles.insert("mean".to_owned(), histogram.mean() as i64);
    percentiles
}

/// Adds up the histograms of nodes, without those that cannot be read.
pub fn merge_histograms<'a>(texts: impl IntoIterator<Item = &'a str>) -> Histogram<u64> {
    let mut sum = new_histogram();
    for text in texts {
        let Ok(bytes) = STANDARD.decode(text) else {
            continue;
        };
        if let Ok(part) = Deserializer::new().deserialize::<u64, _>(&mut bytes.as_slice()) {
            // Every version writes histograms with these bounds.
            let _ = sum.add(part);
        }
    }
    sum
}

/// The counts of one worker, merged into those of the node at each flush.
#[derive(Debug)]
pub struct Tally {
    /// Counts since the last merge.
    pub share: NodeShare,
    histogram: Histogram<u64>,
    slowest: Vec<SlowEntity>,
    slowest_count: usize,
    aggregation: Aggregation,
}

impl Tally {
    /// A tally without entities.
    pub fn new(slowest_count: usize, max_keys: usize) -> Self {
        Self {
            share: NodeShare::default(),
            histogram: new_histogram(),
            slowest: Vec::new(),
            slowest_count,
            aggregation: Aggregation::new(max_keys),
        }
    }

    /// Counts one handled entity.
    pub fn add(&mut self, row: &EntityRow) {
        let micros = u64::try_from(row.duration_us)
            .unwrap_or(0)
            .clamp(1, LONGEST_US);
        self.histogram.saturating_record(micros);
        match row.status {
            EntityStatus::Completed => self.share.succeeded += 1,
            EntityStatus::Failed => self.share.failed += 1,
            EntityStatus::Waiting => debug_assert!(false, "a handled entity is not waiting"),
        }
        if let Some(result) = &row.result {
            self.aggregation.add(result, &mut self.share.aggregated);
        }
        let first = self.share.first_start.get_or_insert(row.start_time);
        *first = (*first).min(row.start_time);
        self.share.last_end = self.share.last_end.max(Some(row.end_time));
        keep_slowest(
            &mut self.slowest,
            self.slowest_count,
            row.duration_us / 1_000,
            || slow_entity(row),
        );
    }
}

fn slow_entity(row: &EntityRow) -> SlowEntity {
    SlowEntity {
        entity_id: row.id.clone(),
        process_time_ms: row.duration_us / 1_000,
        status: row.status.as_str().to_owned(),
        result: row
            .result
            .clone()
            .filter(|_| row.status == EntityStatus::Completed),
        node_id: Some(row.node.0.clone()),
    }
}

/// Keeps the `count` slowest, ascending by time.
pub fn keep_slowest(
    slowest: &mut Vec<SlowEntity>,
    count: usize,
    millis: i64,
    entity: impl FnOnce() -> SlowEntity,
) {
    if slowest.len() >= count
        && slowest
            .first()
            .is_none_or(|fastest| millis <= fastest.process_time_ms)
    {
        return;
    }
    let at = slowest.partition_point(|slow| slow.process_time_ms <= millis);
    slowest.insert(at, entity());
    if slowest.len() > count {
        slowest.remove(0);
    }
}

/// Sums the numbers in results by key. Results repeat, so parsed ones are cached.
#[derive(Debug)]
struct Aggregation {
    max_keys: usize,
    known: BTreeMap<String, Vec<(String, i64)>>,
}

impl Aggregation {
    const KNOWN: usize = 64;

    fn new(max_keys: usize) -> Self {
        Self {
            max_keys,
            known: BTreeMap::new(),
        }
    }

    fn add(&mut self, result: &str, sums: &mut BTreeMap<String, i64>) {
        if let Some(numbers) = self.known.get(result) {
            add_numbers(numbers, self.max_keys, sums);
            return;
        }
        let numbers = numbers_of(result);
        add_numbers(&numbers, self.max_keys, sums);
        if self.known.len() < Self::KNOWN && result.len() <= 256 {
            self.known.insert(result.to_owned(), numbers);
        }
    }
}

fn add_numbers(numbers: &[(String, i64)], max_keys: usize, sums: &mut BTreeMap<String, i64>) {
    for (key, number) in numbers {
        if let Some(sum) = sums.get_mut(key) {
            *sum += number;
        } else if sums.len() < max_keys {
            sums.insert(key.clone(), *number);
        }
    }
}

fn numbers_of(result: &str) -> Vec<(String, i64)> {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_str(result) else {
        return Vec::new();
    };
    object
        .into_iter()
        .filter_map(|(key, value)| value.as_i64().map(|number| (key, number)))
        .collect()
}

/// The statistics of a node about one batch. Shared by its workers.
#[derive(Debug)]
pub struct BatchStats {
    batch: BatchId,
    node: NodeId,
    dc: String,
    slowest_count: usize,
    pace_window: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    share: NodeShare,
    histogram: Histogram<u64>,
    slowest: Vec<SlowEntity>,
    in_process: BTreeMap<u64, InProcess>,
    handled: VecDeque<(Duration, i64)>,
    next_slot: u64,
    dirty: bool,
}

impl BatchStats {
    /// Continues from the row that this node wrote about the batch before, if any.
    pub fn new(
        batch: BatchId,
        node: NodeId,
        dc: String,
        slowest_count: usize,
        pace_window: Duration,
        before: Option<NodeStats>,
    ) -> Self {
        let histogram =
            merge_histograms(before.iter().filter_map(|stats| stats.histogram.as_deref()));
        let (share, slowest) = before
            .map(|stats| (stats.share, stats.slowest))
            .unwrap_or_default();
        Self {
            batch,
            node,
            dc,
            slowest_count,
            pace_window,
            inner: Mutex::new(Inner {
                share,
                histogram,
                slowest,
                in_process: BTreeMap::new(),
                handled: VecDeque::new(),
                next_slot: 0,
                dirty: false,
            }),
        }
    }

    /// A worker starts. Returns its key among the entities in process.
    pub fn enter(&self) -> u64 {
        let mut inner = self.lock();
        inner.next_slot += 1;
        inner.next_slot
    }

    /// The worker starts to handle this entity.
    pub fn start_entity(&self, slot: u64, entity: &str, since: Timestamp) {
        let mut inner = self.lock();
        match inner.in_process.get_mut(&slot) {
            Some(place) => {
                entity.clone_into(&mut place.entity);
                place.since = since;
            }
            None => {
                inner.in_process.insert(
                    slot,
                    InProcess {
                        entity: entity.to_owned(),
                        since,
                    },
                );
            }
        }
    }

    /// The worker has ended its work on the chunk.
    pub fn leave(&self, slot: u64) {
        let mut inner = self.lock();
        inner.in_process.remove(&slot);
        inner.dirty = true;
    }

    /// Adds what a worker has counted since its last flush, and clears its tally.
    pub fn merge(&self, tally: &mut Tally, now: Duration) {
        let mut inner = self.lock();
        inner.share.merge(&tally.share);
        let _ = inner.histogram.add(&tally.histogram);
        for slow in tally.slowest.drain(..) {
            let millis = slow.process_time_ms;
            keep_slowest(&mut inner.slowest, self.slowest_count, millis, || slow);
        }
        inner.handled.push_back((now, tally.share.handled()));
        inner.dirty = true;
        tally.share = NodeShare::default();
        tally.histogram.reset();
    }

    /// The mean time of an entity, if any was handled.
    pub fn mean_time(&self) -> Option<Duration> {
        let inner = self.lock();
        (!inner.histogram.is_empty())
            .then(|| Duration::from_secs_f64(inner.histogram.mean() / 1_000_000.0))
    }

    /// Entities per second in the last window, in thousandths.
    pub fn pace_milli(&self, now: Duration) -> i64 {
        let mut inner = self.lock();
        while inner
            .handled
            .front()
            .is_some_and(|(at, _)| now.saturating_sub(*at) > self.pace_window)
        {
            inner.handled.pop_front();
        }
        let count: i64 = inner.handled.iter().map(|(_, count)| count).sum();
        let Some((first, _)) = inner.handled.front() else {
            return 0;
        };
        let span = now
            .saturating_sub(*first)
            .max(Duration::from_secs(1))
            .min(self.pace_window);
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1);
        count.saturating_mul(1_000_000) / millis
    }

    /// The row to write, if anything changed since the last one.
    pub fn row(&self, now: Timestamp, monotonic: Duration) -> Option<NodeStats> {
        let pace_milli = self.pace_milli(monotonic);
        let mut inner = self.lock();
        if !inner.dirty && inner.in_process.is_empty() {
            return None;
        }
        inner.dirty = false;
        let mut bytes = Vec::new();
        let histogram = V2Serializer::new()
            .serialize(&inner.histogram, &mut bytes)
            .is_ok()
            .then(|| STANDARD.encode(&bytes));
        Some(NodeStats {
            batch: self.batch,
            node: self.node.clone(),
            dc: self.dc.clone(),
            updated_time: now,
            share: inner.share.clone(),
            slowest: inner.slowest.clone(),
            histogram,
            pace_milli,
            in_process: inner.in_process.values().cloned().collect(),
        })
    }

    /// The last row may not have been written, so [`BatchStats::row`] returns the next one in any case.
    pub fn mark_dirty(&self) {
        self.lock().dirty = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, millis: i64, result: Option<&str>) -> EntityRow {
        EntityRow {
            id: id.to_owned(),
            status: if result.is_some() {
                EntityStatus::Completed
            } else {
                EntityStatus::Failed
            },
            result: result.map(str::to_owned),
            error: None,
            node: NodeId("n1".to_owned()),
            start_time: Timestamp(1_000),
            end_time: Timestamp(1_000 + millis),
            duration_us: millis * 1_000,
            attempt: 1,
            fence: 1,
        }
    }

    #[test]
    fn the_slowest_are_kept_in_ascending_order() {
        let mut tally = Tally::new(3, 20);
        for (id, millis) in [("a", 5), ("b", 1), ("c", 9), ("d", 7), ("e", 2)] {
            tally.add(&row(id, millis, Some("{}")));
        }
        let ids: Vec<&str> = tally
            .slowest
            .iter()
            .map(|slow| slow.entity_id.as_str())
            .collect();
        assert_eq!(ids, ["a", "d", "c"]);
    }

    #[test]
    fn results_are_summed_by_key_and_a_failure_has_none() {
        let mut tally = Tally::new(10, 2);
        tally.add(&row(
            "a",
            1,
            Some(r#"{"Added":1,"Updated":0,"Unchanged":0}"#),
        ));
        tally.add(&row(
            "b",
            1,
            Some(r#"{"Added":1,"Updated":0,"Unchanged":0}"#),
        ));
        tally.add(&row("c", 1, None));
        assert_eq!(tally.share.succeeded, 2);
        assert_eq!(tally.share.failed, 1);
        // The third key is over the limit of two.
        let sums: Vec<(&str, i64)> = tally
            .share
            .aggregated
            .iter()
            .map(|(key, sum)| (key.as_str(), *sum))
            .collect();
        assert_eq!(sums, [("Added", 2), ("Updated", 0)]);
        assert!(
            tally
                .slowest
                .iter()
                .any(|slow| slow.entity_id == "c" && slow.result.is_none())
        );
    }

    #[test]
    fn a_histogram_survives_its_row() {
        let stats = BatchStats::new(
            BatchId(uuid::Uuid::nil()),
            NodeId("n1".to_owned()),
            "DC1".to_owned(),
            10,
            Duration::from_secs(10),
            None,
        );
        let mut tally = Tally::new(10, 20);
        for millis in 1..=100 {
            tally.add(&row("x", millis, Some("{}")));
        }
        stats.merge(&mut tally, Duration::from_secs(1));
        let written = stats
            .row(Timestamp(0), Duration::from_secs(1))
            .expect("it has changed");
        let merged = merge_histograms(written.histogram.as_deref());
        let percentiles = percentiles_us(&merged);
        assert!(
            (49_000..=52_000).contains(&percentiles["p50"]),
            "{percentiles:?}"
        );
        assert!(
            (99_000..=101_000).contains(&percentiles["max"]),
            "{percentiles:?}"
        );
        let again = || stats.row(Timestamp(0), Duration::from_secs(1));
        assert!(again().is_none(), "nothing new");
        stats.mark_dirty();
        assert!(again().is_some());
    }
}
