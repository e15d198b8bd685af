//! Which nodes are alive: as the node observes them, or as their rows say where nothing observes.

use std::fmt;

use async_trait::async_trait;
use weft_model::NodeState;
use weft_node::{Member, NodeHandle};
use weft_store::{SharedStore, StoreResult};

/// Knows the nodes of the cluster.
#[async_trait]
pub trait LiveNodes: Send + Sync + fmt::Debug {
    /// All nodes but those that left cleanly, by guid.
    async fn members(&self) -> StoreResult<Vec<Member>>;

    /// The node of this process; none where it has none.
    fn own(&self) -> Option<&NodeHandle> {
        None
    }
}

/// Believes the rows, for processes that observe no heartbeats.
#[derive(Clone, Debug)]
pub struct StoredNodes(pub SharedStore);

#[async_trait]
impl LiveNodes for StoredNodes {
    async fn members(&self) -> StoreResult<Vec<Member>> {
        let rows = self.0.nodes().await?;
        let listed = rows.into_iter().filter(|row| row.state != NodeState::Left);
        Ok(listed.map(|row| Member { row, alive: true }).collect())
    }
}

#[async_trait]
impl LiveNodes for NodeHandle {
    async fn members(&self) -> StoreResult<Vec<Member>> {
        let observed = NodeHandle::members(self);
        if observed.is_empty() {
            // The node is starting and has not observed any node yet.
            return StoredNodes(self.context().store.clone()).members().await;
        }
        Ok(observed)
    }

    fn own(&self) -> Option<&NodeHandle> {
        Some(self)
    }
}
