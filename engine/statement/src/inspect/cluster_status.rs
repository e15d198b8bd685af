//! CLUSTERSTATUS: the nodes.

use serde::Serialize;
use weft_model::{NodeRow, NodeState};

use super::{InspectResult, Inspector};
use crate::permission::Permit;

/// Asks about all nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeQuery;

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeItem {
    /// What it says of itself.
    pub row: NodeRow,
    /// ALIVE, DRAINING or DEAD.
    pub status: &'static str,
    /// It is the node that answers.
    pub answering: bool,
}

impl Inspector {
    /// All nodes but those that left cleanly, by guid.
    ///
    /// # Errors
    /// What the store said.
    pub async fn nodes(&self, _: &Permit<NodeQuery>) -> InspectResult<Vec<NodeItem>> {
        let members = self.nodes.members().await?;
        let items = members.into_iter().map(|member| NodeItem {
            status: match (member.alive, member.row.state) {
                (false, _) | (true, NodeState::Left) => "DEAD",
                (true, NodeState::Draining) => "DRAINING",
                (true, NodeState::Alive) => "ALIVE",
            },
            answering: member.row.guid == self.config.guid,
            row: member.row,
        });
        Ok(items.collect())
    }
}
