//! Settings of the whole cluster.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A row of `k2viewsystem.cluster_settings`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The name, for example `affinity_rules`.
    pub name: String,
    /// Increases with every change, from 1.
    pub seq: i64,
    /// The current value; empty = not set.
    pub value: String,
    /// Time of the last change.
    pub changed_at: Timestamp,
    /// The user or node that made the last change.
    pub changed_by: String,
}
