//! Partitions: where the row of an operation lies, and what lies beside it.

use std::collections::BTreeMap;
use std::fmt;

use weft_model::{
    Batch, BatchId, BatchStatus, CheckpointHead, ChunkHead, Deployment, EntityRow, Job, JobKey,
    Setting,
};
use weft_store::{Signed, StoredRow};

use super::checkpoint::Scope;
use super::row::Row;
use super::tables::Tables;
use super::watch::Watch;

/// One chunk partition.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its static columns.
    pub head: ChunkHead,
    /// Its ids in the order of the source.
    pub ids: Vec<String>,
    /// Its handled entities.
    pub rows: BTreeMap<String, EntityRow>,
    /// The order in which they were recorded first.
    pub order: Vec<String>,
}

/// A row type, and the partitions that hold its rows.
pub trait Partitioned: StoredRow + fmt::Debug + PartialEq {
    /// The row, and what operations write beside it.
    type Partition: Clone;

    /// The row in a partition.
    fn row(partition: &Self::Partition) -> &Self;

    /// The partition with `row`; the rest of it stays.
    fn partition(before: Option<&Self::Partition>, row: Self) -> Self::Partition;

    /// The partition as a compare-and-set finds it; completes attempts under way.
    fn find(tables: &mut Tables, key: &Self::Key) -> Option<Self::Partition>;

    /// The row, for checks from outside: changes nothing.
    fn peek<'t>(tables: &'t Tables, key: &Self::Key) -> Option<&'t Self>;

    /// Stores the partition, or removes it. Committed reads may miss that until `hidden_until`.
    fn write(
        tables: &mut Tables,
        key: Self::Key,
        after: Option<Self::Partition>,
        hidden_until: u64,
    );

    /// Shows the watcher a write that takes effect.
    fn watch(
        _watch: &mut Watch,
        _tables: &Tables,
        _before: Option<&Self::Partition>,
        _after: Option<&Self::Partition>,
    ) {
    }

    /// Key and row in a few words.
    fn describe(key: &Self::Key, row: Option<&Self>) -> String;
}

/// Stores or removes a partition that stale reads may miss.
fn put<K: Ord, T: Clone>(
    rows: &mut BTreeMap<K, Row<T>>,
    key: K,
    after: Option<T>,
    hidden_until: u64,
) {
    match (after, rows.get_mut(&key)) {
        (Some(after), Some(row)) => row.write(after, hidden_until),
        (Some(after), None) => {
            rows.insert(key, Row::new(after, hidden_until));
        }
        (None, _) => {
            rows.remove(&key);
        }
    }
}

/// Partitions that are nothing but their row.
macro_rules! lone_row {
    () => {
        type Partition = Self;

        fn row(partition: &Self) -> &Self {
            partition
        }

        fn partition(_: Option<&Self>, row: Self) -> Self {
            row
        }
    };
}

impl Partitioned for Batch {
    lone_row!();

    fn find(tables: &mut Tables, id: &BatchId) -> Option<Self> {
        Some(tables.batches.get_mut(id)?.serial().clone())
    }

    fn peek<'t>(tables: &'t Tables, id: &BatchId) -> Option<&'t Self> {
        Some(tables.batches.get(id)?.peek())
    }

    fn write(tables: &mut Tables, id: BatchId, after: Option<Self>, hidden_until: u64) {
        put(&mut tables.batches, id, after, hidden_until);
    }

    fn watch(watch: &mut Watch, tables: &Tables, before: Option<&Self>, after: Option<&Self>) {
        match (before, after) {
            (before, Some(after)) => {
                watch.batch(before, after);
                let is_end = before.is_some_and(|before| before.status != after.status);
                if is_end && after.status == BatchStatus::Done {
                    let range = (after.id, 0)..(after.id, i64::MAX);
                    let chunks = tables.chunks.range(range);
                    watch.done(after, chunks.map(|(_, row)| row.peek()));
                }
            }
            (Some(before), None) => watch.removed_batch(before),
            (None, None) => (),
        }
    }

    fn describe(id: &BatchId, row: Option<&Self>) -> String {
        let id = short(*id);
        row.map_or_else(
            || format!("{id} removed"),
            |batch| {
                format!(
                    "{id} {} fence {} {} {}, {} chunks",
                    batch.status, batch.fence, batch.desired, batch.desired_seq, batch.chunks
                )
            },
        )
    }
}

impl Partitioned for Job {
    lone_row!();

    fn find(tables: &mut Tables, key: &JobKey) -> Option<Self> {
        Some(tables.jobs.get_mut(key)?.serial().clone())
    }

    fn peek<'t>(tables: &'t Tables, key: &JobKey) -> Option<&'t Self> {
        Some(tables.jobs.get(key)?.peek())
    }

    fn write(tables: &mut Tables, key: JobKey, after: Option<Self>, hidden_until: u64) {
        put(&mut tables.jobs, key, after, hidden_until);
    }

    fn watch(watch: &mut Watch, _: &Tables, before: Option<&Self>, after: Option<&Self>) {
        match (before, after) {
            (before, Some(after)) => watch.job(before, after),
            (Some(before), None) => watch.removed_job(before),
            (None, None) => (),
        }
    }

    fn describe(key: &JobKey, row: Option<&Self>) -> String {
        let uid = head(&key.uid);
        row.map_or_else(
            || format!("{uid} removed"),
            |job| {
                let worker = job.worker.as_ref().map_or("", |worker| worker.0.as_str());
                format!(
                    "{uid} {} {worker} fence {} {} {}",
                    job.status, job.fence, job.desired, job.desired_seq
                )
            },
        )
    }
}

