//! Gathers the results of one chunk and records them in fenced flushes.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::warn;
use weft_model::{ChunkHead, EntityRow, EntityStatus, Fence, NodeId, NodeShare};
use weft_store::{FlushChunk, Settled, StoreError};

use super::active::ActiveBatch;
use super::entity::HandledEntity;
use super::isolation::SUSPECT_RUNS;
use super::stats::Tally;
use crate::NodeSession;

/// The most rows in a flush.
const MAX_ROWS: usize = 1_000;
/// A flush is due at about this many bytes of ids, results and errors.
const MAX_ROW_BYTES: usize = 256 * 1024;
/// A flush is due at about this many bytes of instances, which are saved with the rows.
const MAX_INSTANCE_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of the error of a record that the store refused.
const REFUSAL_BYTES: usize = 1_024;
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
    waiting: Vec<HandledEntity>,
    row_bytes: usize,
    instance_bytes: usize,
    flushed_at: Duration,
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
        Self {
            batch,
            number: head.number,
            fence: head.fence,
            seq: head.seq,
            ok: head.ok,
            failed: head.failed,
            shares: head.shares.clone(),
            crashes: head.crashes,
            waiting: Vec::new(),
            row_bytes: 0,
            instance_bytes: 0,
            flushed_at: session.context.clock.monotonic(),
        }
    }

    /// Adds a handled entity. It was not the one that ended the processes that died on this chunk.
    pub fn add(&mut self, handled: HandledEntity) {
        self.crashes = self.crashes.min(1);
        let HandledEntity { row, instance } = &handled;
        self.row_bytes += row.id.len()
            + row.result.as_ref().map_or(0, String::len)
            + row.error.as_ref().map_or(0, String::len);
        self.instance_bytes += instance.as_ref().map_or(0, |instance| instance.image.len());
        self.waiting.push(handled);
    }

    /// The suspect of this chunk is about to run: the next flush makes that durable.
    pub fn start_suspect(&mut self) {
        self.crashes = SUSPECT_RUNS;
    }

    /// Whether it is time to flush.
    pub fn is_due(&self, now: Duration) -> bool {
        self.waiting.len() >= MAX_ROWS
            || self.row_bytes >= MAX_ROW_BYTES
            || self.instance_bytes >= MAX_INSTANCE_BYTES
            || (!self.waiting.is_empty() && now.saturating_sub(self.flushed_at) >= LONGEST_WAIT)
    }

    /// Whether no result waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Records the waiting results. `done`: afterwards every id of the chunk has its row.
    ///
    /// A flush that the store refuses for good is halved until the refused record is alone. That entity becomes FAILED
    /// with the reason, and all others keep their results.
    ///
    /// # Errors
    /// The store refused, and no record is the cause.
    pub async fn flush(
        &mut self,
        session: &NodeSession,
        done: bool,
    ) -> Result<Flushed, StoreError> {
        self.row_bytes = 0;
        self.instance_bytes = 0;
        let mut groups = vec![std::mem::take(&mut self.waiting)];
        while let Some(group) = groups.pop() {
            let is_last = done && groups.is_empty();
            match self.send(session, group, is_last).await? {
                Sent::Recorded => (),
                Sent::Fenced => return Ok(Flushed::Fenced),
                Sent::Refused(mut group, reason) => {
                    if group.len() > 1 {
                        let rest = group.split_off(group.len() / 2);
                        groups.extend([rest, group]);
                        continue;
                    }
                    let refused = group
                        .pop()
                        .and_then(|entity| refused_record(entity, &reason));
                    groups.push(vec![refused.ok_or(StoreError::Refused(reason))?]);
                }
            }
        }
        Ok(Flushed::Recorded)
    }

    /// Sends one flush. The counts change only when it is recorded, because the next one replaces them.
    async fn send(
        &mut self,
        session: &NodeSession,
        group: Vec<HandledEntity>,
        done: bool,
    ) -> Result<Sent, StoreError> {
        let config = &session.context.config;
        let mut tally = Tally::new(config.slowest_count, config.max_aggregation_keys);
        for entity in &group {
            tally.add(&entity.row);
        }
        let share = tally.share.clone();
        let mut shares = self.shares.clone();
        let own = shares.entry(session.me.node.clone()).or_default();
        own.merge(&share);
        let has_instance: Vec<bool> = group
            .iter()
            .map(|entity| entity.instance.is_some())
            .collect();
        let (rows, instances): (Vec<_>, Vec<_>) = group
            .into_iter()
            .map(|entity| (entity.row, entity.instance))
            .unzip();
        let flush = FlushChunk {
            batch: self.batch.id,
            number: self.number,
            holder: session.me.clone(),
            fence: self.fence,
            seq: self.seq + 1,
            rows,
            ok: self.ok + share.succeeded,
            failed: self.failed + share.failed,
            shares,
            crashes: self.crashes,
            done,
            logical_unit: self.batch.command.writes().unwrap_or_default().to_owned(),
            instances: instances.into_iter().flatten().collect(),
            token: session.context.ids.token(),
        };
        let settled = session.settle(&flush).await;
        self.flushed_at = session.context.clock.monotonic();
        match settled {
            Ok(Settled::Applied) => {
                (self.seq, self.ok, self.failed) = (flush.seq, flush.ok, flush.failed);
                self.shares = flush.shares;
                self.batch.stats.merge(&mut tally, self.flushed_at);
                count_recorded(&share);
                Ok(Sent::Recorded)
            }
            Ok(Settled::Lost(_) | Settled::StillUnknown) => Ok(Sent::Fenced),
            Err(StoreError::Refused(reason)) => {
                let mut instances = flush.instances.into_iter();
                let entities = flush.rows.into_iter().zip(has_instance);
                let entities = entities.map(|(row, has_instance)| HandledEntity {
                    row,
                    instance: has_instance.then(|| instances.next()).flatten(),
                });
                Ok(Sent::Refused(entities.collect(), reason))
            }
            Err(error) => Err(error),
        }
    }
}

/// The outcome of one sending.
enum Sent {
    Recorded,
    Fenced,
    /// The store refused it for good, with this reason.
    Refused(Vec<HandledEntity>, String),
}

/// The FAILED record of an entity whose record the store refused; none if it is that record already.
fn refused_record(entity: HandledEntity, reason: &str) -> Option<HandledEntity> {
    const SAYS: &str = "the store refused the record of this entity: ";
    let error = entity.row.error.as_deref();
    if error.is_some_and(|error| error.starts_with(SAYS)) {
        return None;
    }
    warn!("Recorded an entity as failed, because {SAYS}{reason}");
    let mut error = format!("{SAYS}{reason}");
    error.truncate(error.floor_char_boundary(REFUSAL_BYTES));
    let row = EntityRow {
        status: EntityStatus::Failed,
        result: None,
        error: Some(error),
        ..entity.row
    };
    Some(HandledEntity {
        row,
        instance: None,
    })
}

fn count_recorded(share: &NodeShare) {
    let count = |rows: i64| u64::try_from(rows).unwrap_or(0);
    metrics::counter!("batch_entities_total", "result" => "completed")
        .increment(count(share.succeeded));
    metrics::counter!("batch_entities_total", "result" => "failed").increment(count(share.failed));
}
