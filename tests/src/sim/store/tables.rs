//! The tables.

use std::collections::{BTreeMap, BTreeSet};

use weft_model::clock::Timestamp;
use weft_model::{
    Batch, BatchId, BatchListing, Deployment, DueHint, Fence, Incarnation, Instance, Job, JobKey,
    JobRun, NodeId, NodeRow, NodeStats, Setting,
};
use weft_store::{BatchPage, JobsPage, ListBatches, ListJobs, Signed};

use super::checkpoint::Scope;
use super::parsed::StoredTable;
use super::partition::Chunk;
use super::row::Row;

/// A plain row with the stamp of its writer: an older one never replaces a newer.
#[derive(Clone, Debug)]
pub struct Stamped<T> {
    /// The row.
    pub value: T,
    /// The previous row, which a stale read still finds.
    pub before: Option<T>,
    /// When it was written, in simulated milliseconds.
    pub written_at: u64,
    stamp: u64,
}

/// Everything durable.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// `batchprocess_list`.
    pub batches: BTreeMap<BatchId, Row<Batch>>,
    /// `jobs`.
    pub jobs: BTreeMap<JobKey, Row<Job>>,
    /// `batchprocess_entities_info`.
    pub chunks: BTreeMap<(BatchId, i64), Row<Chunk>>,
    /// `active_commands`.
    pub commands: BTreeMap<String, BatchId>,
    /// `jobs_due`, with the time from which every reader sees the hint.
    pub due: BTreeMap<DueHint, u64>,
    /// `job_followers`, with the time of the last write in simulated milliseconds.
    pub followers: BTreeMap<(String, String), BTreeMap<JobKey, Timestamp>>,
    /// `batchprocess_by_day`.
    pub listings: BTreeMap<(Timestamp, String), Stamped<BatchListing>>,
    /// `job_runs`.
    pub runs: BTreeMap<(JobKey, Timestamp, Fence), JobRun>,
    /// `nodes`.
    pub nodes: BTreeMap<NodeId, Stamped<NodeRow>>,
    /// All incarnations that ever wrote a row of `nodes`.
    pub incarnations: BTreeSet<Incarnation>,
    /// `batchprocess_node_info`.
    pub stats: BTreeMap<(BatchId, NodeId), Stamped<NodeStats>>,
    /// The instances of all logical units.
    pub instances: BTreeMap<(String, String), Instance>,
    /// Logical units with tables.
    pub logical_units: BTreeSet<String>,
    /// Bundles by hash.
    pub bundles: BTreeMap<String, Vec<u8>>,
    /// `checkpoints` by scope.
    pub checkpoints: BTreeMap<String, Row<Scope>>,
    /// Tables that parsers fill, by label.
    pub parsed: BTreeMap<String, StoredTable>,
    /// The deployed project.
    pub deployment: Option<Signed<Deployment>>,
    /// Settings of the cluster, by name.
    pub settings: BTreeMap<String, Signed<Setting>>,
}

impl<T: Clone> Stamped<T> {
    /// Stores `value` unless a newer one is stored.
    pub(super) fn put<K: Ord>(
        rows: &mut BTreeMap<K, Self>,
        key: K,
        value: T,
        stamp: u64,
        now: u64,
    ) {
        let before = match rows.get(&key) {
            Some(row) if row.stamp > stamp => return,
            found => found.map(|row| row.value.clone()),
        };
        let row = Self {
            value,
            before,
            written_at: now,
            stamp,
        };
        rows.insert(key, row);
    }
}

impl Tables {
    pub(super) fn list_jobs(&self, list: &ListJobs) -> JobsPage {
        // A uid counts only with a name, a name only with a type: together they are a prefix of the key.
        let wanted = [&list.job_type, &list.name, &list.uid];
        let given: Vec<&String> = wanted.iter().map_while(|part| part.as_ref()).collect();
        let rows = self.jobs.iter();
        let mut jobs: Vec<Job> = rows
            .filter(|(key, _)| list.after.as_ref().is_none_or(|after| *key > after))
            .map(|(_, row)| row.peek().clone())
            .take(list.limit.saturating_add(1))
            .collect();
        let more = jobs.len() > list.limit;
        jobs.truncate(list.limit);
        let next = jobs.last().filter(|_| more).map(|job| job.key.clone());
        // Like Cassandra it filters the rows that it has examined, so a page may be short, or empty.
        jobs.retain(|job| {
            let parts = [&job.key.job_type, &job.key.name, &job.key.uid];
            let is_wanted = given.iter().zip(parts).all(|(want, part)| *want == part);
            is_wanted && !(list.active_only && job.archived)
        });
        JobsPage { jobs, next }
    }

    pub(super) fn list_batches(&self, list: &ListBatches) -> BatchPage {
        let before = list.before.map(|(time, id)| (time, id.to_string()));
        let entries = self.listings.iter().rev();
        let mut listings: Vec<_> = entries
            .filter(|((time, _), _)| list.from <= *time && *time < list.to)
            .filter(|(key, _)| before.as_ref().is_none_or(|before| *key < before))
            .map(|(_, row)| row.value.clone())
            .take(list.limit.saturating_add(1))
            .collect();
        let more = listings.len() > list.limit;
        listings.truncate(list.limit);
        BatchPage { listings, more }
    }
}
