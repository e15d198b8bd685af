//! CLUSTERSTATUS: the nodes.

use serde::Serialize;
use weft_model::{NodeRow, NodeState};

use super::{InspectResult, Inspector};
use crate::permission::Permit;

/// All nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeQuery;

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeItem {
    /// The row of the node.
    pub row: NodeRow,
    /// ALIVE, DRAINING or DEAD.
    pub status: &'static str,
    /// This node answers the query.
    pub answering: bool,
}

impl Inspector {
    /// All nodes but those that left cleanly, by guid.
    ///
    /// # Errors
    /// The store failed.
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
