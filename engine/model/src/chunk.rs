//! A chunk: a group of ids of a batch that one worker handles at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{BatchId, Fence, Holder, NodeId, Token};
use crate::clock::Timestamp;

/// The state of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChunkState {
    /// Any worker may claim it.
    New,
    /// A worker has claimed it.
    InProgress,
    /// Every entity is handled.
    Done,
    /// A reserved number without ids. It is never filled.
    Void,
    /// Closed by a cancel or by the failure of the batch.
    Closed,
}

names!(ChunkState {
    New = "NEW",
    InProgress = "IN_PROGRESS",
    Done = "DONE",
    Void = "VOID",
    Closed = "CLOSED",
});

/// The part of a chunk or batch that one node handled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeShare {
    /// The number of COMPLETED entities.
    pub succeeded: i64,
    /// The number of FAILED entities.
    pub failed: i64,
    /// Sums of the numbers in the results, by key (`Added`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aggregated: BTreeMap<String, i64>,
    /// Start of the first entity.
    pub first_start: Option<Timestamp>,
    /// End of the last entity.
    pub last_end: Option<Timestamp>,
}

impl NodeShare {
    /// The number of handled entities.
    pub fn handled(&self) -> i64 {
        self.succeeded + self.failed
    }

    /// Adds the figures of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        for (key, count) in &other.aggregated {
            *self.aggregated.entry(key.clone()).or_default() += count;
        }
        self.first_start = match (self.first_start, other.first_start) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.last_end = self.last_end.max(other.last_end);
    }
}

/// The state of a chunk without its ids: the static columns of its partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHead {
    /// The batch.
    pub batch: BatchId,
    /// The number in the batch, from 0.
    pub number: i64,
    /// The state.
    pub state: ChunkState,
    /// The node session whose worker has claimed it.
    pub holder: Option<Holder>,
    /// Increases with every change of ownership. A new chunk has 1.
    pub fence: Fence,
    /// Increases with every flush and never decreases.
    pub seq: i64,
    /// Token of the last write.
    pub token: Option<Token>,
    /// The number of ids.
    pub total: i64,
    /// The number of COMPLETED entities.
    pub ok: i64,
    /// The number of FAILED entities.
    pub failed: i64,
    /// The part of each node. Written with the rows in one compare-and-set, so that sums over it are exact.
    pub shares: BTreeMap<NodeId, NodeShare>,
    /// The position of the source after the last id; none where the source has no positions.
    pub source_position: Option<String>,
    /// The number of ids that the source had given up to `source_position`, duplicates included; none in rows of older
    /// versions.
    #[serde(default)]
    pub source_read: Option<i64>,
    /// How often a process has died on it since an entity of it got its record: 1 stays when a later entity gets one.
    pub crashes: i32,
}

/// A chunk with its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkContent {
    /// The state.
    pub head: ChunkHead,
    /// The ids in the order of the source.
    pub ids: Vec<String>,
    /// The ids that have a row already.
    pub handled: Vec<String>,
}
