//! What holds for the whole cluster.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// A row of `k2viewsystem.cluster_settings`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What it is about, as in `affinity_rules`.
    pub name: String,
    /// Grows with every change; the first one is 1.
    pub seq: i64,
    /// What it is now; empty = as if it had never been set.
    pub value: String,
    /// When it was changed.
    pub changed_at: Timestamp,
    /// Who changed it: a user, or a node.
    pub changed_by: String,
}
