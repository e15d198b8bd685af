//! Checkpoints: what a run saves so that the next run continues where it stopped.

use super::identity::{Fence, Token};
use crate::clock::Timestamp;

/// The state of a scope of checkpoints: the run that may write, and the number of its writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointHead {
    /// Increases with every run that claims the scope. It never decreases, even when the checkpoints are deleted.
    pub fence: Fence,
    /// The number of writes under this fence.
    pub seq: i64,
    /// The run that claimed the scope, as text for users and for the next run.
    pub holder: String,
    /// Token of the last write.
    pub token: Option<Token>,
}

/// A saved item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name, unique in its scope.
    pub item: String,
    /// The saved text.
    pub value: String,
    /// Time of the write.
    pub updated_at: Timestamp,
}
