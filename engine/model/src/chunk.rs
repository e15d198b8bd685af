//! A chunk: the ids of a batch that one worker holds at a time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{BatchId, Fence, Holder, NodeId, Token};
use crate::clock::Timestamp;

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ChunkState {
    /// Open for work.
    New,
    /// A worker holds it.
    InProgress,
    /// Every entity of it was handled.
    Done,
    /// A reserved number that will never be filled.
    Void,
    /// Taken out of work by a cancel.
    Closed,
}

names!(ChunkState {
    New = "NEW",
    InProgress = "IN_PROGRESS",
    Done = "DONE",
    Void = "VOID",
    Closed = "CLOSED",
});

/// What one node did of a chunk, or of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeShare {
    /// COMPLETED entities.
    pub succeeded: i64,
    /// FAILED entities.
    pub failed: i64,
    /// Sums of the numbers in the results, by key (`Added`, …).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aggregated: BTreeMap<String, i64>,
    /// Start of its first entity.
    pub first_start: Option<Timestamp>,
    /// End of its last entity.
    pub last_end: Option<Timestamp>,
}

impl NodeShare {
    /// Entities with a terminal record.
    pub fn handled(&self) -> i64 {
        self.succeeded + self.failed
    }

    /// Adds what `other` says; sums of sums are exact.
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
    /// Its number in the batch, from 0.
    pub number: i64,
    /// Where it stands.
    pub state: ChunkState,
    /// The worker that holds it.
    pub holder: Option<Holder>,
    /// Grows with every change of hands. A chunk is born with 1.
    pub fence: Fence,
    /// Grows with every flush; never goes down.
    pub seq: i64,
    /// The last writer's attempt.
    pub token: Option<Token>,
    /// How many ids it has.
    pub total: i64,
    /// How many were COMPLETED.
    pub ok: i64,
    /// How many FAILED.
    pub failed: i64,
    /// Which node did what of it; moves in the same compare-and-set as the rows, so sums over it are exact.
    pub shares: BTreeMap<NodeId, NodeShare>,
    /// Where the source stands behind its last id; none where the source has no positions.
    pub source_position: Option<String>,
    /// How often a worker died on it without progress.
    pub crashes: i32,
}

/// A chunk with its ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkContent {
    /// Its state.
    pub head: ChunkHead,
    /// Its ids, in the order of the source.
    pub ids: Vec<String>,
    /// The ids of it that have a terminal row already.
    pub handled: Vec<String>,
}
