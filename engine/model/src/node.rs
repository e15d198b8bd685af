//! A node as other nodes see it.

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{BatchId, Incarnation, NodeId};
use crate::clock::Timestamp;

/// The state that a node announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// Accepts work.
    Alive,
    /// Accepts no new work, finishes its own and leaves.
    Draining,
    /// Has left after a clean shutdown and is no longer listed.
    Left,
}

names!(NodeState { Alive = "ALIVE", Draining = "DRAINING", Left = "LEFT" });

impl NodeState {
    /// The state in the row of a node. One of a newer version reads as DRAINING: the node lives while its heartbeat advances,
    /// and nothing is assigned to it.
    pub fn of_stored(text: &str) -> Self {
        text.parse().unwrap_or(Self::Draining)
    }
}

/// One row of `k2viewsystem.nodes`; only the node itself writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// The stable id of the node.
    pub guid: NodeId,
    /// Its data centre.
    pub dc: String,
    /// The address that an IP in an affinity is compared with.
    pub effective_ip: String,
    /// All addresses of the node.
    pub ips: Vec<String>,
    /// The logical ids with their slots, as in node.id (`Name:2-4`).
    pub logical_ids: Vec<String>,
    /// The current session.
    pub incarnation: Incarnation,
    /// Increases with every heartbeat. Other nodes detect failures by this number only.
    pub hb_seq: i64,
    /// The node's wall clock at the heartbeat, for display only.
    pub heartbeat_at: Timestamp,
    /// The state that it announces.
    pub state: NodeState,
    /// The program version.
    pub version: String,
    /// The address of its HTTP API, if enabled.
    pub http_address: Option<String>,
    /// The batches that it owns.
    pub coordinates: Vec<BatchId>,
}
