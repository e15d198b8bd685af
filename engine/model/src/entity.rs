//! The outcome of one entity of a batch.

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{Fence, NodeId};
use crate::clock::Timestamp;

/// The status of an entity. A waiting entity has no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntityStatus {
    /// The entity is not handled yet.
    Waiting,
    /// The command ran.
    Completed,
    /// The command failed.
    Failed,
}

names!(EntityStatus { Waiting = "WAITING", Completed = "COMPLETED", Failed = "FAILED" });

/// The row of a handled entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRow {
    /// Its id.
    pub id: String,
    /// COMPLETED or FAILED.
    pub status: EntityStatus,
    /// The result as JSON text, e.g. `{"Added":1,"Updated":0,"Unchanged":0}`.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// The node that handled it.
    pub node: NodeId,
    /// Start of the first attempt.
    pub start_time: Timestamp,
    /// End of the last attempt.
    pub end_time: Timestamp,
    /// Duration of all attempts with the pauses between them, in microseconds.
    pub duration_us: i64,
    /// The number of attempts, at least 1.
    pub attempt: i32,
    /// The fence of the chunk when the row was written.
    pub fence: Fence,
}
