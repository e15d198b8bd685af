//! What a run writes down so that the next one can go on where it stopped.

use super::identity::{Fence, Token};
use crate::clock::Timestamp;

/// The head of a scope of checkpoints: which run may write, and how often it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointHead {
    /// Grows with every run that takes the scope; never goes down, not even where all is forgotten.
    pub fence: Fence,
    /// Writes under this fence; a new fence begins at 0.
    pub seq: i64,
    /// Who took it, for people and for the next taker.
    pub holder: String,
    /// Of the last write.
    pub token: Option<Token>,
}

/// One thing written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its name in the scope.
    pub item: String,
    /// What was written.
    pub value: String,
    /// When.
    pub updated_at: Timestamp,
}
