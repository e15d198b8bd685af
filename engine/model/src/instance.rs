//! A stored instance of a logical unit, and the deployed project.

use serde::{Deserialize, Serialize};

use super::BatchId;
use crate::clock::Timestamp;

/// What is known of a stored instance without its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceHead {
    /// The instance id.
    pub id: String,
    /// Covers the rows in key order.
    pub content_hash: Vec<u8>,
    /// Covers the tables' shapes.
    pub schema_hash: Vec<u8>,
    /// When its source was read, in microseconds since 1970; an older one never replaces a newer.
    pub sync_version: i64,
}

/// A stored instance: its micro-database and what guards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// What is known without the image.
    pub head: InstanceHead,
    /// The batch that wrote it, if one did.
    pub batch: Option<BatchId>,
    /// The SQLite image, compressed with zstd.
    pub image: Vec<u8>,
}

/// The project that is deployed now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Grows with every deployment.
    pub seq: i64,
    /// SHA-256 of the bundle, in hex: its name.
    pub hash: String,
    /// When it was deployed.
    pub deployed_at: Timestamp,
    /// Who deployed it.
    pub deployed_by: String,
    /// The names of its logical units.
    pub logical_units: Vec<String>,
}
