//! A node as the others see it.

use serde::{Deserialize, Serialize};

use super::status::names;
use super::{BatchId, Incarnation, NodeId};
use crate::clock::Timestamp;

/// What a node says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NodeState {
    /// Takes work.
    Alive,
    /// Finishes what it has and leaves.
    Draining,
    /// Has left cleanly; no longer listed (R236).
    Left,
}

names!(NodeState { Alive = "ALIVE", Draining = "DRAINING", Left = "LEFT" });

/// One row of `k2viewsystem.nodes`; only the node itself writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// Its stable name.
    pub guid: NodeId,
    /// Its data centre.
    pub dc: String,
    /// The address it is known by; what an IP in an affinity is compared with.
    pub effective_ip: String,
    /// All its addresses.
    pub ips: Vec<String>,
    /// Its logical ids with their slots, as in node.id (`Name:2-4`).
    pub logical_ids: Vec<String>,
    /// Its life.
    pub incarnation: Incarnation,
    /// Grows with every heartbeat; that it moves is what shows life.
    pub hb_seq: i64,
    /// Its own wall clock at the heartbeat, for people only.
    pub heartbeat_at: Timestamp,
    /// What it says of itself.
    pub state: NodeState,
    /// The version of the program.
    pub version: String,
    /// Where its HTTP API listens, if it does.
    pub http_address: Option<String>,
    /// The batches it owns.
    pub coordinates: Vec<BatchId>,
}
