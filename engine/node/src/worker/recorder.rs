//! Gathers the results of one chunk and records them in fenced flushes.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_model::{ChunkHead, EntityRow, Fence, Instance, NodeId, NodeShare};
use weft_store::{FlushChunk, Settled, StoreError};

use super::active::ActiveBatch;
use super::entity::HandledEntity;
use super::stats::Tally;
use crate::NodeSession;

/// The most rows in a flush.
const MAX_ROWS: usize = 1_000;
/// A flush is due at about this many bytes of ids, results and errors.
const MAX_ROW_BYTES: usize = 256 * 1024;
/// A flush is due at about this many bytes of instances, which are saved with the rows.
const MAX_INSTANCE_BYTES: usize = 4 * 1024 * 1024;
/// The longest time that results wait for a flush.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Records the results of one worker on one chunk.
#[derive(Debug)]
pub struct Recorder {
    batch: ActiveBatch,
    number: i64,
    fence: Fence,
    seq: i64,
    ok: i64,
    failed: i64,
    shares: BTreeMap<NodeId, NodeShare>,
    crashes: i32,
    rows: Vec<EntityRow>,
    instances: Vec<Instance>,
    row_bytes: usize,
    instance_bytes: usize,
    flushed_at: Duration,
    tally: Tally,
}

/// The outcome of a flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// The results are recorded.
    Recorded,
    /// Another worker owns the chunk, or the node has fenced itself: drop everything.
    Fenced,
}

impl Recorder {
    /// Continues from the state in which this worker claimed the chunk.
    pub fn new(session: &NodeSession, batch: ActiveBatch, head: &ChunkHead) -> Self {
        let config = &session.context.config;
        Self {
            batch,
            number: head.number,
            fence: head.fence,
            seq: head.seq,
            ok: head.ok,
            failed: head.failed,
            shares: head.shares.clone(),
            crashes: head.crashes,
            rows: Vec::new(),
            instances: Vec::new(),
            row_bytes: 0,
            instance_bytes: 0,
            flushed_at: session.context.clock.monotonic(),
            tally: Tally::new(config.slowest_count, config.max_aggregation_keys),
        }
    }

    /// Adds a handled entity. It was not the one that ended the processes that died on this chunk.
    pub fn add(&mut self, handled: HandledEntity) {
        let HandledEntity { row, instance } = handled;
        self.crashes = self.crashes.min(1);
        self.row_bytes += row.id.len()
            + row.result.as_ref().map_or(0, String::len)
            + row.error.as_ref().map_or(0, String::len);
        self.tally.add(&row);
        self.rows.push(row);
        if let Some(instance) = instance {
            self.instance_bytes += instance.image.len();
            self.instances.push(instance);
        }
    }

    /// Whether it is time to flush.
    pub fn is_due(&self, now: Duration) -> bool {
        self.rows.len() >= MAX_ROWS
            || self.row_bytes >= MAX_ROW_BYTES
            || self.instance_bytes >= MAX_INSTANCE_BYTES
            || (!self.rows.is_empty() && now.saturating_sub(self.flushed_at) >= LONGEST_WAIT)
    }

    /// Whether no result waits.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Records the waiting results. `done`: afterwards every id of the chunk has its row.
    ///
    /// # Errors
    /// The store refused the flush before it could take effect.
    pub async fn flush(
        &mut self,
        session: &NodeSession,
        done: bool,
    ) -> Result<Flushed, StoreError> {
        let share = self.tally.share.clone();
        self.ok += share.succeeded;
        self.failed += share.failed;
        self.shares
            .entry(session.me.node.clone())
            .or_default()
            .merge(&share);
        self.batch
            .stats
            .merge(&mut self.tally, session.context.clock.monotonic());
        self.seq += 1;
        let flush = FlushChunk {
            batch: self.batch.id,
            number: self.number,
            holder: session.me.clone(),
            fence: self.fence,
            seq: self.seq,
            rows: std::mem::take(&mut self.rows),
            ok: self.ok,
            failed: self.failed,
            shares: self.shares.clone(),
            crashes: self.crashes,
            done,
            logical_unit: self.batch.command.writes().unwrap_or_default().to_owned(),
            instances: std::mem::take(&mut self.instances),
            token: session.context.ids.token(),
        };
        self.row_bytes = 0;
        self.instance_bytes = 0;
        let settled = session.settle(&flush).await?;
        self.flushed_at = session.context.clock.monotonic();
        match settled {
            Settled::Applied => {
                let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
                metrics::counter!("batch_entities_total", "result" => "completed")
                    .increment(count(share.succeeded));
                metrics::counter!("batch_entities_total", "result" => "failed")
                    .increment(count(share.failed));
                Ok(Flushed::Recorded)
            }
            Settled::Lost(_) | Settled::StillUnknown => Ok(Flushed::Fenced),
        }
    }
}
