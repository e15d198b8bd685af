//! Errors that a store could be made with, to show that the invariants notice them.

use weft_model::{BatchId, ChunkHead};
use weft_store::{CompareAndSet, FlushChunk};

/// An error planted in the store, not in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A flush ignores the fence.
    FlushWithoutFence,
    /// An answer of Unknown is reported as a refusal.
    UnknownIsFailure,
}

/// A flush as a store with [`PlantedBug::FlushWithoutFence`] carries it out.
#[derive(Clone, Debug)]
pub struct FlushWithoutFence(pub FlushChunk);

impl CompareAndSet for FlushWithoutFence {
    type Row = ChunkHead;

    fn key(&self) -> (BatchId, i64) {
        self.0.key()
    }

    fn is_applied(&self, row: Option<&ChunkHead>) -> bool {
        self.0.is_applied(row)
    }

    fn holds(&self, row: Option<&ChunkHead>) -> bool {
        row.is_some_and(|head| head.seq == self.0.seq - 1)
    }

    fn apply(&self, row: Option<ChunkHead>) -> Option<ChunkHead> {
        row.map(|head| self.0.apply(head))
    }
}
