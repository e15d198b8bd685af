//! Stored instances of logical units, and the deployed project.

use serde::{Deserialize, Serialize};

use super::BatchId;
use crate::clock::Timestamp;

/// A stored instance without its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceHead {
    /// The instance id.
    pub id: String,
    /// A hash of all rows, in key order.
    pub content_hash: Vec<u8>,
    /// A hash of the definitions of its tables.
    pub schema_hash: Vec<u8>,
    /// The time at which its sources were read, in microseconds since 1970. An older version never replaces a newer
    /// one.
    pub sync_version: i64,
}

/// A stored instance with its micro-database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Id, hashes and version.
    pub head: InstanceHead,
    /// The batch that wrote it, if any.
    pub batch: Option<BatchId>,
    /// The SQLite image, compressed with zstd.
    pub image: Vec<u8>,
}

/// The current deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Increases with every deployment.
    pub seq: i64,
    /// SHA-256 of the bundle, in hex.
    pub hash: String,
    /// Time of the deployment.
    pub deployed_at: Timestamp,
    /// The user who deployed it.
    pub deployed_by: String,
    /// The names of its logical units.
    pub logical_units: Vec<String>,
}
