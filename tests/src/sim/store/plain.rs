//! Plain writes: without a condition, one writer each.

use weft_model::clock::Timestamp;
use weft_model::{
    BatchId, BatchListing, BatchStatistics, BatchStatus, DueHint, Instance, JobKey, JobRun,
    NodeRow, NodeStats, ParsedRow, ParsedTable,
};
use weft_store::MoveBatch;

use super::tables::{Stamped, Tables};

/// A plain write: without a condition, one writer, the one with the highest stamp wins.
#[derive(Clone, Debug)]
pub enum Plain {
    /// A hint for the scheduler.
    Due(DueHint),
    /// A job waits for the ends of jobs of a type and name.
    Follower((String, String), JobKey, Timestamp),
    /// A job does not wait any more: the note is removed if it was written before.
    ForgetFollower((String, String), JobKey, Timestamp),
    /// Hints that are due before are removed.
    ForgetHints(Timestamp),
    /// The directory by day, at submission.
    Listing(BatchListing),
    /// The directory entry after a move.
    Copy(ListingCopy),
    /// The history row of a run, once.
    Run(Box<JobRun>),
    /// A node's own row.
    Node(Box<NodeRow>),
    /// A node's own figures.
    Stats(Box<NodeStats>),
    /// Instances, guarded by their version.
    Instances(String, Vec<Instance>),
    /// A bundle.
    Bundle(String, Vec<u8>),
    /// The runs of a job that started before are removed.
    ForgetRuns(JobKey, Timestamp),
    /// Chunks of a batch from a number to another are removed.
    ForgetChunks(BatchId, i64, i64),
    /// The figures of a batch are removed.
    ForgetStats(BatchId),
    /// The line of a batch in the directory is removed.
    ForgetListing(Timestamp, BatchId),
    /// Rows of a table that a parser fills.
    Parsed(Box<ParsedTable>, Vec<ParsedRow>),
}

/// What a move changes in the directory.
#[derive(Clone, Debug)]
pub struct ListingCopy {
    /// The batch.
    pub id: BatchId,
    /// Its status.
    pub status: BatchStatus,
    /// Its end.
    pub end_time: Option<Timestamp>,
    /// Failed entities, where they are known.
    pub failed: Option<i64>,
}

impl ListingCopy {
    /// The directory entry after `change`.
    pub fn of(change: &MoveBatch) -> Self {
        Self {
            id: change.guard.id,
            status: change.to.status,
            end_time: change.to.end_time,
            failed: change.to.statistics.as_ref().map(failed_of),
        }
    }
}

/// How many failed, as a listing shows it.
pub fn failed_of(statistics: &BatchStatistics) -> i64 {
    statistics.total().failed
}

impl Tables {
    /// A plain write arrives. `visible_at` is when every reader sees a hint.
    pub fn put(&mut self, plain: Plain, stamp: u64, now: u64, visible_at: u64) {
        match plain {
            Plain::Follower(upstream, follower, at) => {
                let written = self.followers.entry(upstream).or_default();
                let written = written.entry(follower).or_insert(at);
                *written = at.max(*written);
            }
            Plain::ForgetFollower(upstream, follower, before) => {
                let followers = self.followers.entry(upstream).or_default();
                followers.retain(|key, written| *key != follower || *written >= before);
            }
            Plain::ForgetHints(before) => self.due.retain(|hint, _| hint.due_at >= before),
            Plain::Due(hint) => {
                let seen = self.due.entry(hint).or_insert(visible_at);
                *seen = (*seen).min(visible_at);
            }
            Plain::Listing(listing) => {
                let key = (listing.creation_time, listing.id.to_string());
                if !self.listings.contains_key(&key) {
                    Stamped::put(&mut self.listings, key, listing, stamp, now);
                }
            }
            Plain::Copy(copy) => self.copy(copy, stamp, now),
            Plain::Run(run) => {
                let key = (run.key.clone(), run.started, run.fence);
                self.runs.entry(key).or_insert(*run);
            }
            Plain::Node(row) => {
                self.incarnations.insert(row.incarnation);
                Stamped::put(&mut self.nodes, row.guid.clone(), *row, stamp, now);
            }
            Plain::Stats(stats) => {
                let key = (stats.batch, stats.node.clone());
                Stamped::put(&mut self.stats, key, *stats, stamp, now);
            }
            Plain::Instances(logical_unit, instances) => {
                for instance in instances {
                    let key = (logical_unit.clone(), instance.head.id.clone());
                    let newer = self
                        .instances
                        .get(&key)
                        .is_none_or(|found| found.head.sync_version < instance.head.sync_version);
                    if newer {
                        self.instances.insert(key, instance);
                    }
                }
            }
            Plain::Parsed(table, rows) => self.put_parsed_rows(&table, &rows),
            Plain::Bundle(hash, bytes) => {
                self.bundles.entry(hash).or_insert(bytes);
            }
            Plain::ForgetRuns(key, before) => {
                self.runs
                    .retain(|(of, started, _), _| *of != key || *started >= before);
            }
            Plain::ForgetChunks(batch, from, to) => {
                self.chunks
                    .retain(|(of, number), _| *of != batch || *number < from || *number >= to);
            }
            Plain::ForgetStats(batch) => self.stats.retain(|(of, _), _| *of != batch),
            Plain::ForgetListing(created, batch) => {
                self.listings.remove(&(created, batch.to_string()));
            }
        }
    }

    fn copy(&mut self, copy: ListingCopy, stamp: u64, now: u64) {
        let Some(batch) = self.batches.get(&copy.id) else {
            return;
        };
        let key = (batch.peek().creation_time, copy.id.to_string());
        if let Some(found) = self.listings.get(&key) {
            let mut listing = found.value.clone();
            listing.status = copy.status;
            listing.end_time = copy.end_time.or(listing.end_time);
            listing.failed = copy.failed.unwrap_or(listing.failed);
            Stamped::put(&mut self.listings, key, listing, stamp, now);
        }
    }
}