impl Partitioned for ChunkHead {
    type Partition = Chunk;

    fn row(chunk: &Chunk) -> &Self {
        &chunk.head
    }

    fn partition(before: Option<&Chunk>, head: Self) -> Chunk {
        match before {
            Some(chunk) => Chunk {
                head,
                ..chunk.clone()
            },
            None => Chunk {
                head,
                ids: Vec::new(),
                rows: BTreeMap::new(),
                order: Vec::new(),
            },
        }
    }

    fn find(tables: &mut Tables, key: &(BatchId, i64)) -> Option<Chunk> {
        Some(tables.chunks.get_mut(key)?.serial().clone())
    }

    fn peek<'t>(tables: &'t Tables, key: &(BatchId, i64)) -> Option<&'t Self> {
        Some(&tables.chunks.get(key)?.peek().head)
    }

    fn write(tables: &mut Tables, key: (BatchId, i64), after: Option<Chunk>, hidden_until: u64) {
        put(&mut tables.chunks, key, after, hidden_until);
    }

    fn watch(watch: &mut Watch, tables: &Tables, before: Option<&Chunk>, after: Option<&Chunk>) {
        if let Some(after) = after {
            let batch = Batch::peek(tables, &after.head.batch);
            watch.chunk(before, after, batch.map(|batch| batch.status));
        }
    }

    fn describe((batch, number): &(BatchId, i64), row: Option<&Self>) -> String {
        let name = format!("{}/{number}", short(*batch));
        row.map_or_else(
            || format!("{name} missing"),
            |head| {
                let worker = head.holder.as_ref();
                let worker = worker.map_or("", |holder| holder.node.0.as_str());
                format!(
                    "{name} {} {worker} fence {} seq {}, {} of {}",
                    head.state,
                    head.fence,
                    head.seq,
                    head.ok + head.failed,
                    head.total
                )
            },
        )
    }
}

impl Partitioned for CheckpointHead {
    type Partition = Scope;

    fn row(scope: &Scope) -> &Self {
        &scope.head
    }

    fn partition(before: Option<&Scope>, head: Self) -> Scope {
        Scope {
            head,
            items: before.map(|scope| scope.items.clone()).unwrap_or_default(),
        }
    }

    fn find(tables: &mut Tables, scope: &String) -> Option<Scope> {
        Some(tables.checkpoints.get_mut(scope)?.serial().clone())
    }

    fn peek<'t>(tables: &'t Tables, scope: &String) -> Option<&'t Self> {
        Some(&tables.checkpoints.get(scope)?.peek().head)
    }

    fn write(tables: &mut Tables, scope: String, after: Option<Scope>, hidden_until: u64) {
        put(&mut tables.checkpoints, scope, after, hidden_until);
    }

    fn describe(scope: &String, row: Option<&Self>) -> String {
        row.map_or_else(
            || format!("{scope} missing"),
            |head| format!("{scope} fence {} seq {}", head.fence, head.seq),
        )
    }
}

/// The row of a command.
impl Partitioned for BatchId {
    lone_row!();

    fn find(tables: &mut Tables, key: &String) -> Option<Self> {
        tables.commands.get(key).copied()
    }

    fn peek<'t>(tables: &'t Tables, key: &String) -> Option<&'t Self> {
        tables.commands.get(key)
    }

    fn write(tables: &mut Tables, key: String, after: Option<Self>, _: u64) {
        match after {
            Some(batch) => tables.commands.insert(key, batch),
            None => tables.commands.remove(&key),
        };
    }

    fn describe(_: &String, row: Option<&Self>) -> String {
        row.map_or_else(|| "released".to_owned(), |batch| short(*batch))
    }
}

impl Partitioned for Signed<Setting> {
    lone_row!();

    fn find(tables: &mut Tables, name: &String) -> Option<Self> {
        tables.settings.get(name).cloned()
    }

    fn peek<'t>(tables: &'t Tables, name: &String) -> Option<&'t Self> {
        tables.settings.get(name)
    }

    fn write(tables: &mut Tables, name: String, after: Option<Self>, _: u64) {
        if let Some(after) = after {
            tables.settings.insert(name, after);
        }
    }

    fn describe(name: &String, row: Option<&Self>) -> String {
        format!("{name} seq {}", row.map_or(0, |row| row.value.seq))
    }
}

impl Partitioned for Signed<Deployment> {
    lone_row!();

    fn find(tables: &mut Tables, _: &()) -> Option<Self> {
        tables.deployment.clone()
    }

    fn peek<'t>(tables: &'t Tables, _: &()) -> Option<&'t Self> {
        tables.deployment.as_ref()
    }

    fn write(tables: &mut Tables, _: (), after: Option<Self>, _: u64) {
        tables.deployment = after;
    }

    fn describe(_: &(), row: Option<&Self>) -> String {
        row.map_or_else(String::new, |row| row.value.hash.clone())
    }
}

/// The first characters of a batch's id.
pub fn short(id: BatchId) -> String {
    head(&id.to_string()).to_owned()
}

fn head(uid: &str) -> &str {
    uid.get(..8).unwrap_or(uid)
}
