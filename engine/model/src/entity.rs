//! What happened to one entity of a batch.

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{Fence, NodeId};
use crate::clock::Timestamp;

/// The outcome of an entity; WAITING has no row of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EntityStatus {
    /// Not handled yet.
    Waiting,
    /// The command ran.
    Completed,
    /// The command failed.
    Failed,
}

names!(EntityStatus { Waiting = "WAITING", Completed = "COMPLETED", Failed = "FAILED" });

/// One handled entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityRow {
    /// Its id.
    pub id: String,
    /// How it ended.
    pub status: EntityStatus,
    /// The result as JSON text, e.g. `{"Added":1,"Updated":0,"Unchanged":0}`.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Where it ran.
    pub node: NodeId,
    /// When it started.
    pub start_time: Timestamp,
    /// When it ended.
    pub end_time: Timestamp,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    /// The chunk's fence it was recorded under.
    pub fence: Fence,
}
